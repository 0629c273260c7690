"""vLLM as a runtime: its offline engine, in the environment that ``studio serve --install`` makes and a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

from studio.core.environments import quiet_environment
from studio.models.chat.runtimes.process import ProcessRuntime, RuntimeProcess
from studio.models.exported import ExportRecord
from studio.models.vllm_environment import Environment, find_environment

PROCESS = Path(__file__).with_name("vllm_process.py")
DTYPE = "bfloat16"
"""Of what is not made smaller, and of what is computed: as vLLM serves it."""
CONTEXT = 4096
"""Tokens for which memory is kept unless the model knows fewer."""
# Keys and values on a CPU, in GiB; vLLM reads whole ones.
_CPU_CACHE_GIB = 1


def open_vllm(folder: Path, record: ExportRecord | None = None) -> ProcessRuntime:  # noqa: ARG001 - the folder says it all
    """A folder in vLLM.

    Raises:
        UserError: vLLM is not installed.
        StudioError: it cannot load the folder.
    """
    environment = find_environment()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    context = min(CONTEXT, int(config.get("max_position_embeddings") or CONTEXT))
    process = RuntimeProcess("vLLM", environment.python, PROCESS, _variables(environment))
    return ProcessRuntime(process, folder=str(folder), dtype=DTYPE, context=context + 1, eager=True)


def _variables(environment: Environment) -> dict[str, str]:
    """Variables of the process: one process, no network, as many cores as this one may take."""
    found = quiet_environment() | {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOGGING_COLOR": "0",
        "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # one more than the model knows, which is never read
    }
    if environment.build == "cpu":
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(_CPU_CACHE_GIB)}
        if threads := os.environ.get("OMP_NUM_THREADS"):
            found |= {"OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return found
