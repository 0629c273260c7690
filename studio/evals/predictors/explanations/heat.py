"""Pictures: which parts speak for a label, by the gradients of a network's last maps, or by covering parts.

Legend: g parts on each side, c maps, h and w their size, m pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.evals.example_rows import overlaid
from studio.evals.predictors.explanations.parts import Explanation, Part, ranked
from studio.evals.predictors.explanations.values import PROBABILITY, Values
from studio.models.pictures import open_picture
from studio.models.predictors.base import Predictor

PARTS = 8
"""Parts on each side of a picture that are covered or deleted."""
_SIDE = 256
"""Pictures larger than this are made smaller before parts are covered."""

_SAYS = (
    "It says where the model looks, not what it sees there, and it is coarse: a warm place is some eighth of the picture wide. "
    "A picture may be told by its ground as well as by what it shows."
)


class PictureExplainer:
    """What explanations of pictures share: a grid of parts, and pictures with some of them covered by the mean colour."""

    nouns = ("part of the picture", "parts of the picture")
    reads = "picture"
    most = 24

    def __init__(self, values: Values) -> None:
        """``values``: of a predictor that looks at one column of pictures."""
        self.values = values
        self.column = values.predictor.info.columns[0].name
        self.labels = list(values.predictor.info.labels)

    def places(self, row: pd.DataFrame) -> list[int]:  # noqa: ARG002 - every picture has all parts
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        return list(range(PARTS * PARTS))

    def without(self, row: pd.DataFrame, label: str | None, deleted: Sequence[Sequence[int]]) -> np.ndarray:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`: parts are covered by the picture's mean colour."""
        from PIL import Image

        label = label if label is not None else self.values.given(row)
        pixels = _pixels(self.path_of(row))
        colour = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, places in enumerate(deleted):
                covered = pixels.copy()
                for place in places:
                    covered[_part(place, pixels.shape)] = colour
                paths.append(str(Path(folder) / f"{number}.png"))
                Image.fromarray(covered).save(paths[-1], compress_level=1)
            return self.values(pd.DataFrame({self.column: np.array(paths, dtype=object)}), label)

    def path_of(self, row: pd.DataFrame) -> str:
        """The file of a row's picture."""
        return str(row[self.column].iloc[0])

    def told(
        self, kind: str, row: pd.DataFrame, label: str | None, heat: np.ndarray, contributions: np.ndarray, how: str
    ) -> Explanation:
        """The explanation from a heat map [rows, columns] and what each part contributes, [g * g]."""
        value = float(self.values(row, label)[0])
        [base] = self.without(row, label, [self.places(row)]).tolist()
        parts = [
            Part(f"row {place // PARTS + 1}, column {place % PARTS + 1} of {PARTS}", "", float(contributions[place]), None, place)
            for place in self.places(row)
        ]
        return Explanation(
            kind=kind,
            of=label if label is not None else self.values.predictor.info.target,
            unit=self.values.unit,
            value=value,
            base=base,
            parts=ranked(parts),
            rest=value - base,
            how=how,
            says=f"{how} {_SAYS}",
            heat=heat,
            picture=overlaid(self.path_of(row), heat),
        )


class GradCam(PictureExplainer):
    """Grad-CAM: the last maps of a network, each weighted by the mean gradient of the label's logit.

    Source: Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391.
    """

    def __init__(self, predictor: Predictor) -> None:
        """``predictor`` has ``pixels``, and ``network.maps``, ``network.pooled`` and ``network.head``."""
        super().__init__(Values(predictor, additive=False, unit=PROBABILITY))
        self._predictor: Any = predictor

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else self.values.given(row)
        assert label is not None
        heat = self._heat(self.path_of(row), label)
        how = (
            f"Grad-CAM: the last {heat.shape[0]} x {heat.shape[1]} maps of the network, weighted by how much each speaks for the "
            "label; the warmer, the more."
        )
        return self.told("heat", row, label, heat, _by_part(heat), how)

    def _heat(self, path: str, label: str) -> np.ndarray:
        """The weighted maps from 0 to 1, [h, w]; all 0 where nothing speaks for the label."""
        import torch

        network = self._predictor.network
        with torch.no_grad():
            maps = network.maps(self._predictor.pixels([path]))
        maps = maps.detach().requires_grad_()
        logits = network.head(network.pooled(maps))
        gradient = torch.autograd.grad(logits[0, self.labels.index(label)], maps)[0]
        cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)[0].clamp(min=0).detach()
        found: np.ndarray = cam.double().cpu().numpy()
        return found / found.max() if found.max() > 0 else found


class CoveredParts(PictureExplainer):
    """By how much the value falls when a part is covered by the picture's mean colour.

    Source: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, section 4.2.
    """

    most = 12

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else self.values.given(row)
        value = float(self.values(row, label)[0])
        drops = value - self.without(row, label, [[place] for place in self.places(row)])
        grid = np.clip(drops, 0, None).reshape(PARTS, PARTS)
        heat = grid / grid.max() if grid.max() > 0 else grid
        how = (
            f"By how much the {self.values.unit} falls when one of {PARTS} x {PARTS} parts is covered by the mean colour; the "
            "warmer, the more."
        )
        return self.told("occlusion", row, label, heat, drops, how)


def _by_part(heat: np.ndarray) -> np.ndarray:
    """Mean heat of each part, [h, w] -> [g * g]; a map coarser than the parts is stretched."""
    from PIL import Image

    side = PARTS * 4
    stretched = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
    means: np.ndarray = stretched.reshape(PARTS, 4, PARTS, 4).mean(axis=(1, 3)).ravel()
    return means


def _pixels(path: str) -> np.ndarray:
    """A picture of at most :data:`_SIDE` pixels a side, uint8 [rows, columns, 3]."""
    picture = open_picture(path)
    picture.thumbnail((_SIDE, _SIDE))
    return np.array(picture)


def _part(place: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a part."""
    found = []
    for number, size in zip(divmod(place, PARTS), shape[:2], strict=True):
        found.append(slice(number * size // PARTS, max(number * size // PARTS + 1, (number + 1) * size // PARTS)))
    return found[0], found[1]
