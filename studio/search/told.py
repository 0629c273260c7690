"""A search in words: for the terminal, and for the sentences of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.telling import Block, Pairs, Table, Told, cell_text, duration_text
from studio.evals.numbers import figure, interval_text, number
from studio.evals.statistics import NO_DIFFERENCE
from studio.search.journal import Trial
from studio.search.record import SearchRecord

WORDS = {"finished": "finished", "pruned": "stopped early", "failed": "failed", "unfit": "did not fit", "running": "running"}
OWN = "the preset's own settings"
_SHOWN = 10


def told(place: Path, record: SearchRecord, trials: Sequence[Trial]) -> Told:
    """The end of a search: what was tried, what came of it, what to do next."""
    best = next(trial for trial in trials if trial.number == record.best)
    rows: list[tuple[str, object]] = [("search", place), ("tried", tried_sentence(record))]
    rows += [(WORDS[state], reason) for state in ("failed", "unfit") if (reason := first_reason(trials, state))]
    rows += [("best", best_sentence(record, trials, best)), ("luck", luck_sentence(record))]
    if record.result["importance"]:
        rows.append(("what mattered", importance_sentence(record)))
    rows += [("on rows never seen", confirmation_sentence(record)), ("run", record.result["run"])]
    rows.append(("report", place / "report.html"))
    run = "/".join(Path(record.result["run"]).parts[-2:])
    measured = record.suite in {None, "none"} or "report" in record.result["confirmation"]
    after = [] if measured else [f"studio eval {record.suite} --model {run}"]
    after.append(f"studio train {record.result['run']}  (again with these settings)")
    blocks: tuple[Block, ...] = (table(record, trials), "", Pairs(rows), "\nNext: " + "\n      ".join(after))
    return Told(blocks, {"folder": str(place), **record.model_dump(mode="json"), "trials": list(trials)})


def first_reason(trials: Sequence[Trial], state: str) -> str:
    """Why the first trial that ended so did; empty where none did."""
    found = next((trial for trial in trials if trial.state == state), None)
    return f"trial {found.number}: {found.reason}" if found is not None else ""


def table(record: SearchRecord, trials: Sequence[Trial]) -> Table:
    """The best trials, best first, and the preset's own settings."""
    assert record.metric is not None
    keys = list(record.space)
    columns = ["trial", *short_names(keys), record.metric, "± error", "time"]
    ranked = ranked_trials(record, trials)[:_SHOWN]
    ranked += [trials[0]] if trials[0] not in ranked and trials[0].state == "finished" else []
    lines = [
        [
            f"{trial.number}{' (own settings)' if trial.number == 0 else ''}",
            *(cell_text(trial.settings.get(key)) for key in keys),
            trial.measures[record.metric],
            trial.errors.get(record.metric),
            duration_text(trial.seconds),
        ]
        for trial in ranked
    ]
    return Table(columns, lines, right=[record.metric, "± error", "time"])


def ranked_trials(record: SearchRecord, trials: Sequence[Trial]) -> list[Trial]:
    """Finished trials, the best first."""
    assert record.metric is not None
    sign = -1 if record.better == "higher" else 1
    finished = [trial for trial in trials if trial.state == "finished"]
    return sorted(finished, key=lambda trial: (sign * trial.measures[record.metric or ""], trial.number))


def short_names(keys: Sequence[str]) -> list[str]:
    """Settings by their last word, where that tells them apart."""
    short = [key.rpartition(".")[2] for key in keys]
    return short if len(set(short)) == len(short) else list(keys)


def trial_line(record: SearchRecord, trials: Sequence[Trial], ended: Trial) -> str:
    """What became of a trial, on one line while the search goes on."""
    assert record.metric is not None
    name = OWN if ended.number == 0 else f"trial {ended.number}{f'/{record.trials}' if record.trials else ''}"
    said = settings_text(ended.settings) if ended.number else ""
    if ended.state != "finished":
        return f"{name}  {WORDS[ended.state]}: {ended.reason}  {said}"
    best = ranked_trials(record, trials)[0]
    place = "the best so far" if best.number == ended.number else f"best {number(best.measures[record.metric])}"
    value = number(ended.measures[record.metric])
    return f"{name}  {record.metric} {value} ({place})  {said}  {duration_text(ended.seconds)}".replace("    ", "  ")


def tried_sentence(record: SearchRecord) -> str:
    """How many trials, and how they ended."""
    counts: Mapping[str, int] = record.result["counts"]
    total = sum(counts.values())
    ends = ", ".join(f"{count} {WORDS[state]}" for state, count in counts.items() if count)
    short = ""
    if record.trials is not None and total < record.trials:
        short = "; the minutes were over" if record.minutes is not None else "; the space holds no more"
    noun = "setting" if total == 1 else "settings"
    return f"{total} {noun} beside {OWN}: {ends or 'none'}{short} ({duration_text(record.seconds)}, {record.by})"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings of a trial on one line."""
    return ", ".join(f"{key}={cell_text(value)}" for key, value in settings.items())


def best_sentence(record: SearchRecord, trials: Sequence[Trial], best: Trial) -> str:
    """The best trial, and the preset's own settings beside it."""
    assert record.metric is not None
    value = number(best.measures[record.metric])
    if best.number == 0:
        return f"{OWN}: {record.metric} {value} on the validation rows; no trial was better"
    own = number(trials[0].measures[record.metric])
    return (
        f"trial {best.number} ({settings_text(best.settings)}): {record.metric} {value} on the validation rows, {own} with {OWN}"
    )


def luck_sentence(record: SearchRecord) -> str:
    """What chance gives to the best of so many."""
    found = record.result["luck"]
    if found is None:
        return f"cannot be told: no values of independent rows are known for {record.metric}"
    return (
        f"the best of {found['count']} that are all as good as {OWN} would look better by about {number(found['resampled'])} on "
        f"{found['rows']} such rows ({number(found['formula'])} if they were independent); seen: {number(found['gain'])}, "
        f"p = {found['p']:.3g}"
    )


def importance_sentence(record: SearchRecord) -> str:
    """Settings by what they explain."""
    found: Mapping[str, float] = record.result["importance"]
    return ", ".join(f"{key} {share:.0%}" for key, share in found.items())


def confirmation_sentence(record: SearchRecord) -> str:
    """What the test rows say."""
    found = record.result["confirmation"]
    if "difference" in found:
        item, score = found["difference"], found["scores"]
        unit = score["tuned"]["unit"]
        values = f"{figure(score['tuned']['value'], unit)} against {figure(score['base']['value'], unit)}"
        change = figure(item["value"], unit, signed=True)
        interval = interval_text(item["low"], item["high"], signed=True)
        verdict = item["verdict"] if item["verdict"] == NO_DIFFERENCE else f"{item['verdict']} than {OWN}"
        return f"{verdict}: {record.metric} {values} on {found['rows']} rows, {change} (95% interval {interval})"
    if found.get("differences"):
        parts = [f"{item['metric']} {number(item['value'], signed=True)}: {item['verdict']}" for item in found["differences"][:4]]
        return f"{'; '.join(parts)} (suite {found['suite']})"
    return str(found.get("suite_reason") or found.get("reason") or "not compared")
