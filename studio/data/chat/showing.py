"""Conversations and tokens on a terminal: coloured where there are colours, with marks of plain text where there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from studio.core.errors import UserError, nearest
from studio.core.telling import Drawn, Told
from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow, RemovedRow, read_removed, read_split
from studio.data.chat.turns import Message, shown_turn
from studio.data.entries import facts_of
from studio.data.kinds import Wanted
from studio.data.showing import choose, next_page

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import PreTrainedTokenizerBase

    from studio.models.chat.encoding import EncodedRow, TrainOn
    from studio.models.chat.templates import ChatTemplate
    from studio.schema.adapter import ChatAdapter

Look = Literal["trained", "masked", "special", "special_trained"]

PAGE = 10
_JUDGED = ("chosen", "rejected")
_TRAIN_ON = ("assistant", "last_assistant", "all")
_THINKING = ("keep", "mask", "drop")
_ROLE_STYLE = {"system": "yellow", "user": "cyan", "assistant": "green", "tool": "magenta", "chosen": "green", "rejected": "red"}
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


def show_conversations(
    folder: Path,
    wanted: Wanted,
    *,
    tokens: bool = False,
    model: str = "",
    chat_template: str | None = None,
    train_on: str = "assistant",
    thinking: str = "keep",
    preset: str | None = None,
    max_length: int | None = None,
) -> Told:
    """Conversations turn by turn, or with ``tokens`` as the model sees them.

    Args:
        model: base whose tokenizer is used; the others as in a preset. preset: name or file; what is given beside it wins.
    Raises:
        UserError: there is no such split, row, id, page, base, preset or way of training.
    """
    rows: Sequence[Any] = read_removed(folder) if wanted.removed else read_split(folder, wanted.split)
    what = f"{read_dataset(folder).name}, {'removed' if wanted.removed else wanted.split}"
    if not rows:
        return Told((f"{what}: no rows.",), [])
    chosen, first = choose(rows, wanted, page=PAGE, id_of=lambda item: _plain(item).id)
    if tokens:
        given = {"model": model, "chat_template": chat_template, "train_on": train_on, "thinking": thinking}
        adapter = _as_trained(preset, {**given, "max_length": max_length})
        return _tokens([_plain(item) for item in chosen], first, adapter, max_length if preset is None else adapter.max_length)
    draw = _draw_removed if wanted.removed else _draw_conversation
    titles = (f"{what} {first + offset:,}/{len(rows):,}" for offset in range(len(chosen)))
    drawn = [Drawn(partial(draw, row=item, title=title)) for item, title in zip(chosen, titles, strict=True)]
    document = [_as_json(item, first + offset) for offset, item in enumerate(chosen)]
    return Told((*drawn, *next_page(wanted, first, len(chosen), len(rows))), document)


def _plain(item: ChatRow | RemovedRow) -> ChatRow:
    """The conversation of a kept or a removed row."""
    return item.row if isinstance(item, RemovedRow) else item


def _as_json(item: ChatRow | RemovedRow, number: int) -> dict[str, Any]:
    """A row as a plain value."""
    row = _plain(item)
    value: dict[str, Any] = {"row": number, "id": row.id, "source": row.source, "messages": row.messages}
    if item is row:
        answers = {"chosen": row.chosen, "rejected": row.rejected} if row.is_preference else {}
        tools = {"tools": row.tools} if row.tools else {}
        return value | answers | tools | {"group": row.group, "meta": row.meta}
    return value | {name: getattr(item, name) for name in ("step", "reason", "value", "threshold", "matched")}


def _as_trained(preset: str | None, given: dict[str, Any]) -> ChatAdapter:
    """The settings of a training that decide about tokens: a preset's, and what was given beside it.

    Raises:
        UserError: there is no such preset, or a value is not allowed.
    """
    from studio.core.content import find_content
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml

    for name, allowed in (("train_on", _TRAIN_ON), ("thinking", _THINKING)):
        if given[name] not in allowed:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} is {given[name]!r}.{nearest(given[name], allowed)} Allowed: {', '.join(allowed)}.")
    if preset is None:
        return ChatAdapter(kind="chat", **{name: value for name, value in given.items() if value is not None})
    own = {name: value for name, value in given.items() if value not in {None, ChatAdapter.model_fields[name].default}}
    return load_yaml(find_content("adapters", preset), ChatAdapter).model_copy(update=own)


def _tokens(rows: list[ChatRow], first: int, adapter: ChatAdapter, max_length: int | None) -> Told:
    """Rows as the model sees them."""
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_tokenizer
    from studio.models.chat.templates import template_of

    tokenizer = load_tokenizer(resolve_base(adapter.model, adapter.revision))
    template = template_of(tokenizer, adapter, adapter.model)
    drawn, document = [], []
    for number, row in enumerate(rows, start=first):
        for place, (name, item) in enumerate(_examples(tokenizer, template, row, adapter.train_on, max_length)):
            title = f"{row.id} (row {number}{f', {name}' if name else ''})"
            legend = number == first and place == 0
            drawn.append(Drawn(partial(_draw_tokens, tokenizer=tokenizer, row=item, title=title, legend=legend)))
            document.append(
                {
                    "row": number,
                    "id": row.id,
                    **({"answer": name} if name in _JUDGED else {}),
                    "tokens": tokenizer.convert_ids_to_tokens(item.input_ids),
                    "input_ids": item.input_ids,
                    "trained": item.trained,
                    "weights": item.weights,
                    "cut": item.cut,
                }
            )
    return Told(tuple(drawn), document)


def _examples(
    tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, row: ChatRow, train_on: TrainOn, max_length: int | None
) -> list[tuple[str, EncodedRow]]:
    """What a row teaches, each example with what tells it from the others; a preference teaches its answers and nothing else."""
    from studio.models.chat.encoding import encode_examples

    judged = [turn for turn in row.turns if turn["role"] in _JUDGED]
    if not judged:
        found = encode_examples(tokenizer, template, row.messages, tools=row.tools, train_on=train_on, max_length=max_length).rows
        what = "piece" if row.is_text else "answer"
        return [(f"{what} {place} of {len(found)}" if len(found) > 1 else "", item) for place, item in enumerate(found, start=1)]
    asked = [turn for turn in row.turns if turn["role"] not in _JUDGED]
    examples = []
    for turn in judged:
        whole = [*asked, {"role": "assistant", "content": turn["content"]}]
        found = encode_examples(
            tokenizer, template, whole, tools=row.tools, train_on="last_assistant", max_length=max_length
        ).rows
        examples += [(str(turn["role"]), item) for item in found]
    return examples


def _draw_conversation(console: Console, *, row: ChatRow, title: str) -> None:
    """One conversation, turn by turn."""
    console.print(Text(f"── {title}  {row.id}", style="bold"))
    _draw_messages(console, row.turns)
    tools = ", ".join(str(tool["function"].get("name")) for tool in row.tools)
    details = {**({"group": row.group} if row.group else {}), **({"tools": tools} if tools else {}), **facts_of(row.meta)}
    if details:
        console.print(Text("  ".join(f"{key}={value}" for key, value in details.items()), style="dim"))
    console.print()


def _draw_removed(console: Console, *, row: RemovedRow, title: str) -> None:
    """One removed row with the reason."""
    console.print(Text(f"── {title}  {row.row.id}", style="bold"))
    parts = [f"{row.step}: {row.reason}"]
    parts += [f"found {row.value}"] if row.value else []
    parts += [f"allowed {row.threshold}"] if row.threshold else []
    parts += [f"matches {row.matched}"] if row.matched else []
    console.print(Text("; ".join(parts), style="red"))
    _draw_messages(console, row.row.messages)
    console.print()


def _draw_messages(console: Console, messages: list[Message]) -> None:
    """Turns with their roles; continued lines are indented."""
    for message in map(shown_turn, messages):
        role = message["role"]
        line = Text(f"{role:>9}  ", style=f"bold {_ROLE_STYLE.get(role, 'white')}")
        line.append(message["content"].replace("\n", "\n" + " " * 11), style="default")
        console.print(line)


def _draw_tokens(console: Console, *, tokenizer: PreTrainedTokenizerBase, row: EncodedRow, title: str, legend: bool) -> None:
    """One row as the model sees it: which tokens carry loss, which are masked, which are special."""
    coloured = console.color_system is not None
    if legend:
        _draw_legend(console, coloured)
    trained = sum(row.trained)
    count = len(row.input_ids)
    share = f"{100 * trained / count:.0f}%" if count else "0%"
    cut = f", {row.cut} cut on the right" if row.cut else ""
    weights = sorted({f"{weight:g}" for weight, flag in zip(row.weights or (), row.trained, strict=False) if flag})
    weighed = f", weights {' and '.join(weights)}" if weights else ""
    console.print(Text(f"── {title}: {count} tokens, {trained} trained ({share}){weighed}{cut}", style="bold"))
    line = Text()
    for look, text in token_runs(tokenizer, row):
        before, after = ("", "") if coloured else _TOKEN_MARKS[look]
        line.append(f"{before}{text}{after}", style=_TOKEN_STYLE[look])
    console.print(line)
    console.print()


def _draw_legend(console: Console, coloured: bool) -> None:
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
