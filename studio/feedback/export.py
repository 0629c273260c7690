"""From what people said to rows a training can use: thumbs as KTO rows, votes and corrections as DPO pairs and as SFT rows.

Standard library only. What is scrubbed from texts and which questions are held out for evaluation is given by the caller.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from studio.feedback.store import FeedbackStore

Form = Literal["sft", "kto", "dpo"]
RECIPE = "chat/feedback"
"""The recipe that makes a Dataset of it."""
Message = dict[str, str]

# Judgements that only say how good an answer is; a label of the annotation app is one of these or a class of the person's own.
GOOD_LABEL, BAD_LABEL = "good", "bad"


@dataclass(frozen=True)
class Lesson:
    """One row for training.

    prompt: the messages before the answer. chosen: the good answer; rejected: the bad one. SFT rows have ``chosen`` only, DPO
    pairs both, KTO rows exactly one. users: who said so. kinds: thumb, vote, correction, annotation. models: who had answered.
    """

    prompt: tuple[tuple[str, str], ...]
    chosen: str | None
    rejected: str | None
    users: tuple[str, ...]
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    created: float

    @property
    def messages(self) -> list[Message]:
        """The prompt as messages."""
        return [{"role": role, "content": content} for role, content in self.prompt]


@dataclass
class Harvest:
    """Lessons and what was left out. left_out: reason to number of judgements."""

    lessons: list[Lesson]
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Said:
    """One judgement in the form asked for, before judgements of the same texts are joined."""

    prompt: tuple[tuple[str, str], ...]
    chosen: str | None
    rejected: str | None
    user: str
    kind: str
    model: str
    created: float


def harvest(
    store: FeedbackStore,
    form: Form,
    *,
    clean: Callable[[str], str] = lambda text: text,
    held_out: Collection[str] = frozenset(),
    per_user: int | None = None,
    models: Collection[str] | None = None,
) -> Harvest:
    """Read the store as rows of one form.

    Judgements of the same texts become one row. Where people disagree the majority decides, and a tie leaves the row out.

    Args:
        clean: takes personal data out of a text.
        held_out: questions (see :func:`comparable`) that evaluations use; nothing about them becomes training data.
        per_user: at most so many judgements of one person, the newest ones.
        models: only what was said of these models; None takes all.
    """
    left_out: Counter[str] = Counter()
    said: list[_Said] = []
    for item in sorted(_READ[form](store), key=lambda item: item.created):
        if models is not None and item.model not in models:
            left_out["another model"] += 1
            continue
        item = _cleaned(item, clean)
        if (
            not item.prompt
            or item.prompt[-1][0] != "user"
            or not any((text or "").strip() for text in (item.chosen, item.rejected))
        ):
            left_out["no question or no answer"] += 1
        elif item.chosen is not None and item.rejected is not None and item.chosen.strip() == item.rejected.strip():
            left_out["both answers are the same"] += 1
        elif any(comparable(content) in held_out for role, content in item.prompt if role == "user"):
            left_out["question is held out for evaluation"] += 1
        else:
            said.append(item)
    said = _capped(said, form, per_user, left_out)
    return Harvest(_joined(said, form, left_out), left_out)


def comparable(question: str) -> str:
    """A question with case, punctuation and blanks set aside."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return " ".join("".join(sign if sign.isalnum() else " " for sign in folded).split())


def _cleaned(item: _Said, clean: Callable[[str], str]) -> _Said:
    """A judgement whose texts were cleaned."""
    prompt = tuple((role, clean(content)) for role, content in item.prompt)
    chosen, rejected = (clean(text) if text is not None else None for text in (item.chosen, item.rejected))
    return _Said(prompt, chosen, rejected, item.user, item.kind, item.model, item.created)


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
        pair = sorted((item.chosen, item.rejected), key=lambda text: text or "")
        texts = pair if form == "dpo" else [item.chosen if item.chosen is not None else item.rejected]
        groups[json.dumps([item.prompt, *texts], ensure_ascii=False)].append(item)
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
                chosen=best[0],
                rejected=best[1],
                users=tuple(sorted({item.user for item in agreeing})),
                kinds=tuple(sorted({item.kind for item in agreeing})),
                models=tuple(sorted({item.model for item in agreeing})),
                created=agreeing[0].created,
            )
        )
    left_out += Counter()  # drops the zeros
    for reason in [reason for reason, count in left_out.items() if not count]:
        del left_out[reason]
    return lessons


def _prompt(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Messages of a stored row, hashable."""
    return tuple((message["role"], message["content"]) for message in row["prompt"] or [])


def _said(row: Mapping[str, Any], chosen: str | None, rejected: str | None, kind: str, model: str | None = None) -> _Said:
    """A stored row as a judgement."""
    return _Said(_prompt(row), chosen, rejected, row["user"], kind, model or row["model"], row["created"])


def _kto(store: FeedbackStore) -> list[_Said]:
    """Thumbs, and annotations that say good or bad."""
    said = [
        _said(row, row["completion"] if row["value"] > 0 else None, row["completion"] if row["value"] < 0 else None, "thumb")
        for row in store.current_ratings()
    ]
    for row in store.current_annotations():
        if row["label"] in {GOOD_LABEL, BAD_LABEL}:
            good = row["label"] == GOOD_LABEL
            said.append(_said(row, row["completion"] if good else None, None if good else row["completion"], "annotation"))
    return said


def _dpo(store: FeedbackStore) -> list[_Said]:
    """Votes with a winner, and corrections (of the chat and of annotations) against what they correct."""
    said = []
    for row in store.rows("votes"):
        if row["winner"] == "a":
            said.append(_said(row, row["completion"], row["completion_b"], "vote"))
        elif row["winner"] == "b":
            said.append(_said(row, row["completion_b"], row["completion"], "vote", row["model_b"]))
    said += [_said(row, row["correction"], row["completion"], "correction") for row in _last_corrections(store)]
    said += [_said(row, row["correction"], row["completion"], "annotation") for row in _annotated_corrections(store)]
    return said


def _sft(store: FeedbackStore) -> list[_Said]:
    """Corrections, and answers that got a thumb up, won a vote, or were called good; against them what was found bad."""
    said = [_said(row, row["correction"], None, "correction") for row in _last_corrections(store)]
    said += [_said(row, row["correction"], None, "annotation") for row in _annotated_corrections(store)]
    said += [_said(row, item, None, kind, model) for row, item, kind, model in _praised(store)]
    said += [_said(row, None, item, kind, model) for row, item, kind, model in _faulted(store)]
    return said


def _praised(store: FeedbackStore) -> list[tuple[dict[str, Any], str, str, str]]:
    """Answers that people found good: row, answer, how they said so, and the model."""
    found = [(row, row["completion"], "thumb", row["model"]) for row in store.current_ratings() if row["value"] > 0]
    for row in store.rows("votes"):
        if row["winner"] == "a":
            found.append((row, row["completion"], "vote", row["model"]))
        elif row["winner"] == "b":
            found.append((row, row["completion_b"], "vote", row["model_b"]))
    found += [
        (row, row["completion"], "annotation", row["model"])
        for row in store.current_annotations()
        if row["label"] == GOOD_LABEL and not row["correction"]
    ]
    return found


def _faulted(store: FeedbackStore) -> list[tuple[dict[str, Any], str, str, str]]:
    """Answers that people found bad: thumbs down, lost votes, "both are bad", called bad, or corrected."""
    found = [(row, row["completion"], "thumb", row["model"]) for row in store.current_ratings() if row["value"] < 0]
    for row in store.rows("votes"):
        # Of two answers alike neither is the worse one.
        differ = row["completion"].strip() != row["completion_b"].strip()
        if row["winner"] == "neither" or (row["winner"] == "b" and differ):
            found.append((row, row["completion"], "vote", row["model"]))
        if row["winner"] == "neither" or (row["winner"] == "a" and differ):
            found.append((row, row["completion_b"], "vote", row["model_b"]))
    found += [(row, row["completion"], "correction", row["model"]) for row in _last_corrections(store)]
    return found + [
        (row, row["completion"], "annotation", row["model"])
        for row in store.current_annotations()
        if row["correction"] or row["label"] == BAD_LABEL
    ]


def _last_corrections(store: FeedbackStore) -> list[dict[str, Any]]:
    """The last correction each user made of each answer."""
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for row in store.rows("corrections"):
        held[row["user"], row["request"] or json.dumps([row["prompt"], row["completion"]])] = row
    return list(held.values())


def _annotated_corrections(store: FeedbackStore) -> list[dict[str, Any]]:
    """Annotations that hold what the answer should have been."""
    return [row for row in store.current_annotations() if row["correction"]]


_READ: dict[Form, Callable[[FeedbackStore], list[_Said]]] = {"sft": _sft, "kto": _kto, "dpo": _dpo}
