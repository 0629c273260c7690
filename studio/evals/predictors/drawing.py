"""Explanations as blocks of the page: bars of columns, coloured words, warm pictures, curves of dependence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from studio.data.examples import Examples
from studio.evals.example_rows import thumbnail
from studio.evals.numbers import number
from studio.evals.predictors.explanations import Explanation, Part
from studio.evals.predictors.explanations.dependence import Dependence
from studio.evals.predictors.explanations.values import LOG_ODDS, PROBABILITY, Values
from studio.evals.task import Panel

_MOST_PARTS = 8
_MOST_LABELS, _WORDS_OF_A_LABEL = 12, 8
_WIDE, _HIGH = 240, 150


def column_rows_panel(
    found: Sequence[Explanation], rows: Examples, order: Sequence[int], truths: Mapping[str, str], told: str
) -> Panel:
    """Some rows with their columns as bars, and what holds for all explanations."""
    blocks = [_block(rows.ids[place], found[place], truths, _bars(found[place])) for place in order]
    return Panel("What predictions rest on", _intro(found, told) + Markup("").join(blocks))


def text_rows_panel(
    found: Sequence[Explanation], rows: Examples, order: Sequence[int], truths: Mapping[str, str], told: str
) -> Panel:
    """Some texts with their words coloured, and what holds for all explanations."""
    key = Markup(
        '<p class="soft"><span class="word for">blue</span> speaks for the label, '
        '<span class="word against">red</span> against.</p>'
    )
    blocks = [_block(rows.ids[place], found[place], truths, _coloured(found[place])) for place in order]
    return Panel("What predictions rest on", _intro(found, told) + key + Markup("").join(blocks))


def picture_rows_panel(
    found: Sequence[Explanation], rows: Examples, order: Sequence[int], truths: Mapping[str, str], told: str
) -> Panel:
    """Some pictures beside themselves with heat on them, and what holds for all explanations."""
    column = rows.columns[0].name
    blocks = []
    for place in order:
        pair = Markup(
            '<img class="thumbnail" src="{}" alt="the picture"><img class="thumbnail" src="{}" alt="what speaks for the label">'
        )
        shown = Markup('<div class="pair">{}</div>').format(
            pair.format(thumbnail(str(rows.features[column].iloc[place])), found[place].picture or "")
        )
        blocks.append(_block(rows.ids[place], found[place], truths, shown))
    return Panel("What predictions rest on", _intro(found, told) + Markup("").join(blocks))


def words_panel(found: Sequence[Explanation], labels: Sequence[str]) -> list[Panel]:
    """The words that spoke most for each label over the explained rows, means over the rows that were given it."""
    lines = []
    for label in labels:
        own = [item for item in found if item.of == label]
        words: dict[str, list[float]] = {}
        for item in own:
            for part in item.parts:
                words.setdefault(part.feature.strip(".,;:!?()\"'").casefold(), []).append(part.contribution)
        best = sorted(((sum(values) / len(own), word) for word, values in words.items() if word), reverse=True)
        best = [(value, word) for value, word in best[:_WORDS_OF_A_LABEL] if value > 0]
        if best:
            shown = ", ".join(f"{word} ({number(value, signed=True)})" for value, word in best)
            lines.append((label, len(own), shown))
    if not lines:
        return []
    lines.sort(key=lambda line: (-line[1], line[0]))
    rows = Markup("").join(
        Markup('<tr><th>{}</th><td class="n">{}</td><td>{}</td></tr>').format(*line) for line in lines[:_MOST_LABELS]
    )
    table = Markup(
        '<div class="wide"><table><tr><th>label</th><th class="n">rows</th><th>words</th></tr>{}</table></div>'
    ).format(rows)
    unit = found[0].unit
    intro = Markup(
        '<p class="soft">What words added to the {} of the label that was given, the mean over the explained rows that were '
        "given it. Of "
        "few rows these are words of these rows, and not of the label.</p>"
    ).format(unit)
    return [Panel("Words that spoke for a label", intro + table)]


def dependence_panel(found: Sequence[Dependence], values: Values, label: str | None) -> list[Panel]:
    """Curves of the predictions over the values of columns."""
    if not found:
        return []
    what = f"probability of “{label}”" if label is not None else f"prediction ({values.unit})"
    low = min(min(item.lows) for item in found)
    high = max(max(item.highs) for item in found)
    drawn = [_curve(item, low, high) if item.numbers is not None else _steps(item, low, high) for item in found]
    intro = Markup(
        '<p class="soft">The mean {} over training rows when a column is set to a value and all others stay; in the shade lie '
        "eight of ten "
        "rows. All drawings have one scale, {} to {}.</p>"
    ).format(what, number(low), number(high))
    return [
        Panel(
            "How predictions move with the columns that matter most",
            intro + Markup('<div class="curves">{}</div>').format(Markup("").join(drawn)),
        )
    ]


def _intro(found: Sequence[Explanation], told: str) -> Markup:
    """How they were made, how exact, whether they are faithful, and what they do not say."""
    missed = [item.missed for item in found if item.kind == "gradients" and item.missed is not None]
    exact = f" Over {len(found)} rows the sums miss {100 * float(np.mean(missed)):.1f}% on average." if missed else ""
    return Markup("<p>{}{}</p><p>{}</p>").format(found[0].says, exact, told)


def _block(name: str, found: Explanation, truths: Mapping[str, str], shown: Markup) -> Markup:
    """One row: what was said of it and what is true, and why."""
    of_label = found.unit in {LOG_ODDS, PROBABILITY}
    nothing = "all of it covered" if found.heat is not None else "where nothing is known"
    numbers = f"{number(found.value)}, {nothing} {number(found.base)}"
    said = f"{found.of}: {found.unit} {numbers}" if of_label else f"{numbers} {found.unit}"
    truth = truths.get(name, "")
    mark = "bad" if of_label and found.of != truth else "even"
    return Markup(
        '<article class="example why"><div class="soft">{}</div><p><strong>{}</strong> <span class="{}">true: '
        "{}</span></p>{}</article>"
    ).format(name, said, mark, truth, shown)


def _bars(found: Explanation) -> Markup:
    """Columns with their values and contributions as bars from a middle line."""
    largest = max((abs(part.contribution) for part in found.parts), default=0.0) or 1.0
    rows = Markup("").join(_bar(part, largest) for part in found.parts[:_MOST_PARTS])
    left = found.parts[_MOST_PARTS:]
    more = Markup('<p class="soft">{} more columns together {}.</p>').format(
        len(left), number(sum(part.contribution for part in left), signed=True)
    )
    return Markup('<div class="parts">{}</div>{}').format(rows, more if left else "")


def _bar(part: Part, largest: float) -> Markup:
    """One column."""
    width = 50 * abs(part.contribution) / largest
    start = 50 if part.contribution >= 0 else 50 - width
    error = f" ± {number(2 * part.error)}" if part.error else ""
    return Markup(
        '<div class="part"><span>{} <span class="soft">{}</span></span><svg viewBox="0 0 100 8" preserveAspectRatio="none" '
        'role="img" aria-label="{}"><line class="zero" x1="50" x2="50" y1="0" y2="8"/><rect class="{}" x="{:.2f}" y="1" '
        'width="{:.2f}" height="6"/></svg><span class="n">{}{}</span></div>'
    ).format(
        part.feature, part.value, f"{part.feature} {number(part.contribution, signed=True)}",
        "for" if part.contribution >= 0 else "against", start, max(width, 0.5), number(part.contribution, signed=True), error,
    )  # fmt: skip


def _coloured(found: Explanation) -> Markup:
    """The words of a text in their order, each the stronger in colour the more it contributes."""
    largest = max((abs(part.contribution) for part in found.parts), default=0.0) or 1.0
    words = Markup(" ").join(
        Markup('<span class="word {}" style="--share:{:.0f}%" title="{}">{}</span>').format(
            "for" if part.contribution >= 0 else "against",
            60 * abs(part.contribution) / largest,
            number(part.contribution, signed=True),
            part.feature,
        )
        for part in sorted(found.parts, key=lambda item: item.place)
    )
    return Markup('<div class="coloured">{}</div>').format(words)


def _curve(found: Dependence, low: float, high: float) -> Markup:
    """A column of numbers: a line with a shade."""
    assert found.numbers is not None
    first, last = found.numbers[0], found.numbers[-1]

    def place(x: float, y: float) -> str:
        return (
            f"{10 + (_WIDE - 20) * (x - first) / (last - first or 1.0):.1f},{10 + _HIGH * (high - y) / (high - low or 1.0):.1f}"
        )

    line = " ".join(place(x, y) for x, y in zip(found.numbers, found.means, strict=True))
    upper = [place(x, y) for x, y in zip(found.numbers, found.highs, strict=True)]
    lower = [place(x, y) for x, y in zip(found.numbers, found.lows, strict=True)]
    inside = Markup('<polygon class="shade" points="{}"/><polyline class="curve tuned" points="{}"/>').format(
        " ".join([*upper, *reversed(lower)]), line
    )
    return _frame(found, inside, f"{first:.4g}", f"{last:.4g}")


def _steps(found: Dependence, low: float, high: float) -> Markup:
    """A column of categories: a dot with a line for each."""
    pieces = []
    for number_of, (mean, bottom, top) in enumerate(zip(found.means, found.lows, found.highs, strict=True)):
        x = 10 + (_WIDE - 20) * (number_of + 0.5) / len(found.kinds)
        heights = [10 + _HIGH * (high - y) / (high - low or 1.0) for y in (bottom, mean, top)]
        pieces.append(
            Markup(
                '<line class="shade" x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}"/><circle class="dot tuned" cx="{x:.1f}" '
                'cy="{m:.1f}" r="4"><title>{kind}</title></circle><text x="{x:.1f}" y="{t}" text-anchor="middle">{place}</text>'
            ).format(
                x=x, a=heights[0], m=heights[1], b=heights[2], t=_HIGH + 24, kind=found.kinds[number_of], place=number_of + 1
            )
        )
    names = Markup(" · ").join(Markup("{} {}").format(place, kind) for place, kind in enumerate(found.kinds, start=1))
    return _frame(found, Markup("").join(pieces), "", "", names)


def _frame(found: Dependence, inside: Markup, left: str, right: str, names: Markup | str = "") -> Markup:
    """The drawing of one column."""
    unit = f" ({found.column.unit})" if found.column.unit else ""
    return Markup(
        '<figure><svg viewBox="0 0 {w} {h}" role="img" aria-label="{name}"><rect class="frame" x="10" y="10" width="{iw}" '
        'height="{ih}"/>{inside}<text x="10" y="{t}">{left}</text><text x="{r}" y="{t}" text-anchor="end">{right}</text></svg>'
        "<figcaption>{name}{unit} <small>{names}</small></figcaption></figure>"
    ).format(
        w=_WIDE, h=_HIGH + 30, name=found.column.name, iw=_WIDE - 20, ih=_HIGH, inside=inside, t=_HIGH + 24, r=_WIDE - 10,
        left=left, right=right, unit=unit, names=names,
    )  # fmt: skip
