"""What the chat forms share that are made of a merged model by a program and read back by another: ONNX and OpenVINO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.core.errors import UserError
from studio.exports.chat.proving import Proof, asking, check_run, limits_of, prove
from studio.exports.writing import described, finish_export, new_export
from studio.models.chat.runtimes.process import AnsweringRuntime
from studio.models.exported import ExportRecord

Build = Callable[[Path, Path], dict[str, Any]]
Open = Callable[[Path], AbstractContextManager[AnsweringRuntime]]


def check_architecture(run_folder: Path, form: str, program: str, allowed: Sequence[str]) -> None:
    """Refuse before any work a run whose architecture was not seen to be right in the program that reads the form.

    Raises:
        UserError: it has no weights yet, or is of another architecture.
        StudioError: a file is not the one that the run wrote down.
    """
    folder, base = check_run(run_folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = (config.get("architectures") or ["unknown"])[0]
    if architecture not in allowed:
        raise UserError(
            f"--to {form} cannot hold {base}: {architecture} has not been proven in {program}. Allowed: "
            f"{', '.join(allowed)}. Take --to merged, which studio serve and transformers read."
        )


def write_graph(
    run_folder: Path, target: Path, form: str, quant: str, *, program: str, build: Build, read: Open, use: str
) -> tuple[ExportRecord, Proof]:
    """Merge, let a program make the folder, read it back with the one that people use, and put it in its place.

    Args:
        build: from a folder of work that has ``merged`` in it to the new folder; gives back versions, inputs and outputs.
        read: opens the new folder. use: Markdown for its page.
    Raises:
        StudioError: what was written is not the same model, or cannot be loaded; nothing is left behind.
    """
    named = f"{form} ({quant})"
    with new_export(target) as partial:
        work = partial / "work"
        work.mkdir()
        export_merged(run_folder, work / "merged")
        made = build(work, partial)
        run = load_run(run_folder, dtype=torch.float32, quantization="none")
        shutil.rmtree(work)
        with read(partial) as runtime:
            proof = prove(run, runtime, named)
        record = ExportRecord(
            form=form,
            quant=quant,
            kind="chat",
            run=described(run_folder),
            runtime=proof.runtime,
            proof={program: proof.figures},
            limits=limits_of(named, quant, proof.measured),
            inputs=made["inputs"],
            outputs=made["outputs"],
            versions=made["versions"],
            extra=asking(run),
        )
        finish_export(partial, record, proof.words, use)
    return record, proof
