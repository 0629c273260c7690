"""From a conversation to token ids and the mask of what carries loss. Training, evaluation and serving all come through here.

Every trained answer stands behind exactly the token ids that inference is given there (:func:`encode_prompt`).

Legend: s tokens of one example.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.models.chat.marks import marks_of
from studio.models.chat.raw_text import framed, is_text, opening, pieces
from studio.models.chat.rendering import ChatTemplate, render, seen
from studio.models.chat.rendering import Message as Message  # callers of this module have it from here
from studio.models.chat.thoughts import thought_of
from studio.models.chat.turns import Remark, Turn, View, read_turn

TrainOn = Literal["assistant", "last_assistant", "all"]
Apart = Literal["history", "prompt", "border"]
"""Why the answers of a conversation are examples of their own: the template writes earlier turns differently, prompts with what a
finished turn does not begin with, or a token would reach over the border between prompt and answer."""
IGNORE = -100


@dataclass(frozen=True)
class EncodedRow:
    """A conversation as the model sees it.

    input_ids: int [s].
    trained: bool [s]; True where the token is a target. The loss at position t-1 predicts token t.
    ends: positions of the end-of-turn tokens of the trained turns that are still in the row.
    turns: how many assistant turns the mask asks for, before any cut.
    full_length: tokens before the row was cut.
    weights: float [s], how much each target counts; None where all count 1.
    """

    input_ids: list[int]
    trained: list[bool]
    ends: list[int]
    turns: int
    full_length: int
    weights: list[float] | None = None

    @property
    def cut(self) -> int:
        """Tokens lost on the right."""
        return self.full_length - len(self.input_ids)

    @property
    def labels(self) -> list[int]:
        """Labels, int [s]: -100 where there is no loss (the position itself, unshifted, as transformers expects)."""
        return [token if trained else IGNORE for token, trained in zip(self.input_ids, self.trained, strict=True)]


@dataclass(frozen=True)
class EncodedConversation:
    """The examples of a conversation: one, or one for each trained answer; or the pieces of a raw text.

    apart: why they are several, or why the only one is not what the template makes of the whole conversation; None otherwise.
    remarks: what does not stand in the tokens as it was written. thoughts: how many answers hold one.
    """

    rows: list[EncodedRow]
    apart: Apart | None = None
    remarks: frozenset[Remark] = frozenset()
    thoughts: int = 0
    raw: bool = False


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
) -> list[int]:
    """Token ids of a conversation up to where the assistant is to speak, exactly as in training."""
    text = render(tokenizer, template, messages, tools=tools, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def end_ids(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> list[int]:
    """Ids that end an answer by themselves, as a row is closed with them.

    Where a template closes in words (``</s>`` as text), the last of their tokens may stand in any answer and ends none.
    """
    marks = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return [row.input_ids[end] for end in row.ends if row.input_ids[end] in marks]


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
    train_on: TrainOn = "assistant",
    max_length: int | None = None,
) -> EncodedRow:
    """The only example of a conversation; for ``last_assistant`` and ``all`` there is never another. See :func:`encode_examples`.

    Raises:
        DataError: as there, or the template makes several examples of it.
    """
    found = encode_examples(tokenizer, template, messages, tools=tools, train_on=train_on, max_length=max_length)
    if len(found.rows) != 1:
        raise DataError(
            f"the chat template {template.name!r} makes {len(found.rows)} examples of the conversation, one for each answer."
        )
    return found.rows[0]


def encode_examples(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
    train_on: TrainOn = "assistant",
    max_length: int | None = None,
) -> EncodedConversation:
    """Encode one conversation and mark the tokens that carry loss. Raw text is cut into pieces in which all of it does.

    The whole conversation is rendered once and tokenised once, as a server does it; the mask is laid over it by character
    offsets, so that marking never changes a token. Where an answer would so stand behind other ids than inference is given
    there, or be another one than is written when it comes last, each answer becomes an example of its own: the ids of its
    prompt, then those of the answer. A trained span runs from the first token of the answer to the mark that ends it; where the
    template masks thoughts, from the first token after the thought.

    Args:
        tokenizer: a fast tokenizer (it knows character offsets).
        messages: turns; at least one. An answer before which nobody has spoken is context. ``weight`` of an answer multiplies
            the loss of its tokens; 0 leaves it out.
        tools: functions that the conversation offers.
        train_on: every assistant turn, the last one, or all tokens (results of tools too) but those of answers without weight.
        max_length: cut each example on the right at this many tokens.
    Raises:
        DataError: the template refuses the conversation, or leaves an answer out; or all tokens train but for some whose place
            cannot be told.
    """
    if is_text(messages):
        return _raw_text(tokenizer, str(messages[0]["content"]), max_length)
    thoughts = sum(1 for message in messages if message["role"] == "assistant" and thought_of(message)[0].strip())
    messages = seen(template, messages) if thoughts else messages
    view = View(tokenizer, template, messages, tools)
    asked, remarks = _asked(messages, train_on)
    turns = [read_turn(view, index) for index in asked]
    remarks |= {remark for turn in turns for remark in turn.remarks} | _written_remarks(view, turns)
    thoughts -= sum(1 for turn in turns if "thought_lost" in turn.remarks)
    whole, apart = _as_one(view, turns, everything=train_on == "all")
    if whole is None and train_on == "all":
        whole = _everything(view, thoughts)
    rows = [whole] if whole is not None else [_alone(view, turn) for turn in turns]
    rows = [_cut(row, max_length) for row in rows]
    return EncodedConversation(rows, None if whole is not None else apart, frozenset(remarks), thoughts)


def _raw_text(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int | None) -> EncodedConversation:
    """Raw text as pieces; each token is a target once, but for the first, which has nothing before it."""
    ids = framed(tokenizer, _tokens(tokenizer, text)[0])
    found = list(pieces(ids, opening(tokenizer), max_length))
    rows = [EncodedRow(piece, [False] + [True] * (len(piece) - 1), [], 0, len(piece)) for piece in found if len(piece) > 1]
    remarks: frozenset[Remark] = frozenset({"forged"}) if marks_of(tokenizer).found(text) else frozenset()
    return EncodedConversation(rows, remarks=remarks, raw=True)


def _asked(messages: Sequence[Message], train_on: TrainOn) -> tuple[list[int], set[Remark]]:
    """The assistant turns that train, and whether one was left out because nobody has spoken before it."""
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    first = bool(turns) and turns[0] == 0
    if train_on == "last_assistant":
        turns = turns[-1:]
    remarks: set[Remark] = {"opens_the_talk"} if first and 0 in turns else set()
    silent = {index for index in turns if messages[index].get("weight", 1) == 0}
    if silent:
        remarks.add("without_loss")
    return [index for index in turns if index > 0 and (index not in silent or train_on == "all")], remarks


def _as_one(view: View, turns: Sequence[Turn], *, everything: bool) -> tuple[EncodedRow | None, Apart | None]:
    """The whole conversation with all trained answers marked, or why that cannot be."""
    text = view.text(len(view.messages))
    if turns and turns[-1].written and turns[-1].index == len(view.messages) - 1:
        last = turns[-1]
        text = last.prompt + last.opening + last.answer + last.rest  # with the end mark that only a further turn would bring
    spans: list[tuple[int, int]] = []
    for turn in turns:
        border = len(turn.prompt)
        if not turn.written or not text.startswith(turn.prompt):
            return None, "history" if turn.written else "prompt"
        if text.startswith(turn.opening + turn.answer, border):
            start = border + len(turn.opening)
        elif text.startswith(turn.answer, border):
            start = border
        else:
            return None, "history"
        spans.append((start, start + len(turn.answer)))
    ids, offsets = _tokens(view.tokenizer, text)
    starts = [begin for begin, _ in offsets]
    for turn, (_, stop) in zip(turns, spans, strict=True):
        if not _same_prefix(view.tokenizer, text, ids, offsets, starts, len(turn.prompt)):
            return None, "border"
        if not _parted(offsets, starts, stop):
            return None, "history"
    return _marked(view, ids, offsets, list(zip(spans, turns, strict=True)), everything=everything), None


def _alone(view: View, turn: Turn) -> EncodedRow:
    """One answer behind the ids of its prompt."""
    ids, offsets = _tokens(view.tokenizer, turn.prompt)
    text = turn.prompt + turn.opening + turn.answer + turn.rest
    own, places = _continuation(view.tokenizer, turn.prompt, ids, text)
    start = len(turn.prompt) + len(turn.opening)
    return _marked(view, ids + own, offsets + places, [((start, start + len(turn.answer)), turn)])


def _everything(view: View, thoughts: int) -> EncodedRow:
    """The whole conversation, all of it with loss.

    Raises:
        DataError: some of it must have less, and where that stands cannot be told.
    """
    if any(message.get("weight", 1) != 1 for message in view.messages) or (thoughts and view.template.thinking == "mask"):
        raise DataError(
            f"the chat template {view.template.name!r} writes earlier turns differently, so that with train_on: all the answers "
            "that weigh less, and thoughts that are masked, cannot be found in the text. Use train_on: assistant."
        )
    ids, offsets = _tokens(view.tokenizer, view.text(len(view.messages)))
    return _marked(view, ids, offsets, [], everything=True)


def _marked(
    view: View,
    ids: list[int],
    offsets: list[tuple[int, int]],
    spans: Sequence[tuple[tuple[int, int], Turn]],
    *,
    everything: bool = False,
) -> EncodedRow:
    """Tokens with the mask of half-open character spans; with ``everything``, what stands outside of them trains too."""
    trained = [everything] * len(ids)
    ends: list[int] = []
    weights: list[float] | None = None
    starts, stops = [begin for begin, _ in offsets], [end for _, end in offsets]
    for (start, stop), turn in spans:
        begin, position = bisect_right(stops, start), bisect_left(starts, stop)
        weight = float(view.messages[turn.index].get("weight", 1))
        trained[begin:position] = [weight != 0] * (position - begin)
        if turn.thought and view.template.thinking == "mask":
            said = min(position, bisect_right(stops, start + turn.thought))
            trained[begin:said] = [False] * (said - begin)
        if turn.ended and position > begin and weight:
            ends.append(position - 1)
        if weight not in {0, 1}:
            weights = weights or [1.0] * len(ids)
            weights[begin:position] = [weight] * (position - begin)
    counted = sum(1 for _, turn in spans if view.messages[turn.index].get("weight", 1) != 0)
    return EncodedRow(ids, trained, ends, counted, len(ids), weights)


def _cut(row: EncodedRow, max_length: int | None) -> EncodedRow:
    """The row with at most so many tokens, the rest lost on the right."""
    if max_length is None or len(row.input_ids) <= max_length:
        return row
    ends = [end for end in row.ends if end < max_length]
    weights = row.weights[:max_length] if row.weights else None
    return EncodedRow(row.input_ids[:max_length], row.trained[:max_length], ends, row.turns, row.full_length, weights)


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a text and their half-open places in it."""
    plain: Any = tokenizer.backend_tokenizer
    if plain.truncation is None and plain.padding is None and not plain.encode_special_tokens:
        found = plain.encode(text, add_special_tokens=False)  # what the call below does, without its dictionaries
        return found.ids, found.offsets
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoding["input_ids"]), list(encoding["offset_mapping"])


def _parted(offsets: Sequence[tuple[int, int]], starts: Sequence[int], place: int) -> bool:
    """True when no token reaches over a place in the text."""
    following = bisect_left(starts, place)
    return following == 0 or offsets[following - 1][1] <= place


def _same_prefix(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    starts: Sequence[int],
    border: int,
) -> bool:
    """True when the ids of ``text[:border]`` are the first ids of the text.

    Added tokens are cut out of a text before anything else, so only what follows the last of them can come out differently; those
    few words ("assistant" and a line end) are the same in every row and tokenised once.
    """
    if not _parted(offsets, starts, border):
        return False
    after = bisect_left(starts, border)
    added = marks_of(tokenizer).added
    mark = next((place for place in range(after - 1, max(-1, after - 40), -1) if ids[place] in added), None)
    if mark is None:
        return list(ids[:after]) == _tokens(tokenizer, text[:border])[0]
    known: tuple[int, ...] = _short_ids(tokenizer)(text[offsets[mark][0] : border])
    return tuple(ids[mark:after]) == known


_SHORT: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, Any]] = WeakKeyDictionary()


def _short_ids(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Ids of short texts under a tokenizer, remembered."""
    known = _SHORT.get(tokenizer)
    if known is None or known[0] != len(tokenizer):
        plain = tokenizer.backend_tokenizer  # not the tokenizer: what is remembered under it must not keep it alive

        @lru_cache(maxsize=256)
        def ids(text: str) -> tuple[int, ...]:
            return tuple(plain.encode(text, add_special_tokens=False).ids)

        known = _SHORT[tokenizer] = (len(tokenizer), ids)
    return known[1]


def _continuation(
    tokenizer: PreTrainedTokenizerBase, prompt: str, ids: Sequence[int], text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and places of what follows a prompt, where no token may reach over the border.

    Tokenised with the prompt where that keeps its ids; else behind something short that keeps its own, because some tokenizers
    write the first word of a text in a way of its own.

    Raises:
        DataError: no way gives the same text again.
    """
    whole, offsets = _tokens(tokenizer, text)
    if whole[: len(ids)] == list(ids):
        return whole[len(ids) :], offsets[len(ids) :]
    rest, wanted = text[len(prompt) :], _decoded(tokenizer, whole)
    for anchor in ("", "\n", "a", ".", *(str(token) for token in tokenizer.special_tokens_map.values())):
        head = _tokens(tokenizer, anchor)[0] if anchor else []
        found, places = _tokens(tokenizer, anchor + rest)
        own = found[len(head) :]
        if found[: len(head)] == head and _decoded(tokenizer, [*ids, *own]) == wanted:
            shift = len(prompt) - len(anchor)
            return own, [(start + shift, stop + shift) for start, stop in places[len(head) :]]
    raise DataError("the tokens of the answer cannot be told from those of the prompt before it. Use another chat_template.")


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of some tokens, special ones included."""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _written_remarks(view: View, turns: Sequence[Turn]) -> set[Remark]:
    """What of the turns before the last trained answer is not in its prompt, and control tokens that people wrote as text."""
    found: set[Remark] = set()
    seen = turns[-1].prompt if turns else view.text(len(view.messages))
    before = turns[-1].index if turns else len(view.messages)
    for index, message in enumerate(view.messages):
        content = str(message["content"])
        if view.marks.found(content):
            ends = message["role"] == "assistant" and view.marks.ending and view.marks.ending.search(content.rstrip()[-40:])
            found.add("ends_twice" if ends and ends.end() == len(content.rstrip()[-40:]) else "forged")
        if index >= before:
            continue
        thought, said = thought_of(message) if message["role"] == "assistant" else ("", content)
        if said.strip() and said.strip() not in seen:
            found.add("absent")
        if thought.strip() and thought.strip() not in seen:
            found.add("thought_not_in_history")
    return found
