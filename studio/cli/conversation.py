"""Conversations and tokens on a terminal: coloured where there are colours, with marks of plain text where there are none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.text import Text

from studio.cli import output

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.chat.rows import ChatRow, RemovedRow
    from studio.models.chat.encoding import EncodedRow

Look = Literal["trained", "masked", "special", "special_trained"]

_ROLE_STYLE = {"system": "yellow", "user": "cyan", "assistant": "green", "chosen": "green", "rejected": "red"}
_TOKEN_STYLE: dict[Look, str] = {
    "trained": "bold black on green",
    "masked": "dim",
    "special": "magenta",
    "special_trained": "bold white on magenta",
}
# Without colour: brackets around what is trained, angle marks around special tokens.
_TOKEN_MARKS: dict[Look, tuple[str, str]] = {
    "trained": ("[", "]"),
    "masked": ("", ""),
    "special": ("", ""),
    "special_trained": ("[", "]"),
}


def _console() -> Console:
    """A console on the stream results go to; it knows by itself whether there are colours."""
    return Console(
        file=sys.stderr if output.json_wanted() else sys.stdout,
        highlight=False,
        soft_wrap=True,
        emoji=False,
        markup=False,
    )


def print_conversation(row: ChatRow, title: str) -> None:
    """One conversation, turn by turn."""
    from studio.data.chat.rows import facts_of

    console = _console()
    console.print(Text(f"── {title}  {row.id}", style="bold"))
    _print_messages(console, row.turns)
    details = {**({"group": row.group} if row.group else {}), **facts_of(row.meta)}
    if details:
        console.print(Text("  ".join(f"{key}={value}" for key, value in details.items()), style="dim"))
    console.print()


def print_removed(gone: RemovedRow, title: str) -> None:
    """One removed row with the reason."""
    console = _console()
    console.print(Text(f"── {title}  {gone.row.id}", style="bold"))
    parts = [f"{gone.step}: {gone.reason}"]
    parts += [f"found {gone.value}"] if gone.value else []
    parts += [f"allowed {gone.threshold}"] if gone.threshold else []
    parts += [f"matches {gone.matched}"] if gone.matched else []
    console.print(Text("; ".join(parts), style="red"))
    _print_messages(console, gone.row.messages)
    console.print()


def _print_messages(console: Console, messages: list[dict[str, str]]) -> None:
    """Turns with their roles; continued lines are indented."""
    for message in messages:
        role = message["role"]
        line = Text(f"{role:>9}  ", style=f"bold {_ROLE_STYLE.get(role, 'white')}")
        line.append(message["content"].replace("\n", "\n" + " " * 11), style="default")
        console.print(line)


def print_tokens(tokenizer: PreTrainedTokenizerBase, row: EncodedRow, title: str, *, legend: bool) -> None:
    """One row as the model sees it: which tokens carry loss, which are masked, which are special."""
    console = _console()
    coloured = console.color_system is not None
    if legend:
        _print_legend(console, coloured)
    trained = sum(row.trained)
    count = len(row.input_ids)
    share = f"{100 * trained / count:.0f}%" if count else "0%"
    cut = f", {row.cut} cut on the right" if row.cut else ""
    console.print(Text(f"── {title}: {count} tokens, {trained} trained ({share}){cut}", style="bold"))
    line = Text()
    for look, text in token_runs(tokenizer, row):
        before, after = ("", "") if coloured else _TOKEN_MARKS[look]
        line.append(f"{before}{text}{after}", style=_TOKEN_STYLE[look])
    console.print(line)
    console.print()


def _print_legend(console: Console, coloured: bool) -> None:
    """What the colours or marks mean."""
    if not coloured:
        console.print("legend: [trained] [special and trained], everything else is masked (no loss)")
        return
    names: dict[Look, str] = {
        "trained": "trained",
        "masked": "masked (no loss)",
        "special": "special",
        "special_trained": "special, trained",
    }
    line = Text("legend: ")
    for look, words in names.items():
        line.append(words, style=_TOKEN_STYLE[look]).append("  ")
    console.print(line)


def token_runs(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> Iterator[tuple[Look, str]]:
    """Neighbouring tokens of one look, decoded together so that a character spread over two tokens stays whole."""
    special = set(tokenizer.all_special_ids)
    start = 0
    looks = [_look(token in special, trained) for token, trained in zip(row.input_ids, row.trained, strict=True)]
    for position in range(1, len(looks) + 1):
        if position == len(looks) or looks[position] != looks[start]:
            yield looks[start], _decoded(tokenizer, row.input_ids[start:position])
            start = position


def _look(special: bool, trained: bool) -> Look:
    """How a token is drawn."""
    if special:
        return "special_trained" if trained else "special"
    return "trained" if trained else "masked"


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    """Text of some tokens, special ones included."""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
