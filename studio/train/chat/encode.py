"""From the rows of a Dataset to token ids with their mask, and the report that says what the loss will see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import Apart, EncodedConversation, EncodedRow, TrainOn, encode_examples
from studio.models.chat.rendering import Thinking
from studio.models.chat.templates import ChatTemplate
from studio.models.chat.turns import Remark

# What the mask report says of rows whose words are not in the tokens as they were written, or not only.
_REMARKS: dict[Remark, str] = {
    "thought_lost": "the chat template leaves the thought of an answer out, so it is not trained",
    "thought_not_in_history": "the chat template leaves the thoughts of earlier answers out of what a later one is asked with",
    "thought_closed": "the prompt opens a thought and the answer has none: an empty thought stands before it, without loss",
    "opening": "the chat template writes something between prompt and answer (a channel, an empty thought), without loss",
    "trimmed": "the chat template takes white space off the ends of an answer",
    "absent": "the text of a turn before the answer is not in the prompt as it was written",
    "opens_the_talk": "the first answer stands before any question: it is context, without loss",
    "forged": "a control token of the vocabulary stands in the text of a turn or document and acts as one",
    "ends_twice": "an answer already ends in a control token, and the template writes its own after it",
    "without_loss": "an answer has the weight 0: it is context, without loss",
}
_THINKING: dict[Thinking, str] = {
    "keep": "thoughts of answers train with them",
    "mask": "thoughts of answers stand in the context, without loss (thinking: mask)",
    "drop": "thoughts of answers are taken out of the turns (thinking: drop)",
}
# How the reasons begin for which rows are left out because an objective learns from rows of another form.
_OTHER_ROWS = ("not a pair", "neither liked nor disliked")
_APART: dict[Apart, str] = {
    "history": "the chat template writes earlier turns differently",
    "prompt": "the prompt opens what a finished turn does not begin with",
    "border": "a token would reach over the border between prompt and answer",
}


@dataclass(frozen=True)
class EncodedSplit:
    """What will be trained on, in the Dataset's order, and the rows left out with their reason.

    ids: the row of each example; a row whose answers are examples of their own has several. apart: reason to the rows of which
    that is so. remarks: what does not stand in the tokens as it was written, to the rows. thinking: what became of the thoughts,
    thoughts: how many answers of each row came with one. pieces: how many each raw text was cut into, in order.
    """

    ids: list[str]
    rows: list[EncodedRow]
    left_out: list[tuple[str, str]]
    apart: dict[Apart, list[str]] = field(default_factory=dict)
    remarks: dict[Remark, list[str]] = field(default_factory=dict)
    thinking: Thinking = "keep"
    thoughts: list[int] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, after any cut."""
        return [len(row.input_ids) for row in self.rows]

    def note(self, identity: str, found: EncodedConversation) -> None:
        """Write down what is to be said of a row."""
        self.thoughts.append(found.thoughts)
        if found.raw:
            self.pieces.append(len(found.rows))
        if found.apart is not None:
            self.apart.setdefault(found.apart, []).append(identity)
        for remark in found.remarks:
            self.remarks.setdefault(remark, []).append(identity)


@dataclass(frozen=True)
class MaskReport:
    """What carries loss in a split. Counts are rows, examples or tokens, shares are fractions.

    apart: reason to the number of rows whose answers are examples of their own. remarks: what does not stand in the tokens as it
    was written, with the number of rows and the first of them. weighted_tokens: targets whose loss counts less than one.
    thinking: what became of the thoughts. thoughts: how many answers came with one. texts: rows that are raw text, pieces: the
    examples that they become.
    """

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
    examples: int = 0
    apart: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    weighted_tokens: int = 0
    thinking: Thinking = "keep"
    thoughts: int = 0
    texts: int = 0
    pieces: int = 0

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
        if self.texts:
            if not self.turns:
                del lines[1]
            lines.append(
                f"{self.texts} raw texts become {self.pieces} pieces of at most {self.longest} tokens; none of their tokens is "
                "lost, and all carry loss but the first of each text, which has nothing before it"
            )
        if self.apart:
            why = "; ".join(f"{_APART[cast('Apart', reason)]} ({count} rows)" for reason, count in self.apart.items())
            lines.append(f"{self.rows} rows become {self.examples} examples, each answer behind the prompt of its own: {why}")
        if self.weighted_tokens:
            lines.append(f"{self.weighted_tokens:,} of the tokens with loss stand in answers that weigh less than 1")
        if self.thoughts:
            lines.append(f"{_THINKING[self.thinking]}: {self.thoughts}")
        for remark, found in self.remarks.items():
            lines.append(f"{_REMARKS[cast('Remark', remark)]}: {found['rows']} rows (first: {found['first']})")
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
    refused: Literal["refuse", "drop"] = "refuse",
) -> EncodedSplit:
    """Encode every row; one whose targets are all cut away is left out and named, never trained on silently. Raw text is never
    cut away: it becomes as many pieces as it needs.

    Args:
        overlong: what becomes of an example longer than ``max_length`` tokens.
        refused: what becomes of a row that the template refuses.
    Raises:
        DataError: ``overlong`` or ``refused`` is ``refuse`` and there is such a row (names it).
    """
    split = EncodedSplit([], [], [], thinking=template.thinking)
    for row in rows:
        try:
            found = encode_examples(
                tokenizer,
                template,
                row.messages,
                tools=getattr(row, "tools", None),
                train_on=train_on,
                max_length=max_length,
            )
        except DataError as error:
            if refused == "refuse":
                raise DataError(f"row {row.id}: {error} Rows like it can be left out and named: refused: drop.") from error
            split.left_out.append((row.id, str(error)))
            continue
        why = _untrained(found)
        kept = [example for example in found.rows if _trains(example, row.id, split.left_out, max_length, overlong, why)]
        if kept:
            split.ids.extend([row.id] * len(kept))
            split.rows.extend(kept)
            split.note(row.id, found)
        elif not found.rows:
            split.left_out.append((row.id, why))
    return split


def _untrained(found: EncodedConversation) -> str:
    """Why a row has nothing to train on."""
    if found.raw:
        return "a text of one token, before which nothing stands to predict it from"
    if "opens_the_talk" in found.remarks:
        return "its only answer to train on stands before any question"
    return "all its answers have the weight 0" if "without_loss" in found.remarks else "no assistant turn to train on"


def _trains(
    example: EncodedRow,
    identity: str,
    left_out: list[tuple[str, str]],
    max_length: int,
    overlong: Literal["cut", "drop", "refuse"],
    untrained: str,
) -> bool:
    """True when an example has something to learn; else the reason is added to ``left_out``.

    Args:
        untrained: the reason where nothing was lost by a cut.
    Raises:
        DataError: it is too long and ``overlong`` is ``refuse``.
    """
    if example.cut and overlong == "refuse":
        raise DataError(
            f"row {identity} has {example.full_length} tokens, more than max_length {max_length}. Raise it, or set "
            "overlong to cut or drop."
        )
    if example.cut and overlong == "drop":
        left_out.append((identity, f"{example.full_length} tokens, more than max_length {max_length}"))
        return False
    if not any(example.trained[1:]):
        reason = f"no target left after the cut at {max_length} tokens" if example.cut else untrained
        left_out.append((identity, reason))
        return False
    return True


def mask_report(split: EncodedSplit) -> MaskReport:
    """Count what carries loss."""
    lengths = sorted(split.lengths)
    tokens = sum(lengths)
    trained = sum(sum(row.trained[1:]) for row in split.rows)
    turns = sum(row.turns for row in split.rows)
    ends = sum(len(row.ends) for row in split.rows)
    return MaskReport(
        rows=len(set(split.ids)),
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
        examples=len(split.rows),
        apart={reason: len(rows) for reason, rows in split.apart.items()},
        remarks={
            remark: {"rows": len(split.remarks[remark]), "first": split.remarks[remark][0]} for remark in sorted(split.remarks)
        },
        weighted_tokens=sum(_weighted(row) for row in split.rows),
        thinking=split.thinking,
        thoughts=sum(split.thoughts),
        texts=len(split.pieces),
        pieces=sum(split.pieces),
    )


def _weighted(row: EncodedRow) -> int:
    """Targets of a row whose loss counts less than one."""
    if row.weights is None:
        return 0
    pairs = zip(row.weights[1:], row.trained[1:], strict=True)
    return sum(1 for weight, trained in pairs if trained and weight != 1)


def template_lines(template: ChatTemplate) -> list[str]:
    """What was written into the run's chat template, in a line; none where it is as the base has it."""
    return (
        [f"the run's chat template is the base's with this written into it: {', '.join(template.changes)}"]
        if template.changes
        else []
    )


def refuse_untrainable(report: MaskReport, template: ChatTemplate, examples: Sequence[EncodedRow]) -> None:
    """Stop before training when the loss would see nothing, or would never see a turn end.

    Raises:
        DataError: says which, and what to change.
    """
    reasons = {reason for _, reason in report.left_out}
    if not examples and len(reasons) == 1 and next(iter(reasons)).startswith(_OTHER_ROWS):
        raise DataError(
            f"none of the {report.left_out_rows} training rows can be learnt from ({next(iter(reasons))}). Name another "
            "Dataset with --data, or another preset: docs/objectives.md says which rows each learns from."
        )
    if not examples or report.trained_tokens == 0:
        why = f"; the first of {report.left_out_rows} rows left out: {report.left_out[0][1]}" if report.left_out else ""
        raise DataError(
            f"nothing in the training split carries loss under the chat template {template.name!r}{why}. Look at a row with "
            "studio data show DATASET --tokens, and check max_length, train_on and chat_template."
        )
    if report.ends_trained == 0 and not (report.texts and not report.turns):
        raise DataError(
            f"no end-of-turn token is trained in any of {report.turns} assistant turns (chat template {template.name!r}, "
            f"{report.cut_rows} rows cut), so the model would never learn to stop. Raise max_length, or, where the template "
            "writes nothing after an answer, give a template file that does: chat_template: FILE."
        )
