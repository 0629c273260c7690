"""``studio train``: open a Run and train it, in this process or in several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio.core.records import RunRecord
    from studio.core.workspace import Workspace

TRAINERS = {
    "diffusion": "studio.train.images.run:train_image_run",
    "vae": "studio.train.images.labelled:train_labelled_run",
    "gan": "studio.train.images.labelled:train_labelled_run",
}
"""Kind of run to what trains it, for everything but chats."""


def train(
    adapter: Annotated[str | None, typer.Argument(help="Preset (chat/lora), a YAML file, or a run folder.")] = None,
    data: Annotated[str | None, typer.Option(help="Dataset: name, fingerprint or folder.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: starter, local folder or Hub id.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the preset, key=value.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: dataset and preset.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with an interrupted run: name, id or folder.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine, one per GPU.")] = 1,
    accelerate_config: Annotated[
        Path | None, typer.Option(help="accelerate's config file (FSDP2, DeepSpeed, several machines).")
    ] = None,
) -> None:
    """Tune a base model on a Dataset, or train a small image model from scratch."""
    from studio.core.errors import UserError

    workspace = output.open_workspace()
    if resume is not None:
        if adapter or data or model or settings or name:
            raise UserError("--resume goes on with a run exactly as it was: give no preset, --data, --model, --name or --set.")
        folder = workspace.find_run(resume)
        _check_resumable(folder)
    else:
        if adapter is None:
            from studio.core.content import list_content

            known = ", ".join(list_content("adapters"))
            raise UserError(f"which preset? studio train PRESET --data DATASET. Known: {known}")
        folder = new_run(workspace, adapter, data=data, model=model, settings=settings or [], name=name, processes=processes)
    record = run_training(folder, resume=resume is not None, processes=processes, accelerate_config=accelerate_config)
    if record.kind == "chat":
        report(folder, record)
    else:
        from studio.cli.train_images import report_image_run

        report_image_run(folder, record)


def new_run(
    workspace: Workspace,
    preset: str,
    *,
    data: str | None,
    model: str | None,
    settings: list[str],
    name: str | None = None,
    processes: int = 1,
) -> Path:
    """Check everything that can be checked without loading weights, and open the Run.

    Raises:
        UserError: preset, Dataset, base or setting is wrong.
    """
    from studio.core.errors import UserError
    from studio.core.workspace import read_dataset
    from studio.models.bases import resolve_base
    from studio.models.device import pick_device, pick_dtype
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml
    from studio.schema.presets import kind_of
    from studio.train.record import open_run

    path = preset_file(preset, workspace)
    kind = kind_of(path)
    if kind != "chat":
        from studio.cli.train_images import new_image_run
        from studio.cli.train_labelled import new_labelled_run

        if processes > 1:
            raise UserError(f"--processes {processes}: image models train in one process. Leave it out.")
        opening = new_labelled_run if kind in {"vae", "gan"} else new_image_run
        return opening(workspace, path, data=data, model=model, settings=settings, name=name)
    from studio.train.chat.settings import check_trackers, method_name, split_batch

    # Quoted, because a fingerprint or a folder may look like a number.
    given = {"data": data, "model": model}
    overrides = [*settings, *(f"{key}={json.dumps(value)}" for key, value in given.items() if value)]
    adapter = load_yaml(path, ChatAdapter, overrides)
    if adapter.data is None:
        built = ", ".join(sorted({folder.parent.name for folder in workspace.list_datasets()}))
        raise UserError(f"which Dataset? Add --data NAME. Built: {built or 'none; build one with studio data build RECIPE'}")
    workspace.check_writable()
    split_batch(adapter, processes)
    check_trackers(adapter)
    dataset_folder = workspace.find_dataset(adapter.data)
    dataset = read_dataset(dataset_folder)
    base = resolve_base(adapter.model, adapter.revision)
    # What was left to the machine is written down, so that a resume or a second run computes as this one did.
    dtype = str(pick_dtype(adapter.dtype, pick_device())).removeprefix("torch.")
    resolved = {"data": f"{dataset.name}/{dataset.fingerprint}", "dtype": dtype}
    if base.source == "local":  # found again from any folder
        resolved["model"] = str(base.folder)
    if adapter.chat_template and Path(adapter.chat_template).is_file():
        resolved["chat_template"] = str(Path(adapter.chat_template).resolve())
    adapter = adapter.model_copy(update=resolved)
    stem = path.parent.parent.name if path.name == "config.yaml" else path.stem
    folder = open_run(
        adapter,
        workspace,
        name=name or (stem if path.name == "config.yaml" else f"{dataset.name}-{stem}"),
        dataset_folder=dataset_folder,
        dataset=dataset,
        base=base.record(),
        processes=processes,
        method=method_name(adapter),
    )
    output.note(f"run {folder.parent.name}/{folder.name}")
    return folder


def preset_file(name: str, workspace: Workspace) -> Path:
    """The YAML file behind a preset's name, a path, or a run (by name, id or folder), whose resolved preset it is.

    Raises:
        UserError: neither a preset nor a run has that name.
    """
    from studio.core.content import find_content
    from studio.core.errors import UserError

    try:
        return find_content("adapters", name)
    except UserError as unknown:
        try:
            return workspace.find_run(name) / "config.yaml"
        except UserError:
            raise unknown from None


def run_training(folder: Path, *, resume: bool, processes: int = 1, accelerate_config: Path | None = None) -> RunRecord:
    """Train an opened Run here, or launch the processes that do.

    Raises:
        StudioError: as :func:`studio.train.chat.run.train_run`, or a process failed.
    """
    from studio.core.workspace import read_run

    kind = read_run(folder).kind
    if kind != "chat":
        from studio.core.errors import UserError
        from studio.core.registry import Registry

        if processes > 1 or accelerate_config is not None:
            raise UserError("image models train in one process: leave out --processes and --accelerate-config.")
        trainer: Callable[..., RunRecord] = Registry("kind of run", TRAINERS).get(kind)
        return trainer(folder, resume=resume, say=output.note)
    if processes > 1 or accelerate_config is not None:
        from studio.train.chat.launch import launch

        return launch(folder, resume=resume, processes=processes, accelerate_config=accelerate_config)
    from studio.train.chat.run import train_run

    return train_run(folder, resume=resume, say=output.note)


def _check_resumable(folder: Path) -> None:
    """Refuse to resume what is finished."""
    from studio.core.errors import UserError
    from studio.core.workspace import read_run

    if read_run(folder).status == "finished":
        raise UserError(f"{folder.parent.name}/{folder.name} is finished. Train on with: studio train {folder} --set seed=1")


def first_rows(folder: Path, result: dict[str, Any], unit: str) -> list[tuple[str, object]]:
    """What is told first at the end of any training; ``unit`` is what its loss is measured in."""
    return [
        ("run", folder),
        ("steps", f"{result['steps']} in {output.duration_text(result['training_seconds'])}"),
        ("loss", f"{result['first_loss']:.3f} -> {result['final_loss']:.3f} {unit}"),
    ]


def report(folder: Path, record: RunRecord) -> None:
    """The end of a training: figures and what to do next."""
    if output.json_wanted():
        output.emit_json({"run": str(folder), **record.model_dump(mode="json")})
        return
    result: dict[str, Any] = record.result
    rows = first_rows(folder, result, "nats per token")
    if result.get("validation_loss") is not None:
        rows.append(("validation", f"{result['validation_loss']:.3f} at step {result['best_step']}, whose weights are kept"))
    rows.append(("speed", f"{result['tokens_per_second']:.0f} tokens/s, peak {output.size_text(result['peak_memory_bytes'])}"))
    output.pairs(rows)
    name = f"{folder.parent.name}/{folder.name}"
    output.say(f"\nNext: studio eval chatbot --model {name}\n      studio chat {name}")
