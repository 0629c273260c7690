"""The plots of a report as inline SVG: no script, no picture files, nothing to fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from studio.core.records import Difference, Score
from studio.evals.numbers import interval_text, number

# The label of each model's bar as a CSS class of the page.
_CLASSES = {"tuned": "tuned", "base": "base"}
_HEIGHT = {1: 18, 2: 30}


def difference_picture(item: Difference | None, better: str) -> Markup:
    """One line of the plot: the interval of a difference around 0, better to the right, on a scale of its own.

    A measure with an ideal value shows the change of the distance from it, where less is better.
    """
    if item is None:
        return Markup("")
    value, low, high = item.value, item.low, item.high
    if item.distance is not None:
        value, low, high, better = item.distance, item.distance_low, item.distance_high, "lower"
    if value is None or low is None or high is None:
        return Markup("")
    sign = -1.0 if better == "lower" else 1.0
    start, end = sorted((sign * low, sign * high))
    reach = max(abs(start), abs(end), abs(value)) or 1.0

    def place(position: float) -> float:
        return 160 + 148 * position / reach

    kind = {"better": "good", "worse": "bad"}.get(item.verdict, "even")
    left, right, middle = place(start), place(end), place(sign * value)
    return Markup(
        '<svg viewBox="0 0 320 24" role="img" aria-label="{label}" class="interval {kind}">'
        '<line x1="160" y1="0" x2="160" y2="24" class="zero"/>'
        '<line x1="{left:.1f}" y1="12" x2="{right:.1f}" y2="12" class="range"/>'
        '<line x1="{left:.1f}" y1="6" x2="{left:.1f}" y2="18" class="range"/>'
        '<line x1="{right:.1f}" y1="6" x2="{right:.1f}" y2="18" class="range"/><circle cx="{middle:.1f}" cy="12" r="5"/></svg>'
    ).format(
        label=f"{number(value, signed=True)}, from {number(low, signed=True)} to {number(high, signed=True)}",
        kind=kind,
        left=left,
        right=right,
        middle=middle,
    )


def scale_of(scores: Sequence[Score], ideal: float | None) -> tuple[float, float]:
    """Lower and upper end of an axis that holds 0, all values, their intervals and the ideal."""
    values = [value for item in scores for value in (item.value, item.low, item.high) if value is not None]
    values += [0.0] if ideal is None else [0.0, ideal]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def bars(scores: Mapping[str, Score], scale: tuple[float, float], ideal: float | None = None) -> Markup:
    """One bar per model with its interval, on a given scale; a mark at the ideal value."""
    low, high = scale
    height = _HEIGHT.get(len(scores), 14 * len(scores) + 2)

    def place(value: float) -> float:
        return 4 + 312 * (value - low) / (high - low)

    zero, pieces = place(0.0), []
    for row, (label, item) in enumerate(scores.items()):
        top = 2 + 14 * row
        if item.value is None:
            pieces.append(Markup('<text x="{x:.1f}" y="{y}" class="none">not computed</text>').format(x=zero + 4, y=top + 10))
            continue
        left, right = sorted((zero, place(item.value)))
        pieces.append(
            Markup('<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="11" class="bar {kind}"/>').format(
                x=left, y=top, w=max(1.0, right - left), kind=_CLASSES.get(label, "tuned")
            )
        )
        if item.low is not None and item.high is not None:
            pieces.append(
                Markup('<path d="M{a:.1f} {m}H{b:.1f}M{a:.1f} {t}V{u}M{b:.1f} {t}V{u}" class="whisker"/>').format(
                    a=place(item.low), b=place(item.high), m=top + 5.5, t=top + 2, u=top + 9
                )
            )
    if ideal is not None:
        pieces.append(Markup('<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{h}" class="ideal"/>').format(x=place(ideal), h=height))
    told = "; ".join(f"{label} {number(item.value)} ({interval_text(item.low, item.high)})" for label, item in scores.items())
    return Markup('<svg viewBox="0 0 320 {h}" role="img" aria-label="{told}" class="bars">').format(h=height, told=told) + Markup(
        '<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{h}" class="zero"/>{pieces}</svg>'
    ).format(x=zero, h=height, pieces=Markup("").join(pieces))
