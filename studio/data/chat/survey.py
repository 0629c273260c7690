"""What the report and the card of conversations need to know of the rows: counted in one walk of those that went and one of those
that stay, because rows may lie on disk. What costs more is looked at in samples, drawn by a fixed seed.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.chat.intake import as_figures, form_of_row, histogram, turn_count
from studio.data.chat.rows import ChatRow, RemovedRow, character_count, spoken_text
from studio.data.chat.sampling import Reservoir
from studio.data.chat.steps.scores import SCORES
from studio.data.chat.steps.scrub import FLAG
from studio.data.sources import READ_STEP

LOOKED_AT = 300
"""Rows whose language is told and in which personal data is looked for; a share is then known to about 6 points."""
TOPIC_ROWS, _TOPIC_SIGNS, _QUESTION_SIGNS = 1200, 800, 240
LANGUAGE_SIGNS = 300
"""Signs of a text that tell its language."""
EXAMPLES = 3
"""Rows of one kind that are shown."""
_CLUSTERS = 5
FORMS = {"sft": "conversations", "text": "texts", "dpo": "pairs", "kto": "thumbs"}
"""What rows are called by what they teach, the usual first."""
# A column with more different values is no label; a value with more signs is a text.
_LABEL_VALUES, _LABEL_SIGNS = 60, 60
_OWN_COLUMNS = {SCORES, FLAG, "file", "turn_fields", "turns_cut", "preamble", "stitched"}


@dataclass
class Gone:
    """What went. counts: rows by step and reason; examples: the first places of each; clusters: rows by the row they repeat."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    clusters: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def largest(self) -> list[tuple[str, str]]:
        """Step and id of the rows that most others repeated."""
        return [key for key, _ in sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))[:_CLUSTERS]]


@dataclass
class Kept:
    """What stays. lengths: as :func:`histogram`; turns: rows by number of turns; forms: rows by what they teach; labels: column
    to split to value to rows; scores: figures by name; personal: findings that were left in the text, by kind.
    """

    lengths: list[int] = field(default_factory=list)
    turns: Counter[int] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    with_parts: Counter[str] = field(default_factory=Counter)
    labels: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    scores: dict[str, array[float]] = field(default_factory=dict)
    personal: Counter[str] = field(default_factory=Counter)
    shown: list[ChatRow] = field(default_factory=list)
    looked_at: list[ChatRow] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    found: dict[str, ChatRow] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Rows."""
        return self.sources.total()


def survey_removed(removed: Sequence[RemovedRow], came: Reservoir[str]) -> Gone:
    """Walk what went; ``came`` gets a sample of texts, to which that of the rows that stay is added."""
    gone = Gone()
    for place, row in enumerate(removed):
        # Sentences about damaged rows name the row, so they are one group.
        key = (row.step, row.reason if row.matched or row.step != READ_STEP else "damaged")
        gone.counts[key] += 1
        if len(gone.examples.setdefault(key, [])) < EXAMPLES:
            gone.examples[key].append(place)
        if row.matched:
            cluster = (row.step, row.matched)
            gone.sizes[cluster] += 1
            if len(gone.clusters.setdefault(cluster, [])) < EXAMPLES:
                gone.clusters[cluster].append(place)
        came.offer(lambda row=row: spoken_text(row.row)[:LANGUAGE_SIGNS])  # type: ignore[misc]
    return gone


def survey_kept(splits: Mapping[str, Sequence[ChatRow]], wanted: set[str], came: Reservoir[str]) -> Kept:
    """Walk what stays.

    Args:
        wanted: ids of rows that others repeat, to be found on the way.
    """
    kept = Kept()
    shown: Reservoir[ChatRow] = Reservoir(EXAMPLES, "shown")
    looked: Reservoir[ChatRow] = Reservoir(LOOKED_AT, "looked at")
    texts: Reservoir[tuple[str, str]] = Reservoir(TOPIC_ROWS, "topics")
    columns = _Columns()

    def walked() -> Any:
        for split, rows in splits.items():
            for row in rows:
                _count(row, kept)
                columns.take(split, row.meta)
                if row.id in wanted:
                    kept.found[row.id] = row
                came.offer(lambda row=row: spoken_text(row)[:LANGUAGE_SIGNS])  # type: ignore[misc]
                shown.offer(lambda row=row: row)  # type: ignore[misc]
                looked.offer(lambda row=row: row)  # type: ignore[misc]
                texts.offer(lambda row=row: (first_question(row), spoken_text(row)[:_TOPIC_SIGNS]))  # type: ignore[misc]
                yield character_count(row)

    kept.lengths = histogram(walked())
    kept.labels, kept.scores, kept.personal = columns.labels(kept.count), columns.scores, columns.personal
    kept.shown, kept.looked_at, kept.texts = shown.drawn(), looked.drawn(), texts.drawn()
    return kept


def _count(row: ChatRow, kept: Kept) -> None:
    """Count one row."""
    kept.turns[turn_count(row)] += 1
    kept.sources[row.source] += 1
    kept.forms[FORMS[form_of_row(row)]] += 1
    parts = kept.with_parts
    if row.is_text:
        parts["raw text"] += 1
        return
    parts["several exchanges" if sum(turn["role"] == "user" for turn in row.messages) > 1 else "one exchange"] += 1
    parts["with a system turn"] += bool(row.messages) and row.messages[0]["role"] == "system"
    if not row.is_plain:
        parts["with tools"] += bool(row.tools) or any("tool_calls" in turn for turn in row.messages)
        parts["with thoughts"] += any("reasoning_content" in turn for turn in row.messages)
        parts["with turns that train less or not"] += any("weight" in turn for turn in row.messages)


class _Columns:
    """Columns beside the turns: labels and figures; one with too many values is given up at once."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Counter[str]]] = {}
        self._other: set[str] = set(_OWN_COLUMNS)
        self.scores: dict[str, array[float]] = {}
        self.personal: Counter[str] = Counter()

    def take(self, split: str, meta: Mapping[str, Any]) -> None:
        """The columns of one row."""
        for name, value in meta.items():
            if name not in self._other:
                self._label(name, split, value)
        for name, value in (meta.get(SCORES) or {}).items():
            if isinstance(value, int | float):
                self.scores.setdefault(name, array("d")).append(value)
            else:
                self._label(name, split, value)
        self.personal.update(meta.get(FLAG) or {})

    def _label(self, name: str, split: str, value: Any) -> None:
        """A value of a column that may hold labels."""
        if value is None or name in self._other:
            return
        known = self._values.setdefault(name, {})
        if not isinstance(value, str | bool | int) or len(str(value)) > _LABEL_SIGNS:
            self._give_up(name)
            return
        known.setdefault(split, Counter())[str(value)] += 1
        if len(known[split]) > _LABEL_VALUES:
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        """The column holds no labels."""
        self._other.add(name)
        self._values.pop(name, None)

    def labels(self, rows: int) -> dict[str, dict[str, Counter[str]]]:
        """Columns with at least two values that come again, known for half of the rows."""
        return {
            name: parts
            for name, parts in self._values.items()
            if 2 <= len(whole := sum(parts.values(), Counter())) <= _LABEL_VALUES
            and whole.total() >= rows / 2
            and whole.total() >= 2 * len(whole)
        }


def first_question(row: ChatRow) -> str:
    """What is asked first, cut to a readable length."""
    text = next((turn["content"] for turn in row.messages if turn["role"] == "user"), "")
    return str(text)[:_QUESTION_SIGNS]


def form_of(kept: Kept) -> str:
    """What the rows teach: ``conversations``, ``texts``, ``pairs``, ``thumbs``, or ``texts and conversations``."""
    if len(kept.forms) > 1:
        return "texts and conversations"
    return next(iter(kept.forms), "conversations")


def turns_of(kept: Kept) -> dict[str, int]:
    """Rows by number of turns, as ``read`` writes them."""
    return as_figures(kept.turns)
