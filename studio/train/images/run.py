"""The training of a diffusion model, from a Run folder that has been opened to one that is finished. Reads top-down."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from studio.adapters.images.inversion import save_inversion
from studio.adapters.images.lora import save_image_lora
from studio.core.errors import UserError
from studio.core.files import new_folder
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.models.bases import ResolvedBase
from studio.models.images.bases import resolve_image_base
from studio.schema.diffusion import DiffusionAdapter
from studio.schema.loading import load_yaml
from studio.train.checkpoints import resume_point, step_of
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.images.checkpoint import Standing, load_checkpoint, saved_weights, unwritten
from studio.train.images.curve import plot_image_loss
from studio.train.images.dreambooth import paired_windows
from studio.train.images.loop import train_steps
from studio.train.images.pictures import image_windows
from studio.train.images.prepare import Prepared, Say, prepare
from studio.train.images.recorder import SMOOTHED, Recorder
from studio.train.record import mark_running, peak_memory, unchanged
from studio.train.recording import MetricsFile, StopOnSignal


def train_image_run(run_folder: Path, *, resume: bool, say: Say) -> RunRecord:
    """Train what the Run's ``config.yaml`` says, in this process.

    Args:
        run_folder: made by :func:`studio.train.record.open_run`.
        resume: go on from the newest whole checkpoint.
        say: takes remarks for the person.
    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        UserError, StudioError: what is wrong, in one sentence; the record says ``failed``.
    """
    return to_the_end(run_folder, lambda stop: _train(run_folder, resume=resume, say=say, stop=stop))


def _train(run_folder: Path, *, resume: bool, say: Say, stop: StopOnSignal) -> None:
    """The story: prepare, take up a checkpoint, train, take the best, write down."""
    started = time.time()
    adapter = load_yaml(run_folder / "config.yaml", DiffusionAdapter)
    record = read_run(run_folder)
    checkpoint = resume_point(run_folder, say) if resume else None
    mark_running(run_folder)

    base = same_base(adapter, record)
    prepared = prepare(adapter, base, run_dataset(record, Workspace.around(run_folder)), say=say)
    standing = load_checkpoint(checkpoint, prepared.learner) if checkpoint else Standing()
    order: dict[str, int] = {"batch_size": adapter.batch_size, "steps": adapter.steps, "seed": adapter.seed}
    if prepared.of_class:
        windows = paired_windows(prepared.training.shapes, of_class=prepared.of_class, **order)
    else:
        windows = image_windows(prepared.training.shapes, **order)
    recorder = Recorder(
        run_folder,
        prepared.family,
        prepared.learner,
        adapter,
        prepared.training,
        prepared.validation,
        prepared.prompts,
        MetricsFile(run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint else 0),
        standing,
        stop,
    )
    with recorder, plain_words(run_folder, unwritten(run_folder, standing)):
        train_steps(
            prepared.family,
            prepared.learner,
            prepared.training,
            windows,
            adapter,
            start=standing.step,
            after=recorder.after,
        )
    if not stop.stopped:
        _finish(run_folder, adapter, prepared, recorder, seconds=time.time() - started)


def same_base(adapter: DiffusionAdapter, record: RunRecord) -> ResolvedBase | None:
    """The base of the preset, refused when its weights are not those that the Run was opened with; None from scratch."""
    if adapter.method == "scratch":
        return None
    if adapter.model is None:
        raise UserError("which base? Give --model: a run, a folder in diffusers' layout, or a Hub id.")
    return unchanged(resolve_image_base(adapter.model, adapter.revision), record)


def _finish(run_folder: Path, adapter: DiffusionAdapter, prepared: Prepared, recorder: Recorder, *, seconds: float) -> None:
    """Take the weights that count, save them as a plain folder, draw the loss, write the record and the card."""
    standing, learner = recorder.standing, prepared.learner
    kept = standing.best_step if adapter.keep == "best" and standing.best_step else standing.step
    learner.trained.load(saved_weights(run_folder / "checkpoints" / f"checkpoint-{kept}"))
    target = run_folder / ("adapter" if adapter.method in {"lora", "inversion"} else "model")
    shutil.rmtree(target, ignore_errors=True)  # only a finish that was killed can have left one
    with new_folder(target) as folder:
        if adapter.method == "lora":
            save_image_lora(prepared.carriers, folder)
            prepared.family.save_extras(folder)
        elif adapter.method == "inversion":
            save_inversion(prepared.carriers, adapter.inversion.word, folder)
        else:
            prepared.family.save(folder)
    plot_image_loss(run_folder / "metrics.jsonl", run_folder / "loss.png")
    recent = recorder.losses[-SMOOTHED:]
    done = len(recorder.losses)
    result = {
        "steps": standing.step,
        "best_step": kept,
        "first_loss": recorder.losses[0] if done else None,
        "final_loss": sum(recent) / len(recent) if recent else None,
        "validation_loss": standing.best_loss,
        "validation_loss_at_end": recorder.eval_loss,
        "training_loss_at_end": recorder.train_eval_loss,
        "pictures": len(prepared.training.captions),
        "epochs": round(standing.step * adapter.batch_size / len(prepared.training.captions), 2),
        "pictures_per_second": round(done * adapter.batch_size / max(recorder.seconds, 1e-9), 2),
        "training_seconds": round(recorder.seconds, 1),
        "seconds": round(seconds, 1),
        "peak_memory_bytes": peak_memory(),
        "trained_parameters": len(learner.trained),
    }
    close_well(run_folder, result, target.name, "config.yaml")
