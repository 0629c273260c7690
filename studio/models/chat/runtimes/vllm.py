"""vLLM as a runtime: its offline engine, in the environment that ``studio serve --install`` makes and a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

from studio.models.chat.runtimes.process import AnsweringRuntime, RuntimeProcess
from studio.models.exported import ExportRecord
from studio.models.vllm_environment import engine_variables, find_environment

PROCESS = Path(__file__).with_name("vllm_process.py")
DTYPE = "bfloat16"
"""Of what is not made smaller, and of what is computed: as vLLM serves it."""
CONTEXT = 4096
"""Tokens for which memory is kept unless the model knows fewer."""


def open_vllm(folder: Path, record: ExportRecord | None = None) -> AnsweringRuntime:  # noqa: ARG001 - the folder says it all
    """A folder in vLLM.

    Raises:
        UserError: vLLM is not installed.
        StudioError: it cannot load the folder.
    """
    environment = find_environment()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    context = min(CONTEXT, int(config.get("max_position_embeddings") or CONTEXT))
    # One token more than the model knows, which is never read.
    variables = engine_variables(environment) | {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    process = RuntimeProcess("vLLM", environment.python, PROCESS, variables)
    return AnsweringRuntime(process, folder=str(folder), dtype=DTYPE, context=context + 1, eager=True)
