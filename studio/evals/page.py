"""``report.html``: one page that opens without a network, the summary first, the evidence under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template

from studio.core.records import Difference, GroupScores, ReportRecord, Score, TaskRecord, side_names
from studio.core.telling import counted
from studio.evals.charts import bars, difference_picture, scale_of
from studio.evals.gate import Judged, judged, means
from studio.evals.languages import told
from studio.evals.numbers import figure, number
from studio.evals.page_templates import page_template
from studio.evals.statistics import NO_DIFFERENCE, NOT_COMPUTED
from studio.evals.task import CardGroup, Panel
from studio.language.identify import name_of
from studio.schema.suite import Suite

_MARK = {"better": "▲", "worse": "▼", "higher": "△", "lower": "▽", NO_DIFFERENCE: "=", NOT_COMPUTED: "?"}
_WORDS = {
    "better": "better than the base on",
    "worse": "worse than the base on",
    NO_DIFFERENCE: "no difference shown on",
    "higher": "higher, neither good nor bad by itself, on",
    "lower": "lower, neither good nor bad by itself, on",
    NOT_COMPUTED: "could not be compared on",
}
# Groups beyond this many are in scores.json only: a page of a thousand bars is not read.
_GROUPS_SHOWN = 40
# What may matter of a model and the tasks that measure it: of those that write, and of those that give labels or numbers.
_FAIRNESS = ("fairness between groups", {"fairness"})
_FOR_WRITERS: tuple[tuple[str, set[str]], ...] = (
    ("bias", {"crows_pairs", "stereoset", "winobias", "winogender", "bbq", "counterfactual"}),
    _FAIRNESS,
    ("safety", {"safety"}),
    ("leakage of training data", {"leakage"}),
)
_FOR_PREDICTORS: tuple[tuple[str, set[str]], ...] = (_FAIRNESS,)
# A task on fewer rows is named at the top.
_FEW = 30


def render_page(
    record: ReportRecord,
    cards: Mapping[str, Sequence[CardGroup]],
    suite: Suite,
    panels: Mapping[str, Sequence[Panel]] | None = None,
) -> str:
    """The whole page as HTML with inline style and pictures; what models and data wrote is escaped.

    Args:
        cards: examples to show, by task. panels: blocks of a task's own, by task.
    """
    return _template().render(
        record=record,
        suite=suite,
        sections=[
            _section(task, record, list(cards.get(task.name, []))) | {"panels": (panels or {}).get(task.name, [])}
            for task in record.tasks
        ],
        single=suite.short,
        summary=summary_sentences(record),
        glance=glance(record),
        has_base="base" in record.scores,
        base_name=_short(record.models.get("base", {}).get("name")),
        run_name=_short(record.models["tuned"].get("name")),
        warnings=_warnings(record, suite),
        gate=_gate(judged(record, suite.thresholds)),
        basis=basis(record),
        limits=limits(record),
        answers=not predicts(record) and any(task.type != "images" for task in record.tasks),
        names={label: name.capitalize() for label, name in side_names(record.models).items()},
    )


def predicts(record: ReportRecord) -> bool:
    """True for a report on a model that gives labels or numbers and writes nothing."""
    return record.models["tuned"].get("kind") == "predictor"


def basis(record: ReportRecord) -> str:
    """On what the page rests: how many rows of what, in which language, and what the models computed in."""
    rows = sum(task.rows for task in record.tasks) or int(record.dataset.get("rows") or 0)
    asked = [task for task in record.tasks if not task.reason]
    of = f"{counted(rows, 'row')} in {counted(len(asked), 'task')}" if len(record.tasks) > 1 else counted(rows, "row")
    if record.dataset.get("split") is None:
        # Else the line above names the rows.
        names = dict.fromkeys(Path(str(task.data["name"])).name for task in asked if task.data.get("name"))
        of += f" of {', '.join(names)}" if names else ""
    spoken: dict[str, int] = {}
    for task in asked:
        for code, count in task.data.get("languages", {}).get("references", {}).items():
            spoken[code] = spoken.get(code, 0) + count
    parts = [f"It rests on {of}"]
    if spoken:
        parts.append(f"answers wanted in {told(spoken) if len(spoken) > 1 else name_of(next(iter(spoken)))}")
    types = {label: model.get("dtype") for label, model in record.models.items() if model.get("dtype")}
    if types:
        alike = len(set(types.values())) == 1
        each = next(iter(types.values())) if alike else " and ".join(f"{label} {name}" for label, name in types.items())
        parts.append(f"computed in {each}")
    few = [task.title for task in asked if 0 < task.rows < _FEW]
    parts += [f"few rows in {', '.join(few)}"] if few else []
    return "; ".join(parts) + "."


def _gate(found: Sequence[Judged]) -> dict[str, Any]:
    """The gate as the top of the page says it."""
    return {
        "count": len(found),
        "met": sum(item.verdict == "met" for item in found),
        "missed": [item.sentence for item in found if item.verdict == "missed"],
        "not_shown": [item.sentence for item in found if item.verdict == "not shown"],
    }


def summary_sentences(record: ReportRecord) -> list[str]:
    """What a person in a hurry reads: which measures moved, and which way; what was not computed."""
    if len(record.tasks) > 1:
        return _summary_of_many(record)
    (task,) = record.tasks
    found = [item for item in record.differences if item.task == task.name]
    if task.reason:
        sentences = [f"not computed. {task.reason}"]
    elif found:
        sentences = _verdicts(found, _titles(record, task.name))
    elif "base" in record.scores:
        sentences = [_first_values(record, task)]
    else:
        sentences = [f"the model alone, on {task.rows} rows; nothing to compare it with was measured."]
    return [*task.lead, *(sentence[:1].upper() + sentence[1:] for sentence in sentences)]


def _summary_of_many(record: ReportRecord) -> list[str]:
    """The measures that moved, task by task; the others in one sentence; the tasks that were not computed."""
    sentences = [f"{task.title}: {sentence}" for task in record.tasks for sentence in task.lead]
    for verdict, words in (("worse", "Worse than the base"), ("better", "Better than the base")):
        parts = []
        for task in record.tasks:
            titles = _titles(record, task.name)
            moved = [
                titles.get(item.metric, item.metric)
                for item in record.differences
                if (item.task, item.verdict) == (task.name, verdict)
            ]
            parts += [f"{task.title} ({', '.join(moved)})"] if moved else []
        if parts:
            sentences.append(f"{words}: {'; '.join(parts)}.")
    if record.differences:
        judged = [item for item in record.differences if item.verdict != NOT_COMPUTED]
        even = sum(item.verdict not in {"better", "worse"} for item in judged)
        sentences.append(f"No difference for better or worse shown on {even} of {len(judged)} measures.")
    elif "base" not in record.scores:
        sentences.append("The model alone; nothing to compare it with was measured.")
    missing = [f"{task.title}: not computed. {task.reason}" for task in record.tasks if task.reason]
    return sentences + missing


def glance(record: ReportRecord) -> list[dict[str, Any]]:
    """One line per task: how many measures are better, worse, not shown to differ, not computed; thresholds not met on it."""
    open_ones = [*record.gate.get("missed", []), *record.gate.get("not_shown", [])]
    named = [sentence.partition(" ")[0] for sentence in open_ones]
    missed = [next((item.task for item in record.scores["tuned"] if means(item, name)), None) for name in named]
    lines = []
    for task in record.tasks:
        found = [item.verdict for item in record.differences if item.task == task.name]
        empty = sum(item.value is None for item in record.scores["tuned"] if item.task == task.name)
        lines.append(
            {
                "task": task,
                "better": found.count("better"),
                "worse": found.count("worse"),
                "even": len(found) - found.count("better") - found.count("worse") - found.count(NOT_COMPUTED),
                "missing": empty,
                "missed": missed.count(task.name),
            }
        )
    return lines


def limits(record: ReportRecord) -> list[str]:
    """What the numbers do not show."""
    found = list(dict.fromkeys(limit for task in record.tasks for limit in task.limits))
    kinds = {task.type for task in record.tasks if not task.reason}
    unmeasured = [words for words, types in (_FOR_PREDICTORS if predicts(record) else _FOR_WRITERS) if not kinds & types]
    # Series, groups of rows and searches are of nobody.
    if unmeasured and not kinds & {"forecast", "clustering", "retrieval"}:
        forgot = "" if predicts(record) or "general" in kinds else "; nor what the model forgot of what its base could do"
        found.append(f"Not measured here: {', '.join(unmeasured)}{forgot}.")
    count = sum(item.p is not None for item in record.differences)
    if count > 1:
        found.append(
            f"{count} comparisons were made. “Better” and “worse” are said only where the p-value is below 0.05 after Holm’s "
            "correction for all of them; the intervals themselves are 95% each, uncorrected."
        )
    return found


def _warnings(record: ReportRecord, suite: Suite) -> list[str]:
    """What stands at the top: all notes of a single task; of several only what makes the scores worthless, the rest is with
    its task.
    """
    warnings = [str(line) for line in record.settings.get("warnings", [])]
    return warnings if suite.short else [line for line in warnings if "TRAINED ON" in line]


def _short(name: object) -> str:
    """A model's name without the folders before it."""
    return Path(str(name)).name if str(name).startswith(("/", ".")) else str(name)


def _verdicts(found: Sequence[Difference], titles: Mapping[str, str]) -> list[str]:
    """One sentence per verdict of a task; measures without a direction come last."""
    by_verdict: dict[str, list[str]] = {}
    for item in found:
        by_verdict.setdefault(item.verdict, []).append(titles.get(item.metric, item.metric))
    return [
        f"{words} {len(by_verdict[key])} of {len(found)} measures: {', '.join(by_verdict[key])}."
        for key, words in _WORDS.items()
        if key in by_verdict
    ]


def _first_values(record: ReportRecord, task: TaskRecord) -> str:
    """The values of a task that compares nothing."""
    scores = [item for item in record.scores.get("tuned", []) if item.task == task.name and item.value is not None]
    return ", ".join(f"{item.title or item.metric} {figure(item.value, item.unit)}" for item in scores[:4]) + "."


def _titles(record: ReportRecord, task: str) -> dict[str, str]:
    """Metric to its name for people."""
    return {item.metric: item.title or item.metric for item in record.scores["tuned"] if item.task == task}


def _section(task: TaskRecord, record: ReportRecord, cards: list[CardGroup]) -> dict[str, Any]:
    """One task as the template shows it."""
    scores = {label: [item for item in items if item.task == task.name] for label, items in record.scores.items()}
    differences = {item.metric: item for item in record.differences if item.task == task.name}
    base = {item.metric: item for item in scores.get("base", [])}
    return {
        "task": task,
        "rows": [_row(item, base.get(item.metric), differences.get(item.metric)) for item in scores.get("tuned", [])],
        "groups": [_group(item) for item in record.groups if item.task == task.name],
        "cards": [group for group in cards if group.cards],
    }


def _row(tuned: Score, base: Score | None, difference: Difference | None) -> dict[str, Any]:
    """One line of the table and of the plots."""
    shown: dict[str, Score] = {label: item for label, item in (("base", base), ("tuned", tuned)) if item is not None}
    scale = scale_of(list(shown.values()), tuned.ideal)
    return {
        "tuned": tuned,
        "base": base,
        "difference": difference,
        "title": tuned.title or tuned.metric,
        "mark": _MARK.get(difference.verdict, "") if difference else "",
        "picture": difference_picture(difference, tuned.better),
        "bars": bars(shown, scale, tuned.ideal) if any(item.value is not None for item in shown.values()) else "",
        "end": scale[1],
        "coverage": min(tuned.coverage, base.coverage if base else 1.0),
    }


def _group(item: GroupScores) -> dict[str, Any]:
    """Per-group bars, all on one scale; groups beyond the first forty are left to scores.json."""
    names = list(dict.fromkeys(score.metric for scores in item.scores.values() for score in scores))
    by_label = {label: {score.metric: score for score in scores} for label, scores in item.scores.items()}
    scale = scale_of([score for scores in item.scores.values() for score in scores], item.ideal)
    order = [label for label in ("base", "tuned") if label in by_label]
    lines = []
    for name in names[:_GROUPS_SHOWN]:
        shown: dict[str, Score] = {label: by_label[label][name] for label in order if name in by_label[label]}
        last = list(shown.values())[-1]
        lines.append(
            {"name": name, "scores": shown, "bars": bars(shown, scale, item.ideal), "n": last.n, "note": last.note, "last": last}
        )
    return {"item": item, "lines": lines, "left_out": max(0, len(names) - _GROUPS_SHOWN), "scale": scale}


@cache
def _template() -> Template:
    """The page's template."""
    return page_template("report.html.j2", {"number": number, "figure": figure, "counted": counted})
