"""What was said, as the rows of a round: who is heard, what is trained on, what is kept apart to measure, and the Datasets of it.

Rows are pinned in files of the round, so that a round that goes on tomorrow learns what it began with.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from studio.core.files import write_text
from studio.core.records import DatasetRecord, RunRecord
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.data.feedback import FORMS, SPLIT_LINES
from studio.data.kinds import load_recipe
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.loop.fates import decide, question_of, read_fates, write_fates
from studio.loop.trust import Trust
from studio.schema.loop import Improve

Line = dict[str, Any]
Say = Callable[[str], None]

_TABLES = ("ratings", "corrections", "votes", "annotations")
# The newest held-out questions that are measured; more cost time and tell little more.
_MEASURED = 300
_CLEANING = [{"step": "unicode"}, {"step": "whitespace"}, {"step": "drop_empty"}, {"step": "roles"}]


@dataclass(frozen=True)
class News:
    """What was said since the last round by people who are heard. people: how many said it; left_out: by reason."""

    judgements: int
    people: int
    left_out: Mapping[str, int]


def news_since(workspace: Workspace, trust: Trust, *, since: float, until: float) -> News:
    """Count what was said between two moments.

    Raises:
        DataError: there is no feedback file.
    """
    store = FeedbackStore.existing(workspace.root / FILE_NAME)
    try:
        rows = [row for table in _TABLES for row in store.rows(table, since=since, until=until)]
    finally:
        store.close()
    reasons = [trust.refuse(row["user"], row["created"]) for row in rows]
    heard = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    return News(len(heard), len({row["user"] for row in heard}), dict(Counter(reason for reason in reasons if reason)))


def field_of(run: RunRecord, workspace: Workspace) -> tuple[Path, DatasetRecord]:
    """The Dataset that a family of runs began with: that of the first run, before any feedback.

    Raises:
        UserError: it, or a run on the way to it, is gone.
    """
    first = run
    while first.start:
        first = read_run(workspace.find_run(str(first.start["run"])))
    folder = run_dataset(first, workspace)
    return folder, read_dataset(folder)


def pin_rows(
    folder: Path, workspace: Workspace, field_folder: Path, rules: Improve, trust: Trust, *, until: float
) -> dict[str, Any]:
    """Write the rows of a round into files, and count them.

    Returns:
        Rows by file, and what was left out by form and reason.
    """
    lines_of = SPLIT_LINES.get(read_dataset(field_folder).kind)
    forms: dict[str, list[Line]] = {}
    left_out: dict[str, dict[str, int]] = {}

    def refuse(user: str, created: float) -> str:
        return "said after the round began" if created > until else trust.refuse(user, created)

    for form in ("sft", "dpo", "kto"):
        forms[form], left_out[form] = FORMS.get(form)(workspace, form, per_user=rules.per_user, refuse=refuse)
    # The newest answer to a question stands first, and is the one that stays.
    forms["sft"] = newest_first(forms["sft"])
    apart = [line for split in ("validation", "test") for line in lines_of(field_folder, split)]
    known = {question_of(line["messages"]): False for line in lines_of(field_folder, "train")}
    known |= {question_of(line["messages"]): True for line in apart} | _decided_before(folder)
    asked = [question_of(_talk(line)) for lines in forms.values() for line in lines]
    fates = decide(known, asked, share=rules.held_out, near=rules.near)
    write_fates(folder, fates)
    held = {form: [line for line in lines if fates[question_of(_talk(line))]] for form, lines in forms.items()}
    files = {form: [line for line in lines if not fates[question_of(_talk(line))]] for form, lines in forms.items()}
    files |= {"new-questions": held["sft"][:_MEASURED], "kept-out": [*held["sft"], *apart]}
    for name, lines in files.items():
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return {"rows": {name: len(lines) for name, lines in files.items()}, "left_out": left_out}


def _decided_before(folder: Path) -> dict[str, bool]:
    """The fates of the newest round before this one that kept them; each round keeps all that were decided before."""
    before = sorted((other for other in folder.parent.glob("[0-9]*") if other.name < folder.name), reverse=True)
    return next((fates for other in before if (fates := read_fates(other))), {})


def _talk(line: Line) -> list[dict[str, Any]]:
    """The turns that hold the question of a row of any form."""
    return list(line.get("messages") or line["prompt"])


def newest_first(lines: Sequence[Line]) -> list[Line]:
    """One answer for each question, the newest first; lines come oldest first."""
    found: dict[str, Line] = {}
    for line in reversed(lines):
        found.setdefault(question_of(line["messages"]), line)
    return list(found.values())


def build(folder: Path, name: str, recipe: Mapping[str, Any], workspace: Workspace, say: Say) -> str:
    """Build a Dataset from a recipe that is written into the round; gives back ``name/fingerprint``.

    Raises:
        UserError: no row is left, or too few to divide.
    """
    path = folder / f"{name}.yaml"
    write_text(path, yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))
    kind, read = load_recipe(path)
    outcome = kind.build(read, workspace, name=name, beside=folder, tell=say)
    return f"{outcome.record.name}/{outcome.record.fingerprint}"


def answers_recipe(folder: Path, field: DatasetRecord, rules: Improve, *, replay: bool) -> dict[str, Any]:
    """Answers to imitate beside rows of the field: a share of them replayed, or all of them."""
    steps = [*_CLEANING, {"step": "exact_duplicates", "of": "question"}, *_apart_from(folder, rules)]
    old = {"type": "dataset", "dataset": f"{field.name}/{field.fingerprint}", "name": "old"}
    mix = {"replay": {"source": "old", "share": rules.replay}} if replay else {}
    split = {"validation": 0.1, "test": 0, "seed": 0}
    return {"kind": "chat", "sources": [_source(folder / "sft.jsonl", rules), old], "steps": steps, "mix": mix, "split": split}


def preference_recipe(folder: Path, form: str, rules: Improve) -> dict[str, Any]:
    """Pairs or thumbs."""
    steps = [*_CLEANING, *_apart_from(folder, rules)]
    source = {**_source(folder / f"{form}.jsonl", rules), "format": "preference"}
    return {"kind": "chat", "sources": [source], "steps": steps, "split": {"validation": 0.1, "test": 0, "seed": 0}}


def questions_recipe(folder: Path, rules: Improve) -> dict[str, Any]:
    """The held-out new questions; one split, for there is nothing to train on."""
    source = _source(folder / "new-questions.jsonl", rules)
    return {"kind": "chat", "sources": [source], "steps": _CLEANING, "split": {"validation": 0, "test": 0}}


def _source(path: Path, rules: Improve) -> dict[str, Any]:
    """A file of the round as a source."""
    return {"type": "local", "path": str(path), "name": "said", "licence": rules.licence}


def _apart_from(folder: Path, rules: Improve) -> list[dict[str, Any]]:
    """The step that takes out rows whose questions resemble a held-out one; none where nothing is held out."""
    against = folder / "kept-out.jsonl"
    if not against.stat().st_size:
        return []
    likeness = {"on": "prompts", "unit": "character", "size": 4, "threshold": rules.near}
    return [{"step": "near_duplicates", **likeness, "against": str(against)}]
