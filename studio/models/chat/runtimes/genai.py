"""onnxruntime-genai as a runtime: the extra ``onnx``, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from studio.core.environments import quiet_environment, threads
from studio.core.extras import available, require
from studio.models.chat.runtimes.process import AnsweringRuntime, RuntimeProcess
from studio.models.exported import ExportRecord

PROCESS = Path(__file__).with_name("genai_process.py")
CONTEXT = 4096
"""Tokens for which memory is kept unless the model knows fewer."""


def need_genai(feature: str) -> None:
    """Refuse where the extra is not installed.

    Raises:
        MissingExtraError: says the line that installs it.
    """
    for module in ("onnxruntime", "onnxruntime_genai"):
        if not available(module):
            require(module, feature=feature, extra="onnx")


def open_onnx(folder: Path, record: ExportRecord | None = None) -> AnsweringRuntime:  # noqa: ARG001 - the folder says it all
    """A folder with ``genai_config.json`` in onnxruntime-genai.

    Raises:
        MissingExtraError: it is not installed.
        StudioError: it cannot load the folder.
    """
    need_genai("running an ONNX export of a chat")
    settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    context = min(CONTEXT, int(settings["model"]["context_length"]))
    process = RuntimeProcess("onnxruntime-genai", Path(sys.executable), PROCESS, quiet_environment())
    return AnsweringRuntime(process, folder=str(folder), context=context, threads=threads())
