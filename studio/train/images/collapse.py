"""Does a generator draw many pictures, or the same few again and again (mode collapse)?

Pictures are compared as they look from afar: 16 by 16 pixels, root mean square difference, 0 (equal) to 1.
Legend: n pictures, f numbers of a reduced picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

# Side that pictures are reduced to before they are compared.
_SIDE = 16

# Two samples are "the same" when they are closer than all but this share of real pictures are to any other real picture.
_SAME = 0.01

# More than half of the samples being the same as another one, samples of a label less than half as far apart as real ones, or
# less than half of the labels that real pictures reach, is what we call collapse. Half is a choice: a sound generator is near the
# real pictures' figures, a collapsed one near 1, 0 and 1/labels.
_HALF = 0.5


@dataclass(frozen=True)
class Collapse:
    """What was found over ``samples`` samples drawn for the labels of as many real pictures.

    distance: mean distance between samples, divided by that between the real pictures; 1 is as varied.
    within: the same between pictures of one label only; near 0 when one picture is drawn per label. None without such pairs.
    repeated: share of samples that are the same as another sample (about 0.01 for real pictures, by definition).
    labels, labels_reached: labels of the real pictures, and those that at least one sample is nearest to.
    labels_real: labels that the real pictures reach in the same way, each compared with the others.
    """

    samples: int
    distance: float
    within: float | None
    repeated: float
    labels: int
    labels_reached: int
    labels_real: int

    @property
    def warnings(self) -> list[str]:
        """One sentence for each sign of collapse."""
        found = []
        if self.repeated > _HALF:
            found.append(
                f"the generator repeats itself: {self.repeated:.0%} of {self.samples} samples are closer to another sample than "
                f"99% of real pictures are to any other (samples are {self.distance:.0%} as far apart as real pictures). "
                "Train longer or raise 'penalty'."
            )
        elif self.within is not None and self.within < _HALF:
            found.append(
                f"the generator draws much the same for a label: samples of one label are {self.within:.0%} as far apart as real "
                "pictures of one label. Train longer, raise 'penalty', or give it more pictures."
            )
        if self.labels_reached < _HALF * self.labels_real:
            found.append(
                f"the generator forgets labels: its samples look like {self.labels_reached} of {self.labels} labels, where real "
                f"pictures reach {self.labels_real}. Train longer or raise 'penalty'."
            )
        return found

    def record(self) -> dict[str, Any]:
        """Plain values for ``run.json`` and ``metrics.jsonl``."""
        return asdict(self) | {"warnings": self.warnings}


def check_collapse(samples: Tensor, real: Tensor, labels: Sequence[str]) -> Collapse:
    """Compare samples with real pictures of the same labels.

    Args:
        samples, real: float [n, 3, H, W] in one range, n of at least 3.
        labels: label of each real picture, which the sample of the same number was drawn for.
    """
    drawn, known = _reduced(samples), _reduced(real)
    among_samples, among_real = _distances(drawn, drawn), _distances(known, known)
    closest_samples, closest_real = _to_others(among_samples), _to_others(among_real)
    same = torch.quantile(closest_real.values, _SAME)
    nearest = _distances(drawn, known).argmin(dim=1).tolist()
    count = len(known)
    pairs = count * (count - 1)
    real_distance = float(among_real.sum()) / pairs
    alike = torch.tensor([[one == other for other in labels] for one in labels]) & ~torch.eye(count, dtype=torch.bool)
    real_within = float(among_real[alike].mean()) if bool(alike.any()) else 0.0
    return Collapse(
        samples=len(drawn),
        within=float(among_samples[alike].mean()) / real_within if real_within else None,
        distance=float(among_samples.sum()) / pairs / max(real_distance, 1e-12),
        repeated=float((closest_samples.values < same).float().mean()),
        labels=len(set(labels)),
        labels_reached=len({labels[place] for place in nearest}),
        labels_real=len({labels[place] for place in closest_real.indices.tolist()}),
    )


def _reduced(pictures: Tensor) -> Tensor:
    """[n, f], float32."""
    small = torch.nn.functional.adaptive_avg_pool2d(pictures.float().cpu(), min(_SIDE, pictures.shape[-1]))
    return small.flatten(1)


def _distances(left: Tensor, right: Tensor) -> Tensor:
    """Root mean square differences [n, n]."""
    # The quick way by dot products loses what is nearly equal, which is what is looked for.
    found: Tensor = torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") / left.shape[1] ** 0.5
    return found


def _to_others(distances: Tensor) -> Any:
    """Distance to, and place of, the nearest other row."""
    return (distances + torch.diag(torch.full((len(distances),), float("inf")))).min(dim=1)
