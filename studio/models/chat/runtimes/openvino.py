"""openvino-genai as a runtime: the extra ``openvino``, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from studio.core.environments import quiet_environment, threads
from studio.core.extras import available, require
from studio.models.chat.runtimes.process import AnsweringRuntime, RuntimeProcess
from studio.models.exported import ExportRecord

PROCESS = Path(__file__).with_name("openvino_process.py")
CONTEXT = 4096
"""Tokens that are read at most unless the model knows fewer."""


def need_openvino(feature: str, *more: str) -> None:
    """Refuse where the extra is not installed.

    Args:
        more: modules of it that writing needs and reading does not.
    Raises:
        MissingExtraError: says the line that installs it.
    """
    for module in ("openvino", "openvino_genai", "openvino_tokenizers", *more):
        if not available(module):
            require(module, feature=feature, extra="openvino")


def open_openvino(folder: Path, record: ExportRecord | None = None) -> AnsweringRuntime:  # noqa: ARG001 - the folder says it all
    """A folder with ``openvino_model.xml`` in openvino-genai.

    Raises:
        MissingExtraError: it is not installed.
        StudioError: it cannot load the folder.
    """
    need_openvino("running an OpenVINO export of a chat")
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    context = min(CONTEXT, int(settings.get("max_position_embeddings") or CONTEXT))
    process = RuntimeProcess("openvino-genai", Path(sys.executable), PROCESS, quiet_environment())
    return AnsweringRuntime(process, folder=str(folder), context=context, threads=threads())
