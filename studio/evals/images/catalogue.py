"""The measures of made pictures: what each is called, which way is better, how it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

from studio.core.errors import StudioError
from studio.core.records import Score
from studio.evals.evidence import Evidence
from studio.evals.images.network import FeatureNetwork
from studio.evals.metrics.base import Metric
from studio.evals.statistics import SHARE, Better, Scale
from studio.schema.image_scores import NAMED_BY_NETWORK

# title, unit, better, how it is made, repeats shrink (a picture drawn twice adds nothing new, which shifts every resample).
_MEASURES: dict[str, tuple[str, str, Better, str, bool]] = {
    "inception_score": (
        "Inception Score",
        "effective classes",
        "higher",
        "exp of the mean divergence between what the network sees in one picture and in all: high when each picture is clearly "
        "something and together they are many things. It does not look at the real pictures or at the prompts.",
        True,
    ),
    "fid": (
        "FID",
        "squared feature distance",
        "lower",
        "Fréchet distance between the made and the reference pictures as two clouds of features. It falls as more pictures are "
        "made, so only equal numbers are compared.",
        True,
    ),
    "kid": (
        "KID",
        "squared feature distance",
        "lower",
        "Kernel distance between the two clouds of features, the mean over random subsets; it has no bias from the number of "
        "pictures, and may be a little below 0.",
        True,
    ),
    "precision": (
        "Precision",
        "share",
        "higher",
        "Share of made pictures that lie among the reference pictures (within the neighbourhood of one of them).",
        False,
    ),
    "recall": (
        "Recall",
        "share",
        "higher",
        "Share of reference pictures that lie among the made pictures: does the model reach all of them.",
        True,
    ),
    "clip_score": ("CLIP score", "100 x cosine", "higher", "How well a CLIP finds the prompt in the picture.", False),
    "label_accuracy": (
        "Label accuracy",
        "share",
        "higher",
        "Share of pictures in which the studio's classifier sees the category of the caption that was asked for.",
        False,
    ),
    "coverage": (
        "Label coverage",
        "share",
        "higher",
        "Share of the reference's categories of which at least one picture was made, as the classifier names them.",
        True,
    ),
    "diversity": (
        "Diversity",
        "times the reference's",
        "higher",
        "Mean distance between made pictures over that between reference pictures; near 0 the model makes one picture again and "
        "again.",
        False,
    ),
    "copied": (
        "Copied",
        "share",
        "lower",
        "Share of pictures nearer to a training picture, in features, than 95% of held-out pictures are; fresh pictures give "
        "0.05.",
        False,
    ),
    "copied_pixels": ("Copied, by pixels", "share", "lower", "The same with distances between pixels.", False),
    "nearness": (
        "Nearness to training",
        "probability",
        "neither",
        "Probability that a made picture is nearer to the training pictures, in features, than a held-out one. 0.5 for fresh "
        "pictures; above, the model leans on what it saw; below, it is far from anything real.",
        False,
    ),
}
# Where a measure cannot lie below or above; moving an interval back by the shift of its resamples may push it over.
_LEAST = {"inception_score": 1.0, "fid": 0.0, "diversity": 0.0, "recall": 0.0, "coverage": 0.0}
_MOST = {"recall": 1.0, "coverage": 1.0}
NEEDS_NETWORK = frozenset(_MEASURES) - {"clip_score", "copied_pixels", "label_accuracy", "coverage"}


def metric_for(name: str, network: FeatureNetwork | None, made_with: str) -> Metric:
    """The measure as the report shows it.

    A score that published numbers exist for keeps its plain name only with the reference weights; with another network ``_own``
    is added to its key, and the network to its title.
    """
    title, unit, better, explains, shrinks = _MEASURES[name]
    key = name
    if name in NAMED_BY_NETWORK and not (network and network.reference):
        key = f"{name}_own"
        short = {"inception_score": "IS"}.get(name, title)
        title = f"{short} ({network.name if network else 'no network'})"
        explains += " Made with another network than published scores; compare it only with scores of this very network."
    scale = SHARE if unit in {"share", "probability"} else Scale(_LEAST.get(name, -math.inf))
    return Metric(
        key, title, unit, better, "answers", explains, _not_from_answers, lambda: made_with, scale, repeats_shrink=shrinks
    )


def within_bounds(name: str, score: Score) -> Score:
    """The score with its interval cut to what the measure can be."""
    if score.low is None or score.high is None:
        return score
    least, most = _LEAST.get(name, -math.inf), _MOST.get(name, math.inf)
    return score.model_copy(update={"low": min(max(score.low, least), most), "high": min(max(score.high, least), most)})


def _not_from_answers(_: Sequence[Evidence]) -> NoReturn:
    """These measures are made from pictures by :mod:`studio.evals.images.measure`."""
    raise StudioError("a measure of pictures cannot be made from answers. Use it in a task of type 'images'.")
