"""How sure a share is. Standard library only: the server's guard, which knows nothing else, needs it too."""

from __future__ import annotations

import math

_Z = 1.959963984540054
"""Of the normal distribution, 95% on two sides."""


def wilson_interval(hits: float, count: float) -> tuple[float, float]:
    """95% interval of a share of ``count``; it stays inside 0 and 1 and holds for few.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    share, square = hits / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
