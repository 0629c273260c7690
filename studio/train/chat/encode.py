"""From the rows of a Dataset to token ids with their mask, and the report that says what the loss will see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import EncodedRow, TrainOn, encode_conversation
from studio.models.chat.templates import ChatTemplate


@dataclass(frozen=True)
class EncodedSplit:
    """Rows that will be trained on, in the Dataset's order, and those left out with their reason."""

    ids: list[str]
    rows: list[EncodedRow]
    left_out: list[tuple[str, str]]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, after any cut."""
        return [len(row.input_ids) for row in self.rows]


@dataclass(frozen=True)
class MaskReport:
    """What carries loss in a split. Counts are rows or tokens, shares are fractions."""

    rows: int
    tokens: int
    trained_tokens: int
    trained_share: float
    turns: int
    ends_trained: int
    ends_share: float
    cut_rows: int
    cut_tokens: int
    left_out_rows: int
    longest: int
    median: int
    cut_ids: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self, limit: int = 20) -> dict[str, Any]:
        """For ``run.json``: everything, with at most ``limit`` ids of each list (the whole lists are in ``left_out.jsonl``)."""
        value = asdict(self)
        value["cut_ids"], value["left_out"] = self.cut_ids[:limit], [list(pair) for pair in self.left_out[:limit]]
        return value

    def lines(self) -> list[str]:
        """The report in a few plain lines."""
        lines = [
            f"{self.rows} rows, {self.tokens:,} tokens; {self.trained_tokens:,} carry loss ({self.trained_share:.0%})",
            f"end-of-turn token trained in {self.ends_trained} of {self.turns} assistant turns ({self.ends_share:.0%})",
            f"row length: median {self.median}, longest {self.longest} tokens",
        ]
        if self.cut_rows:
            names = ", ".join(self.cut_ids[:3])
            lines.append(f"{self.cut_rows} rows are cut on the right and lose {self.cut_tokens:,} tokens (first: {names})")
        if self.left_out_rows:
            identity, reason = self.left_out[0]
            lines.append(f"{self.left_out_rows} rows are left out (first: {identity}, {reason})")
        return lines


def encode_split(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    rows: Iterable[ChatRow],
    *,
    train_on: TrainOn,
    max_length: int,
    overlong: Literal["cut", "drop", "refuse"],
) -> EncodedSplit:
    """Encode every row; a row whose targets are all cut away is left out and named, never trained on silently.

    Raises:
        DataError: ``overlong`` is ``refuse`` and a row is too long, or the template refuses a row (names the row).
    """
    ids: list[str] = []
    encoded: list[EncodedRow] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        try:
            example = encode_conversation(tokenizer, template, row.messages, train_on=train_on, max_length=max_length)
        except DataError as error:
            raise DataError(f"row {row.id}: {error}") from error
        if example.cut and overlong == "refuse":
            raise DataError(
                f"row {row.id} has {example.full_length} tokens, more than max_length {max_length}. Raise it, or set "
                "overlong to cut or drop."
            )
        if example.cut and overlong == "drop":
            left_out.append((row.id, f"{example.full_length} tokens, more than max_length {max_length}"))
        elif not any(example.trained[1:]):
            reason = f"no target left after the cut at {max_length} tokens" if example.cut else "no assistant turn to train on"
            left_out.append((row.id, reason))
        else:
            ids.append(row.id)
            encoded.append(example)
    return EncodedSplit(ids, encoded, left_out)


def mask_report(split: EncodedSplit) -> MaskReport:
    """Count what carries loss."""
    lengths = sorted(split.lengths)
    tokens = sum(lengths)
    trained = sum(sum(row.trained[1:]) for row in split.rows)
    turns = sum(row.turns for row in split.rows)
    ends = sum(len(row.ends) for row in split.rows)
    return MaskReport(
        rows=len(split.rows),
        tokens=tokens,
        trained_tokens=trained,
        trained_share=trained / tokens if tokens else 0.0,
        turns=turns,
        ends_trained=ends,
        ends_share=ends / turns if turns else 0.0,
        cut_rows=sum(1 for row in split.rows if row.cut),
        cut_tokens=sum(row.cut for row in split.rows),
        left_out_rows=len(split.left_out),
        longest=lengths[-1] if lengths else 0,
        median=lengths[len(lengths) // 2] if lengths else 0,
        cut_ids=[identity for identity, row in zip(split.ids, split.rows, strict=True) if row.cut],
        left_out=split.left_out,
    )


def refuse_untrainable(report: MaskReport, template: ChatTemplate, examples: Sequence[EncodedRow]) -> None:
    """Stop before training when the loss would see nothing, or would never see a turn end.

    Raises:
        DataError: says which, and what to change.
    """
    if not examples or report.trained_tokens == 0:
        why = f"; the first of {report.left_out_rows} rows left out: {report.left_out[0][1]}" if report.left_out else ""
        raise DataError(
            f"nothing in the training split carries loss under the chat template {template.name!r}{why}. Look at a row with "
            "studio data show DATASET --tokens, and check max_length, train_on and chat_template."
        )
    if report.ends_trained == 0:
        raise DataError(
            f"no end-of-turn token is trained in any of {report.turns} assistant turns (chat template {template.name!r}, "
            f"{report.cut_rows} rows cut), so the model would never learn to stop. Raise max_length, or choose another "
            "chat_template (chatml, plain)."
        )
