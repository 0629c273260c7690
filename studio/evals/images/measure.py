"""From made pictures to statistics: how a network sees them, held against the reference, the training and the held-out pictures.

Legend: n made pictures, m reference pictures, d features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.images.catalogue import NEEDS_NETWORK
from studio.evals.images.coverage import LabelCoverage, relative_spread
from studio.evals.images.frechet import FrechetDistance, Moments, moments
from studio.evals.images.inception_score import InceptionScore
from studio.evals.images.kernel_distance import KernelDistance, kernel_distance
from studio.evals.images.memorisation import Memorisation, memorisation
from studio.evals.images.network import Floats32, Seen
from studio.evals.images.precision_recall import Recall, precise
from studio.evals.metrics.base import SumStatistic, mean_statistic
from studio.evals.pieces import Floats
from studio.evals.statistics import Statistic
from studio.schema.image_scores import ImagesTask

Measured = Statistic | str
"""A statistic, or the reason why there is none."""


@dataclass(frozen=True)
class Sight:
    """What is known of one set of n pictures.

    seen: features and logits of the feature network; None without a network. pixels: [n, 3 * side * side].
    named: place of the label that the studio's classifier gives each, [n]; None without a classifier. wanted: place of the label
    that was asked for, None where none was. clip: CLIP score of each; None without a CLIP.
    """

    seen: Seen | None
    pixels: Floats32
    named: NDArray[np.intp] | None = None
    wanted: Sequence[int | None] = ()
    clip: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, places: NDArray[np.integer]) -> Sight:
        """Some of the pictures, in the order asked for."""
        return Sight(
            Seen(self.seen.features[places], self.seen.logits[places]) if self.seen is not None else None,
            self.pixels[places],
            self.named[places] if self.named is not None else None,
            [self.wanted[place] for place in places.tolist()] if self.wanted else (),
            [self.clip[place] for place in places.tolist()] if self.clip is not None else None,
        )


def join(first: Sight, second: Sight) -> Sight:
    """Two sets of pictures as one; CLIP scores only where both have them."""
    seen = None
    if first.seen is not None and second.seen is not None:
        seen = Seen(
            np.concatenate([first.seen.features, second.seen.features]), np.concatenate([first.seen.logits, second.seen.logits])
        )
    named = np.concatenate([first.named, second.named]) if first.named is not None and second.named is not None else None
    clip = [*first.clip, *second.clip] if first.clip is not None and second.clip is not None else None
    return Sight(seen, np.concatenate([first.pixels, second.pixels]), named, [*first.wanted, *second.wanted], clip)


@dataclass(frozen=True)
class Yardstick:
    """What pictures are held against: the reference, the training pictures, the held-out pictures, each as it is seen.

    labels: places of the labels that the reference has.
    """

    reference: Sight
    training: Sight
    held_out: Sight
    labels: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    @cached_property
    def moments(self) -> Moments:
        """Moments of the reference's features; taken once, for they cost most."""
        assert self.reference.seen is not None
        return moments(self.reference.seen.features)


class Remembered:
    """A statistic that keeps its last resamples: the score of a model and its difference to another ask for the same ones."""

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._known: tuple[bytes, Floats] | None = None

    @property
    def scored(self) -> NDArray[np.bool_]:
        """See :class:`studio.evals.metrics.base.Statistic`."""
        return self._statistic.scored

    @property
    def each(self) -> list[float | None]:
        """See :class:`studio.evals.metrics.base.Statistic`."""
        return self._statistic.each

    def at(self, weights: Floats) -> Floats:
        """See :class:`studio.evals.metrics.base.Statistic`."""
        if len(weights) == 1:
            return self._statistic.at(weights)
        key = hashlib.sha256(np.ascontiguousarray(weights).data).digest()
        if self._known is None or self._known[0] != key:
            self._known = (key, self._statistic.at(weights))
        return self._known[1]


@dataclass(frozen=True)
class Findings:
    """Statistics of one set of pictures by measure, and its distances to the training pictures."""

    measured: Mapping[str, Measured]
    by_features: Memorisation | None
    by_pixels: Memorisation | None


def measure(sight: Sight, yardstick: Yardstick, task: ImagesTask) -> Findings:
    """Every measure of the task for one set of pictures."""
    features = _nearness(sight.seen, yardstick.training.seen, yardstick.held_out.seen)
    by_pixels = (
        memorisation(sight.pixels, yardstick.training.pixels, yardstick.held_out.pixels) if _comparable(yardstick) else None
    )
    found: dict[str, Measured] = {}
    for name in task.metrics:
        if name in NEEDS_NETWORK and sight.seen is None:
            found[name] = "there is no network: no Inception weights, and the corpus has no labels to train a classifier on"
            continue
        try:
            if name in {"copied", "copied_pixels", "nearness"}:
                found[name] = _memory(name, by_pixels if name == "copied_pixels" else features)
            else:
                made = _MAKERS[name](sight, yardstick, task)
                found[name] = made if isinstance(made, str | SumStatistic) else Remembered(made)
        except UserError as error:
            # One measure that has too few pictures does not take the others with it; the reason stands in its place.
            found[name] = str(error)
    return Findings(found, features, by_pixels)


def _inception_score(sight: Sight, _: Yardstick, task: ImagesTask) -> Measured:
    assert sight.seen is not None
    return InceptionScore(sight.seen.logits, splits=task.splits)


def _fid(sight: Sight, yardstick: Yardstick, _: ImagesTask) -> Measured:
    assert sight.seen is not None
    return FrechetDistance(sight.seen.features, yardstick.moments)


def _kid(sight: Sight, yardstick: Yardstick, task: ImagesTask) -> Measured:
    assert sight.seen is not None and yardstick.reference.seen is not None
    made, reference = sight.seen.features, yardstick.reference.seen.features
    value, _ = kernel_distance(made, reference, subsets=task.kid_subsets, subset_size=task.kid_subset_size)
    return KernelDistance(made, reference, value)


def _precision(sight: Sight, yardstick: Yardstick, task: ImagesTask) -> Measured:
    assert sight.seen is not None and yardstick.reference.seen is not None
    inside = precise(sight.seen.features, yardstick.reference.seen.features, k=task.neighbours)
    return mean_statistic(inside.astype(float).tolist())


def _recall(sight: Sight, yardstick: Yardstick, task: ImagesTask) -> Measured:
    assert sight.seen is not None and yardstick.reference.seen is not None
    return Recall(sight.seen.features, yardstick.reference.seen.features, k=task.neighbours)


def _diversity(sight: Sight, yardstick: Yardstick, _: ImagesTask) -> Measured:
    assert sight.seen is not None and yardstick.reference.seen is not None
    return mean_statistic(relative_spread(sight.seen.features, yardstick.reference.seen.features).tolist())


def _clip_score(sight: Sight, _: Yardstick, __: ImagesTask) -> Measured:
    return "no CLIP was given (clip: in the suite, or STUDIO_CLIP)" if sight.clip is None else mean_statistic(list(sight.clip))


def _label_accuracy(sight: Sight, _: Yardstick, __: ImagesTask) -> Measured:
    if sight.named is None:
        return "there is no classifier: the corpus has no labels"
    if not any(label is not None for label in sight.wanted):
        return "the prompts have no labels"
    pairs = zip(sight.named.tolist(), sight.wanted, strict=True)
    return mean_statistic([None if label is None else float(named == label) for named, label in pairs])


def _coverage(sight: Sight, yardstick: Yardstick, _: ImagesTask) -> Measured:
    if sight.named is None:
        return "there is no classifier: the corpus has no labels"
    return LabelCoverage(sight.named, yardstick.labels)


_MAKERS: dict[str, Callable[[Sight, Yardstick, ImagesTask], Measured]] = {
    "inception_score": _inception_score,
    "fid": _fid,
    "kid": _kid,
    "precision": _precision,
    "recall": _recall,
    "diversity": _diversity,
    "clip_score": _clip_score,
    "label_accuracy": _label_accuracy,
    "coverage": _coverage,
}


def _memory(name: str, found: Memorisation | None) -> Measured:
    """Share of copies, or nearness."""
    if found is None:
        return "the dataset has no held-out pictures to compare with"
    return mean_statistic(found.nearness.tolist() if name == "nearness" else found.copied.astype(float).tolist())


def _comparable(yardstick: Yardstick) -> bool:
    """True when there are training and held-out pictures."""
    return bool(len(yardstick.training) and len(yardstick.held_out))


def _nearness(made: Seen | None, training: Seen | None, held_out: Seen | None) -> Memorisation | None:
    """Distances in features, where all three are seen."""
    if made is None or training is None or held_out is None or not len(training) or not len(held_out):
        return None
    return memorisation(made.features, training.features, held_out.features)
