"""Labels and numbers that language models give: the rows of a Dataset of conversations, what is asked of them, what is said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from studio.core.errors import nearest
from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow, read_split
from studio.evals.chat.questions import question_from
from studio.evals.chat.slices import column_of
from studio.evals.chat.tasks.conversation import choose_rows, gather
from studio.evals.evidence import Evidence, Message, scored_text
from studio.evals.labelled import Asking, Labelled, as_text
from studio.evals.metrics.base import Metric
from studio.evals.task import NotComputedError, TaskContext
from studio.schema.tasks import LabelledTask


def truth_rows(context: TaskContext[LabelledTask], group: str | None) -> Labelled:
    """The rows of a Dataset with their truth and group; nothing is asked yet.

    Raises:
        NotComputedError: no dataset is named, or its rows lack the column (the columns they have are named).
    """
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    rows, _, notes = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    columns = sorted({key for row in rows for key in row.meta})
    for name in (task.label_column, group):
        if name is not None and name not in columns:
            raise NotComputedError(
                f"the rows of {folder.parent.name} have no column '{name}'.{nearest(name, columns)} "
                f"Columns: {', '.join(columns) or 'none'}."
            )
    kept, truth = [], []
    for row in rows:
        value = row.meta.get(task.label_column) if task.label_column else question_from(row.id, row.messages).reference
        if value is not None:
            kept.append(row)
            truth.append(as_text(value) or "")
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} of {len(rows)} rows have no true value and were left out.")
    if not kept:
        raise NotComputedError(f"no row of {folder.parent.name} has a true value. Name a column with label_column.")
    dataset = read_dataset(folder)
    return Labelled(
        ids=[row.id for row in kept],
        truth=truth,
        said={},
        groups=[as_text(row.meta.get(group)) for row in kept] if group else None,
        rows=kept,
        values={name: column_of(kept, name, "slices") for name in getattr(task, "slices", ())},
        data={
            "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
            "rows": len(kept), "rows_in_split": dataset.splits[task.data.split],
        },
        notes=notes,
    )  # fmt: skip


def ask_answers(context: TaskContext[LabelledTask], found: Labelled, labels: Sequence[str]) -> None:
    """Fill ``said`` with what every model writes."""
    prompts = [asked(row, context.task.prompt, labels) for row in found.rows]
    found.prompts = [prompt[-1]["content"] if prompt else "" for prompt in prompts]
    for label in context.labels:
        with context.subject(label) as subject:
            answers = context.answers(subject, prompts, [row.tools for row in found.rows])
        found.said[label] = [scored_text(answer) for answer in answers]


def ask_likelihoods(context: TaskContext[LabelledTask], found: Labelled, labels: Sequence[str]) -> None:
    """Fill ``said`` with the label that every model finds most likely as the whole answer, ``shares`` with how likely each is."""
    prompts = [asked(row, context.task.prompt, labels) for row in found.rows]
    found.prompts = [prompt[-1]["content"] if prompt else "" for prompt in prompts]
    pairs = [[*prompt, {"role": "assistant", "content": label}] for prompt in prompts for label in labels]
    settings = context.task.likelihood
    assert settings is not None
    for name in context.labels:
        with context.subject(name) as subject, context.bar(f"{name}: likelihood of labels", len(pairs)) as advance:
            values = subject.likelihoods(pairs, batch_size=settings.batch_size, max_length=settings.max_length, advance=advance)
        found.said[name], found.shares[name] = [], []
        for start in range(0, len(values), len(labels)):
            scored = [
                (value.nll, label) for value, label in zip(values[start : start + len(labels)], labels, strict=True) if value
            ]
            complete = len(scored) == len(labels)
            found.said[name].append(min(scored)[1] if complete else None)
            found.shares[name].append(_shares(scored) if complete else None)


def _shares(scored: Sequence[tuple[float, str]]) -> dict[str, float]:
    """Probability of each label among these: the softmax of minus their negative log-likelihoods (nats, of the whole label)."""
    least = min(nll for nll, _ in scored)
    raised = {label: math.exp(least - nll) for nll, label in scored}
    total = math.fsum(raised.values())
    return {label: value / total for label, value in raised.items()}


def ask_evidence(context: TaskContext[LabelledTask], found: Labelled, metrics: Sequence[Metric]) -> dict[str, list[Evidence]]:
    """Fill ``said`` with every model's free answers to the rows' own questions; all that the metrics need, by model."""
    questions = [question_from(row.id, row.messages, row.tools) for row in found.rows]
    evidence = {}
    for label in context.labels:
        with context.subject(label) as subject:
            evidence[label] = gather(subject, questions, context, metrics)
        found.said[label] = [item.said for item in evidence[label]]
    return evidence


def text_columns(context: TaskContext[LabelledTask]) -> list[str]:
    """Columns of the rows' ``meta`` that hold text somewhere."""
    rows = read_split(context.dataset_folder(context.task.data.dataset), context.task.data.split)
    return sorted({key for row in rows for key, value in row.meta.items() if isinstance(value, str)})


def asked(row: ChatRow, prompt: str | None, labels: Sequence[str]) -> list[Message]:
    """The turns that are asked: the row's own, or the task's prompt in place of its last question."""
    turns = list(question_from(row.id, row.messages).prompt) or [turn for turn in row.messages if turn["role"] != "assistant"]
    if prompt is None or not turns:
        return turns
    question = turns[-1]["content"]
    text = prompt.replace("{question}", question).replace("{labels}", ", ".join(labels))
    return [*turns[:-1], {"role": "user", "content": text}]


CONVERSATIONS = Asking(truth_rows, ask_answers, ask_likelihoods, ask_evidence, text_columns)
