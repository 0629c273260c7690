"""Whether explanations depend on what the network learned: with random weights they have to look different."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.data.examples import Examples
from studio.evals.numbers import number
from studio.evals.predictors.explanations import Explainer, Explanation, explainer_for
from studio.evals.predictors.explanations.twins import random_twin
from studio.models.predictors.base import Predictor

_ROWS = 8
# From here on two orders of parts are alike.
_ALIKE = 0.5


def weights_matter(
    predictor: Predictor, explainer: Explainer, found: Sequence[Explanation], rows: Examples, background: Examples, seed: int
) -> tuple[str, bool] | None:
    """How alike explanations of the network and of one with random weights are, as a sentence, and whether that is as it should
    be; None for other models.
    """
    if explainer.reads == "table":
        # Contributions of columns follow from what the model says alone, and a random model goes by random columns.
        return None
    alike = []
    for place, explanation in enumerate(found[:_ROWS]):
        # Another draw for each row: of one draw all rows would agree or disagree together.
        twin = random_twin(predictor, seed=seed + place)
        if twin is None:
            return None
        other = explainer_for(twin, background.features, seed=seed).explain(
            rows.features.iloc[[place]], explanation.of if explainer.labels else None
        )
        if (value := _agreement(explanation, other)) is not None:
            alike.append(value)
    if not alike:
        return None
    mean = float(np.mean(alike))
    seen = (
        f"The same network with random weights orders the {explainer.nouns[1]} of {len(alike)} rows otherwise: the rank "
        f"correlation of the two orders is {number(mean)} on average"
    )
    if mean < _ALIKE:
        return f"{seen}, so that the explanations show what was learned.", True
    seen = seen.replace("otherwise: the", "much alike: the")
    return f"{seen}. They show the {explainer.nouns[1]} themselves more than what was learned.", False


def _agreement(one: Explanation, other: Explanation) -> float | None:
    """Rank correlation of the contributions of two explanations; None of few parts, or where all are the same."""
    from scipy.stats import spearmanr

    first, second = ({part.place: part.contribution for part in item.parts} for item in (one, other))
    shared = sorted(set(first) & set(second))
    values = np.array([[first[place], second[place]] for place in shared])
    if len(shared) < 4 or np.ptp(values[:, 0]) == 0 or np.ptp(values[:, 1]) == 0:
        return None
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)
