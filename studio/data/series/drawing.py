"""Lines, bands and stamps of a series as inline SVG: no script, no picture files, nothing to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

# Points of one line; more than the plot has pixels are not seen.
_MOST_POINTS = 1500
_LEFT, _BOTTOM, _TOP = 64, 20, 8
_TICK_WIDTH = 84


@dataclass(frozen=True)
class Plane:
    """Where things are drawn: places ``first`` to ``last`` (stamps) across, values ``low`` to ``high`` up, in pixels."""

    first: float
    last: float
    low: float
    high: float
    width: int = 960
    height: int = 170

    @staticmethod
    def around(values: Sequence[NDArray[np.float64]], first: float, last: float, height: int = 170) -> Plane:
        """A plane that holds all of some values, with a little room."""
        known = np.concatenate([part[np.isfinite(part)] for part in map(np.ravel, values)])
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.04
        return Plane(first, max(last, first + 1), low - room, high + room, height=height)

    def across(self, place: float) -> float:
        """Pixel of a place."""
        return _LEFT + (self.width - _LEFT - 8) * (place - self.first) / (self.last - self.first)

    def up(self, value: float) -> float:
        """Pixel of a value."""
        return _TOP + (self.height - _TOP - _BOTTOM) * (1 - (value - self.low) / (self.high - self.low))

    def line(self, start: int, values: NDArray[np.float64], kind: str) -> Markup:
        """A line through values from a place on; broken where one is missing, a dot where one stands alone."""
        every = max(1, len(values) // _MOST_POINTS)
        pieces, pen = [], "M"
        for offset in range(0, len(values), every):
            if np.isfinite(values[offset]):
                pieces.append(f"{pen}{self.across(start + offset):.1f} {self.up(float(values[offset])):.1f}")
                alone = pen == "M" and (offset + every >= len(values) or not np.isfinite(values[offset + every]))
                pieces += ["h0.5"] if alone else []
            pen = "L" if np.isfinite(values[offset]) else "M"
        return Markup('<path d="{d}" class="line {kind}"/>').format(d="".join(pieces), kind=kind)

    def band(self, start: int, low: NDArray[np.float64], high: NDArray[np.float64], kind: str) -> Markup:
        """The space between two lines."""
        there = [offset for offset in range(len(low)) if np.isfinite(low[offset]) and np.isfinite(high[offset])]
        points = [(offset, self._within(high[offset])) for offset in there]
        points += [(offset, self._within(low[offset])) for offset in reversed(there)]
        told = " ".join(f"{self.across(start + offset):.1f},{self.up(value):.1f}" for offset, value in points)
        return Markup('<polygon points="{told}" class="band {kind}"/>').format(told=told, kind=kind)

    def stretch(self, first: float, last: float, kind: str) -> Markup:
        """A stretch of time as a ground."""
        left, right = self.across(first), self.across(last)
        form = '<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="{h}" class="stretch {kind}"/>'
        return Markup(form).format(x=left, y=_TOP, w=max(0.5, right - left), h=self.height - _TOP - _BOTTOM, kind=kind)

    def frame(self, stamps: pd.DatetimeIndex, ticks: Sequence[int], shift: int = 0) -> Markup:
        """Axes: lowest and highest value, some stamps. ticks: places in ``stamps``, whose first has the place ``shift``."""
        form = '<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{text}</text>'
        texts = [
            Markup(form).format(x=_LEFT - 6, y=self.up(value) + 4, kind="value", text=value_text(value))
            for value in (self.low + 0.08 * (self.high - self.low), self.high - 0.08 * (self.high - self.low))
        ]
        for tick, x in self._apart(ticks, shift):
            texts.append(Markup(form).format(x=x, y=self.height - 4, kind="stamp", text=stamp_text(stamps[tick])))
        ground = Markup('<path d="M{x} {top}V{bottom}H{right}" class="axis"/>').format(
            x=_LEFT, top=_TOP, bottom=self.height - _BOTTOM, right=self.width - 8
        )
        return ground + Markup("").join(texts)

    def _apart(self, ticks: Sequence[int], shift: int) -> list[tuple[int, float]]:
        """Ticks and where their texts stand, without those that would stand on another; the last one always stays."""
        places = [(tick, min(max(self.across(tick + shift), _LEFT + 20), self.width - 36)) for tick in ticks]
        kept: list[tuple[int, float]] = []
        for place in reversed(places):
            if not kept or kept[-1][1] - place[1] >= _TICK_WIDTH:
                kept.append(place)
        return kept

    def picture(self, parts: Sequence[Markup], label: str) -> Markup:
        """All parts as one picture."""
        form = '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{label}" class="series">{parts}</svg>'
        return Markup(form).format(w=self.width, h=self.height, label=label, parts=Markup("").join(parts))

    def _within(self, value: float) -> float:
        """A value that lies in the plane."""
        return min(max(float(value), self.low), self.high)


def value_text(value: float) -> str:
    """A value on an axis or in a table: whole from 1,000 on, four digits below."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def stamp_text(stamp: pd.Timestamp) -> str:
    """A stamp as short as it can be told: a day without its clock where it is midnight."""
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else f"{stamp:%Y-%m-%d %H:%M}"
