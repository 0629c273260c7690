"""The training of an embedding model or a reranker, top to bottom: read the rows, open, learn, save a plain folder, tell."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import torch

from studio.core.files import new_folder
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.models.bases import ResolvedBase, recorded_revision, resolve_base
from studio.models.device import pick_device
from studio.models.embed.opening import check_retriever, has_own_head, open_embedding, open_reranker
from studio.models.quiet import quiet_transformers
from studio.schema.embed import AnyRetrievalPreset, EmbeddingPreset
from studio.train.embed.adapters import merge_adapters, prepare_training
from studio.train.embed.curve import plot_retrieval_loss
from studio.train.embed.embedding import EmbeddingObjective
from studio.train.embed.learning import RetrievalLearner
from studio.train.embed.objective import RetrievalObjective
from studio.train.embed.reranker import RerankerObjective
from studio.train.embed.rows import RetrievalRows, read_rows, shape_of, text_report, write_left_out
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.finite import first_broken, refuse_broken
from studio.train.opening import Say
from studio.train.predictors.learning import seeded
from studio.train.record import mark_running, unchanged
from studio.train.recording import StopOnSignal

MODEL = "model"


def train_retrieval(run_folder: Path, preset: AnyRetrievalPreset, *, resume: bool, say: Say) -> RunRecord:
    """Train an opened Run.

    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        UserError, StudioError: what is wrong; the record says ``failed``.
    """
    return to_the_end(run_folder, lambda stop: _train(run_folder, preset, resume=resume, say=say, stop=stop))


def find_retriever(preset: AnyRetrievalPreset, revision: str | None = None) -> ResolvedBase:
    """The base of a preset, checked; no weight is opened.

    Raises:
        UserError: none is named, it is not here, or it is no encoder that can be tuned as asked.
    """
    from studio.core.errors import UserError

    if preset.model is None:
        raise UserError(f"a preset of kind {preset.kind} starts from an encoder, and none is named. Give one: --model minilm-l6")
    base = resolve_base(preset.model, revision or preset.revision, use="text encoder")
    check_retriever(base.folder, base.name, preset.max_length)
    return base


def _train(run_folder: Path, preset: AnyRetrievalPreset, *, resume: bool, say: Say, stop: StopOnSignal) -> None:
    """The story."""
    started = time.monotonic()
    record = read_run(run_folder)
    base = unchanged(find_retriever(preset, recorded_revision(record.base)), record)
    rows = read_rows(run_dataset(record, Workspace.around(run_folder)), preset)
    with seeded(preset.seed):  # a new head is drawn
        model = open_model(preset, base.folder, pick_device())
        trained = prepare_training(model, preset)
    refuse_broken(first_broken(model.named_parameters()), base.name)
    report = text_report(rows, model.tokenizer, preset)
    notes = [*rows.notes, *report.lines(), *_of_base(preset, base)]
    for line in notes:
        say(line)
    mark_running(run_folder, mask_report=report.as_dict())
    write_left_out(run_folder, rows)
    learner = RetrievalLearner(run_folder, objective_of(model, preset, rows), trained, resume=resume, say=say, stop=stop)
    if learner.alone:
        notes.append(f"{learner.alone:,} rows of an epoch find no other row that they can be told from, and are left out of it")
        say(notes[-1])
    with plain_words(run_folder, lambda: "the trained model could not be written", check_disk=True):
        if not learner.run():
            return
        merge_adapters(model)
        # Left by a training that was killed after it had written its model and before it had said so.
        shutil.rmtree(run_folder / MODEL, ignore_errors=True)
        with new_folder(run_folder / MODEL) as place:
            save_model(model, place)
        plot_retrieval_loss(run_folder / "metrics.jsonl", run_folder / "loss.png")
    result: dict[str, Any] = {**learner.figures(), "rows": len(rows.train), "notes": notes}
    close_well(run_folder, result | {"seconds": round(time.monotonic() - started, 1)}, MODEL, "config.yaml")


def open_model(preset: AnyRetrievalPreset, folder: Path, device: torch.device) -> Any:
    """The model of a preset from its base."""
    opened = open_embedding if isinstance(preset, EmbeddingPreset) else open_reranker
    return opened(folder, shape_of(preset), device)


def objective_of(model: Any, preset: AnyRetrievalPreset, rows: RetrievalRows) -> RetrievalObjective:
    """What a preset learns from rows."""
    if isinstance(preset, EmbeddingPreset):
        return EmbeddingObjective(model, preset, rows.train, rows.validation)
    return RerankerObjective(model, preset, rows.train, rows.validation)


def save_model(model: Any, folder: Path) -> None:
    """A plain folder of sentence-transformers, which transformers and vLLM open too."""
    with quiet_transformers():
        model.save(str(folder), create_model_card=False)


def _of_base(preset: AnyRetrievalPreset, base: ResolvedBase) -> list[str]:
    """What people have to know of the base."""
    if isinstance(preset, EmbeddingPreset) or has_own_head(base.folder):
        return []
    return [f"{base.name} has no head of one label, so a new one is trained from random numbers"]
