"""``report.html`` of conversations: one self-contained page to decide from. Everything that comes from data is escaped."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from studio.core.records import DatasetRecord, StepRecord
from studio.data.chat.changes import first_difference
from studio.data.chat.concerns import concerns
from studio.data.chat.figures import box_of, drawn_box, length_bars, turn_bars
from studio.data.chat.intake import LENGTH_EDGES
from studio.data.chat.mixing import MIX_STEP
from studio.data.chat.rows import ChatRow, RemovedRow, spoken_text
from studio.data.chat.sampling import Reservoir
from studio.data.chat.steps.scrub import Scrub
from studio.data.chat.survey import LANGUAGE_SIGNS, LOOKED_AT, Gone, Kept, survey_kept, survey_removed, turns_of
from studio.data.chat.topics import LEAST_ROWS, Insight
from studio.data.chat.turns import shown_turn
from studio.data.page import page_template
from studio.data.sources import READ_STEP
from studio.language.identify import name_of
from studio.schema.recipe import ChatRecipe

_SHOWN_CHARACTERS = 420
# Characters around the place where a changed text differs.
_AROUND = 160
_LANGUAGES, _LABELS = 8, 12
Hide = Callable[[ChatRow], ChatRow]


@dataclass(frozen=True)
class Turn:
    """A turn as it is shown, cut to a readable length."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """A removed row and, for a duplicate, the row it matched."""

    id: str
    value: str
    threshold: str
    turns: list[Turn]
    matched: str | None
    matched_turns: list[Turn]


@dataclass(frozen=True)
class Reason:
    """Examples of one reason of one step."""

    reason: str
    count: int
    examples: list[Example]


@dataclass(frozen=True)
class StepPart:
    """What the page says of one step. changes: id, role and the text before and after."""

    record: StepRecord
    why: str
    settings: str
    reasons: list[Reason]
    changes: list[dict[str, Any]]


@dataclass(frozen=True)
class Cluster:
    """Rows that repeat one row, which stays or went later."""

    step: str
    kept: str
    size: int
    turns: list[Turn]
    copies: list[tuple[str, str, list[Turn]]]


@dataclass(frozen=True)
class Survey:
    """All that was counted and drawn of the rows."""

    removed: Sequence[RemovedRow]
    gone: Gone
    kept: Kept
    came: list[str]

    @property
    def samples(self) -> tuple[list[str], list[str], list[tuple[str, str]]]:
        """What :func:`studio.data.chat.topics.look_into` looks into."""
        return self.came, [spoken_text(row)[:LANGUAGE_SIGNS] for row in self.kept.looked_at], self.kept.texts


def survey(splits: Mapping[str, Sequence[ChatRow]], removed: Sequence[RemovedRow]) -> Survey:
    """Walk the rows once."""
    came: Reservoir[str] = Reservoir(LOOKED_AT, "came")
    gone = survey_removed(removed, came)
    shown = {removed[place].matched for places in gone.examples.values() for place in places}
    wanted = {name for name in (*shown, *(name for _, name in gone.largest)) if name}
    kept = survey_kept(splits, wanted, came)
    if wanted - set(kept.found):
        # A row that others repeat may have gone by a later step.
        kept.found |= {row.row.id: row.row for row in removed if row.row.id in wanted and row.row.id not in kept.found}
    return Survey(removed, gone, kept, came.drawn())


def render_report(
    record: DatasetRecord,
    recipe: ChatRecipe,
    seen: Survey,
    insight: Insight,
    told: Sequence[Mapping[str, Any]],
    hide: Hide,
) -> str:
    """The page as text.

    Args:
        insight: what samples of the rows say.
        told: figures of every stage, those of reading first.
        hide: puts placeholders for personal data into a row that is shown, where the recipe takes it out.
    """
    extra: dict[str, Any] = record.model_extra or {}
    kept, read = seen.kept, told[0] if told else {}
    searched = any(step.name == "scrub" for step in record.steps)
    personal = [] if searched else [
        line.replace(" found and left in the text", "") for line in Scrub(action="flag").tell(kept.looked_at, [])
    ]  # fmt: skip
    return page_template("chat/report.html.j2").render(
        record=record,
        extra=extra,
        notes=extra.get("notes", []),
        clusters=extra.get("clusters", {}),
        mixture=extra.get("mixture", {}),
        writers=extra.get("writers", {}),
        crawls=extra.get("crawls", {}),
        kept=sum(record.splits.values()),
        concerns=concerns(record, kept, insight.languages, personal, len(kept.looked_at)),
        lengths=length_bars(read.get("lengths") or kept.lengths, kept.lengths, LENGTH_EDGES),
        turns=turn_bars(read.get("turns") or turns_of(kept), turns_of(kept)),
        languages=_languages(insight),
        sampled=(insight.came["sampled"], insight.languages["sampled"]),
        parts_of=[(name, count) for name, count in sorted(kept.with_parts.items(), key=lambda item: -item[1]) if count],
        topics=[replace(topic, questions=[_hidden(text, hide) for text in topic.questions]) for topic in insight.topics],
        no_topics=_no_topics(insight.topics, kept.count),
        topic_rows=len(kept.texts),
        duplicates=_clusters(seen, hide),
        steps=_steps(record, recipe, seen, told, hide),
        labels=_labels(kept, hide),
        boxes=_boxes(record, kept),
        personal=personal,
        scrubbed=[note.removeprefix("scrub: ") for note in map(str, extra.get("notes", [])) if note.startswith("scrub: ")],
        searched=searched,
        looked_at=len(kept.looked_at),
        samples=[_turns(hide(row)) for row in kept.shown],
    )


def _turns(row: ChatRow) -> list[Turn]:
    """The first turns of a row."""
    shown = [Turn(turn["role"], _shorten(turn["content"])) for turn in map(shown_turn, row.turns[:4])]
    more = len(row.turns) - len(shown)
    return [*shown, Turn("", f"… {more} more turn{'s' if more > 1 else ''}")] if more > 0 else shown


def _shorten(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()} …"


def _steps(
    record: DatasetRecord, recipe: ChatRecipe, seen: Survey, told: Sequence[Mapping[str, Any]], hide: Hide
) -> list[StepPart]:
    """Every stage in order; of two steps of one name the first shows the examples of both."""
    whys = ["Reads every source and brings its rows into one form.", *(_doc(step) for step in recipe.steps)]
    defaults = [{}, *(_given(step) for step in recipe.steps)]
    parts, shown = [], set[str]()
    for number, step in enumerate(record.steps):
        why = whys[number] if number < len(whys) else _doc(recipe.mix) if step.name == MIX_STEP else ""
        given = defaults[number] if number < len(defaults) else step.settings
        settings = ", ".join(f"{name}: {value}" for name, value in given.items())
        reasons = [] if step.name in shown else _reasons(step.name, seen, hide)
        shown.add(step.name)
        examples = told[number].get("examples", []) if number < len(told) else []
        parts.append(StepPart(step, why, settings, reasons, [_change(one, hide) for one in examples]))
    return parts


def _doc(settings: object) -> str:
    """What a step is for: what its settings say of themselves."""
    text = " ".join(inspect.cleandoc(type(settings).__doc__ or "").split())
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")


def _given(settings: Any) -> dict[str, Any]:
    """What the recipe says of a step beyond its name."""
    given: dict[str, Any] = settings.model_dump(exclude_unset=True, exclude={"step"})
    return given


def _reasons(step: str, seen: Survey, hide: Hide) -> list[Reason]:
    """Why rows went by one step, most frequent reason first, with examples."""
    counts = [(key, count) for key, count in seen.gone.counts.most_common() if key[0] == step]
    return [
        Reason(key[1], count, [_example(seen.removed[place], seen.kept.found, hide) for place in seen.gone.examples[key]])
        for key, count in counts
    ]


def _example(gone: RemovedRow, known: Mapping[str, ChatRow], hide: Hide) -> Example:
    """One removed row."""
    match = known.get(gone.matched or "")
    value = gone.reason if gone.step == READ_STEP else _hidden(gone.value or "", hide)
    matched = _turns(hide(match)) if match else []
    return Example(gone.row.id, value, gone.threshold or "", _turns(hide(gone.row)), gone.matched, matched)


def _change(example: Mapping[str, str], hide: Hide) -> dict[str, Any]:
    """A changed text before and after, without personal data, cut to what lies around the first difference.

    Each side is head, what differs, and tail; blanks that are all that differs are written as signs.
    """
    before, after = (_hidden(example[side], hide) for side in ("before", "after"))
    common = first_difference(before, after)
    if before == after and (placeholder := re.search(r"\[[A-Z_0-9]+\]", after)):
        common = placeholder.start()
    start = max(0, common - _AROUND)
    one, other = (text[start : common + _AROUND] for text in (before, after))
    place = common - start
    end = min(first_difference(one[place:][::-1], other[place:][::-1]), len(one) - place, len(other) - place)
    sides = []
    for cut, whole in ((one, before), (other, after)):
        differs = cut[place : len(cut) - end]
        if not differs.strip():
            differs = differs.replace(" ", "␣").replace("\t", "⇥").replace("\n", "↵\n")
        more = " …" if len(whole) > common + _AROUND else ""
        sides.append((("… " if start else "") + cut[:place], differs, cut[len(cut) - end :] + more))
    return {"id": example["id"], "role": example["role"], "before": None if before == after else sides[0], "after": sides[1]}


def _hidden(text: str, hide: Hide) -> str:
    """A text as it may be shown."""
    return str(hide(ChatRow("", [{"role": "user", "content": text}], "")).messages[0]["content"])


def _clusters(seen: Survey, hide: Hide) -> list[Cluster]:
    """The rows that most others repeat, beside some of these."""
    found = []
    for key in seen.gone.largest:
        row = seen.kept.found.get(key[1])
        copies = [seen.removed[place] for place in seen.gone.clusters[key]]
        told = [(copy.row.id, copy.value or "", _turns(hide(copy.row))) for copy in copies]
        found.append(Cluster(key[0], key[1], seen.gone.sizes[key] + 1, _turns(hide(row)) if row else [], told))
    return found


def _languages(insight: Insight) -> list[tuple[str, float, float]]:
    """Name and share in percent of each language, of the rows that came and of those that stay."""
    before, after = insight.came, insight.languages

    def line(name: str, one: int, other: int) -> tuple[str, float, float]:
        return name, _percent(one, before["sampled"]), _percent(other, after["sampled"])

    codes = list(dict.fromkeys([*after["rows"], *before["rows"]]))[:_LANGUAGES]
    lines = [line(name_of(code), before["rows"].get(code, 0), after["rows"].get(code, 0)) for code in codes]
    if before["unsure"] or after["unsure"]:
        lines.append(line("too short or in no language to tell", before["unsure"], after["unsure"]))
    return lines


def _percent(part: int, whole: int) -> float:
    """A share in percent."""
    return 100 * part / whole if whole else 0.0


def _no_topics(topics: Sequence[object], rows: int) -> str:
    """Why there are no topics; nothing where there are some."""
    if topics:
        return ""
    if rows >= LEAST_ROWS:
        return "no word stands in three rows."
    return (
        f"{rows:,} rows are fewer than the {LEAST_ROWS} that groups need."
        if rows < LEAST_ROWS
        else "No word stands in three rows."
    )


def _labels(kept: Kept, hide: Hide) -> list[dict[str, Any]]:
    """Columns of labels: value, rows and share in each split."""
    found = []
    for name, parts in kept.labels.items():
        totals = {split: counts.total() for split, counts in parts.items()}
        whole: Counter[str] = sum(parts.values(), Counter())
        lines = [
            (
                _hidden(value, hide),
                [(split, counts[value], 100 * counts[value] / totals[split]) for split, counts in parts.items()],
            )
            for value, _ in whole.most_common(_LABELS)
        ]
        found.append({"name": name, "lines": lines, "splits": list(parts), "more": max(0, len(whole) - _LABELS)})
    return found


def _boxes(record: DatasetRecord, kept: Kept) -> list[dict[str, Any]]:
    """Box plots of the step ``filter``, of the rows before it, and of every score of the rows that stay."""
    filtered = [step.model_extra["box"] for step in record.steps if step.model_extra and "box" in step.model_extra]
    scores = [box_of(f"{name} of the rows that stay", values) for name, values in kept.scores.items() if values]
    return [drawn_box(box) for box in [*filtered, *scores]]


def hiding(steps: Sequence[Scrub]) -> Hide:
    """What a recipe's steps against personal data do to a row, whatever they do with it in the Dataset; columns are left out."""

    def hide(row: ChatRow) -> ChatRow:
        shown = replace(row, meta={})
        for step in steps:
            shown = step.removed_form(shown)
        return shown

    return hide
