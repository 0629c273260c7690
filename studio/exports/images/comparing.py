"""Exports of image models beside their run: one step of denoising, the work that a picture takes again and again.

``python -m studio.exports.images.comparing FOLDER ANSWER.json`` times a run, or a folder of diffusers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from studio.core.environments import threads
from studio.core.errors import StudioError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import read_run
from studio.exports.timing import Asking, compare_asked, run_apart
from studio.models.exported import ExportLine, ExportRecord, is_export
from studio.models.images.families.labelled import LabelledFamily
from studio.models.runtimes.time_program import keep_to, peak_bytes, timed

_ROWS = 2


class AskingDenoisers(Asking):
    """Noise at two times."""

    unit = ("step", "steps")
    runner = "studio.exports.images.comparing"
    batch: ClassVar[int] = _ROWS
    asked = "one step of denoising a picture of the base's own size"

    def programs(self, record: ExportRecord) -> dict[str, Path]:  # noqa: ARG002 - what runs the file is all there is
        """See :meth:`Asking.programs`."""
        return {}

    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:  # noqa: ARG002 - sizes are in the record
        """See :meth:`Asking.given`."""
        return {"arrays": str(write_noise(record, place / "arrays.npz", _ROWS))}

    def ask(self, run_folder: Path, folder: Path, record: ExportRecord) -> dict[str, Any]:
        """A folder of diffusers is timed by the studio, for it holds no program."""
        if record.form == "diffusers":
            return run_apart(self.runner, folder)
        return super().ask(run_folder, folder, record)

    def size(self, run_folder: Path) -> int:
        """The run's own weights, and its base where it stands on one."""
        base = Path(str(read_run(run_folder).base.get("path") or ""))
        if (run_folder / "model").is_dir():
            return folder_size(run_folder / "model")
        return folder_size(run_folder / "adapter") + (folder_size(base) if base.is_dir() else 0)

    def difference(self, proof: Mapping[str, Any]) -> float | None:
        """That of a step."""
        found: float | None = proof.get("difference", proof.get("step"))
        return found


class AskingDecoders(AskingDenoisers):
    """Noise and a label."""

    unit = ("picture", "pictures")
    batch: ClassVar[int] = 16
    asked = "pictures drawn from noise"

    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:  # noqa: ARG002 - sizes are in the record
        """See :meth:`Asking.given`."""
        return {"arrays": str(write_noise(record, place / "arrays.npz", self.batch))}


def write_noise(record: ExportRecord, path: Path, rows: int) -> Path:
    """Arrays of the shapes that a record's inputs have, with numbers that any network takes."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, port in record.inputs.items():
        shape = [rows, *port["shape"][1:]]
        noise = generator.standard_normal(shape)
        arrays[name] = np.ones(shape, np.int64) if port["dtype"] == "int64" else noise.astype(port["dtype"])
    np.savez(path, **arrays)
    return path


def compare_exports(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """See :func:`studio.exports.timing.compare_asked`."""
    return compare_asked(AskingDenoisers(), run_folder, lines)


def compare_decoders(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """The same of what a VAE or GAN draws with."""
    return compare_asked(AskingDecoders(), run_folder, lines)


def main() -> None:
    """Ask a run as ``studio app`` does, or a folder of diffusers."""
    import torch

    keep_to(threads())
    folder = Path(sys.argv[1])
    try:
        family = _opened(folder)
        rows = AskingDecoders.batch if isinstance(family, LabelledFamily) else _ROWS
        with torch.inference_mode():
            text = family.encode_text(["a picture"] * rows)
    except StudioError as error:
        sys.exit(str(error))
    found = timed(_drawing(family, text) if isinstance(family, LabelledFamily) else _denoising(family, text), rows, rows)
    note = f"torch, {str(family.dtype).removeprefix('torch.')}"
    Path(sys.argv[2]).write_text(json.dumps({**found, "peak": peak_bytes(), "note": note}), encoding="utf-8")


def _drawing(family: LabelledFamily, text: Mapping[str, Any]) -> Callable[[int, int], object]:
    """Pictures from noise, in one pass."""
    import torch

    noise = torch.randn(AskingDecoders.batch, int(family.config["latent"]))
    return torch.inference_mode()(lambda first, end: family.network(noise[first:end], text["label"][first:end]))


def _denoising(family: Any, text: Mapping[str, Any]) -> Callable[[int, int], object]:
    """One step."""
    import torch

    shape = family.latent_shape(family.default_size, family.default_size)
    noisy = torch.randn(_ROWS, *shape, device=family.device)
    times = family.process.quantiles([0.2, 0.7]).to(family.device)

    @torch.inference_mode()
    def ask(first: int, end: int) -> None:
        family.predict(noisy[first:end], times[first:end], {name: value[first:end] for name, value in text.items()})

    return ask


def _opened(folder: Path) -> Any:
    """The family of a run with its adapter, or of a folder of diffusers, on the CPU."""
    import torch

    from studio.adapters.images.loading import load_image_run
    from studio.models.images.families.base import family_of, open_family

    device = torch.device("cpu")
    if is_export(folder):
        return open_family(family_of(folder), folder, device=device, dtype=torch.float32)
    return load_image_run(folder, device=device).family


if __name__ == "__main__":
    main()
