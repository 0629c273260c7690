"""``report.html``: one page that opens without a network, the summary first, the evidence under it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from studio.core.records import Difference, ReportRecord, Score
from studio.evals.gate import missed_thresholds
from studio.evals.metrics.base import Metric
from studio.evals.numbers import number
from studio.evals.scoring import most_changed
from studio.evals.statistics import NO_DIFFERENCE, NOT_COMPUTED
from studio.schema.suite import Suite

# Metrics that say most about a single free answer, the best first.
_COMPARE_BY = ("rougeL", "chrf", "bleu", "rouge1", "exact_match", "perplexity")
_MARK = {"better": "▲", "worse": "▼", "higher": "△", "lower": "▽", NO_DIFFERENCE: "=", NOT_COMPUTED: "?"}


def render_page(record: ReportRecord, lines: Sequence[dict[str, Any]], metrics: Sequence[Metric], suite: Suite) -> str:
    """The whole page as HTML with inline style and pictures; what models and data wrote is escaped."""
    by_key = {metric.key: metric for metric in metrics}
    scores = {label: {score.metric: score for score in items} for label, items in record.scores.items()}
    differences = {item.metric: item for item in record.differences}
    missed = missed_thresholds(record, suite.thresholds)
    compared = choose_comparison(suite, metrics)
    improved, worsened = most_changed(lines, compared, suite.examples_shown) if compared and "base" in scores else ([], [])
    return _template().render(
        record=record,
        suite=suite,
        rows=[_row(metric, scores, differences.get(metric.key)) for metric in metrics],
        summary=summary_sentences(record, by_key),
        has_base="base" in scores,
        base_name=record.models.get("base", {}).get("name"),
        run_name=record.models["tuned"].get("name"),
        warnings=record.settings.get("warnings", []),
        missed=missed,
        compared=compared,
        improved=[_example(lines[index], compared) for index in improved],
        worsened=[_example(lines[index], compared) for index in worsened],
        first=[] if improved or worsened else [_example(line, compared) for line in lines[: suite.examples_shown]],
        limits=limits(record, by_key),
    )


def choose_comparison(suite: Suite, metrics: Sequence[Metric]) -> Metric | None:
    """The metric that ranks examples: the suite's choice, else the first suitable one."""
    by_key = {metric.key: metric for metric in metrics if metric.better != "neither"}
    names = [suite.compare_by] if suite.compare_by else [*_COMPARE_BY, *by_key]
    return next((by_key[name] for name in names if name in by_key), None)


def summary_sentences(record: ReportRecord, metrics: dict[str, Metric]) -> list[str]:
    """What a person in a hurry reads: which measures moved, and which way."""
    if not record.differences:
        return [f"The tuned model alone, on {record.dataset['rows']} held-out rows; nothing to compare it with was measured."]
    groups: dict[str, list[str]] = {}
    for item in record.differences:
        groups.setdefault(item.verdict, []).append(metrics[item.metric].title)
    words = {
        "better": "Better than the base on",
        "worse": "Worse than the base on",
        NO_DIFFERENCE: "No difference shown on",
        "higher": "Higher, neither good nor bad by itself, on",
        "lower": "Lower, neither good nor bad by itself, on",
        NOT_COMPUTED: "Could not be compared on",
    }
    return [
        f"{start} {len(groups[key])} of {len(record.differences)} measures: {', '.join(groups[key])}."
        for key, start in words.items()
        if key in groups
    ]


def limits(record: ReportRecord, metrics: dict[str, Metric]) -> list[str]:
    """What the numbers do not show, as far as it follows from how they were made."""
    count = record.dataset["rows"]
    found = [
        f"The intervals say how far the numbers would move with other questions of the same kind ({count} were asked). They do "
        "not cover another training seed, other wording of the prompts, or questions from elsewhere.",
    ]
    if any(metrics[name].needs == "answers" for name in metrics):
        found.append(
            "Overlap with one reference answer is not truth: a correct answer in other words scores low, and a wrong one with "
            "the right words scores high. Read the examples."
        )
    if "perplexity" in metrics:
        found.append("Perplexity shows how expected the reference answers are, not whether the model would write them.")
    found.append("Nothing here measures bias, safety, or what the model forgot of what its base could do.")
    if len(record.differences) > 1:
        found.append(
            f"{len(record.differences)} measures were compared, each at 95%: with that many, one may look different by chance."
        )
    return found


def difference_picture(item: Difference | None, better: str) -> Markup:
    """One line of the plot: the interval of a difference around 0, better to the right, on a scale of its own."""
    if item is None or item.value is None or item.low is None or item.high is None:
        return Markup("")
    sign = -1.0 if better == "lower" else 1.0
    low, high = sorted((sign * item.low, sign * item.high))
    reach = max(abs(low), abs(high), abs(item.value)) or 1.0

    def place(value: float) -> float:
        return 160 + 148 * value / reach

    kind = {"better": "good", "worse": "bad"}.get(item.verdict, "even")
    left, right, middle = place(low), place(high), place(sign * item.value)
    return Markup(
        '<svg viewBox="0 0 320 24" role="img" aria-label="{label}" class="interval {kind}">'
        '<line x1="160" y1="0" x2="160" y2="24" class="zero"/>'
        '<line x1="{left:.1f}" y1="12" x2="{right:.1f}" y2="12" class="range"/>'
        '<line x1="{left:.1f}" y1="6" x2="{left:.1f}" y2="18" class="range"/>'
        '<line x1="{right:.1f}" y1="6" x2="{right:.1f}" y2="18" class="range"/><circle cx="{middle:.1f}" cy="12" r="5"/></svg>'
    ).format(
        label=f"{number(item.value, signed=True)}, from {number(item.low, signed=True)} to {number(item.high, signed=True)}",
        kind=kind,
        left=left,
        right=right,
        middle=middle,
    )


def _row(metric: Metric, scores: dict[str, dict[str, Score]], difference: Difference | None) -> dict[str, Any]:
    """One line of the table and of the plot."""
    tuned = scores["tuned"][metric.key]
    base = scores.get("base", {}).get(metric.key)
    return {
        "metric": metric,
        "tuned": tuned,
        "base": base,
        "difference": difference,
        "mark": _MARK.get(difference.verdict, "") if difference else "",
        "picture": difference_picture(difference, metric.better),
        "coverage": min(tuned.coverage, base.coverage if base else 1.0),
    }


def _example(line: dict[str, Any], compared: Metric | None) -> dict[str, Any]:
    """One example: what was asked, what should come, what came."""
    key = compared.key if compared else ""
    return {
        "id": line["id"],
        "prompt": line["prompt"],
        "reference": line["reference"],
        "answers": [
            {
                "label": label,
                "text": line[f"{label}_answer"],
                "cut": line[f"{label}_stopped_by_limit"],
                "score": line.get(f"{label}_{key}"),
            }
            for label in ("base", "tuned")
            if f"{label}_answer" in line
        ],
    }


@cache
def _template() -> Template:
    """The page's Jinja template, which escapes everything that is not marked as safe."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    return environment.from_string((Path(__file__).parent / "report.html.j2").read_text(encoding="utf-8"))
