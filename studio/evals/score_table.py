"""The table of a report as a terminal and a page show it: base, tuned, their difference with its interval, the verdict."""

from __future__ import annotations

from studio.core.records import ReportRecord, side_names
from studio.core.translation import t
from studio.evals.numbers import interval_text, number


def score_table(record: ReportRecord) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table metric, base, tuned (baseline and model of what predicts), difference with interval,
    verdict; without a base, the scores.
    """
    if "base" not in record.scores:
        return ["metric", "value", "95% interval"], [
            [score.metric, number(score.value), interval_text(score.low, score.high)] for score in record.scores["tuned"]
        ]
    base = {score.metric: score for score in record.scores["base"]}
    differences = {item.metric: item for item in record.differences}
    rows = []
    for score in record.scores["tuned"]:
        item = differences.get(score.metric)
        rows.append(
            [
                score.metric,
                number(base[score.metric].value if score.metric in base else None),
                number(score.value),
                number(item.value if item else None, signed=True),
                interval_text(item.low, item.high, signed=True) if item else "–",
                item.verdict if item else "not computed" if score.value is None else "",
            ]
        )
    names = side_names(record.models)
    return ["metric", names["base"], names["tuned"], "difference", "95% interval", "verdict"], rows


def correction_note(record: ReportRecord) -> str | None:
    """Why an interval above 0 may stand beside "no difference shown": the verdicts are corrected for all comparisons."""
    compared = sum(item.p_holm is not None for item in record.differences)
    if compared < 2:
        return None
    text = "Each interval stands for itself; the verdicts hold for all {number} comparisons of the suite together (Holm)."
    return t(text, number=compared)
