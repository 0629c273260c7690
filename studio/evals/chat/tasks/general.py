"""What a model can still do beside what it was tuned on: questions with answers that can be checked, and plain texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from studio.core.records import GroupScores, Score
from studio.evals.evidence import Answer, Evidence, Likelihood, LogProb, Question, scored_text
from studio.evals.intervals import share_interval
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.metrics.perplexity import PERPLEXITY
from studio.evals.scoring import differences, score
from studio.evals.statistics import SHARE, Statistic
from studio.evals.task import Card, CardGroup, Part, TaskContext, TaskResult, shares
from studio.schema.general import GeneralQuestion, GeneralTask
from studio.schema.tasks import LikelihoodSettings

_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
_MADE_WITH = "checks of the task general: whole words, the last number, or a regular expression"
_FEW = 30


def run(context: TaskContext[GeneralTask]) -> TaskResult:
    """Ask every model the questions, and score the expected answers and the texts under it."""
    task = context.task
    wanted = shares(task.limit, [len(task.questions), len(task.texts)])
    questions, texts = context.draw(task.questions, wanted[0]), context.draw(task.texts, wanted[1])
    asked: list[Question] = [_as_question(place, item) for place, item in enumerate(questions)]
    said: dict[str, list[Answer | None]] = {}
    measured: dict[str, dict[str, Statistic]] = {}
    right: dict[str, list[float | None]] = {}
    tokens_like = set()
    for label in context.labels:
        with context.subject(label) as subject:
            said[label] = context.answers(subject, [item.prompt for item in asked])
            size = (task.likelihood or LikelihoodSettings()).batch_size
            likely = subject.likelihoods([item.messages for item in asked], batch_size=size, max_length=None)
            plain = subject.text_logprobs([("", text) for text in texts], batch_size=size) if texts else []
            tokens_like.add(subject.tokens_like)
        right[label] = [is_right(item, scored_text(answer)) for item, answer in zip(questions, said[label], strict=True)]
        known = [None if item.check == "matches" else value for item, value in zip(questions, likely, strict=True)]
        measured[label] = {
            "correct": mean_statistic(right[label]),
            "answer_perplexity": _surprise(known),
            **({"text_perplexity": _surprise([_as_likelihood(value) for value in plain])} if texts else {}),
        }
    metrics = {key: metric for key, metric in _METRICS.items() if texts or key != "text_perplexity"}
    return TaskResult(
        scores={
            label: [
                score(metric, statistics[key], resamples=context.resamples, seed=context.seed) for key, metric in metrics.items()
            ]
            for label, statistics in measured.items()
        },
        differences=differences(
            metrics, measured, resamples=context.resamples, seed=context.seed, same_tokens=len(tokens_like) == 1
        ),
        examples=_examples(questions, said, right),
        groups=_by_category(questions, right),
        notes=[f"Only {len(questions)} questions were asked: small differences cannot be seen."] if len(questions) < _FEW else [],
        limits=[
            f"{len(questions)} questions and {len(texts)} texts are a probe: they show that some was lost, not all that was.",
            "An answer that says the right thing beside a wrong one counts as right, and other languages are not asked in.",
        ],
        cards=_cards(questions, said, right, task.examples_shown),
        data={"name": "questions and texts of the suite", "questions": len(questions), "texts": len(texts)},
        rows=len(questions) + len(texts),
        title="General abilities",
    )


def _as_question(place: int, item: GeneralQuestion) -> Question:
    """The question with the first right answer as its reference."""
    prompt = [{"role": "user", "content": item.ask}]
    return Question(f"question-{place}", [*prompt, {"role": "assistant", "content": item.answer[0]}], prompt, item.answer[0])


def is_right(item: GeneralQuestion, text: str | None) -> float | None:
    """1 or 0 for what was written; an empty answer is wrong, None where there is none at all."""
    if text is None:
        return None
    if item.check == "matches":
        return float(any(re.fullmatch(answer, text.strip(), re.DOTALL) for answer in item.answer))
    if item.check == "number":
        found = [float(number.replace(",", "")) for number in _NUMBER.findall(text)]
        return float(bool(found) and found[-1] in {float(answer) for answer in item.answer})
    return float(any(re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE) for answer in item.answer))


def _as_likelihood(value: LogProb | None) -> Likelihood | None:
    """The log-probability of a text as the likelihood of its tokens."""
    return None if value is None else Likelihood(-value.sum, value.tokens)


def _surprise(values: Sequence[Likelihood | None]) -> Statistic:
    """Perplexity over the tokens of all answers or texts."""
    return PERPLEXITY.measure([Evidence(Question("", (), (), None), likelihood=value) for value in values])


def _no_evidence(_: object) -> Statistic:
    """Measured from the task's own questions and texts."""
    raise NotImplementedError("general abilities are measured from the task's own questions and texts")


_METRICS: dict[str, Metric] = {
    "correct": Metric(
        "correct", "Right answers", "share of questions", "higher", "answers",
        "Share of the suite's questions whose answer is right: the expected words stand in it, its last number is the right one, "
        "or all of it has the form that was asked for.",
        _no_evidence, lambda: _MADE_WITH, SHARE, True,
    ),
    "answer_perplexity": replace(
        PERPLEXITY, key="answer_perplexity", title="Perplexity of the right answers", measure=_no_evidence,
        explains="How surprised the model is by the expected answers: exp(total negative log-likelihood / tokens), over the "
        "answer and its end token, written with the chat template. It moves before answers change.",
    ),
    "text_perplexity": replace(
        PERPLEXITY, key="text_perplexity", title="Perplexity of plain texts", measure=_no_evidence,
        explains="How surprised the model is by everyday texts, without a chat template: exp(total negative log-likelihood / "
        "tokens).",
    ),
}  # fmt: skip


def _examples(
    questions: Sequence[GeneralQuestion], said: dict[str, list[Answer | None]], right: dict[str, list[float | None]]
) -> pd.DataFrame:
    """One line per question."""
    table: dict[str, Any] = {
        "id": [f"question-{place}" for place in range(len(questions))],
        "category": [item.category for item in questions],
        "prompt": [item.ask for item in questions],
        "expected": [" | ".join(item.answer) for item in questions],
    }
    for label, answers in said.items():
        table[f"{label}_answer"] = [scored_text(answer) for answer in answers]
        table[f"{label}_correct"] = pd.Series(right[label], dtype="float64")
    return pd.DataFrame(table)


def _by_category(questions: Sequence[GeneralQuestion], right: dict[str, list[float | None]]) -> list[GroupScores]:
    """Right answers by category."""
    categories = list(dict.fromkeys(item.category for item in questions))
    if len(categories) < 2:
        return []
    scores = {
        label: [
            _share(category, [value for item, value in zip(questions, values, strict=True) if item.category == category])
            for category in categories
        ]
        for label, values in right.items()
    }
    return [GroupScores(title="Right answers by category", unit="share of questions", scores=scores)]


def _share(category: str, values: Sequence[float | None]) -> Score:
    """Right answers of one category."""
    known = [value for value in values if value is not None]
    bounds = share_interval(sum(known), len(known))
    return Score(
        metric=category, value=sum(known) / len(known) if known else None, unit="share of questions", better="higher",
        n=len(known), low=bounds[0] if bounds else None, high=bounds[1] if bounds else None, made_with=_MADE_WITH,
        note="few questions" if len(values) < _FEW else None, reason=None if known else "no question could be asked",
    )  # fmt: skip


def _cards(
    questions: Sequence[GeneralQuestion],
    said: dict[str, list[Answer | None]],
    right: dict[str, list[float | None]],
    count: int,
) -> list[CardGroup]:
    """What was right before and is wrong now, and what the tuned model gets wrong."""
    tuned, base = right["tuned"], right.get("base")
    lost = [place for place, value in enumerate(tuned) if value == 0 and base is not None and base[place] == 1]
    wrong = [place for place, value in enumerate(tuned) if value == 0 and place not in lost]
    groups = []
    for title, places in (("Right in the base and wrong in the tuned model", lost), ("Wrong answers", wrong)):
        cards = [
            Card(
                f"question-{place}",
                [Part("user", item.ask, item.category), Part("expected", " | ".join(item.answer))],
                [Part(label, scored_text(said[label][place])) for label in ("base", "tuned") if label in said],
            )
            for place, item in [(place, questions[place]) for place in places[:count]]
        ]
        if cards:
            groups.append(CardGroup(f"{title} ({len(places)})", cards))
    return groups
