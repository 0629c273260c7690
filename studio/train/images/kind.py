"""Runs of image models: what every family shares, and diffusion models, tuned or from scratch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.telling import size_text
from studio.core.workspace import Workspace
from studio.train.kinds import Planned, PlanWish, RunKind
from studio.train.opening import SCRATCH, Asked, Say

if TYPE_CHECKING:
    from studio.schema.diffusion import DiffusionAdapter


class ImageKind(RunKind):
    """What all families share."""

    suite = "images"
    datasets = ("image",)
    app = "image"

    @property
    @abstractmethod
    def trainer(self) -> Callable[..., RunRecord]:
        """Trains an opened Run in this process."""

    def train(self, folder: Path, *, resume: bool, processes: int, accelerate_config: Path | None, say: Say) -> RunRecord:
        """In this process.

        Raises:
            UserError: several are asked for.
        """
        if processes > 1 or accelerate_config is not None:
            raise UserError("image models train in one process: leave out --processes and --accelerate-config.")
        return self.trainer(folder, resume=resume, say=say)

    def figures(self, folder: Path, record: RunRecord) -> Iterator[tuple[str, object]]:
        """Warnings, the held-out loss, what was learnt by heart, speed, samples."""
        result: dict[str, Any] = record.result
        for warning in result.get("warnings") or []:
            yield "warning", warning
        if result.get("validation_loss_at_end") is not None:
            best = f"best {result['validation_loss']:.3f}"
            yield "held out", f"{result['validation_loss_at_end']:.3f} at the end ({best}); weights of step {result['best_step']}"
            yield from _memorised(result)
        yield "speed", f"{result['pictures_per_second']:.0f} pictures/s, peak {size_text(result['peak_memory_bytes'])}"
        yield "samples", folder / "samples"


def _memorised(result: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """A line where the loss on training pictures has left that on held-out ones far behind (half of it or less)."""
    known, unseen = result.get("training_loss_at_end"), result["validation_loss_at_end"]
    if known is not None and known <= 0.5 * unseen:
        yield "memory", f"training pictures {known:.3f}, held-out {unseen:.3f}: it knows its training pictures by heart"


class DiffusionKind(ImageKind):
    """Diffusion and flow models."""

    name = "diffusion"
    title = "Diffusion preset"
    about = "`adapters/diffusion/*.yaml`: one way of training or tuning on pictures."

    @property
    def schema(self) -> type[DiffusionAdapter]:
        """See :class:`studio.schema.diffusion.DiffusionAdapter`."""
        from studio.schema.diffusion import DiffusionAdapter

        return DiffusionAdapter

    @property
    def trainer(self) -> Callable[..., RunRecord]:
        """See :func:`studio.train.images.run.train_image_run`."""
        from studio.train.images.run import train_image_run

        return train_image_run

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.models.device import pick_device, pick_dtype
        from studio.models.images.families.base import family_of
        from studio.train.images.opening import base_record, find_base, find_pictures, read_image_preset, refuse_processes
        from studio.train.record import open_run

        refuse_processes(asked.processes)
        adapter = read_image_preset(asked, workspace)
        dataset_folder, dataset = find_pictures(adapter.data, workspace)
        workspace.check_writable()
        base = find_base(adapter)
        dtype = str(pick_dtype(adapter.dtype, pick_device(), half=False)).removeprefix("torch.")
        resolved: dict[str, Any] = {"data": f"{dataset.name}/{dataset.fingerprint}", "dtype": dtype}
        if base is not None and base.source == "local":  # found again from any folder
            resolved["model"] = str(base.folder)
        if base is not None and adapter.family == "auto":
            resolved["family"] = family_of(base.folder)
        adapter = adapter.model_copy(update=resolved)
        return open_run(
            adapter,
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=dataset_folder,
            dataset=dataset,
            base=base_record(base) if base is not None else SCRATCH,
            processes=1,
            method=image_method_name(adapter),
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:
        """See :func:`studio.train.images.planning.plan_as_wished`."""
        from studio.train.images.opening import read_image_preset
        from studio.train.images.planning import plan_as_wished

        if wish.sweep or wish.device:
            raise UserError("--sweep and --device are for chat models: an image training is planned for this machine's device.")
        return plan_as_wished(read_image_preset(asked, workspace), wish, workspace, say)

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """Of noise or velocity."""
        return "mean squared error"

    def next_steps(self, folder: Path, record: RunRecord) -> list[str]:
        """Measure it, paint with it, and tune what was trained from scratch."""
        lines = super().next_steps(folder, record)
        if record.method == "scratch":
            run = f"{folder.parent.name}/{folder.name}"
            lines.append(f"studio train diffusion/pixel-lora --data DATASET --model {run}")
        return lines


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


DIFFUSION = DiffusionKind()
