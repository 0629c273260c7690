"""From what people said to rows a training can use: thumbs as KTO rows, votes and corrections as DPO pairs and as SFT rows.

Standard library only. What is scrubbed from texts and which questions are held out for evaluation is given by the caller.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from studio.feedback.answers import Turn, as_messages, as_turns, canonical, cleaned_json, cleaned_turn
from studio.feedback.store import FeedbackStore

Form = Literal["sft", "kto", "dpo"]
RECIPE = "chat/feedback"
"""The recipe that makes a Dataset of it."""
Message = dict[str, Any]

# Judgements that only say how good an answer is; a label of the annotation app is one of these or a class of the person's own.
GOOD_LABEL, BAD_LABEL = "good", "bad"


@dataclass(frozen=True)
class Lesson:
    """One row for training.

    prompt: the messages before the answer. chosen: the good answer; rejected: the bad one. SFT rows have ``chosen`` only, DPO
    pairs both, KTO rows exactly one. users: who said so. kinds: thumb, vote, correction, annotation. models: who had answered.
    beside: thought and calls of the answer of an SFT row. tools: what could be called.
    """

    prompt: tuple[Turn, ...]
    chosen: str | None
    rejected: str | None
    users: tuple[str, ...]
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    created: float
    beside: dict[str, Any] = field(default_factory=dict)
    tools: list[dict[str, Any]] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """The prompt as messages."""
        return as_messages(self.prompt)


@dataclass
class Harvest:
    """Lessons and what was left out. left_out: reason to number of judgements."""

    lessons: list[Lesson]
    left_out: Counter[str] = field(default_factory=Counter)


class _Answer(NamedTuple):
    """The words of an answer, and as JSON its thought and its calls (empty without)."""

    words: str
    beside: str = ""


@dataclass(frozen=True)
class _Said:
    """One judgement in the form asked for, before judgements of the same texts are joined. tools: JSON, empty without."""

    prompt: tuple[Turn, ...]
    chosen: _Answer | None
    rejected: _Answer | None
    user: str
    kind: str
    model: str
    created: float
    tools: str = ""

    @property
    def answers(self) -> list[_Answer]:
        """Those that were judged."""
        return [answer for answer in (self.chosen, self.rejected) if answer is not None]


def harvest(
    store: FeedbackStore,
    form: Form,
    *,
    clean: Callable[[str], str] = lambda text: text,
    held_out: Collection[str] = frozenset(),
    per_user: int | None = None,
    models: Collection[str] | None = None,
    refuse: Callable[[str, float], str] = lambda _user, _created: "",
) -> Harvest:
    """Read the store as rows of one form.

    Judgements of the same texts become one row. Where people disagree the majority decides, and a tie leaves the row out.

    Args:
        clean: takes personal data out of a text.
        held_out: questions (see :func:`comparable`) that evaluations use; nothing about them becomes training data.
        per_user: at most so many judgements of one person, the newest ones.
        models: only what was said of these models; None takes all.
        refuse: why what someone said at a time (seconds since 1970) is left out; empty where it is not.
    """
    left_out: Counter[str] = Counter()
    said: list[_Said] = []
    for item in sorted(_READ[form](store), key=lambda item: item.created):
        if models is not None and item.model not in models:
            left_out["another model"] += 1
            continue
        if reason := refuse(item.user, item.created):
            left_out[reason] += 1
            continue
        item = _cleaned(item, clean)
        if reason := _unusable(item, form, held_out):
            left_out[reason] += 1
            continue
        if form != "sft" and any("reasoning_content" in answer.beside for answer in item.answers):
            left_out["thoughts before judged answers, whose words are kept"] += 1
            item = replace(item, chosen=_words(item.chosen), rejected=_words(item.rejected))
        said.append(item)
    said = _capped(said, form, per_user, left_out)
    return Harvest(_joined(said, form, left_out), left_out)


def _unusable(item: _Said, form: Form, held_out: Collection[str]) -> str:
    """Why a judgement makes no row; empty where it does."""
    called = any("tool_calls" in json.loads(answer.beside or "{}") for answer in item.answers)
    if not item.prompt or item.prompt[-1][0] not in {"user", "tool"}:
        return "no question or no answer"
    if not called and not any(answer.words.strip() for answer in item.answers):
        return "no question or no answer"
    if called and form != "sft":
        return "calls a tool, and the answers of a preference are text"
    if item.chosen and item.rejected and item.chosen.words.strip() == item.rejected.words.strip():
        return "both answers are the same"
    if any(comparable(turn[1]) in held_out for turn in item.prompt if turn[0] == "user"):
        return "question is held out for evaluation"
    return ""


def _words(answer: _Answer | None) -> _Answer | None:
    """An answer without what stands beside its words."""
    return None if answer is None else _Answer(answer.words)


def comparable(question: str) -> str:
    """A question with case, punctuation and blanks set aside."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return " ".join("".join(sign if sign.isalnum() else " " for sign in folded).split())


def _cleaned(item: _Said, clean: Callable[[str], str]) -> _Said:
    """A judgement whose texts were cleaned, those in calls included."""

    def cleaned(answer: _Answer | None) -> _Answer | None:
        return None if answer is None else _Answer(clean(answer.words), answer.beside and cleaned_json(answer.beside, clean))

    prompt = tuple(cleaned_turn(turn, clean) for turn in item.prompt)
    tools = item.tools and cleaned_json(item.tools, clean)
    return replace(item, prompt=prompt, chosen=cleaned(item.chosen), rejected=cleaned(item.rejected), tools=tools)


def _capped(said: Sequence[_Said], form: Form, per_user: int | None, left_out: Counter[str]) -> list[_Said]:
    """At most so many judgements of each person: the newest, in the old order. What only speaks against a row is not counted."""
    if per_user is None:
        return list(said)
    seen: Counter[str] = Counter()
    kept: list[_Said] = []
    for item in reversed(said):
        against = form == "sft" and item.chosen is None
        seen[item.user] += not against
        if against or seen[item.user] <= per_user:
            kept.append(item)
        else:
            left_out["over the cap of one user"] += 1
    return kept[::-1]


def _joined(said: Sequence[_Said], form: Form, left_out: Counter[str]) -> list[Lesson]:
    """One lesson for judgements of the same texts."""
    groups: dict[str, list[_Said]] = defaultdict(list)
    for item in said:
        # Of a pair whichever was better; of a single answer whether it was found good or bad.
        texts = sorted(item.answers) if form == "dpo" else item.answers[:1]
        groups[json.dumps([item.prompt, item.tools, *texts], ensure_ascii=False)].append(item)
    lessons = []
    for group in groups.values():
        # Two people may have said the opposite of the same answer, or of the same two. A person counts once on a side: a thumb
        # down and a correction of the same answer are one opinion.
        sides = Counter(side for _, side in {(item.user, (item.chosen, item.rejected)) for item in group})
        (best, count), *others = sides.most_common()
        if others and others[0][1] == count:
            left_out["people disagree"] += len(group)
            continue
        agreeing = [item for item in group if (item.chosen, item.rejected) == best]
        left_out["people disagree"] += len(group) - len(agreeing)
        if form == "sft" and best[0] is None:
            left_out["found bad"] += len(agreeing)
            continue
        left_out["said more than once"] += len(agreeing) - 1
        lessons.append(
            Lesson(
                prompt=agreeing[0].prompt,
                chosen=best[0] and best[0].words,
                rejected=best[1] and best[1].words,
                users=tuple(sorted({item.user for item in agreeing})),
                kinds=tuple(sorted({item.kind for item in agreeing})),
                models=tuple(sorted({item.model for item in agreeing})),
                created=agreeing[0].created,
                beside=json.loads((best[0] and best[0].beside) or "{}"),
                tools=json.loads(agreeing[0].tools or "[]"),
            )
        )
    left_out += Counter()  # drops the zeros
    for reason in [reason for reason, count in left_out.items() if not count]:
        del left_out[reason]
    return lessons


def _answer(row: Mapping[str, Any], side: Literal["", "_b"] = "") -> _Answer:
    """An answer of a stored row; votes have a second one."""
    beside = {key: value for key, value in (row[f"beside{side}"] or {}).items() if key != "tools"}
    return _Answer(row[f"completion{side}"], canonical(beside) if beside else "")


def _said(row: Mapping[str, Any], chosen: _Answer | None, rejected: _Answer | None, kind: str, model: str | None = None) -> _Said:
    """A stored row as a judgement."""
    tools = (row["beside"] or {}).get("tools")
    who = (row["user"], kind, model or row["model"], row["created"])
    return _Said(as_turns(row["prompt"]), chosen, rejected, *who, canonical(tools) if tools else "")


def _kto(store: FeedbackStore) -> list[_Said]:
    """Thumbs, and annotations that say good or bad."""
    liked = [(row, row["value"] > 0, "thumb") for row in store.current_ratings()]
    labelled = [row for row in store.annotated_answers() if row["label"] in {GOOD_LABEL, BAD_LABEL}]
    liked += [(row, row["label"] == GOOD_LABEL, "annotation") for row in labelled]
    return [_said(row, _answer(row) if good else None, None if good else _answer(row), kind) for row, good, kind in liked]


def _dpo(store: FeedbackStore) -> list[_Said]:
    """Votes with a winner, and corrections (of the chat and of annotations) against what they correct."""
    said = []
    for row in store.rows("votes"):
        if row["winner"] == "a":
            said.append(_said(row, _answer(row), _answer(row, "_b"), "vote"))
        elif row["winner"] == "b":
            said.append(_said(row, _answer(row, "_b"), _answer(row), "vote", row["model_b"]))
    said += [_said(row, _Answer(row["correction"]), _answer(row), "correction") for row in _last_corrections(store)]
    said += [_said(row, _Answer(row["correction"]), _answer(row), "annotation") for row in _annotated_corrections(store)]
    return said


def _sft(store: FeedbackStore) -> list[_Said]:
    """Corrections, and answers that got a thumb up, won a vote, or were called good; against them what was found bad."""
    said = [_said(row, _Answer(row["correction"]), None, "correction") for row in _last_corrections(store)]
    said += [_said(row, _Answer(row["correction"]), None, "annotation") for row in _annotated_corrections(store)]
    said += [_said(row, item, None, kind, model) for row, item, kind, model in _praised(store)]
    said += [_said(row, None, item, kind, model) for row, item, kind, model in _faulted(store)]
    return said


def _praised(store: FeedbackStore) -> list[tuple[dict[str, Any], _Answer, str, str]]:
    """Answers that people found good: row, answer, how they said so, and the model."""
    found = [(row, _answer(row), "thumb", row["model"]) for row in store.current_ratings() if row["value"] > 0]
    for row in store.rows("votes"):
        if row["winner"] == "a":
            found.append((row, _answer(row), "vote", row["model"]))
        elif row["winner"] == "b":
            found.append((row, _answer(row, "_b"), "vote", row["model_b"]))
    found += [
        (row, _answer(row), "annotation", row["model"])
        for row in store.annotated_answers()
        if row["label"] == GOOD_LABEL and not row["correction"]
    ]
    return found


def _faulted(store: FeedbackStore) -> list[tuple[dict[str, Any], _Answer, str, str]]:
    """Answers that people found bad: thumbs down, lost votes, "both are bad", called bad, or corrected."""
    found = [(row, _answer(row), "thumb", row["model"]) for row in store.current_ratings() if row["value"] < 0]
    for row in store.rows("votes"):
        # Of two answers alike neither is the worse one.
        differ = row["completion"].strip() != row["completion_b"].strip()
        if row["winner"] == "neither" or (row["winner"] == "b" and differ):
            found.append((row, _answer(row), "vote", row["model"]))
        if row["winner"] == "neither" or (row["winner"] == "a" and differ):
            found.append((row, _answer(row, "_b"), "vote", row["model_b"]))
    found += [(row, _answer(row), "correction", row["model"]) for row in _last_corrections(store)]
    return found + [
        (row, _answer(row), "annotation", row["model"])
        for row in store.annotated_answers()
        if row["correction"] or row["label"] == BAD_LABEL
    ]


def _last_corrections(store: FeedbackStore) -> list[dict[str, Any]]:
    """The last correction each user made of each answer."""
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for row in store.rows("corrections"):
        held[row["user"], row["request"] or json.dumps([row["prompt"], row["completion"], row["beside"]])] = row
    return list(held.values())


def _annotated_corrections(store: FeedbackStore) -> list[dict[str, Any]]:
    """Annotations that hold what the answer should have been."""
    return [row for row in store.annotated_answers() if row["correction"]]


_READ: dict[Form, Callable[[FeedbackStore], list[_Said]]] = {"sft": _sft, "kto": _kto, "dpo": _dpo}
