"""The plots of a table's report as inline SVG: no script, no picture files, nothing to fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from studio.data.tables.single_column import as_numbers

_BINS = 24
_WIDTH, _HEIGHT = 180, 34
# Categories of which each has a bar of its own.
_BARS = 12


def distribution(values: pd.Series, kind: str, name: str) -> Markup:
    """A small plot of a column: classes of equal width, the most frequent categories, or the lengths of texts in words."""
    there = values.dropna()
    if not len(there):
        return Markup('<span class="soft small">no value</span>')
    if kind == "category":
        frequent = there.value_counts().iloc[:_BARS]
        titles = [f"{label}: {count:,}" for label, count in frequent.items()]
        return _bars(frequent.to_numpy(), titles, f"the most frequent values of {name}", gap=0.25)
    numbers = there.str.count(r"\S+").to_numpy(np.float64) if kind == "text" else as_numbers(there)
    counts, edges = histogram(numbers)
    told = [_edge(edge, kind) for edge in edges]
    titles = [f"{low} to {high}: {count:,}" for (low, high), count in zip(pairwise(told), counts, strict=True)]
    what = "words in a text of" if kind == "text" else "distribution of"
    return _bars(counts, titles, f"{what} {name}", gap=0.06)


def histogram(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in classes of equal width, and their edges; whole numbers of a short range have a class each."""
    low, high = float(numbers.min()), float(numbers.max())
    if (numbers % 1 == 0).all() and high - low < _BINS:
        edges = np.arange(low, high + 2) - 0.5
        return np.histogram(numbers, edges)[0], edges
    return np.histogram(numbers, _BINS, (low, high if high > low else low + 1))


def _edge(value: float, kind: str) -> str:
    """An edge of a class, for people."""
    return str(pd.Timestamp(value, unit="s").date()) if kind == "time" else f"{value:.4g}"


def _bars(heights: np.ndarray, titles: Sequence[str], label: str, *, gap: float) -> Markup:
    """Upright bars."""
    each, highest = _WIDTH / max(len(heights), 1), max(float(heights.max()), 1.0)
    form = Markup(
        '<g><title>{title}</title><rect x="{x:.1f}" y="0" width="{each:.1f}" height="{all}" class="ground"/>'
        '<rect x="{left:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" class="kept"/></g>'
    )
    drawn = [
        form.format(
            title=title,
            x=number * each,
            each=each,
            all=_HEIGHT,
            left=(number + gap / 2) * each,
            w=each * (1 - gap),
            y=_HEIGHT - max(1.0 if height else 0.0, _HEIGHT * height / highest),
            h=max(1.0 if height else 0.0, _HEIGHT * height / highest),
        )
        for number, (height, title) in enumerate(zip(heights.tolist(), titles, strict=True))
    ]
    return _picture("small", _WIDTH, _HEIGHT, label, drawn, stretch=True)


def box(name: str, facts: Mapping[str, Any]) -> Markup:
    """A box plot: quartiles, whiskers to the last values inside the limits, dots for those beyond.

    Args:
        facts: ``quartiles``, ``whiskers`` and ``beyond``, as :class:`studio.data.tables.steps.outliers.Outliers` has them.
    """
    low, middle, high = facts["quartiles"]
    first, last = facts["whiskers"]
    ends = [first, last, low, high, *facts["beyond"]]
    start, reach = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> float:
        return 6.0 + 388.0 * float((value - start) / reach)

    shape = Markup(
        '<line x1="{a:.1f}" x2="{b:.1f}" y1="14" y2="14" class="whisker"/>'
        '<line x1="{a:.1f}" x2="{a:.1f}" y1="9" y2="19" class="whisker"/>'
        '<line x1="{b:.1f}" x2="{b:.1f}" y1="9" y2="19" class="whisker"/>'
        '<rect x="{c:.1f}" y="5" width="{w:.1f}" height="18" class="box"/>'
        '<line x1="{m:.1f}" x2="{m:.1f}" y1="5" y2="23" class="median"/>'
    ).format(a=place(first), b=place(last), c=place(low), w=max(1.0, place(high) - place(low)), m=place(middle))
    dot = Markup('<circle cx="{x:.1f}" cy="14" r="2.4" class="beyond"><title>{value:.6g}</title></circle>')
    dots = [dot.format(x=place(value), value=value) for value in facts["beyond"]]
    return _picture("boxplot", 400, 28, f"box plot of {name}", [shape, *dots])


def heat_map(names: Sequence[str], matrix: np.ndarray) -> Markup:
    """Correlations as squares, blue for positive and red for negative, the fuller the stronger; names at the left and by number.

    Args:
        matrix: float64 [k, k], NaN where there is none.
    """
    side, left, top = 22, 210, 20
    parts = []
    cell = Markup(
        '<rect x="{x}" y="{y}" width="21" height="21" class="{kind}" fill-opacity="{o:.2f}"><title>{title}</title></rect>'
    )
    text = Markup('<text x="{x}" y="{y}" class="{kind}">{text}</text>')
    for row, name in enumerate(names):
        short = name if len(name) <= 26 else f"{name[:25]}…"
        parts.append(text.format(x=left - 30, y=top + row * side + 15, kind="name", text=short))
        parts.append(text.format(x=left - 8, y=top + row * side + 15, kind="name", text=row + 1))
        parts.append(text.format(x=left + row * side + 10, y=top - 6, kind="number", text=row + 1))
        for column, other in enumerate(names):
            value = matrix[row, column]
            known = not np.isnan(value)
            title = f"{name} and {other}: {value:+.2f}" if known else f"{name} and {other}: none"
            kind = ("plus" if value >= 0 else "minus") if known else "none"
            opacity = abs(value) if known else 1.0
            parts.append(cell.format(x=left + column * side, y=top + row * side, kind=kind, o=opacity, title=title))
    size = left + len(names) * side
    form = '<svg viewBox="0 0 {w} {h}" style="width:{w}px" role="img" aria-label="{label}" class="heat">{parts}</svg>'
    label = "correlations between columns of numbers"
    return Markup(form).format(w=size, h=top + len(names) * side, label=label, parts=Markup("").join(parts))


def _picture(kind: str, width: int, height: int, label: str, parts: Sequence[Markup], *, stretch: bool = False) -> Markup:
    """Parts as one picture that fills its place."""
    ratio = Markup(' preserveAspectRatio="none"') if stretch else Markup("")
    form = '<svg viewBox="0 0 {w} {h}"{ratio} role="img" aria-label="{label}" class="{kind}">{parts}</svg>'
    return Markup(form).format(w=width, h=height, ratio=ratio, label=label, kind=kind, parts=Markup("").join(parts))
