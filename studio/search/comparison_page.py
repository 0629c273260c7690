"""``report.html`` of a comparison: verdicts first, then scores, pairs, ranks, and what each costs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from studio.core.files import write_text
from studio.core.records import Difference
from studio.core.telling import duration_text, size_text
from studio.evals.charts import difference_picture
from studio.evals.numbers import figure, interval_text, number
from studio.evals.page_templates import page_template
from studio.evals.statistics import NO_DIFFERENCE
from studio.search.charts import cost_chart, critical_chart
from studio.search.comparison import ComparisonRecord
from studio.search.comparison_told import in_order, left_out, pairs_of, ranks_sentence, rows_sentence, score_of
from studio.search.ranks import Ranks

HERE = Path(__file__).parent


def write_page(place: Path, record: ComparisonRecord) -> None:
    """Write the page into the comparison's folder."""
    write_text(place / "report.html", render_page(record))


def render_page(record: ComparisonRecord) -> str:
    """The whole page as HTML with inline style and plots; names and texts of others are escaped."""
    order = in_order(record)
    others = [name for name in record.result["candidates"][order[0]]["scores"] if name != record.metric]
    return _template().render(
        record=record,
        style=Markup((HERE / "pages.css").read_text(encoding="utf-8")),
        rows=rows_sentence(record),
        verdicts=verdicts(record),
        left_out=list(left_out(record)),
        others=others,
        by_fold=len(record.folds) > 1,
        lines=[_line(record, number, others) for number in order],
        differences=[_difference(record, *pair) for pair in pairs_of(record)],
        ranks=ranks_sentence(record),
        ranks_chart=_ranks_chart(record),
        costs=_costs(record),
        how=how(record),
    )


def _ranks_chart(record: ComparisonRecord) -> Markup:
    """The diagram of critical differences; nothing where there are no ranks."""
    found = record.result["ranks"]
    if found is None:
        return Markup("")
    groups = tuple((first, last) for first, last in found["groups"])
    ranks = Ranks(tuple(found["ranks"]), tuple(found["order"]), found["p"], found["critical"], groups)
    return critical_chart(ranks, [record.candidates[number].label for number in found["of"]], ranks_sentence(record))


def verdicts(record: ComparisonRecord) -> list[str]:
    """The best one, and what it is shown to be better than."""
    best = in_order(record)[0]
    label = record.candidates[best].label
    score = score_of(record, best)
    beaten: list[str] = []
    even: list[str] = []
    for item in record.result["differences"]:
        if best not in (item["first"], item["second"]):
            continue
        other = record.candidates[item["second"] if item["first"] == best else item["first"]].label
        (even if item["verdict"] == NO_DIFFERENCE else beaten).append(other)
    value = figure(score["value"], score["unit"])
    said = [f"{label} has the best {record.metric}: {value} ({interval_text(score['low'], score['high'])})."]
    if beaten:
        said.append(f"It is shown to be better than {', '.join(beaten)}.")
    if even:
        said.append(f"No difference is shown from {', '.join(even)}.")
    return said


def _line(record: ComparisonRecord, number_of: int, others: list[str]) -> dict[str, Any]:
    """One candidate in the table of scores."""
    found, score = record.result["candidates"][number_of], score_of(record, number_of)
    further = [score_of(record, number_of, name) for name in others]
    return {
        "name": record.candidates[number_of].label,
        "value": figure(score["value"], score["unit"]),
        "interval": interval_text(score["low"], score["high"]),
        "others": [figure(item["value"], item["unit"]) for item in further],
        "by_fold": ", ".join(figure(value, score["unit"]) for value in found["by_fold"]),
        "seconds": duration_text(found["seconds"]) if found["seconds"] is not None else "–",
        "bytes": size_text(found["bytes"]) if found["bytes"] is not None else "–",
    }


def _difference(record: ComparisonRecord, first: str, second: str, item: dict[str, Any], verdict: str) -> dict[str, Any]:
    """One pair."""
    unit = score_of(record, item["first"])["unit"]
    fields = {key: value for key, value in item.items() if key not in {"first", "second"}}
    return {
        "name": f"{first} − {second}",
        "picture": difference_picture(Difference(**fields), str(record.better)),
        "value": figure(item["value"], unit, signed=True),
        "interval": interval_text(item["low"], item["high"], signed=True),
        "p": number(item["p_holm"]) if item["p_holm"] is None or item["p_holm"] >= 0.001 else "< 0.001",
        "verdict": verdict,
    }


def _costs(record: ComparisonRecord) -> list[dict[str, Any]]:
    """Score against time and against size."""
    found = []
    for key, title, words in (("seconds", "Seconds of training", "s"), ("bytes", "Bytes of the model", "B")):
        dots = [
            (record.candidates[number_of].label, float(cost), float(score_of(record, number_of)["value"]))
            for number_of in in_order(record)
            if (cost := record.result["candidates"][number_of][key])
        ]
        if len(dots) > 1:
            found.append({"title": title, "chart": cost_chart(dots, f"{record.metric} against {title.lower()}", words)})
    return found


def how(record: ComparisonRecord) -> list[str]:
    """How it was done, and what its numbers rest on."""
    statistics = (
        "A score is the mean over all of them; its interval and the paired differences are those of evaluations: exact for "
        "shares, studentised bootstrap for other means, McNemar's or a permutation test, Holm's correction over all pairs."
    )
    seconds = "Seconds are wall clock of one training{}, on a machine that may do other things meanwhile."
    test = "Test rows were not read. Measure the one you choose on them once: studio train, then studio eval."
    demsar = "The ranks follow Demsar 2006 (https://www.jmlr.org/papers/v7/demsar06a.html)."
    if record.split == "validation":
        return [
            "Every preset trained once, and forecast parts of the rows before it had seen them (rolling origins). Values of one "
            "series are not independent, so they count as one in intervals.",
            statistics,
            f"{demsar} There each block is a data set of its own; here it is a series, and series of one source move together.",
            seconds.format(""),
            test,
        ]
    return [
        f"Train and validation rows were divided into {len(record.folds)} folds with seed {record.seed}; labels have about the "
        "same share in each. Every preset trained on the same rows of each fold, with a share set aside for what it chooses by "
        "validation, and was measured on the rows held out.",
        *(f"{note[0].upper()}{note[1:]}." for note in record.notes),
        statistics,
        f"{demsar} There each block is a data set of its own, here it is a fold of one, and folds share most of their training "
        "rows. So the test takes them for more independent than they are (Bengio and Grandvalet 2004, "
        "https://www.jmlr.org/papers/v5/grandvalet04a.html), and says nothing of other data.",
        seconds.format(", the median over folds"),
        test,
    ]


@cache
def _template() -> Template:
    """The page's template."""
    return page_template("comparison.html.j2", folder=HERE)
