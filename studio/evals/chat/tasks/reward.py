"""The tasks ``pairs`` (is a reward model right about held-out pairs?) and ``reward`` (what does one say of answers?)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from studio.adapters.chat.scoring import Scorer, load_scoring_run
from studio.core.errors import UserError
from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow
from studio.evals.chat.judging import word_count
from studio.evals.chat.questions import question_from
from studio.evals.chat.showing import answer_columns, answer_part
from studio.evals.chat.tasks.conversation import choose_rows
from studio.evals.evidence import Answer, Question, scored_text
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import ANY, POSITIVE, SHARE, Better, Scale, Statistic
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.schema.reward_tasks import PairsTask, RewardTask

_POINTS = "points of the reward model"
_LIMITS = [
    "A reward model is a model: it may favour length, politeness or words of its pairs, and knows nothing of questions unlike "
    "them. Read its accuracy on held-out pairs, and the answers themselves; it never lets a gate pass alone.",
]


def run_pairs(context: TaskContext[PairsTask]) -> TaskResult:
    """Score both answers of held-out pairs with the reward model that is measured.

    Raises:
        NotComputedError: the model is no reward model, or there is no pair.
        UserError: the rows cannot be found, or were trained on.
    """
    task = context.task
    if context.run_folder is None:
        raise NotComputedError("pairs are scored by a reward model, and this is no run. Train one: studio train chat/reward")
    scorer = _opened(context, context.run_folder)
    rows, warnings, data = _rows(context)
    pairs = [row for row in rows if row.chosen is not None and row.rejected is not None]
    if not pairs:
        raise NotComputedError(
            f"none of the {len(rows)} rows of the split '{task.data.split}' is a pair of a chosen and a rejected answer. Name a "
            "dataset of pairs: --data DATASET"
        )
    if len(pairs) < len(rows):
        warnings.append(f"{len(rows) - len(pairs)} of {len(rows)} rows are no pairs and were left out.")
    encoded = [scorer.encode(row.messages, str(answer), row.tools) for row in pairs for answer in (row.chosen, row.rejected)]
    found = _scored(context, scorer, encoded)
    chosen, rejected = found[0::2], found[1::2]
    margins = [None if one is None or two is None else one - two for one, two in zip(chosen, rejected, strict=True)]
    measured = {
        "accuracy": mean_statistic([None if margin is None else float(margin > 0) for margin in margins]),
        "margin": mean_statistic(margins),
        "chosen_score": mean_statistic(chosen),
        "rejected_score": mean_statistic(rejected),
    }
    metrics = _pair_metrics(scorer)
    table = pd.DataFrame(
        {
            "id": [row.id for row in pairs],
            "chosen": [row.chosen for row in pairs],
            "rejected": [row.rejected for row in pairs],
            "chosen_score": chosen,
            "rejected_score": rejected,
        }
    )
    return TaskResult(
        scores={"tuned": [_score(context, metrics[name], statistic) for name, statistic in measured.items()]},
        examples=table,
        notes=warnings,
        limits=_LIMITS,
        cards=_wrong(pairs, margins, chosen, rejected, task.examples_shown),
        data=data | {"rows": len(pairs)},
        rows=len(pairs),
        title="Held-out pairs",
        about={"tuned": _about(scorer)},
    )


def run_reward(context: TaskContext[RewardTask]) -> TaskResult:
    """Have a reward model score what the models answer to held-out questions.

    Raises:
        NotComputedError: no reward model is named.
        UserError: it or the rows cannot be found.
    """
    task = context.task
    if task.reward is None:
        raise NotComputedError(
            "no reward model is named. Name a run of chat/reward: studio eval rewarded --model RUN --set tasks.0.reward=JUDGE"
        )
    scorer = _opened(context, context.workspace.find_run(task.reward))
    rows, warnings, data = _rows(context)
    asked = [question for row in rows if (question := _question(row)).prompt]
    answers: dict[str, list[Answer | None]] = {}
    for label in context.labels:
        with context.subject(label) as subject:
            tools = [question.tools for question in asked]
            answers[label] = context.answers(subject, [question.prompt for question in asked], tools)
    # An empty answer, or nothing but a thought, is scored as it is: it is an answer, and no good one.
    texts = {label: [None if answer is None else scored_text(answer) or "" for answer in each] for label, each in answers.items()}
    points = {label: _points(context, scorer, asked, each) for label, each in texts.items()}
    metrics = {
        "reward": _metric(scorer, "reward", "Score by the reward model", _POINTS, "higher", "Mean score of the answers; only "
                          "differences mean something, and one that says nothing is scored as it is."),
        "words": _metric(scorer, "words", "Words per answer", "words", "neither", "Mean length of the answers that were scored: "
                         "reward models favour long ones.", POSITIVE),
    }  # fmt: skip
    measured: dict[str, dict[str, Statistic]] = {
        label: {
            "reward": mean_statistic(points[label]),
            "words": mean_statistic([None if text is None else float(word_count(text)) for text in texts[label]]),
        }
        for label in answers
    }
    compared = partial(difference, resamples=context.resamples, seed=context.seed)
    return TaskResult(
        scores={label: [_score(context, metrics[name], each[name]) for name in metrics] for label, each in measured.items()},
        differences=[
            compared(metric, measured["tuned"][name], measured["base"][name])
            for name, metric in metrics.items()
            if "base" in measured
        ],
        examples=_table(asked, answers, points),
        notes=warnings,
        limits=_LIMITS,
        cards=_lowest(asked, answers, points, task.examples_shown),
        data=data | {"rows": len(asked), "reward": scorer.name},
        rows=len(asked),
        title="A reward model's scores",
    )


def _opened(context: TaskContext[Any], folder: Any) -> Scorer:
    """The reward model, told before it is loaded."""
    context.tell(f"opening the reward model {folder.parent.name}/{folder.name}")
    try:
        return load_scoring_run(folder)
    except UserError as error:
        raise NotComputedError(str(error)) from error


def _rows(context: TaskContext[Any]) -> tuple[list[ChatRow], list[str], dict[str, Any]]:
    """The rows, what the reader must be warned of, and what they are."""
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    rows, _, warnings = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    dataset = read_dataset(folder)
    about = {
        "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
        "rows_in_split": dataset.splits[task.data.split],
    }  # fmt: skip
    return rows, warnings, about


def _question(row: ChatRow) -> Question:
    """What a row asks: of a preference its prompt."""
    if row.is_preference:
        return Question(row.id, row.messages, row.messages, row.chosen, row.tools)
    return question_from(row.id, row.messages, row.tools)


def _points(
    context: TaskContext[RewardTask], scorer: Scorer, asked: Sequence[Question], texts: Sequence[str | None]
) -> list[float | None]:
    """The score of each answer; None where there is none."""
    encoded = [
        None if text is None else scorer.encode(list(question.prompt), text, list(question.tools) or None)
        for question, text in zip(asked, texts, strict=True)
    ]
    return _scored(context, scorer, encoded)


def _scored(context: TaskContext[Any], scorer: Scorer, encoded: Sequence[list[int] | None]) -> list[float | None]:
    """Scores of rows of tokens, with a bar."""
    with context.bar("scores", sum(row is not None for row in encoded)) as advance:
        return scorer.scores(encoded, batch_size=context.task.batch_size, advance=advance)


def _metric(
    scorer: Scorer, key: str, title: str, unit: str, better: Better, explains: str, scale: Scale = ANY, right: bool = False
) -> Metric:
    """A figure of these tasks."""
    made_with = f"reward model {scorer.name}, {scorer.model.dtype}".replace("torch.", "")
    return Metric(key, title, unit, better, "answers", explains, _by_its_task, lambda: made_with, scale, right_or_wrong=right)


def _pair_metrics(scorer: Scorer) -> dict[str, Metric]:
    """What is told of held-out pairs."""
    metric = partial(_metric, scorer)
    return {
        "accuracy": metric("accuracy", "Right pairs", "share of pairs", "higher",
                           "Share of the pairs whose chosen answer scores higher; chance is 0.5.", SHARE, right=True),
        "margin": metric("margin", "Margin", _POINTS, "higher", "Mean of the chosen answer's score minus the rejected one's."),
        "chosen_score": metric("chosen_score", "Score of chosen answers", _POINTS, "neither", "Mean score."),
        "rejected_score": metric("rejected_score", "Score of rejected answers", _POINTS, "neither", "Mean score."),
    }  # fmt: skip


def _by_its_task(_: object) -> Statistic:
    """These figures come from scores, not from evidence."""
    raise TypeError("a reward model's figures are computed by the tasks 'pairs' and 'reward'")


def _score(context: TaskContext[Any], metric: Metric, statistic: Statistic) -> Any:
    """The figure with its interval."""
    return score(metric, statistic, resamples=context.resamples, seed=context.seed)


def _about(scorer: Scorer) -> dict[str, Any]:
    """The reward model, for the report."""
    record = scorer.record
    return {
        "kind": "run", "name": record.name, "id": record.id, "path": str(scorer.folder), "method": record.method,
        "base": record.base.get("name"), "base_sha256": record.base.get("sha256"),
        "template_sha256": scorer.template.sha256, "dtype": str(scorer.model.dtype).removeprefix("torch."),
    }  # fmt: skip


def _table(
    asked: Sequence[Question], answers: dict[str, list[Answer | None]], points: dict[str, list[float | None]]
) -> pd.DataFrame:
    """One line per question."""
    lines = []
    for place, question in enumerate(asked):
        line: dict[str, Any] = {"id": question.id, "question": question.prompt[-1]["content"]}
        for label in answers:
            line |= {**answer_columns(label, answers[label][place]), f"{label}_reward": points[label][place]}
        lines.append(line)
    return pd.DataFrame(lines)


def _wrong(
    pairs: Sequence[ChatRow],
    margins: Sequence[float | None],
    chosen: Sequence[float | None],
    rejected: Sequence[float | None],
    count: int,
) -> list[CardGroup]:
    """The pairs that are most wrong."""
    places = sorted(((margin, place) for place, margin in enumerate(margins) if margin is not None and margin <= 0))
    cards = [
        Card(
            pairs[place].id,
            [Part("question", pairs[place].messages[-1]["content"])],
            [
                Part("chosen", pairs[place].chosen, f"{chosen[place]:.2f}"),
                Part("rejected", pairs[place].rejected, f"{rejected[place]:.2f}"),
            ],
        )
        for _, place in places[:count]
    ]
    return [CardGroup(f"The rejected answer scores higher ({len(places)})", cards)]


def _lowest(
    asked: Sequence[Question], answers: dict[str, list[Answer | None]], points: dict[str, list[float | None]], count: int
) -> list[CardGroup]:
    """The answers of the tuned model with the lowest scores."""
    places = sorted((value, place) for place, value in enumerate(points["tuned"]) if value is not None)
    cards = []
    for _, place in places[:count]:
        sides = [
            answer_part(label, answers[label][place], "" if points[label][place] is None else f"{points[label][place]:.2f}")
            for label in ("base", "tuned")
            if label in answers
        ]
        cards.append(Card(asked[place].id, [Part("question", asked[place].prompt[-1]["content"])], sides))
    return [CardGroup("Lowest scores", cards)]
