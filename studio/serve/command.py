"""The command line and the environment of vLLM, from plain values."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import ConfigError, nearest
from studio.models.vllm_environment import Environment
from studio.schema.server import flag_name
from studio.serve.bundle import MIDDLEWARE

# Left to the person where they have set it.
_QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Weights are on disk and checked: nothing is looked up while starting.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_LOGGING_COLOR": "0",
    # Its own processes talk to each other; nobody else does.
    "VLLM_HOST_IP": "127.0.0.1",
}


def vllm_arguments(
    *,
    python: Path,
    model: str,
    name: str,
    adapters: Mapping[str, str],
    template: str,
    generation: Path,
    host: str,
    port: int,
    dtype: str,
    max_model_len: int | None,
    max_lora_rank: int,
    max_loras: int,
    modules: Sequence[str] | None,
    shutdown_timeout: int,
    parsers: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> list[str]:
    """The whole command.

    Args:
        model: folder of the weights. name: what they are served as.
        adapters: name to PEFT folder; empty for a whole model.
        template: the run's ``chat_template.jinja``; vLLM would take the base's.
        modules: layers to prepare for adapters; None leaves that to vLLM.
        generation: folder with a ``generation_config.json`` that has the end tokens of the template.
        parsers: flags for reading calls and thoughts. extra: further flags, checked before by :func:`check_flags`; they win.
    """
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name]
    command += ["--host", host, "--port", str(port), "--chat-template", template, "--generation-config", str(generation)]
    command += ["--dtype", dtype, "--shutdown-timeout", str(shutdown_timeout), "--middleware", MIDDLEWARE]
    command += ["--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    if max_model_len is not None:
        command += ["--max-model-len", str(max_model_len)]
    if adapters:
        command += ["--enable-lora", "--max-lora-rank", str(max_lora_rank), "--max-loras", str(max_loras)]
        if modules is not None:
            command += ["--lora-target-modules", *modules]
        command += ["--lora-modules", *(f"{adapter}={path}" for adapter, path in adapters.items())]
    for flag, value in {**parsers, **{flag_name(flag): value for flag, value in extra.items()}}.items():
        command += flag_arguments(flag, value)
    return command


def pooling_arguments(
    *,
    python: Path,
    model: str,
    name: str,
    host: str,
    port: int,
    dtype: str,
    max_model_len: int | None,
    cuts: Sequence[int],
    shutdown_timeout: int,
    extra: Mapping[str, Any],
) -> list[str]:
    """The whole command for a model of vectors or scores: vLLM's pooling runner.

    Args:
        cuts: lengths to which clients may have vectors cut (``dimensions``); empty where they may not.
        extra: further flags, checked before by :func:`check_flags`; they win.
    """
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name]
    command += ["--runner", "pooling", "--host", host, "--port", str(port), "--dtype", dtype]
    command += ["--shutdown-timeout", str(shutdown_timeout), "--middleware", MIDDLEWARE]
    command += ["--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    if max_model_len is not None:
        command += ["--max-model-len", str(max_model_len)]
    if cuts:
        command += ["--hf-overrides", json.dumps({"is_matryoshka": True, "matryoshka_dimensions": list(cuts)})]
    for flag, value in {flag_name(flag): value for flag, value in extra.items()}.items():
        command += flag_arguments(flag, value)
    return command


def flag_arguments(flag: str, value: Any) -> list[str]:
    """One flag as arguments: true is the bare flag, false its ``--no-`` form, null leaves it out, a list all its values."""
    plain = flag_name(flag)
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{plain}" if value else f"--no-{plain}"]
    if isinstance(value, dict):
        return [f"--{plain}", json.dumps(value)]
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    return [f"--{plain}", *(str(one) for one in values)]


def check_flags(extra: Mapping[str, Any], known: Sequence[str], version: str) -> None:
    """Refuse a flag that this vLLM does not have, before it is started; its own parser would also take unique beginnings.

    Raises:
        ConfigError: names the flag and the nearest one.
    """
    for flag, value in extra.items():
        name = flag_name(flag)
        written = f"no-{name}" if value is False else name
        # ``--compilation-config.mode`` sets a value inside a flag.
        if known and written.partition(".")[0] not in known:
            raise ConfigError(f"vllm: this vLLM ({version}) has no flag --{written}.{nearest(written, known)}")


def vllm_environment(
    environment: Environment, *, bundle: Path, guard: Path, kv_cache_gib: float, threads: int | None
) -> dict[str, str]:
    """The environment of vLLM's process.

    Args:
        bundle: folder of the guard's modules. guard: the guard's configuration.
        kv_cache_gib: memory of the CPU build's cache. threads: None takes all cores.
    """
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "VIRTUAL_ENV", "VLLM_API_KEY"}}
    for name, value in _QUIET.items():
        variables.setdefault(name, value)
    variables |= {
        "PYTHONPATH": str(bundle),
        "STUDIO_GUARD": str(guard),
        # The route it opens is reached by the guard alone, and with paths of the studio's own file only.
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        # Its store of responses has no bounds.
        "VLLM_ENABLE_RESPONSES_API_STORE": "0",
        "PATH": f"{environment.python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    if environment.build == "cpu":
        # Whole GiB is what vLLM reads.
        # vLLM gives a step 5 minutes, which is a GPU's measure; on a busy machine a long prompt would end the engine.
        variables.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "1800")
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(kv_cache_gib)))
        if threads is not None:
            variables |= {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return variables
