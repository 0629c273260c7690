"""The plots of searches and comparisons as inline SVG: no script, no picture files, nothing to fetch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from studio.evals.numbers import number
from studio.search.ranks import Ranks
from studio.search.space import Choices, Dimension

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 58, 12, 12, 26
_NUMBERS = 12


@dataclass(frozen=True)
class Dot:
    """A trial on a chart. place: along the axis, a number or a choice. value: None where it has none. error: standard error.
    kind: ``trial``, ``best``, ``own``. told: what it is, shown when it is pointed at.
    """

    place: Any
    value: float | None
    error: float | None = None
    kind: str = "trial"
    told: str = ""


def _shape(tag: str, text: str = "", **attributes: Any) -> Markup:
    """An element; numbers with one digit after the point."""
    said = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), f"{value:.1f}" if isinstance(value, float) else value)
        for name, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(Markup(tag), said, text, Markup(tag))


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis around these values, with a little room; not below 0 where none is."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def _grid(low: float, high: float, y: Callable[[float], float], width: int) -> list[Markup]:
    """Three lines across, with what they stand for."""
    found = []
    for value in (low, (low + high) / 2, high):
        found.append(_shape("line", x1=_LEFT, y1=y(value), x2=width - _RIGHT, y2=y(value), class_="grid"))
        found.append(_shape("text", number(value), x=_LEFT - 6, y=y(value) + 4, text_anchor="end"))
    return found


def _dot(x: float, y: Callable[[float], float], dot: Dot, floor: float) -> Markup:
    """A dot with its error; a cross on the floor where there is no value."""
    if dot.value is None:
        cross = "M{a} {t}L{b} {u}M{b} {t}L{a} {u}".format(
            a=f"{x - 3.5:.1f}", b=f"{x + 3.5:.1f}", t=f"{floor - 9:.1f}", u=f"{floor - 2:.1f}"
        )
        return _shape("path", _shape("title", dot.told), d=cross, class_="cross")
    parts = []
    if dot.error is not None:
        parts.append(_shape("line", x1=x, x2=x, y1=y(dot.value - dot.error), y2=y(dot.value + dot.error), class_="range"))
    radius = 5 if dot.kind in {"best", "own"} else 3.5
    parts.append(_shape("circle", _shape("title", dot.told), cx=x, cy=y(dot.value), r=radius, class_=dot.kind))
    return Markup("").join(parts)


def _svg(width: int, height: int, told: str, parts: Sequence[Markup]) -> Markup:
    """The whole picture, with its words for people who do not see it."""
    return Markup('<svg viewBox="0 0 {w} {h}" role="img" aria-label="{told}" class="chart">{parts}</svg>').format(
        w=width, h=height, told=told, parts=Markup("").join(parts)
    )


def trials_chart(dots: Sequence[Dot], better: str, told: str) -> Markup:
    """Every trial in order, the best so far as a line, the preset's own settings as a dashed one. ``place`` is the number."""
    height = 260
    known = [dot for dot in dots if dot.value is not None]
    values = [dot.value for dot in known if dot.value is not None]
    reach = [max(end, 0.0) if min(values) >= 0 else end for dot in known for end in _ends(dot)]
    low, high = _scale(_without_outliers(reach, values))
    last = max(1, max(int(dot.place) for dot in dots))
    floor = height - _BOTTOM

    def x(place: float) -> float:
        return _LEFT + 10 + (_WIDTH - _LEFT - _RIGHT - 20) * place / last

    def y(value: float) -> float:
        return min(floor, max(_TOP, _TOP + (floor - _TOP) * (high - value) / (high - low)))

    parts = _grid(low, high, y, _WIDTH)
    own = next((dot for dot in known if dot.kind == "own" or dot.place == 0), None)
    if own is not None and own.value is not None:
        parts.append(_shape("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(own.value), y2=y(own.value), class_="own"))
    parts.append(_shape("path", d=_frontier(known, better, x, y, last), class_="frontier"))
    parts += [_dot(x(dot.place), y, dot, floor) for dot in dots]
    step = max(1, -(-(last + 1) // _NUMBERS))
    parts += [_shape("text", str(place), x=x(place), y=height - 8, text_anchor="middle") for place in range(0, last + 1, step)]
    return _svg(_WIDTH, height, told, parts)


def _ends(dot: Dot) -> tuple[float, float]:
    """Ends of a dot's error."""
    assert dot.value is not None
    error = dot.error or 0.0
    return dot.value - error, dot.value + error


def _without_outliers(reach: Sequence[float], values: Sequence[float]) -> list[float]:
    """What decides an axis: one hopeless trial must not press all others into a line; it is drawn at the edge."""
    ordered = sorted(values)
    quarter, half, three = (ordered[int(share * (len(ordered) - 1))] for share in (0.25, 0.5, 0.75))
    width = 3 * max(three - quarter, abs(half) * 0.01, 1e-12)
    return [min(max(value, quarter - width), three + width) for value in reach]


def _frontier(dots: Sequence[Dot], better: str, x: Callable[[float], float], y: Callable[[float], float], last: int) -> str:
    """The best value so far, as steps."""
    pieces: list[str] = []
    best: float | None = None
    for dot in sorted(dots, key=lambda one: one.place):
        assert dot.value is not None
        if best is None or (dot.value > best if better == "higher" else dot.value < best):
            best = dot.value
            pieces.append(f"M{x(dot.place):.1f} {y(best):.1f}" if not pieces else f"H{x(dot.place):.1f}V{y(best):.1f}")
    return "".join([*pieces, f"H{x(last):.1f}"])


def setting_chart(dots: Sequence[Dot], item: Dimension, told: str) -> Markup:
    """The score against one setting."""
    width, height = 320, 170
    floor = height - _BOTTOM
    known = [dot for dot in dots if dot.value is not None and _on(item, dot.place) is not None]
    if not known:
        return Markup("")
    values = [dot.value for dot in known if dot.value is not None]
    low, high = _scale(_without_outliers(values, values))

    def x(place: float) -> float:
        return _LEFT + 10 + (width - _LEFT - _RIGHT - 20) * place

    def y(value: float) -> float:
        return min(floor, max(_TOP, _TOP + (floor - _TOP) * (high - value) / (high - low)))

    parts = _grid(low, high, y, width)
    for dot in known:
        place = _on(item, dot.place)
        assert place is not None
        parts.append(_dot(x(place), y, Dot(dot.place, dot.value, None, dot.kind, dot.told), floor))
    for share, text, anchor in _marks(item):
        parts.append(_shape("text", text, x=x(share), y=height - 8, text_anchor=anchor))
    return _svg(width, height, told, parts)


def _on(item: Dimension, value: Any) -> float | None:
    """Where a value lies on the axis of a setting, from 0 to 1; None where it lies outside."""
    if isinstance(item, Choices):
        places = [place for place, known in enumerate(item.values) if known == value and type(known) is type(value)]
        return places[0] / max(1, len(item.values) - 1) if places else None
    if not isinstance(value, int | float) or not item.low <= value <= item.high:
        return None
    if item.log:
        return math.log(value / item.low) / math.log(item.high / item.low)
    return (value - item.low) / (item.high - item.low)


def _marks(item: Dimension) -> list[tuple[float, str, str]]:
    """What stands below the axis of a setting: place, text, anchor."""
    if isinstance(item, Choices):
        last = max(1, len(item.values) - 1)
        return [(place / last, str(value)[:12], "middle") for place, value in enumerate(item.values)]
    middle = math.sqrt(item.low * item.high) if item.log else (item.low + item.high) / 2
    return [(0.0, f"{item.low:g}", "start"), (0.5, f"{middle:.3g}", "middle"), (1.0, f"{item.high:g}", "end")]


def share_bars(shares: Sequence[tuple[str, float]], told: str) -> Markup:
    """One bar per name, from 0 to 1."""
    height = 26 * len(shares) + 4
    parts = []
    for row, (name, share) in enumerate(shares):
        top = 26 * row + 2
        parts.append(_shape("text", name, x=0, y=top + 15, class_="name"))
        parts.append(_shape("rect", x=230, y=top + 3, width=max(1.0, 340 * share), height=16, class_="bar"))
        parts.append(_shape("text", f"{share:.0%}", x=238 + 340 * share, y=top + 15))
    return _svg(_WIDTH, height, told, parts)


def cost_chart(dots: Sequence[tuple[str, float, float]], told: str, unit: str) -> Markup:
    """Scores against a cost on the scale of logarithms; each dot has its name, cost and score."""
    width, height = 420, 210
    floor = height - _BOTTOM
    costs = [cost for _, cost, _ in dots]
    low, high = _scale([value for _, _, value in dots])
    first, last = math.log(min(costs)), math.log(max(costs))

    def x(cost: float) -> float:
        share = (math.log(cost) - first) / (last - first) if last > first else 0.5
        return _LEFT + 12 + (width - _LEFT - _RIGHT - 24) * share

    def y(value: float) -> float:
        return _TOP + (floor - _TOP) * (high - value) / (high - low)

    parts = _grid(low, high, y, width)
    for name, cost, value in dots:
        right = x(cost) < width * 0.6
        parts.append(_shape("circle", _shape("title", name), cx=x(cost), cy=y(value), r=4))
        at, anchor = (x(cost) + 8, "start") if right else (x(cost) - 8, "end")
        parts.append(_shape("text", name, x=at, y=y(value) + 4, text_anchor=anchor, class_="name"))
    for cost, anchor in ((min(costs), "start"), (max(costs), "end")):
        parts.append(_shape("text", f"{number(cost)} {unit}", x=x(cost), y=height - 8, text_anchor=anchor))
    return _svg(width, height, told, parts)


def critical_chart(ranks: Ranks, names: Sequence[str], told: str) -> Markup:
    """Demsar's diagram: mean ranks on a line, best on the left; a bar ties those between which no difference is shown.

    Args:
        names: in the order of ``ranks.ranks``.
    """
    count, top = len(names), 62
    half = (count + 1) // 2
    ties = len(ranks.groups)
    height = top + 14 * ties + 24 * half + 16

    def x(rank: float) -> float:
        return 190 + (_WIDTH - 380) * (rank - 1) / max(1, count - 1)

    parts = [_shape("line", x1=x(1), x2=x(count), y1=top, y2=top, class_="axis")]
    for rank in range(1, count + 1):
        parts.append(_shape("line", x1=x(rank), x2=x(rank), y1=top - 5, y2=top, class_="axis"))
        parts.append(_shape("text", str(rank), x=x(rank), y=top - 9, text_anchor="middle"))
    reach = min(x(1 + ranks.critical), float(_WIDTH - 8))
    parts.append(_shape("path", d=f"M{x(1):.1f} 14V24M{x(1):.1f} 19H{reach:.1f}M{reach:.1f} 14V24", class_="critical lead"))
    parts.append(_shape("text", f"critical difference {ranks.critical:.2f}", x=(x(1) + reach) / 2, y=11.0, text_anchor="middle"))
    for row, (first, last) in enumerate(ranks.groups):
        left, right = (x(ranks.ranks[ranks.order[place]]) for place in (first, last))
        level = top + 10 + 14 * row
        parts.append(_shape("line", x1=left - 4, x2=right + 4, y1=level, y2=level, class_="tie"))
    for place, number_of in enumerate(ranks.order):
        left_side = place < half
        row = place if left_side else count - 1 - place
        level, at = top + 14 * ties + 22 + 24 * row, x(ranks.ranks[number_of])
        end = 182 if left_side else _WIDTH - 182
        parts.append(_shape("path", d=f"M{at:.1f} {top}V{level}H{end}", class_="lead"))
        anchor, at_text = ("end", end - 6) if left_side else ("start", end + 6)
        text = f"{names[number_of]}  {ranks.ranks[number_of]:.2f}"
        parts.append(_shape("text", text, x=at_text, y=level + 4, text_anchor=anchor, class_="name"))
    return _svg(_WIDTH, height, told, parts)
