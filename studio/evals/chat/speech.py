"""What is spoken in an evaluation of a language model: in its Dataset, in references and answers; and every score once more for
each language of a mixed corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.records import GroupScores
from studio.core.workspace import read_dataset
from studio.data.chat.rows import read_split
from studio.evals.chat.slices import by_slice
from studio.evals.evidence import Evidence
from studio.evals.languages import answer_languages, counts_of, reference_languages, slices_of, told
from studio.evals.metrics.base import Metric
from studio.evals.task import TaskContext
from studio.language.identify import main_language, name_of

# Rows of a Dataset that are read to see what people speak there.
_ROWS_READ = 200


def dataset_language(context: TaskContext[Any]) -> str | None:
    """The language of most answers of the Dataset that the model was made for; None where none is at hand or can be told."""
    try:
        return _language_of_folder(context.dataset_folder())
    except StudioError:
        return None


@cache
def _language_of_folder(folder: Path) -> str | None:
    """See :func:`dataset_language`; looked at once."""
    rows = [row for split in read_dataset(folder).splits for row in read_split(folder, split)[:_ROWS_READ]]
    said = (turn["content"] for row in rows for turn in row.messages if turn["role"] == "assistant" and turn.get("content"))
    return main_language(said)


def languages_spoken(evidence: Mapping[str, Sequence[Evidence]]) -> dict[str, dict[str, int]]:
    """How many references, and how many answers of each model, are in which language."""
    found = {"references": counts_of(reference_languages(next(iter(evidence.values()))))}
    return found | {
        label: counts_of(answer_languages(items)) for label, items in evidence.items() if any(item.answer for item in items)
    }


def language_remarks(evidence: Mapping[str, Sequence[Evidence]]) -> list[str]:
    """What the reader must know of them, where not all is in English: who speaks what, and answers in another language."""
    first = next(iter(evidence.values()))
    wanted = reference_languages(first)
    spoken = counts_of(wanted)
    remarks = []
    if set(spoken) - {"en"}:
        remarks.append(f"References by language: {told(spoken)}. BLEU, TER, ROUGE, F1 and variety count what is a word there.")
    for label, items in evidence.items():
        others = [
            answered
            for answered, code in zip(answer_languages(items), wanted, strict=True)
            if answered is not None and code is not None and answered != code
        ]
        if len(others) > len(items) / 20:
            remarks.append(
                f"{label}: {len(others)} of {len(items)} answers are in another language than their reference "
                f"({told(counts_of(others))})."
            )
    return remarks


def by_language(
    metrics: Sequence[Metric],
    evidence: Mapping[str, Sequence[Evidence]],
    context: TaskContext[Any],
    clusters: Sequence[str] | None = None,
) -> list[GroupScores]:
    """Every metric for the rows of each language; nothing for a corpus in one language."""
    slices = slices_of(reference_languages(next(iter(evidence.values()))))
    explains = "The rows of each language alone, cut into words as that language is."
    titles = {code: name_of(code) for code in slices}
    return by_slice(
        "by language", explains, slices, metrics if slices else [], evidence, context, titles=titles, clusters=clusters
    )
