"""A comparison in words: for the terminal, and for the sentences of its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.core.telling import Pairs, Table, Told, counted, duration_text, size_text
from studio.evals.numbers import figure, interval_text
from studio.search.comparison import ComparisonRecord
from studio.search.journal import Trial


def told(place: Path, record: ComparisonRecord) -> Told:
    """The end of a comparison."""
    pairs: list[tuple[str, object]] = [("comparison", place), ("rows", rows_sentence(record)), ("ranks", ranks_sentence(record))]
    pairs += [("left out", f"{name}: {reason}") for name, reason in left_out(record)]
    pairs.append(("report", place / "report.html"))
    blocks = (scores_table(record), "", differences_table(record), "", Pairs(pairs))
    return Told(blocks, {"folder": str(place), **record.model_dump(mode="json")})


def in_order(record: ComparisonRecord) -> list[int]:
    """Numbers of the candidates that were compared, the best first."""
    assert record.metric is not None
    of = [number for number, found in enumerate(record.result["candidates"]) if found["left_out"] is None]
    sign = -1 if record.better == "higher" else 1
    return sorted(of, key=lambda number: sign * score_of(record, number)["value"])


def score_of(record: ComparisonRecord, number: int, metric: str | None = None) -> dict[str, Any]:
    """A score of a candidate, by default that which all are compared by."""
    found: dict[str, Any] = record.result["candidates"][number]["scores"][metric or record.metric]
    return found


def left_out(record: ComparisonRecord) -> Iterator[tuple[str, str]]:
    """Candidates that could not be compared, and why."""
    for item, found in zip(record.candidates, record.result["candidates"], strict=True):
        if found["left_out"] is not None:
            yield item.label, found["left_out"]


def scores_table(record: ComparisonRecord) -> Table:
    """Every candidate that was compared: scores, time, size."""
    first = in_order(record)[0]
    others = [name for name in record.result["candidates"][first]["scores"] if name != record.metric]
    columns = ["preset", str(record.metric), "95% interval", *others, "training", "size"]
    lines = []
    for number in in_order(record):
        found, score = record.result["candidates"][number], score_of(record, number)
        lines.append(
            [
                record.candidates[number].label,
                figure(score["value"], score["unit"]),
                interval_text(score["low"], score["high"]),
                *(figure(score_of(record, number, name)["value"], score_of(record, number, name)["unit"]) for name in others),
                duration_text(found["seconds"]) if found["seconds"] is not None else "–",
                size_text(found["bytes"]) if found["bytes"] is not None else "–",
            ]
        )
    return Table(columns, lines, right=columns[1:])


def differences_table(record: ComparisonRecord) -> Table:
    """Every pair, on the same rows."""
    lines = [
        [
            f"{first} − {second}",
            figure(item["value"], score_of(record, item["first"])["unit"], signed=True),
            interval_text(item["low"], item["high"], signed=True),
            item["p_holm"],
            verdict,
        ]
        for first, second, item, verdict in pairs_of(record)
    ]
    columns = ["difference", str(record.metric), "95% interval", "p (Holm)", "verdict"]
    return Table(columns, lines, right=columns[1:4])


def pairs_of(record: ComparisonRecord) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Names of both, the difference of first and second, and the verdict in words."""
    for item in record.result["differences"]:
        first, second = (record.candidates[item[side]].label for side in ("first", "second"))
        verdict = str(item["verdict"])
        if verdict in {"better", "worse"}:
            verdict = f"{first if verdict == 'better' else second} is better"
        yield first, second, item, verdict


def rows_sentence(record: ComparisonRecord) -> str:
    """What the scores rest on."""
    assert record.rows is not None and record.clusters is not None
    if record.split == "validation":
        return (
            f"{record.rows:,} values in {counted(record.clusters, 'group')}, forecast before they were seen while each preset "
            f"trained once; test was left alone ({duration_text(record.seconds)})"
        )
    together = f" in {counted(record.clusters, 'group')} that stay together" if record.clusters < record.rows else ""
    return (
        f"{record.rows:,} of train and validation{together}, each held out once in {counted(len(record.folds), 'fold')}; test "
        f"was left alone ({duration_text(record.seconds)})"
    )


def ranks_sentence(record: ComparisonRecord) -> str:
    """Friedman and Nemenyi in words."""
    ranks = record.result["ranks"]
    if ranks is None:
        return "none: there is one group of rows, and ranks want several"
    over = "folds" if record.split == "test" else counted(int(record.clusters or 0), "group")
    said = ", ".join(f"{record.candidates[ranks['of'][place]].label} {ranks['ranks'][place]:.2f}" for place in ranks["order"])
    test = f"Friedman's p = {ranks['p']:.3g}; " if ranks["p"] is not None else ""
    return f"{said} (mean over {over}, 1 is best); {test}critical difference {ranks['critical']:.2f}"


def trial_line(record: ComparisonRecord, ended: Trial) -> str:
    """What became of a training, on one line while the comparison goes on."""
    candidate, fold = divmod(ended.number, len(record.folds))
    name = record.candidates[candidate].label + (f", fold {fold + 1}/{len(record.folds)}" if len(record.folds) > 1 else "")
    if ended.state != "finished":
        return f"{name}  {ended.state}: {ended.reason}"
    metric = record.metric if record.metric in ended.measures else next(iter(ended.measures))
    return f"{name}  {metric} {figure(ended.measures[metric], ended.units[metric])}  {duration_text(ended.seconds)}"
