"""Geometry of the drawings in the report of conversations: places and lengths as shares of a drawing's width and height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Numbers of turns that have a bar of their own; more are counted together.
_TURNS = 8
_POINTS = 100


def length_bars(before: Sequence[int], after: Sequence[int], edges: Sequence[int]) -> dict[str, Any]:
    """Bars of rows per length class.

    Args:
        before, after: rows per class when they were read, and of those that stayed; edges: borders of the classes in characters.
    """
    used = [index for index, count in enumerate(before) if count or after[index]]
    if not used:
        return {"bars": [], "ticks": []}
    first, last = min(used), max(used)
    labels = []
    for index in range(first, last + 1):
        low = edges[index - 1] if index else 0
        labels.append(f"{low:,} to {f'{edges[index] - 1:,}' if index < len(edges) else 'more'} characters")
    found = _bars(before[first : last + 1], after[first : last + 1], labels)
    every = max(1, (last - first + 1) // 5)
    width = 100 / (last - first + 1)
    found["ticks"] = [
        {"x": round((index - first) * width, 3), "label": f"{edges[index - 1]:,}" if index else "0"}
        for index in range(first, last + 1, every)
    ]
    return found


def turn_bars(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    """Bars of rows per number of turns; many turns are one bar.

    Args:
        before, after: rows by number of turns, as :func:`studio.data.chat.intake.as_figures`.
    """
    top = max([int(count) for count in (*before, *after)], default=0)
    last = min(top, _TURNS + 1)
    counts = [[0] * (last + 1), [0] * (last + 1)]
    for side, known in zip(counts, (before, after), strict=True):
        for turns, rows in known.items():
            side[min(int(turns), last)] += rows
    first = next((number for number in range(last + 1) if counts[0][number] or counts[1][number]), 0)
    names = [f"{number}" if number < last or top <= _TURNS else f"{number} or more" for number in range(first, last + 1)]
    found = _bars(counts[0][first:], counts[1][first:], [f"{name} turns" for name in names])
    width = 100 / max(1, len(names))
    found["ticks"] = [{"x": round(place * width, 3), "label": name.replace(" or more", "+")} for place, name in enumerate(names)]
    return found


def _bars(before: Sequence[int], after: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """Two bars for each label, one in front of the other."""
    highest, width = max([*before, *after], default=0) or 1, 100 / max(1, len(labels))
    bars = [
        {
            "x": round(place * width, 3),
            "width": round(width * 0.86, 3),
            "before": round(100 * before[place] / highest, 3),
            "after": round(100 * after[place] / highest, 3),
            "label": f"{label}: {before[place]:,} read, {after[place]:,} kept",
        }
        for place, label in enumerate(labels)
    ]
    return {"bars": bars, "ticks": [], "highest": highest}


def box_of(name: str, values: Sequence[float]) -> dict[str, Any]:
    """What a box plot of figures shows; whiskers reach to the last value within 1.5 of the box (Tukey 1977)."""
    known = np.sort(np.asarray(values, dtype=float))
    first, middle, third = (float(value) for value in np.percentile(known, [25, 50, 75]))
    reach = 1.5 * (third - first)
    inside = known[(known >= first - reach) & (known <= third + reach)]
    beyond = known[(known < first - reach) | (known > third + reach)]
    return {
        "name": name,
        "lowest": float(known[0]),
        "highest": float(known[-1]),
        "quartiles": [first, middle, third],
        "whiskers": [float(inside[0]), float(inside[-1])] if len(inside) else [first, third],
        "beyond": len(beyond),
        "points": [float(value) for value in beyond[:: max(1, len(beyond) // _POINTS)]],
    }


def drawn_box(box: Mapping[str, Any]) -> dict[str, Any]:
    """Geometry of a box plot: places as shares of the drawing's width, between the least and the greatest value."""
    low, high = box["lowest"], box["highest"]
    scale = 100 / (high - low) if high > low else 0.0
    first, middle, third = (round((value - low) * scale, 3) for value in box["quartiles"])
    left, right = (round((value - low) * scale, 3) for value in box["whiskers"])
    return {
        "name": box["name"],
        "low": min(left, first),
        "high": max(right, third),
        "first": first,
        "middle": min(middle, 99.5),
        "third": third,
        "points": [round(min((value - low) * scale, 99.6), 3) for value in box["points"]],
        "words": f"{box['name']}: from {low:g} to {high:g}; quartiles {', '.join(f'{value:g}' for value in box['quartiles'])}; "
        f"whiskers {box['whiskers'][0]:g} and {box['whiskers'][1]:g}; {box['beyond']:,} rows beyond",
    }
