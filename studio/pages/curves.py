"""Curves as SVG, drawn anew by the server each time: nothing to load, nothing that flickers, and readable without a script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from studio.pages.locales import number

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 42
# Points beyond these cannot be told apart on a screen; each stretch of them is drawn as its mean.
_MOST_POINTS = 360

Points = Sequence[tuple[float, float]]


def curves(lines: Mapping[str, Points], *, told: str, bottom: str, width: int = _WIDTH) -> Markup:
    """Lines over a common axis, a colour each, with a legend.

    Args:
        lines: title to points ``(x, y)``, in the order of x; values that are no numbers are left out.
        told: what the picture shows, for those who cannot see it.
        bottom: title of the axis of x.
        width: of the picture, which is scaled to its place; a small one keeps its letters readable in a narrow place.
    """
    kept = {name: _thinned([point for point in line if all(map(math.isfinite, point))]) for name, line in lines.items()}
    points = [point for line in kept.values() for point in line]
    if not points:
        return Markup("")
    x_low, x_high = _ends([x for x, _ in points])
    y_low, y_high = _ends([y for _, y in points])

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)
        down = _TOP + (y_high - y) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [_rule(value, place(x_low, value), place(x_high, value)) for value in _ticks(y_low, y_high)]
    parts += [_foot(value, place(value, y_low)) for value in _ticks(x_low, x_high) if value == int(value)]
    for at, line in enumerate(kept.values()):
        where = " ".join(place(x, y) for x, y in line)
        shape = '<polyline class="curve{dashed}" points="{where}" style="stroke: var(--line-{colour})"/>'
        if len(line) == 1:
            across, down = where.split(",")
            shape = '<circle cx="{across}" cy="{down}" r="3.5" style="fill: var(--line-{colour})"/>'
            parts.append(Markup(shape).format(across=across, down=down, colour=at % 5 + 1))
            continue
        parts.append(Markup(shape).format(where=where, colour=at % 5 + 1, dashed=_dashed(at)))
    legend = Markup("").join(
        Markup('<li translate="no"><i class="{dashed}" style="background: var(--line-{colour})"></i>{name}</li>').format(
            colour=at % 5 + 1, name=name, dashed=_dashed(at).strip()
        )
        for at, name in enumerate(kept)
    )
    return Markup(
        '<ul class="legend">{legend}</ul><svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{told}">{parts}'
        '<text x="{right}" y="{foot}" text-anchor="end">{bottom}</text></svg>'
    ).format(
        legend=legend, width=width, height=_HEIGHT, told=told, parts=Markup("").join(parts),
        right=width - _RIGHT, foot=_HEIGHT - 2, bottom=bottom,
    )  # fmt: skip


def _dashed(at: int) -> str:
    """The class of a line that shares its colour with one before it."""
    return " dashed" if at >= 5 else ""


def _thinned(line: Points) -> list[tuple[float, float]]:
    """At most so many points as a screen can show, each the mean of its stretch; the last one stays as it is."""
    if len(line) <= _MOST_POINTS:
        return list(line)
    width = math.ceil(len(line) / _MOST_POINTS)
    stretches = [line[start : start + width] for start in range(0, len(line) - 1, width)]
    return [*((part[-1][0], sum(y for _, y in part) / len(part)) for part in stretches), line[-1]]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis; one of a single value has a width all the same."""
    low, high = min(values), max(values)
    room = (high - low) * 0.04
    return (low - room, high + room) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two ends, four to eight of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step)
    return [round(at * step, 10) for at in range(first, math.floor(high / step) + 1)]


def _rule(value: float, start: str, end: str) -> Markup:
    """A line across at a value, with the value before it."""
    (left, y), (right, _) = start.split(","), end.split(",")
    return Markup(
        '<line class="rule" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        '<text x="{text}" y="{down:.1f}" text-anchor="end">{value}</text>'
    ).format(left=left, right=right, y=y, text=_LEFT - 6, down=float(y) + 4, value=number(value))


def _foot(value: float, where: str) -> Markup:
    """A value below the axis of x."""
    x = where.split(",")[0]
    return Markup('<text x="{x}" y="{y}" text-anchor="middle">{value}</text>').format(
        x=x, y=_HEIGHT - _BOTTOM + 16, value=number(value)
    )
