"""The network that denoises, as ONNX: what a program in another language calls at every step. Text encoder and VAE are not in it.

Legend: b pictures, c channels, h and w of a latent (of a picture, where there is no VAE).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from studio.adapters.images.loading import load_image_run
from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.exports.formats.base import FORMATS, Format
from studio.exports.formatted import finished_run
from studio.exports.graph import Graph, Port
from studio.exports.images.folder import family_name, fuse, relative, unquantised
from studio.exports.writing import described, finish_export, hold, new_export, told, versions_of
from studio.models.exported import ExportRecord
from studio.models.images.families.base import Family
from studio.models.images.families.pipeline import PipelineFamily
from studio.models.runtimes.sessions import copy_program, open_session, runtime_name

_EXACT = 1e-3
"""Most that a prediction may differ by, of its largest number."""
_FAMILIES = ("unconditional", "sd15")
"""Families whose denoiser was written as ONNX and proven (tests/exports/images)."""
_BATCHES = (2, 3, 1)
_PROMPTS = ("a red door", "", "a blue roof")


class Denoiser(nn.Module):
    """A family's network with all that it is told as plain tensors."""

    def __init__(self, family: Family, conditions: Mapping[str, Tensor]) -> None:
        """``conditions``: of some prompts, by whose names and types the tensors behind ``noisy`` and ``times`` are told apart."""
        super().__init__()
        self.network = family.networks()[family.tuned]
        self._family = family
        self._names = {name: value.dtype for name, value in conditions.items()}

    def forward(
        self,
        noisy: Tensor,
        times: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        third: Tensor | None = None,
    ) -> Tensor:
        """[b, c, h, w], [b] and the conditions in their order to [b, c, h, w]; torch follows no open list of tensors."""
        given = [value for value in (first, second, third) if value is not None]
        told = {name: (value > 0 if kind == torch.bool else value) for (name, kind), value in zip(self._names.items(), given)}  # noqa: B905
        return self._family.predict(noisy, times, told)


def check_denoiser(run_folder: Path, form: str) -> None:
    """Refuse before any work.

    Raises:
        UserError: the run is not finished, or a package is not installed.
    """
    finished_run(run_folder)
    if (family := family_name(run_folder)) not in _FAMILIES:
        raise UserError(
            f"{run_folder.parent.name} is of family {family}, and --to {form} holds the denoiser of {', '.join(_FAMILIES)}. "
            "Allowed for it: --to diffusers, --to kohya."
        )
    writer: Format = FORMATS.get(form)()
    writer.check()


def export_denoiser(run_folder: Path, target: Path, form: str) -> Told:
    """Write, run and compare the predictions of several noisy pictures at several times."""
    loaded = load_image_run(run_folder, device=torch.device("cpu"))
    family = unquantised(loaded) if isinstance(loaded.family, PipelineFamily) else loaded.family
    if family.dtype != torch.float32:
        raise UserError(f"{run_folder.parent.name} computes in {family.dtype}, and --to {form} is proven in float32 only.")
    samples = {count: _sample(family, count) for count in _BATCHES}
    truth = {count: _truth(family, sample) for count, sample in samples.items()}
    fuse(family.networks())
    writer: Format = FORMATS.get(form)()
    graph = _graph(family, samples[_BATCHES[0]])
    with new_export(target) as folder:
        extra = writer.write(graph, folder)
        copy_program(form, folder)
        record = graph.described(
            ExportRecord(
                form=form,
                kind="diffusion",
                run=described(run_folder),
                runtime=runtime_name(form),
                limits={"difference": _EXACT},
                versions=versions_of(*writer.packages, "diffusers"),
                extra={**extra, "family": family.name, "steps": loaded.steps, "guidance": loaded.guidance},
            )
        )
        session = open_session(folder, record)
        worst = 0.0
        for count, sample in samples.items():
            found = session({name: value.numpy() for name, value in sample.items()})["prediction"]
            worst = max(worst, relative(found, truth[count]))
        hold("the largest difference of a prediction", worst, _EXACT, form=form)
        record = record.model_copy(update={"proof": {"difference": worst, "batches": sorted(_BATCHES)}})
        words = [
            ("predictions compared", f"{sum(_BATCHES)}, in batches of {', '.join(map(str, sorted(_BATCHES)))}"),
            ("largest difference of a prediction", f"{worst:.1e} of its size (at most {_EXACT:.0e})"),
        ]
        finish_export(folder, record, words, _use(family))
        size = folder_size(folder)
    return told(run_folder, target, record, words, size, f"see {target / 'README.md'}")


def _sample(family: Family, count: int) -> dict[str, Tensor]:
    """Noise, times and conditions by name; what is true or false as 1 or 0."""
    shape = family.latent_shape(family.default_size, family.default_size)
    noisy = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
    times = family.process.quantiles([(place + 0.5) / count for place in range(count)])
    with torch.inference_mode():
        text = family.encode_text(list(_PROMPTS[:count]))
    plain = {name: value.long() if value.dtype == torch.bool else value for name, value in text.items()}
    return {"noisy": noisy, "times": times, **{name: value.clone() for name, value in plain.items()}}


@torch.inference_mode()
def _truth(family: Family, sample: Mapping[str, Tensor]) -> np.ndarray:
    """What the run says, with its adapter still beside its weights."""
    text = family.encode_text(list(_PROMPTS[: len(sample["noisy"])]))
    found: np.ndarray = family.predict(sample["noisy"], sample["times"], text).numpy()
    return found


def _graph(family: Family, sample: dict[str, Tensor]) -> Graph:
    """The denoiser with the number of pictures left open; their size is that of the training's base."""
    with torch.inference_mode():
        text = family.encode_text(list(_PROMPTS[:2]))
    hidden = isinstance(family, PipelineFamily) and family.has("vae")
    meanings = {
        "noisy": "noisy latents" if hidden else "noisy pictures, -1..1",
        "times": "noise levels, as the scheduler counts them",
    }
    text_meaning = "what the text encoder gives for captions"
    types: dict[torch.dtype, Literal["int64", "float32"]] = {torch.int64: "int64", torch.float32: "float32"}
    ports = [
        Port(name, types[value.dtype], ("batch", *value.shape[1:]), meanings.get(name, text_meaning))
        for name, value in sample.items()
    ]
    answer = Port("prediction", "float32", ports[0].shape, f"what the noise process of {family.name} predicts")
    return Graph(tuple(ports), (answer,), Denoiser(family, text).eval(), tuple(sample.values()))


def _use(family: Family) -> str:
    """How the file is used, as Markdown."""
    return (
        "```python\nimport json, pathlib, runtime\n\nfolder = pathlib.Path('.')\n"
        "run = runtime.load(folder, json.loads((folder / 'export.json').read_text()))\n"
        "prediction = run({'noisy': ..., 'times': ...})['prediction']\n```\n\n"
        f"This is the network of family {family.name} alone, called once for each step. Text encoder, VAE and scheduler are "
        "those of its base; `studio export RUN --to diffusers` writes them all. `export.json` says names, shapes and meanings of "
        "the tensors."
    )
