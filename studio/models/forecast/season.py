"""What a series is made of: trend, season and the rest, and how strong each is.

Legend: t stamps of a series, m stamps in a season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.models.forecast.panel import Floats

# From this strength on a season is differenced by R's nsdiffs (forecast 8, test "seas"); below, it may be chance.
STRONG = 0.64
# Robust weights are found by fitting again and again, which takes minutes on years of hours.
_ROBUST_UP_TO = 3000


@dataclass(frozen=True)
class Components:
    """trend, season: [t]. Strengths from 0 (none) to 1 (all): the share of variance that is left without the rest."""

    trend: Floats
    season: Floats
    trend_strength: float
    season_strength: float


def components(values: Floats, season: int, *, robust: bool = False) -> Components | None:
    """Trend and season of a whole series by STL; None where there is no season, or the series is shorter than two.

    Source: Cleveland et al. 1990 (STL); strengths: Wang, Smith and Hyndman 2006, https://doi.org/10.1007/s10618-005-0039-x.
    """
    if season < 2 or len(values) < 2 * season + 2 or bool((values == values[0]).all()):
        return None
    from statsmodels.tsa.seasonal import STL

    found = STL(values, period=season, robust=robust and len(values) <= _ROBUST_UP_TO).fit()

    def strength(component: Floats) -> float:
        both = float(np.var(found.resid + component))
        return max(0.0, 1 - float(np.var(found.resid)) / both) if both else 0.0

    trend, seasonal = np.asarray(found.trend), np.asarray(found.seasonal)
    return Components(trend, seasonal, strength(trend), strength(seasonal))


def has_strong_season(values: Floats, season: int) -> bool:
    """True where the season of a whole series is strong."""
    found = components(values, season)
    return found is not None and found.season_strength > STRONG
