"""The task ``judge``: a model says which of two answers is better, or how many points one is worth, and is itself held against
people's votes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from studio.core.errors import UserError
from studio.core.workspace import read_dataset
from studio.evals.chat.judge_scores import Judging, Verdicts, all_scores, by_length
from studio.evals.chat.judging import (
    Case,
    Outcome,
    agreed,
    by_points,
    prompt_hash,
    questions,
    read_points,
    read_verdict,
)
from studio.evals.chat.questions import question_from
from studio.evals.chat.showing import answer_columns, answer_part
from studio.evals.chat.tasks.conversation import choose_rows
from studio.evals.evidence import Answer, Decoding, Message, Question, scored_text, spoken_text
from studio.evals.targets import JUDGE_KEY_VARIABLE, Target, find_model
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.feedback.pairs import LabelledAnswer, VotedPair, labelled_answers, voted_pairs
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.schema.judge import JudgeTask

_VOTES = 50
_PREFERS = {"first": "tuned", "second": "base", "tie": "tie", None: None}


@dataclass(frozen=True)
class People:
    """What people judged and the judge sees too: pairs with their votes, and answers with their labels."""

    voted: Sequence[VotedPair] = ()
    labelled: Sequence[LabelledAnswer] = ()

    @property
    def requests(self) -> int:
        """How often the judge is asked for it."""
        return 2 * len(self.voted) + len(self.labelled)


@dataclass(frozen=True)
class Put:
    """One row as it is put to the judge. case: None where there is nothing to ask; decided: what then follows of itself."""

    case: Case | None
    decided: Outcome | None = None


def run(context: TaskContext[JudgeTask]) -> TaskResult:
    """Have the answers to held-out rows judged, and pairs that people voted on.

    Raises:
        NotComputedError: no judge is named, or a pair lacks its second answer.
        UserError: the judge or the rows cannot be found, or the judge would be asked too often.
    """
    task = context.task
    target = _judge(context)
    folder = context.dataset_folder(task.data.dataset)
    rows, _, warnings = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    asked = [question for row in rows if (question := question_from(row.id, row.messages, row.tools)).prompt]
    people, note = _people(context, target)
    _tell_cost(context, len(asked), people, target)
    answers: dict[str, list[Answer | None]] = {}
    for label in context.labels:
        with context.subject(label) as subject:
            prompts, tools = [question.prompt for question in asked], [question.tools for question in asked]
            answers[label] = context.answers(subject, prompts, tools)
    verdicts, replies = _verdicts(context, target, asked, answers, people)
    texts = {label: [spoken_text(answer) for answer in each] for label, each in answers.items()}
    made_with = f"judge {target.name}, prompt {prompt_hash(task)[:16]}, greedy"
    judging = Judging(verdicts, texts, made_with, task.points, context.resamples, context.seed)
    scores, differences = all_scores(judging)
    lengths = by_length(judging) if task.ask == "pairs" else None
    dataset = read_dataset(folder)
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(asked, answers, verdicts, replies),
        groups=[lengths] if lengths else [],
        notes=[*warnings, *note, *_notes(context, target, verdicts)],
        limits=[
            "A judge is a model: it favours long, fluent and confident answers, its own kind, and a place in the "
            "order, and may be wrong "
            "where people would not be. Read its agreement with people before its verdicts; it never lets a gate pass alone.",
        ],
        cards=_cards(asked, answers, verdicts, replies, task.examples_shown),
        data={
            "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
            "rows": len(asked), "rows_in_split": dataset.splits[task.data.split], "judge": target.name,
            "prompt_sha256": prompt_hash(task), "requests": verdicts.replies + people.requests,
        },
        rows=len(asked),
        title="A model's judgement",
    )  # fmt: skip


def _judge(context: TaskContext[JudgeTask]) -> Target:
    """The model that judges, found and not opened yet."""
    task = context.task
    if task.judge is None:
        raise NotComputedError(f"no judge is named. Name a model: {task.key}.judge, for example http://127.0.0.1:8000/v1#judge")
    if task.ask == "pairs" and not context.has_base:
        raise NotComputedError("pairs need a second answer, and there is no base. Name one with --baseline, or take ask: points.")
    target = find_model(task.judge, context.workspace, option="judge")
    if target.endpoint is None:
        return target
    return replace(target, endpoint=replace(target.endpoint, key_variable=JUDGE_KEY_VARIABLE))


def _people(context: TaskContext[JudgeTask], target: Target) -> tuple[People, list[str]]:
    """What people judged and the judge sees too, and what the reader must know of it."""
    path, wanted = context.workspace.root / FILE_NAME, context.task.votes
    if not path.is_file() or wanted == 0:
        return People(), []
    store, limit = FeedbackStore(path), _VOTES if wanted is None else wanted
    try:
        found = People(voted_pairs(store, limit), labelled_answers(store, limit) if context.task.ask == "points" else ())
    finally:
        store.close()
    if found.requests and wanted is None and not _is_here(target):
        return People(), [
            f"What people voted on or labelled ({len(found.voted) + len(found.labelled)}) was not sent to "
            f"{target.name}, because their "
            f"words would leave this machine. Set votes: {_VOTES} to send so many and see how far the judge agrees with people."
        ]
    return found, []


def _is_here(target: Target) -> bool:
    """True when the judge computes on this machine."""
    if target.endpoint is None:
        return True
    host = urlsplit(target.endpoint.url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell_cost(context: TaskContext[JudgeTask], rows: int, people: People, target: Target) -> None:
    """Say how often the judge will be asked, before anything is; refuse what is more than was allowed."""
    task = context.task
    count = people.requests + rows * (2 if task.ask == "pairs" else len(context.labels))
    if count > task.max_requests:
        raise UserError(
            f"the judge {target.name} would be asked {count:,} times for {rows:,} rows and what people judged, and "
            f"max_requests is "
            f"{task.max_requests:,}. Ask fewer rows with --limit, or allow more with max_requests."
        )
    context.tell(
        f"at most {count:,} requests to the judge {target.name}, each with up to {task.max_new_tokens:,} tokens of reply"
    )


def _put(task: JudgeTask, question: Question, texts: Sequence[Answer | None]) -> list[Put]:
    """What of one row is put to the judge: a pair, or each answer for itself.

    An answer that says nothing loses, and gets the least points, without being shown; the same answers twice are a tie.
    """
    said = [spoken_text(answer) for answer in texts]
    if task.ask == "points":
        return [Put(Case(question.prompt, (text,), question.reference) if text else None) for text in said]
    if any(answer is None for answer in texts):
        return [Put(None)]
    if said[0] and said[1] and said[0].strip() != said[1].strip():
        return [Put(Case(question.prompt, (said[0], said[1]), question.reference))]
    return [Put(None, "tie" if bool(said[0]) == bool(said[1]) else "first" if said[0] else "second")]


def _verdicts(
    context: TaskContext[JudgeTask],
    target: Target,
    asked: Sequence[Question],
    answers: dict[str, list[Answer | None]],
    people: People,
) -> tuple[Verdicts, list[list[Answer | None]]]:
    """Everything the judge says: the verdicts, and its replies to each row."""
    task = context.task
    labels = list(context.labels)
    put = [_put(task, question, [answers[label][place] for label in labels]) for place, question in enumerate(asked)]
    cases = [item.case for row in put for item in row if item.case is not None]
    cases += [Case(pair.prompt, pair.answers) for pair in people.voted]
    cases += [Case(answer.prompt, (answer.answer,)) for answer in people.labelled]
    said = _ask(context, target, [prompt for case in cases for prompt in questions(task, case)])
    verdicts = Verdicts(people_asked=len(people.voted), labels_asked=len(people.labelled))
    if task.ask == "points":
        verdicts.points = {label: [] for label in labels}
    replies: list[list[Answer | None]] = []
    for row in put:
        replies.append([])
        for place, item in enumerate(row):
            own = [] if item.case is None else [next(said) for _ in range(1 if task.ask == "points" else 2)]
            replies[-1] += own
            verdicts.replies += len(own)
            if task.ask == "points":
                _count_points(task, verdicts, labels[place], own, answers[labels[place]][len(replies) - 1])
            else:
                _count_pair(verdicts, item, own)
    _count_people(task, verdicts, people, said)
    return verdicts, replies


def _ask(context: TaskContext[JudgeTask], target: Target, prompts: Sequence[Sequence[Message]]) -> Iterator[Answer | None]:
    """The judge's replies, one after the other; no judge is opened where there is nothing to ask."""
    if not prompts:
        return iter(())
    task = context.task
    decoding = Decoding(task.max_new_tokens, seed=context.seed)
    with context.beside(f"judge {target.name}", target) as judge, context.bar("verdicts", len(prompts)) as advance:
        return iter(judge.answers(prompts, decoding, batch_size=task.at_once, advance=advance))


def _count_people(task: JudgeTask, verdicts: Verdicts, people: People, said: Iterator[Answer | None]) -> None:
    """Take up what the judge says of what people judged; what cannot be read counts for coverage only."""
    for pair in people.voted:
        outcome = _judged_pair(task, [next(said), next(said)])
        if outcome is not None:
            verdicts.people.append((pair.preference, outcome))
    for answer in people.labelled:
        points = read_points(next(said), task.points)
        if points is not None:
            verdicts.labels.append((answer.label, "good" if 2 * points > task.points + 1 else "bad"))


def _judged_pair(task: JudgeTask, said: Sequence[Answer | None]) -> Outcome | None:
    """What two replies say of two answers: verdicts in both orders, or the points of each."""
    if task.ask == "points":
        return by_points(read_points(said[0], task.points), read_points(said[1], task.points))
    return agreed(read_verdict(said[0]), read_verdict(said[1]))


def _count_pair(verdicts: Verdicts, item: Put, said: Sequence[Answer | None]) -> None:
    """Take up the outcome of one pair."""
    if item.case is None:
        verdicts.outcomes.append(item.decided)
        verdicts.silent += item.decided in {"first", "second"}
        verdicts.same += item.decided == "tie"
        return
    read = [read_verdict(answer) for answer in said]
    verdicts.unread += read.count(None)
    outcome = agreed(read[0], read[1])
    verdicts.outcomes.append(outcome)
    if outcome is not None:
        verdicts.orders += 1
        verdicts.split += outcome == "tie" and read != ["tie", "tie"]


def _count_points(task: JudgeTask, verdicts: Verdicts, label: str, said: Sequence[Answer | None], answer: Answer | None) -> None:
    """Take up the points of one answer; one that says nothing gets the least."""
    if not said:
        verdicts.points[label].append(None if answer is None else 1.0)
        verdicts.silent += answer is not None
        return
    points = read_points(said[0], task.points)
    verdicts.unread += points is None
    verdicts.points[label].append(None if points is None else float(points))


def _notes(context: TaskContext[JudgeTask], target: Target, verdicts: Verdicts) -> list[str]:
    """What the reader must know of the judge."""
    notes = []
    if verdicts.split:
        notes.append(
            f"In {verdicts.split} of {verdicts.orders} pairs the judge said something else when the order was changed; "
            f"they are ties."
        )
    if verdicts.unread:
        notes.append(
            f"{verdicts.unread} of {verdicts.replies} replies of the judge could not be read; their rows are not scored."
        )
    free = ((verdicts.silent, "an answer says nothing"), (verdicts.same, "both answers are the same, or say nothing"))
    decided = [f"{count} because {why}" for count, why in free if count]
    if decided:
        notes.append(f"Decided without asking the judge: {', '.join(decided)}.")
    if not verdicts.people and not verdicts.labels:
        notes.append("Nobody has checked this judge: no verdict of it could be held against a person's.")
    own = [label for label, other in context.targets.items() if _same_model(other, target)]
    if own:
        notes.append(f"The judge is the {own[0]} model itself, and judges favour their own answers. Take another.")
    return notes


def _same_model(one: Target, other: Target) -> bool:
    """True when two names stand for one model."""
    if one.endpoint and other.endpoint:
        return (one.endpoint.url, one.endpoint.model) == (other.endpoint.url, other.endpoint.model)
    return (one.run is not None and one.run == other.run) or (one.base is not None and one.base == other.base)


def _table(
    asked: Sequence[Question],
    answers: dict[str, list[Answer | None]],
    verdicts: Verdicts,
    replies: Sequence[Sequence[Answer | None]],
) -> pd.DataFrame:
    """One line per row: the answers, the outcome, and the judge's own words."""
    lines: list[dict[str, Any]] = []
    for place, question in enumerate(asked):
        line: dict[str, Any] = {"id": question.id, "question": question.prompt[-1]["content"], "reference": question.reference}
        for label, each in answers.items():
            columns = answer_columns(label, each[place])
            line[f"{label}_answer"] = columns[f"{label}_answer"]
            if verdicts.points:
                line[f"{label}_points"] = verdicts.points[label][place]
        if not verdicts.points:
            line["better"] = _PREFERS[verdicts.outcomes[place]]
        for number, reply in enumerate(replies[place], 1):
            line[f"judge_{number}"] = scored_text(reply)
        lines.append(line)
    return pd.DataFrame(lines)


def _cards(
    asked: Sequence[Question],
    answers: dict[str, list[Answer | None]],
    verdicts: Verdicts,
    replies: Sequence[Sequence[Answer | None]],
    count: int,
) -> list[CardGroup]:
    """The rows that the tuned model lost, or that got the fewest points, with what the judge said."""
    if verdicts.points:
        known = [(points, place) for place, points in enumerate(verdicts.points["tuned"]) if points is not None]
        places, title = [place for _, place in sorted(known)], "Fewest points"
    else:
        places = [place for place, outcome in enumerate(verdicts.outcomes) if outcome == "second"]
        title = f"The judge prefers the base ({len(places)})"
    cards = []
    for place in places[:count]:
        parts = [Part("question", asked[place].prompt[-1]["content"])]
        parts += [Part("judge", scored_text(reply), f"reply {number}") for number, reply in enumerate(replies[place], 1)]
        sides = [answer_part(label, answers[label][place]) for label in ("base", "tuned") if label in answers]
        cards.append(Card(asked[place].id, parts, sides))
    return [CardGroup(title, cards)]
