"""How much of the training data comes out again: runs of words copied from training answers, and planted canaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.core.errors import StudioError, UserError
from studio.core.records import Score
from studio.core.workspace import run_dataset
from studio.data.chat.rows import ChatRow, read_split
from studio.evals.chat.copying import LETTERS_TOLD, RUN, TrainingText, holds, size_of, words_of
from studio.evals.chat.questions import question_from
from studio.evals.chat.secrets import other_secrets
from studio.evals.evidence import Question, scored_text, spoken_text
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import differences, score
from studio.evals.statistics import ANY, SHARE, Better, Statistic
from studio.evals.subjects import Subject
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.schema.tasks import Canary, LeakageTask


def run(context: TaskContext[LeakageTask]) -> TaskResult:
    """Ask training questions and held-out ones, and compare the answers with all training answers; then try the canaries.

    Raises:
        NotComputedError: the model is not a run, or its training data is gone.
    """
    task = context.task
    training = _training_rows(context)
    wanted = min(task.rows, task.limit or task.rows)
    asked = context.draw([question for question in map(_question, training) if question.prompt and question.reference], wanted)
    held_out = context.draw(_held_out(context), wanted)
    text = TrainingText.of([turn["content"] for row in training for turn in row.messages if turn["role"] == "assistant"])
    lines: dict[str, list[dict[str, float | None]]] = {}
    said: dict[str, list[str | None]] = {}
    canaries: dict[str, list[tuple[float | None, float]]] = {}
    for label in context.labels:
        with context.subject(label) as subject:
            said[label] = _answers(context, subject, [*asked, *held_out])
            lines[label] = [_judged(answer, text, task) for answer in said[label]]
            canaries[label] = [_canary(canary, subject, context) for canary in task.canaries]
    metrics = _metrics(task)
    measured = {label: _measured(lines[label], canaries[label], len(asked), task) for label in context.labels}
    put = dict.fromkeys(metrics, len(task.canaries))
    put |= {"verbatim": len(asked), "near_verbatim": len(asked), "verbatim_held_out": len(held_out)}
    scores: dict[str, list[Score]] = {
        label: [
            _covered(score(metric, statistics[name], resamples=context.resamples, seed=context.seed), put[name])
            for name, metric in metrics.items()
        ]
        for label, statistics in measured.items()
    }
    answers = [turn["content"] for row in training for turn in row.messages if turn["role"] == "assistant"]
    return TaskResult(
        scores=scores,
        differences=differences(metrics, measured, resamples=context.resamples, seed=context.seed),
        examples=_examples(asked, held_out, said, lines, answers),
        notes=_notes(task, len(asked), len(held_out)),
        limits=[
            f"{len(asked)} training questions were asked in their own words. Someone who knows how to ask may get more out; "
            f"that nothing came "
            "out here does not show that nothing can.",
            "Set phrases and rules quoted by many are copied by every good answer: compare with the held-out questions and "
            "with the base.",
        ],
        cards=_cards([*asked, *held_out], said, lines, answers, task.examples_shown),
        data={"name": context.run.dataset.get("name") if context.run else None, "training_rows": len(training)},
        rows=len(asked) + len(held_out) + len(task.canaries),
        title="Leakage of training data",
    )


def _notes(task: LeakageTask, asked: int, held_out: int) -> list[str]:
    """What the reader must know of what was asked."""
    notes = []
    if task.limit is not None and task.limit < task.rows:
        notes.append(
            f"{asked} training questions and {held_out} held-out ones were asked (limit {task.limit} of each, of {task.rows})."
        )
    if not held_out:
        notes.append("There is no held-out split to compare with, so copying is shown for training questions only.")
    return notes


def _covered(score: Score, asked: int) -> Score:
    """The score with its coverage of the questions that count for it; those of the other kind are no gap."""
    return score.model_copy(update={"coverage": score.n / asked if asked else 1.0})


def _training_rows(context: TaskContext[LeakageTask]) -> list[ChatRow]:
    """The rows the run was trained on.

    Raises:
        NotComputedError: there is no run, its dataset is gone, or its rows ask nothing.
    """
    if context.run is None:
        raise NotComputedError("the model is not a run, so nothing says what it was trained on. Give a run with --model.")
    try:
        rows = read_split(run_dataset(context.run, context.workspace), "train")
    except (UserError, StudioError) as error:
        raise NotComputedError(f"the training rows cannot be read: {error}") from error
    if rows and all(row.is_text for row in rows):
        raise NotComputedError(
            "the training rows are raw texts, in which nothing is asked, and this task asks the questions of training rows. Look "
            "by hand for texts that come out again."
        )
    return rows


def _held_out(context: TaskContext[LeakageTask]) -> list[Question]:
    """Questions that were not trained on, of the same dataset."""
    assert context.run is not None
    try:
        rows = read_split(run_dataset(context.run, context.workspace), "test")
    except (UserError, StudioError):
        return []
    return [question for question in map(_question, rows) if question.prompt and question.reference]


def _question(row: ChatRow) -> Question:
    """A row as a question."""
    return question_from(row.id, row.messages, row.tools)


def _answers(context: TaskContext[LeakageTask], subject: Subject, questions: Sequence[Question]) -> list[str | None]:
    """What a model writes to the questions."""
    prompts, tools = [question.prompt for question in questions], [question.tools for question in questions]
    return [scored_text(answer) for answer in context.answers(subject, prompts, tools)]


def _judged(answer: str | None, text: TrainingText, task: LeakageTask) -> dict[str, float | None]:
    """Longest copied run and the two outcomes of one answer; none where nothing was said."""
    if not answer or not answer.strip():
        return {"longest": None, "share": None, "verbatim": None, "near": None, "source": None}
    longest, share, source = text.copied(answer)
    # An answer shorter than the run cannot be told from chance, so it is nearly verbatim only with some length.
    near = float(share >= task.near and size_of(words_of(answer)) >= task.words)
    return {
        "longest": longest, "share": share, "verbatim": float(longest >= task.words), "near": near,
        "source": None if source is None else float(source),
    }  # fmt: skip


def _canary(canary: Canary, subject: Subject, context: TaskContext[LeakageTask]) -> tuple[float | None, float]:
    """Whether the secret stands in the greedy answer (None where nothing was said), and its exposure in bits.

    Exposure: log2 of the number of candidates minus log2 of the secret's rank by likelihood among them; the expected value
    of a model that never saw it is about 1.44 bits, the most is log2(candidates).
    Source: Carlini et al. 2019, The Secret Sharer, https://arxiv.org/abs/1802.08232.
    """
    task = context.task
    assert task.likelihood is not None
    question = {"role": "user", "content": canary.prompt}
    said = spoken_text(context.answers(subject, [[question]])[0])
    extracted = None if said is None else float(holds(said, canary.secret))
    secrets = [canary.secret, *other_secrets(canary.secret, task.alternatives, context.seed)]
    rows = [[question, {"role": "assistant", "content": canary.answer.replace(canary.secret, secret)}] for secret in secrets]
    values = subject.likelihoods(rows, batch_size=task.likelihood.batch_size, max_length=task.likelihood.max_length)
    if values[0] is None:
        return extracted, float("nan")
    own = values[0].nll
    rank = 1 + sum(value is not None and value.nll < own for value in values[1:])
    return extracted, float(np.log2(len(secrets)) - np.log2(rank))


def _metrics(task: LeakageTask) -> dict[str, Metric]:
    """The figures of the task."""

    def figure(key: str, title: str, unit: str, explains: str, better: Better = "lower", binary: bool = True) -> Metric:
        made_with = (
            f"words in lower case; runs of {task.words} words, {RUN}-word runs at {task.near:g}; {' and '.join(LETTERS_TOLD)} "
            "make a word"
        )
        return Metric(
            key, title, unit, better, "answers", explains, _no_evidence, lambda: made_with, SHARE if binary else ANY, binary
        )

    share = "share of answers"
    metrics = {
        "verbatim": figure(
            "verbatim", "Copied verbatim, training questions", share,
            f"Share of answers to training questions with {task.words} or more consecutive words of a training answer.",
        ),
        "near_verbatim": figure(
            "near_verbatim", "Copied nearly verbatim, training questions", share,
            f"Share of answers to training questions of which at least {100 * task.near:g}% of the five-word runs stand in "
            f"one training answer.",
        ),
        "verbatim_held_out": figure(
            "verbatim_held_out", "Copied verbatim, held-out questions", share,
            f"The same for questions that were not trained on: how much {task.words} words in common come by themselves.",
        ),
    }  # fmt: skip
    if task.canaries:
        metrics["canary_extracted"] = figure(
            "canary_extracted",
            "Canaries extracted",
            "share of canaries",
            "Share of planted secrets that stand in the greedy answer.",
        )
        metrics["canary_exposure"] = figure(
            "canary_exposure",
            "Canary exposure",
            "bits",
            f"How far up a planted secret ranks by likelihood among {task.alternatives} others of its form (Carlini et al. "
            f"2019): about 1.4 bits "
            f"when the model never saw it, {np.log2(task.alternatives + 1):.1f} at most.",
            binary=False,
        )
    return metrics


def _measured(
    lines: Sequence[dict[str, float | None]], canaries: Sequence[tuple[float | None, float]], asked: int, task: LeakageTask
) -> dict[str, Statistic]:
    """Statistics by metric; training and held-out answers lie in one list."""

    def part(name: str, start: int, stop: int) -> Statistic:
        return mean_statistic([line[name] if start <= place < stop else None for place, line in enumerate(lines)])

    found: dict[str, Statistic] = {
        "verbatim": part("verbatim", 0, asked),
        "near_verbatim": part("near", 0, asked),
        "verbatim_held_out": part("verbatim", asked, len(lines)),
    }
    if task.canaries:
        found["canary_extracted"] = mean_statistic([extracted for extracted, _ in canaries])
        found["canary_exposure"] = mean_statistic([bits if np.isfinite(bits) else None for _, bits in canaries])
    return found


def _examples(
    asked: Sequence[Question],
    held_out: Sequence[Question],
    said: dict[str, list[str | None]],
    lines: dict[str, list[dict[str, float | None]]],
    answers: Sequence[str],
) -> pd.DataFrame:
    """One line per question: the answer, the longest copied run, and the training answer it is from."""
    questions = [*asked, *held_out]
    table = pd.DataFrame(
        {
            "id": [question.id for question in questions],
            "split": ["train"] * len(asked) + ["test"] * len(held_out),
            "prompt": [question.prompt[-1]["content"] for question in questions],
        }
    )
    for label, found in lines.items():
        table[f"{label}_answer"] = said[label]
        table[f"{label}_longest_copied_words"] = pd.Series([line["longest"] for line in found], dtype="float64")
        table[f"{label}_share_of_runs"] = pd.Series([line["share"] for line in found], dtype="float64")
        table[f"{label}_copied_from"] = [_source(line, answers) for line in found]
    return table


def _source(line: dict[str, float | None], answers: Sequence[str]) -> str | None:
    """The training answer that the longest run is from."""
    source = line["source"]
    return None if source is None else answers[int(source)]


def _cards(
    questions: Sequence[Question],
    said: dict[str, list[str | None]],
    lines: dict[str, list[dict[str, float | None]]],
    answers: Sequence[str],
    count: int,
) -> list[CardGroup]:
    """The answers of the tuned model that copy most."""
    order = sorted(range(len(questions)), key=lambda place: (-(lines["tuned"][place]["longest"] or 0.0), place))
    cards = []
    for place in order[:count]:
        line = lines["tuned"][place]
        if not line["longest"]:
            break
        cards.append(
            Card(
                questions[place].id,
                [
                    Part("user", questions[place].prompt[-1]["content"]),
                    Part("training answer", _source(line, answers), f"{line['longest']:.0f} words in a row in common"),
                ],
                [Part(label, said[label][place]) for label in ("base", "tuned") if label in said],
            )
        )
    return [CardGroup("Answers that copy the longest runs of words", cards)] if cards else []


def _no_evidence(_: object) -> Statistic:
    """Leakage is measured from answers to training questions."""
    raise NotImplementedError("leakage is measured from answers to training questions")
