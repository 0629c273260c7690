"""The questions that are asked and the passages among which theirs have to be found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.workspace import read_dataset, run_dataset
from studio.data.passages import Found, Passages, read_passages, relevant_passages, same_text
from studio.evals.task import NotComputedError, TaskContext
from studio.schema.retrieval_scores import RetrievalTask


@dataclass
class Corpus:
    """What is searched.

    rows: the questions. passages: texts, each once, those of the questions' split first. right: places of the passages that
    answer each question. owners: what each question belongs to. own: passages of the split itself. notes: for people.
    """

    rows: list[Found]
    passages: list[str]
    right: list[set[int]]
    owners: list[str]
    own: int
    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def read_corpus(context: TaskContext[RetrievalTask]) -> Corpus:
    """Questions of the split, and a corpus of its passages and of training passages.

    Raises:
        UserError: rows were trained on, and the suite refuses that.
        NotComputedError: there is no question with a passage.
    """
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    passage = task.passage or _trained_with(context)
    found = read_passages(folder, task.data.split, passage)
    training = _training(context, folder, passage)
    notes = list(found.notes)
    asked = [row for row in found.rows if row.positive is not None]
    if gone := len(found.left_out) + len(found.rows) - len(asked):
        notes.append(f"{gone} rows of {task.data.split} have no question with a passage and are not asked.")
    asked = _not_trained_on(context, asked, training, notes)
    rows = context.draw(asked)
    if not rows:
        raise NotComputedError(f"no row of {task.data.split} of {folder.parent.name} holds a question with a passage.")
    own = _each_once([row.positive for row in found.rows], [])
    others = [row.positive for row in training.rows] if task.data.split != "train" else []
    distractors = context.draw(_each_once(others, own), task.distractors)
    passages = [*own, *distractors]
    places = {same_text(text): place for place, text in enumerate(passages)}
    relevant = relevant_passages([*found.rows, *training.rows])
    right = [{places[key] for key in relevant[same_text(row.query)] if key in places} for row in rows]
    record = read_dataset(folder)
    data: dict[str, Any] = {"path": str(folder), "name": record.name, "fingerprint": record.fingerprint, "split": task.data.split}
    data |= {"rows": len(rows), "rows_in_split": record.splits[task.data.split], "passage": passage}
    data |= {"passages": len(passages), "passages of the split": len(own), "distractors": len(distractors)}
    owners = [row.group or same_text(str(row.positive)) for row in rows]
    return Corpus(rows, passages, right, owners, len(own), data, notes)


def _trained_with(context: TaskContext[RetrievalTask]) -> str:
    """What passages the run was trained with; the answer for what is no run."""
    settings = saved_settings(context.run_folder) if context.run_folder is not None else {}
    return str(settings.get("passage") or "answer")


def _training(context: TaskContext[RetrievalTask], folder: Any, passage: str) -> Passages:
    """Training rows of the run's own Dataset; of the one that is asked where there is no run."""
    try:
        own = run_dataset(context.run, context.workspace) if context.run is not None else folder
        return read_passages(own, "train", passage)
    except (UserError, StudioError):
        return Passages([])


def _not_trained_on(context: TaskContext[RetrievalTask], rows: list[Found], training: Passages, notes: list[str]) -> list[Found]:
    """The rows that the run has not learnt from, as the suite wants it.

    Raises:
        UserError: there are some, and ``training_rows`` is ``refuse``.
    """
    if context.run is None:
        notes.append("Whether the questions were trained on cannot be said: the model is not a run.")
        return rows
    known = {(same_text(row.query), same_text(row.positive or "")) for row in training.rows}
    leaked = [row for row in rows if (same_text(row.query), same_text(row.positive or "")) in known]
    if not leaked:
        return rows
    wish = context.task.data.training_rows
    many = f"{len(leaked)} of {len(rows)} questions with their passages"
    if wish == "refuse":
        raise UserError(
            f"{many} were trained on (first: {leaked[0].id}). Ask the test split of the run's own Dataset, or set "
            "data.training_rows to drop or keep."
        )
    if wish == "keep":
        notes.append(f"{many} were TRAINED ON: the figures say nothing of new questions.")
        return rows
    notes.append(f"{many} were trained on and are left out.")
    gone = {row.id for row in leaked}
    return [row for row in rows if row.id not in gone]


def _each_once(texts: list[str | None], known: list[str]) -> list[str]:
    """Texts that are not known yet, each once."""
    seen = {same_text(text) for text in known}
    found: list[str] = []
    for text in texts:
        if text is not None and same_text(text) not in seen:
            seen.add(same_text(text))
            found.append(text)
    return found
