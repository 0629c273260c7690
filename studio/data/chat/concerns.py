"""What a person should look at before training on a Dataset of conversations: a plain sentence each, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from studio.core.records import DatasetRecord, StepRecord
from studio.core.telling import counted
from studio.data.chat.survey import Kept
from studio.data.sources import READ_STEP
from studio.language.identify import name_of

# Below so many rows to train on a model learns the form of answers at best.
_FEW_ROWS = 100
# Ten examples are the fewest for which the suites give an interval (docs/evaluation.md).
_LEAST_TEST, _SMALL_TEST = 10, 100
_DOMINANT, _MUCH_REMOVED, _MANY_ALIKE, _OTHER_LANGUAGE, _ONE_LABEL = 0.8, 0.2, 0.2, 0.05, 0.9
_WORTH_TELLING = 10
_MARK = re.compile(r"hold(?:s)? \S+ as text")


@dataclass(frozen=True)
class Concern:
    """One thing to look at. what: what was found; todo: what to do."""

    what: str
    todo: str


def concerns(
    record: DatasetRecord, kept: Kept, languages: Mapping[str, Any], personal: Sequence[str], sampled: int
) -> list[Concern]:
    """Everything that stands out, what decides most first.

    Args:
        languages: as :func:`studio.data.chat.topics.languages_of`.
        personal: lines on personal data in a sample of ``sampled`` rows; empty where a step looked for it, or none was found.
    """
    found = [*_rows(record), *_steps(record), *_alike(record), *_languages(languages), *_personal(record, personal, sampled)]
    return [*found, *_sources(record, kept), *_labels(kept), *_marks(record), *_licences(record), *_precision(record)]


def _rows(record: DatasetRecord) -> list[Concern]:
    """Too few rows to train on, or to measure with."""
    train, test = record.splits.get("train", 0), record.splits.get("test", 0)
    found = []
    if train < _FEW_ROWS and (record.model_extra or {}).get("form") != "texts":  # one document may hold a whole book
        found.append(Concern(f"Only {counted(train)} to train on.", "Add rows: so few teach the form of answers at best."))
    if not test:
        found.append(Concern("No rows are held out for a test.", "Set split.test in the recipe."))
    elif test < _LEAST_TEST:
        found.append(
            Concern(
                f"The test split has {counted(test)}, too few for an interval.",
                "Raise split.test, best to 100.",
            )
        )
    return found


def _precision(record: DatasetRecord) -> list[Concern]:
    """How well a share is known on the test rows: half of a 95% interval (normal, of 50%) in points."""
    test = record.splits.get("test", 0)
    if not _LEAST_TEST <= test < _SMALL_TEST:
        return []
    return [
        Concern(
            f"The test split has {test} rows: a share measured on them is known to {round(98 / sqrt(test))} points up or down.",
            "Raise split.test where you want to tell models apart that are close to each other.",
        )
    ]


def _sources(record: DatasetRecord, kept: Kept) -> list[Concern]:
    """One source that outweighs the others, and rows that could not be read."""
    found = []
    name, rows = kept.sources.most_common(1)[0] if kept.sources else ("", 0)
    if len(record.sources) > 1 and rows > _DOMINANT * kept.count:
        found.append(
            Concern(
                f"{name} gives {rows / kept.count:.0%} of the rows; the others hardly count.",
                f"Give {name} a weight below 1 or a cap, or set mix.temperature to 2, if the others matter.",
            )
        )
    read = record.steps[0] if record.steps else None
    if read is not None and read.name == READ_STEP and read.rows_in > read.rows_out:
        found.append(
            Concern(
                f"{counted(read.rows_in - read.rows_out)} could not be read.",
                "See the examples under 'Step by step'; mend the file, or say in the recipe how it is read.",
            )
        )
    return found


def _steps(record: DatasetRecord) -> list[Concern]:
    """Steps that took much."""
    found = []
    for step in record.steps:
        gone = step.rows_in - step.rows_out
        if step.name != READ_STEP and gone >= _WORTH_TELLING and gone > _MUCH_REMOVED * step.rows_in:
            found.append(
                Concern(
                    f"The step {step.name} removed {gone / step.rows_in:.0%} of its rows ({_first_reason(step)}).",
                    "Look at its examples below; loosen it in the recipe if good rows are among them.",
                )
            )
    return found


def _first_reason(step: StepRecord) -> str:
    """Why most went."""
    return next(iter(step.removed), "no reason")


def _alike(record: DatasetRecord) -> list[Concern]:
    """Many rows that resemble each other stay."""
    clusters = (record.model_extra or {}).get("clusters") or {}
    kept, tied = sum(record.splits.values()), clusters.get("tied_rows", 0)
    if tied < _WORTH_TELLING or tied <= _MANY_ALIKE * kept:
        return []
    there = any(step.name == "near_duplicates" for step in record.steps)
    todo = "lower the threshold of near_duplicates" if there else "add '- step: near_duplicates' to the steps"
    return [
        Concern(
            f"{tied / kept:.0%} of the rows that stay resemble others, or share a question or a group. They lie in one "
            "split together, so the test is not spoilt, but the Dataset says less than its size.",
            f"If that is not meant, {todo}.",
        )
    ]


def _languages(languages: Mapping[str, Any]) -> list[Concern]:
    """More than one language."""
    sampled = languages["sampled"]
    several = [(code, rows) for code, rows in languages["rows"].items() if rows > _OTHER_LANGUAGE * sampled]
    if len(several) < 2:
        return []
    told = ", ".join(f"{name_of(code)} {rows / sampled:.0%}" for code, rows in several)
    return [
        Concern(
            f"Languages are mixed: {told} of {sampled:,} rows that were looked at.",
            f"If only one is meant, add '- step: language' with 'allowed: [{several[0][0]}]'.",
        )
    ]


def _personal(record: DatasetRecord, lines: Sequence[str], sampled: int) -> list[Concern]:
    """Personal data that is in the rows."""
    flagged = [step for step in record.steps if step.name == "scrub" and step.settings.get("action") == "flag" and step.changed]
    if flagged:
        return [
            Concern(
                f"{counted(flagged[0].changed)} with personal or secret data, which was counted and left in the text.",
                "Set 'action: replace' of the step scrub before anybody else sees the rows or a model made of them.",
            )
        ]
    if not lines:
        return []
    told = "; ".join(lines)
    return [
        Concern(
            f"Personal or secret data stands in the rows. In {sampled:,} of them that were looked at: {told}.",
            "Add '- step: scrub' to the steps: it puts placeholders in its place.",
        )
    ]


def _labels(kept: Kept) -> list[Concern]:
    """A label that nearly all rows have."""
    found = []
    for name, parts in kept.labels.items():
        counts = sum(parts.values(), type(next(iter(parts.values())))())
        value, rows = counts.most_common(1)[0]
        if rows > _ONE_LABEL * counts.total():
            found.append(
                Concern(
                    f"{rows / counts.total():.0%} of the rows have {value!r} as their {name}.",
                    "Add rows with other values if a model is to tell them apart.",
                )
            )
    return found


def _marks(record: DatasetRecord) -> list[Concern]:
    """Marks of chat templates that stand in texts."""
    notes = [str(note) for note in (record.model_extra or {}).get("notes", [])]
    marks = [note.removeprefix("read: ").partition(";")[0] for note in notes if _MARK.search(note)]
    if not marks:
        return []
    return [
        Concern(
            f"Marks of chat templates stand in texts: {'; '.join(marks[:5])}{' …' if len(marks) > 5 else ''}.",
            "A base whose template uses them takes them for its own and may stop there: take them out of the source.",
        )
    ]


def _licences(record: DatasetRecord) -> list[Concern]:
    """Sources whose licence nobody stated."""
    silent = [source.name for source in record.sources if (source.licence or "unknown").strip().lower() == "unknown"]
    if not silent:
        return []
    return [
        Concern(
            f"No licence is stated for {', '.join(silent)}.",
            "Ask its owner before anything is shared.",
        )
    ]
