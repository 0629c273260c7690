"""What a training of retrieval learns from: questions with passages, what is left out, and how much of each text is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.core.files import write_text
from studio.data.parquet import read_whole_dataset
from studio.data.passages import Found, read_passages, same_text
from studio.models.embed.opening import PASSAGE, QUERY, EncoderShape
from studio.models.quiet import quiet_transformers
from studio.schema.embed import AnyRetrievalPreset, EmbeddingPreset

LEFT_OUT_FILE = "left_out.jsonl"


@dataclass
class RetrievalRows:
    """The rows of a training.

    left_out: training rows that are not learnt from, with reasons. notes: for people.
    """

    train: list[Found]
    validation: list[Found]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passages(self) -> list[str]:
        """Each text that could be an answer once, in the order of the training rows."""
        return distinct(passage for row in self.train for passage in (row.positive, *row.negatives) if passage is not None)


@dataclass(frozen=True)
class TextReport:
    """What is read of the training rows' texts, in tokens; ``run.json`` keeps it under ``mask_report``.

    cut_*: texts that are longer than ``max_length``. tokens_cut: tokens that are not read for it. lengths are before the cut.
    """

    rows: int
    questions: int
    passages: int
    disliked: int
    left_out: int
    max_length: int
    longest_question: int
    longest_passage: int
    cut_questions: int
    cut_passages: int
    tokens: int
    tokens_cut: int

    def lines(self) -> list[str]:
        """Sentences for people."""
        against = f", {self.disliked:,} disliked answers to set against them" if self.disliked else ""
        gone = f"; {self.left_out:,} rows left out ({LEFT_OUT_FILE})" if self.left_out else ""
        found = [f"{self.rows:,} rows: {self.questions:,} questions, {self.passages:,} passages{against}{gone}"]
        if self.tokens_cut:
            found.append(
                f"{self.cut_questions:,} questions and {self.cut_passages:,} passages are longer than max_length "
                f"{self.max_length} and are cut on the right: {self.tokens_cut / self.tokens:.1%} of all tokens are not read"
            )
        else:
            found.append(f"every text is read whole: the longest has {max(self.longest_question, self.longest_passage)} tokens")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the record."""
        return asdict(self)


def distinct(texts: Any) -> list[str]:
    """Each text once, those that differ in case and white space only too, in order."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(same_text(text), text)
    return list(found.values())


def read_rows(folder: Path, preset: AnyRetrievalPreset) -> RetrievalRows:
    """Training and validation rows of a Dataset; validation is empty where there is none.

    Raises:
        DataError: nothing is left to learn from. UserError: as :func:`studio.data.passages.read_passages`.
    """
    found = read_passages(folder, "train", preset.passage)
    train, left_out = _usable(found.rows, preset)
    held: list[Found] = []
    if "validation" in read_whole_dataset(folder).splits:
        held, _ = _usable(read_passages(folder, "validation", preset.passage).rows, preset)
    rows = RetrievalRows(train, held, [*found.left_out, *left_out], found.notes)
    distinct_passages = len({same_text(row.positive) for row in train if row.positive is not None})
    if not train or (distinct_passages < 2 and not any(row.negatives for row in train)):
        why = f" ({rows.left_out[0][1]})" if rows.left_out else ""
        raise DataError(
            f"{folder.parent.name} has {len(train)} rows with {distinct_passages} different passages to learn from{why}, and a "
            "passage is learnt by telling it from others. Build a Dataset with more rows."
        )
    return rows


def _usable(rows: Sequence[Found], preset: AnyRetrievalPreset) -> tuple[list[Found], list[tuple[str, str]]]:
    """Rows that a preset can learn from, and the others with reasons."""
    if not isinstance(preset, EmbeddingPreset):
        return list(rows), []
    kept: list[Found] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        if row.positive is None:
            left_out.append((row.id, "a disliked answer alone: nothing is known to answer its question"))
        elif preset.negatives == "require" and not row.negatives:
            left_out.append((row.id, "no disliked answer, and negatives: require asks for one"))
        else:
            kept.append(row if preset.negatives != "ignore" else Found(row.id, row.query, row.positive, (), row.group))
    return kept, left_out


def shape_of(preset: AnyRetrievalPreset) -> EncoderShape:
    """How the preset opens an encoder."""
    if not isinstance(preset, EmbeddingPreset):
        return EncoderShape(preset.max_length)
    return EncoderShape(preset.max_length, preset.pooling, {QUERY: preset.query_prompt, PASSAGE: preset.passage_prompt})


def text_report(rows: RetrievalRows, tokenizer: Any, preset: AnyRetrievalPreset) -> TextReport:
    """Count tokens; a reranker reads a question and a passage together, and its passages are counted that way."""
    prompts = shape_of(preset).prompts or {}
    questions = _lengths(tokenizer, distinct(row.query for row in rows.train), prompts.get(QUERY, ""))
    passages = _lengths(tokenizer, rows.passages, prompts.get(PASSAGE, ""))
    alone = isinstance(preset, EmbeddingPreset)
    if alone:
        read = [*questions.values(), *passages.values()]
    else:  # the mark at the beginning is shared
        read = [
            questions[same_text(row.query)] + passages[same_text(text)] - 1
            for row in rows.train
            for text in (row.positive, *row.negatives)
            if text is not None
        ]
    limit = preset.max_length
    return TextReport(
        rows=len(rows.train),
        questions=len(questions),
        passages=len(passages),
        disliked=sum(len(row.negatives) for row in rows.train),
        left_out=len(rows.left_out),
        max_length=limit,
        longest_question=max(questions.values()),
        longest_passage=max(passages.values()) if alone else max(read),
        cut_questions=sum(count > limit for count in questions.values()) if alone else 0,
        cut_passages=sum(count > limit for count in (passages.values() if alone else read)),
        tokens=sum(read),
        tokens_cut=sum(count - limit for count in read if count > limit),
    )


def _lengths(tokenizer: Any, texts: Sequence[str], prompt: str) -> dict[str, int]:
    """Tokens of each text with its prompt and its marks, by :func:`same_text`."""
    with quiet_transformers():  # it warns of long texts, which are counted here
        numbers = tokenizer([prompt + text for text in texts], truncation=False, padding=False)["input_ids"]
    return {same_text(text): len(row) for text, row in zip(texts, numbers, strict=True)}


def write_left_out(run_folder: Path, rows: RetrievalRows) -> None:
    """Every training row that is not learnt from, with its reason."""
    if rows.left_out:
        lines = [json.dumps({"id": identity, "reason": reason}, ensure_ascii=False) for identity, reason in rows.left_out]
        write_text(run_folder / LEFT_OUT_FILE, "\n".join(lines) + "\n")
