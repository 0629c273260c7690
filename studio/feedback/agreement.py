"""How far two annotators agree beyond chance. Standard library only; :mod:`studio.evals.agreement` has what several need."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

# 97.5% point of the normal distribution.
_Z = 1.959964


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> tuple[float | None, float | None, float | None]:
    """Cohen's kappa and its 95% interval (large-sample standard error).

    Source: Cohen, A coefficient of agreement for nominal scales (1960), with the standard error given there.
    """
    n = len(pairs)
    if n < 2:
        return None, None, None
    first, second = Counter(one for one, _ in pairs), Counter(two for _, two in pairs)
    observed = sum(one == two for one, two in pairs) / n
    expected = sum(first[label] * second[label] for label in first) / (n * n)
    if expected == 1:
        return None, None, None
    kappa = (observed - expected) / (1 - expected)
    half = _Z * math.sqrt(observed * (1 - observed) / n) / (1 - expected)
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)
