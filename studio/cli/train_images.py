"""``studio train`` for image models: what is checked before a Run is opened, and what is said at its end."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.cli import output

if TYPE_CHECKING:
    from studio.core.records import RunRecord
    from studio.core.workspace import Workspace
    from studio.models.bases import ResolvedBase
    from studio.schema.diffusion import DiffusionAdapter

SCRATCH: dict[str, Any] = {
    "name": "scratch",
    "path": None,
    "revision": None,
    "sha256": None,
    "licence": None,
    "source": "scratch",
}
"""What stands under ``base`` in the record of a run that had none."""


def new_image_run(
    workspace: Workspace, path: Path, *, data: str | None, model: str | None, settings: list[str], name: str | None = None
) -> Path:
    """Check everything that can be checked without loading weights, and open the Run of a diffusion preset.

    Raises:
        UserError: preset, Dataset, base or setting is wrong.
    """
    from studio.models.device import pick_device, pick_dtype
    from studio.models.images.families.base import family_of
    from studio.train.record import open_run

    adapter = read_image_preset(path, data=data, model=model, settings=settings, workspace=workspace)
    dataset_folder, dataset = find_pictures(workspace, adapter.data)
    workspace.check_writable()
    base = find_base(adapter)
    dtype = str(pick_dtype(adapter.dtype, pick_device())).removeprefix("torch.")
    resolved: dict[str, Any] = {"data": f"{dataset.name}/{dataset.fingerprint}", "dtype": dtype}
    if base is not None and base.source == "local":  # found again from any folder
        resolved["model"] = str(base.folder)
    if base is not None and adapter.family == "auto":
        resolved["family"] = family_of(base.folder)
    adapter = adapter.model_copy(update=resolved)
    stem = path.parent.parent.name if path.name == "config.yaml" else path.stem
    folder = open_run(
        adapter,
        workspace,
        name=name or (stem if path.name == "config.yaml" else f"{dataset.name}-{stem}"),
        dataset_folder=dataset_folder,
        dataset=dataset,
        base=_base_record(base) if base is not None else SCRATCH,
        processes=1,
        method=image_method_name(adapter),
    )
    output.note(f"run {folder.parent.name}/{folder.name}")
    return folder


def _base_record(base: ResolvedBase) -> dict[str, Any]:
    """As ``ResolvedBase.record``; a base that is a run of the studio's goes by the run's name."""
    run = base.folder.parent
    name = f"{run.parent.name}/{run.name}" if base.source == "local" and (run / "run.json").is_file() else base.name
    return {**base.record(), "name": name}


def read_image_preset(
    path: Path, *, data: str | None, model: str | None, settings: list[str], workspace: Workspace
) -> DiffusionAdapter:
    """Read a diffusion preset with what the command line changes; ``model`` may name a run.

    Raises:
        ConfigError: the file or a setting is wrong.
    """
    from studio.core.errors import UserError
    from studio.schema.diffusion import DiffusionAdapter
    from studio.schema.loading import load_yaml

    # Quoted, because a fingerprint or a folder may look like a number.
    given = {"data": data, "model": model}
    adapter = load_yaml(
        path, DiffusionAdapter, [*settings, *(f"{key}={json.dumps(value)}" for key, value in given.items() if value)]
    )
    if adapter.method != "scratch" and adapter.model is None:
        raise UserError("which base? Add --model: a run made with diffusion/pixel, a folder in diffusers' layout, or a Hub id.")
    if adapter.model is not None and not Path(adapter.model).expanduser().is_dir():
        with suppress(UserError):  # a Hub id, or a name that the resolver will refuse in better words
            adapter = adapter.model_copy(update={"model": str(workspace.find_run(adapter.model))})
    return adapter


def find_pictures(workspace: Workspace, reference: str | None) -> tuple[Path, Any]:
    """The Dataset to train on and its record.

    Raises:
        UserError: none is named, there is no such Dataset, or it holds no pictures.
    """
    from studio.core.errors import UserError
    from studio.core.workspace import read_dataset

    if reference is None:
        built = ", ".join(sorted({folder.parent.name for folder in workspace.list_datasets()}))
        raise UserError(f"which Dataset? Add --data NAME. Built: {built or 'none; build one with studio data build RECIPE'}")
    folder = workspace.find_dataset(reference)
    record = read_dataset(folder)
    if record.kind != "image":
        raise UserError(
            f"the dataset {record.name} holds {record.kind} rows, and this preset trains on pictures. "
            "Build one: studio data build image/openmoji-small"
        )
    return folder, record


def find_base(adapter: DiffusionAdapter) -> ResolvedBase | None:
    """The base of a preset, None for one from scratch."""
    from studio.models.images.bases import resolve_image_base

    return resolve_image_base(adapter.model, adapter.revision) if adapter.model is not None else None


def image_method_name(adapter: DiffusionAdapter) -> str:
    """The usual name of what a preset does: scratch, full, lora, qlora, dora and their combinations."""
    if adapter.method != "lora":
        return adapter.method
    parts = [
        "qlora" if adapter.quantization != "none" else "lora",
        *(["dora"] if adapter.lora.dora else []),
        *(["rslora"] if adapter.lora.rslora else []),
    ]
    return "-".join(parts)


_LOSSES = {
    "diffusion": "mean squared error",
    "vae": "nats per number (negative bound)",
    "gan": "of the generator; its size says nothing about the pictures",
}
"""What the loss of a kind of run is."""


def report_image_run(folder: Path, record: RunRecord) -> None:
    """The end of a training: figures and what to do next."""
    from studio.cli.train import first_rows

    if output.json_wanted():
        output.emit_json({"run": str(folder), **record.model_dump(mode="json")})
        return
    result: dict[str, Any] = record.result
    rows = first_rows(folder, result, _LOSSES[record.kind])
    rows += [("warning", warning) for warning in result.get("warnings") or []]
    if result.get("validation_loss_at_end") is not None:
        best = f"best {result['validation_loss']:.3f}"
        rows.append(
            ("held out", f"{result['validation_loss_at_end']:.3f} at the end ({best}); weights of step {result['best_step']}")
        )
        rows += _memorised(result)
    speed = f"{result['pictures_per_second']:.0f} pictures/s, peak {output.size_text(result['peak_memory_bytes'])}"
    rows += [("speed", speed), ("samples", folder / "samples")]
    output.pairs(rows)
    name = f"{folder.parent.name}/{folder.name}"
    lines = [f"studio eval images --model {name}", f"studio app image {name}"]
    if record.kind == "diffusion" and record.method == "scratch":
        lines.append(f"studio train diffusion/pixel-lora --data DATASET --model {name}")
    output.say("\nNext: " + "\n      ".join(lines))


def _memorised(result: dict[str, Any]) -> list[tuple[str, object]]:
    """A line where the loss on training pictures has left that on held-out ones far behind (half of it or less)."""
    known, unseen = result.get("training_loss_at_end"), result["validation_loss_at_end"]
    if known is None or known > 0.5 * unseen:
        return []
    return [("memory", f"training pictures {known:.3f}, held-out {unseen:.3f}: it knows its training pictures by heart")]
