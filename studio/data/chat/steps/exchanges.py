"""Steps that know exchanges: a question, the answer to it, and the calls and results between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.chat.steps.presence import is_empty
from studio.data.chat.steps.roles import CUT, newly_cut, with_cut
from studio.data.chat.turns import Message, turn_text
from studio.data.verdicts import Drop
from studio.language.phrases import is_refusal

Exchange = list[Message]


def exchanges_of(messages: Sequence[Message]) -> tuple[list[Message], list[Exchange]]:
    """What stands before the first question (a system turn), and the exchanges after it: each begins with the first of the
    person's turns and lasts until the person speaks again after an answer.
    """
    head: list[Message] = []
    exchanges: list[Exchange] = []
    for turn in messages:
        if turn["role"] == "user" and (not exchanges or exchanges[-1][-1]["role"] != "user"):
            exchanges.append([turn])
        elif exchanges:
            exchanges[-1].append(turn)
        else:
            head.append(turn)
    return head, exchanges


def refuses(exchange: Exchange) -> bool:
    """True where an answer of an exchange declines what was asked."""
    asked = "\n".join(turn["content"] for turn in exchange if turn["role"] == "user")
    return any(turn["role"] == "assistant" and is_refusal(turn["content"], asked) for turn in exchange)


class Turns(RowStep):
    """Exchanges dropped by reason; a conversation of which none is left goes."""

    def __init__(
        self,
        drop: Sequence[str] = ("empty", "repeated"),
        containing: Sequence[str] = (),
        max_characters: int | None = None,
        thoughts: str = "keep",
        tools: str = "keep",
    ) -> None:
        """See :class:`studio.schema.chat_cleaning.TurnsStep`."""
        self._drop, self._most = frozenset(drop), max_characters
        self._containing = tuple(text.casefold() for text in containing)
        self._thoughts, self._tools = thoughts == "drop", tools == "drop"

    def judge(self, row: ChatRow) -> Verdict:
        """Keep, cut exchanges out, or drop one row."""
        seen: set[str] = set()

        def reason(exchange: Exchange) -> str | None:
            return self._reason(exchange, seen)

        return cut_exchanges(row, reason, self._without_thoughts if self._thoughts else None)

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:
        """How many turns went."""
        return told_cuts(before, after)

    def _reason(self, exchange: Exchange, seen: set[str]) -> str | None:
        """Why an exchange goes, or None; ``seen`` are those that were there before."""
        if "empty" in self._drop and any(is_empty(turn) for turn in exchange):
            return "empty turn"
        if "refusal" in self._drop and refuses(exchange):
            return "refusal"
        if self._tools and any(turn.get("tool_calls") or turn["role"] == "tool" for turn in exchange):
            return "tool call"
        if self._most is not None and any(len(turn_text(turn)) > self._most for turn in exchange):
            return f"turn of more than {self._most} characters"
        said = "\n".join(f"{turn['role']}: {turn_text(turn)}" for turn in exchange).casefold()
        for text in self._containing:
            if text in said:
                return f"contains {text!r}"
        if "repeated" in self._drop and said in seen:
            return "repeated exchange"
        seen.add(said)
        return None

    def _without_thoughts(self, turn: Message) -> Message:
        """A turn without its thought."""
        return {key: value for key, value in turn.items() if key != "reasoning_content"} if "reasoning_content" in turn else turn


class Refusals(RowStep):
    """Conversations, or exchanges, whose answer declines: the phrases are those of :mod:`studio.language.phrases`."""

    def __init__(self, action: str = "drop", of: str = "any") -> None:
        """See :class:`studio.schema.chat_cleaning.RefusalsStep`."""
        self._turn, self._last = action == "drop_turn", of == "last"

    def judge(self, row: ChatRow) -> Verdict:
        """Keep, cut or drop one row; of a preference the liked answer is looked at too."""
        _, exchanges = exchanges_of(row.messages)
        looked_at = exchanges[-1:] if self._last else exchanges
        asked = "\n".join(turn["content"] for turn in row.messages if turn["role"] == "user")
        if row.chosen is not None and is_refusal(row.chosen, asked):
            return Drop("refusal", _beginning(row.chosen), "an answer")
        refused = [exchange for exchange in looked_at if refuses(exchange)]
        if not refused:
            return row
        if not self._turn:
            answers = [turn["content"] for turn in refused[0] if turn["role"] == "assistant" and is_refusal(turn["content"])]
            return Drop("refusal", _beginning(answers[0] if answers else refused[0][-1]["content"]), "an answer")
        return cut_exchanges(row, lambda exchange: "refusal" if any(exchange[0] is one[0] for one in refused) else None, None)

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:
        """How many turns went."""
        return told_cuts(before, after)


def cut_exchanges(row: ChatRow, reason: Callable[[Exchange], str | None], change: Callable[[Message], Message] | None) -> Verdict:
    """The row without exchanges for which there is a reason; they are kept in ``meta``.

    The question that a preference's answers belong to stays: it has no exchange of its own without them.

    Args:
        change: applied to every turn that stays.
    """
    head, exchanges = exchanges_of(row.messages)
    asked = exchanges.pop() if row.is_preference and exchanges and exchanges[-1][-1]["role"] == "user" else []
    reasons = [reason(exchange) for exchange in exchanges]
    kept = [exchange for exchange, why in zip(exchanges, reasons, strict=True) if why is None]
    cut = [exchange for exchange, why in zip(exchanges, reasons, strict=True) if why is not None]
    if cut and not kept and not asked:
        whys = Counter(why for why in reasons if why)
        return Drop("no exchange left", ", ".join(f"{count} {why}" for why, count in whys.most_common()), "at least one")
    turns = [*head, *(turn for exchange in kept for turn in exchange), *asked]
    changed = [change(turn) for turn in turns] if change else turns
    if not cut and all(new is old for new, old in zip(changed, turns, strict=True)):
        return row
    return replace(row, messages=changed, meta=with_cut(row.meta, [turn for exchange in cut for turn in exchange]))


def told_cuts(before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:
    """A line on the turns that were cut out."""
    cut = newly_cut(before, after)
    turns = sum(map(len, cut))
    rows = f"{len(cut):,} row{'s' if len(cut) != 1 else ''}"
    return [f"{rows} lost {turns:,} turns with their exchanges, kept in meta under {CUT!r}"] if cut else []


def _beginning(text: str) -> str:
    """The first words of an answer."""
    return text if len(text) <= 80 else f"{text[:80].rstrip()} …"
