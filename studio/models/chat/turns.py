"""What a chat template makes of one answer: the prompt that asks for it, what it writes before the answer, the answer, its end.

Stock templates carry no marks around what the assistant writes, and many write an answer differently once more turns follow, or
prompt with something (an opened thought) that a finished turn does not have. So each answer is read off two renderings: the
prompt that inference is given, and the conversation up to the answer, in which it comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.models.chat.marks import Marks, marks_of
from studio.models.chat.rendering import ChatTemplate, Message, render
from studio.models.chat.thoughts import THOUGHTS, opened_thought, thought_of, without_opening, written_thought

Remark = Literal[
    "thought_lost", "thought_not_in_history", "thought_closed", "opening", "trimmed", "absent", "opens_the_talk", "forged",
    "ends_twice", "without_loss",
]  # fmt: skip
"""What of a row does not stand in its tokens as it was written; ``studio.train.chat.encode`` has the sentences."""

_PROBE = "Q7xZk answers"  # stands for an answer; no template writes it by itself


@dataclass(frozen=True)
class Turn:
    """One answer as inference sees it.

    index: of the message. prompt: text that inference is asked with. opening: what the template puts before the answer, without
    loss. answer: what the assistant writes, with the mark that ends it. rest: what the template writes after that. written: the
    four of them, joined, are what the template makes of the conversation up to here. ended: there is a mark that ends it.
    thought: how many characters at the start of the answer are its thought, with the marks and blanks around it.
    """

    index: int
    prompt: str
    opening: str
    answer: str
    rest: str
    written: bool
    ended: bool
    remarks: frozenset[Remark] = frozenset()
    thought: int = 0


@dataclass
class View:
    """A conversation through a template. ``tools`` are the functions that the row offers."""

    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] | None = None
    _texts: dict[int, str] = field(default_factory=dict)

    @property
    def marks(self) -> Marks:
        """The control tokens of the vocabulary."""
        return marks_of(self.tokenizer)

    def text(self, stop: int) -> str:
        """The first ``stop`` turns."""
        if stop not in self._texts:
            self._texts[stop] = self.of(self.messages[:stop])
        return self._texts[stop]

    def of(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """Any turns, up to where the assistant is to speak when ``prompt`` is set."""
        return render(self.tokenizer, self.template, messages, tools=self.tools, add_generation_prompt=prompt)


def read_turn(view: View, index: int) -> Turn:
    """What the template makes of the assistant turn at ``index``.

    Raises:
        DataError: the template refuses the turns up to here, or leaves the answer out, or writes it so that it cannot be told
            from what stands before it.
    """
    message = view.messages[index]
    prompt = view.of(view.messages[:index], prompt=True)
    after = view.text(index + 1)
    calls = message.get("tool_calls")
    floor = len(prompt) if after.startswith(prompt) else 0
    close, start = _placed(view, index, after, floor or (len(common(prompt, after)) if calls else 0))
    head = after[: len(after) - len(close)]
    if calls:
        _refuse_lost_calls(view, index, head[floor:])
    if floor or not prompt:
        opening, answer, remarks = _after_prompt(message, head, floor, start, prompt)
    else:
        opening, answer, remarks = _beside_prompt(view, index, prompt, head, start)
    end, rest = _ending(view, index, after, close)
    if message["content"].strip() and message["content"] not in answer and message["content"].strip() in answer:
        remarks |= {"trimmed"}
    written = bool(floor) and prompt + opening + answer == head
    thought = _thought_end(view, message, answer)
    return Turn(index, prompt, opening, answer + end, rest, written, bool(end), frozenset(remarks), thought)


def _placed(view: View, index: int, after: str, floor: int) -> tuple[str, int]:
    """What the template closes the turn with, and where in ``after`` the answer begins.

    The close is known from a conversation of one question and one answer; where it does not fit, from this one with another
    answer in place of its own.
    """
    message = view.messages[index]
    for close in _closes(view, index):
        if not after.endswith(close):
            continue
        start = _start(message, after[: len(after) - len(close)], floor)
        if start is not None:
            return close, start
    raise DataError(
        f"the chat template {view.template.name!r} leaves out or rewrites the text of turn {index + 1}, so that there is nothing "
        "to train. Give a template file that writes it: chat_template: FILE."
    )


def _closes(view: View, index: int) -> Iterator[str]:
    """Candidates of what closes an answer, the likeliest first."""
    usual = _usual_close(view)
    if usual is not None:
        yield usual
    if view.messages[index].get("tool_calls"):
        after = view.text(index + 1)
        ends = [match for match in _runs(view.marks, after) if not after[match.end() :].strip()]
        yield after[ends[0].start() :] if ends else after[len(after.rstrip()) :]
        return
    try:
        probed = view.of([*view.messages[:index], {"role": "assistant", "content": _PROBE}])
    except DataError:
        return
    if _PROBE in probed:
        yield probed.rpartition(_PROBE)[2]


def _runs(marks: Marks, text: str) -> Iterator[re.Match[str]]:
    """Runs of control tokens in a text."""
    return marks.ending.finditer(text) if marks.ending else iter(())


_USUAL: dict[tuple[str, str, int], tuple[str | None, str]] = {}


def _usual(view: View) -> tuple[str | None, str]:
    """What closes the answer to a single question, and the mark that the next question begins with where nothing closes it."""
    key = (view.template.text, str(view.tokenizer.special_tokens_map), len(view.tokenizer))
    if key not in _USUAL:
        talk: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}]
        _USUAL[key] = (_tail(view, talk), _next_mark(view, talk, {"role": "user", "content": "b"}))
    return _USUAL[key]


def _usual_close(view: View) -> str | None:
    return _usual(view)[0]


def _tail(view: View, talk: Sequence[Message]) -> str | None:
    """What stands after the probe at the end of a talk; None when the template refuses it or leaves the probe out."""
    try:
        text = render(view.tokenizer, view.template, talk)
    except DataError:
        return None
    return text.rpartition(_PROBE)[2] if _PROBE in text else None


def _next_mark(view: View, talk: Sequence[Message], following: Message) -> str:
    """The control token that the next turn begins with, which ends an answer that nothing else closes; empty without one."""
    try:
        text = render(view.tokenizer, view.template, talk)
        further = render(view.tokenizer, view.template, [*talk, following])
    except DataError:
        return ""
    tail = further[len(text) :] if further.startswith(text) else further.rpartition(_PROBE)[2]
    match = view.marks.ending.match(tail) if view.marks.ending else None
    if match is None:
        return ""
    # One token: what a run of them goes on with belongs to the next turn.
    first = view.marks.control.search(tail) if view.marks.control else None
    return tail[: first.end()] if first and first.end() <= match.end() else match.group()


def _start(message: Message, head: str, floor: int) -> int | None:
    """Where the answer begins in a rendering whose close was taken off; None where it is not at its end."""
    content = str(message["content"])
    _, said = thought_of(message)
    if message.get("tool_calls"):
        at = head.find(said.strip(), floor) if said.strip() else floor
        return at if at >= 0 else None
    for text in dict.fromkeys([*_variants(content), *_variants(said)]):
        if head.endswith(text) and len(head) - len(text) >= floor and (text.strip() or not said.strip()):
            return len(head) - len(text)
    return None


def _variants(text: str) -> list[str]:
    """A text as templates write it: as it is, or with white space taken off."""
    return [text, text.rstrip(), text.lstrip("\n"), text.lstrip(), text.strip("\n"), text.strip()]


def _after_prompt(message: Message, head: str, floor: int, start: int, prompt: str) -> tuple[str, str, set[Remark]]:
    """Opening, answer and remarks of a turn that begins with its prompt."""
    thought, said = thought_of(message)
    opened = opened_thought(prompt)
    if message.get("tool_calls"):
        opening = _empty_thought(head[floor:]) if not thought else ""
        kept = not thought.strip() or thought.strip() in head[floor:]
        return opening, head[floor + len(opening) :], set() if kept else {"thought_lost"}
    if thought.strip():
        if thought.strip() in head[floor:start]:
            return "", head[floor:], set()
        if opened and (thought.strip() not in head[start:] or THOUGHTS[opened.group(1)] in head[floor:start]):
            return "", _thought_written(message, prompt) + said.strip(), set()
        if thought.strip() not in head[start:]:
            return head[floor:start], head[start:], {"thought_lost"}
    opening = head[floor:start]
    if not opening.strip():
        return "", head[floor:], set()
    closed: set[Remark] = {"thought_closed"} if opened else {"opening"}
    return opening, head[start:], closed


def _beside_prompt(view: View, index: int, prompt: str, head: str, start: int) -> tuple[str, str, set[Remark]]:
    """The same for a turn that does not begin with its prompt: the answer is put after the prompt that inference is given."""
    message = view.messages[index]
    thought, said = thought_of(message)
    calls = bool(message.get("tool_calls"))
    start = _behind_question(view, index, prompt, head, start) if calls else start
    border = _border(view, index, prompt, head, start)
    opened = opened_thought(prompt)
    answer, before = head[start:], head[border:start]
    if thought.strip() and thought.strip() in head[border:] and not prompt[border:].strip() and head[:border] == prompt[:border]:
        return "", head[border:], set()
    if calls:  # they are found by what stands before them, which may be a thought
        beside = _thought_end(view, message, answer) if thought.strip() else len(_empty_thought(answer))
        before, answer = before + (answer[:beside] if not thought.strip() else ""), answer[beside:]
    if thought.strip():
        if opened:
            return "", _thought_written(message, prompt) + (answer if calls else said.strip()), set()
        return "", answer, {"thought_lost"} if thought.strip() not in answer else set()
    if opened and THOUGHTS[opened.group(1)] not in before:
        lines = "\n" if "\n" in opened.group(2) else ""
        return lines + THOUGHTS[opened.group(1)] + lines * 2 + before, answer, {"thought_closed"}
    remark: set[Remark] = {"thought_closed"} if opened else {"opening"} if before.strip() else set()
    return before, answer, remark


def _behind_question(view: View, index: int, prompt: str, head: str, start: int) -> int:
    """Where a turn with calls begins in ``head``, also where the question before it stands there differently.

    Raises:
        DataError: it cannot be told.
    """
    asked = str(view.messages[index - 1]["content"]).strip()
    if not asked or asked not in head[start:]:
        return start
    last = _last_words(view, prompt)
    at = head.rfind(last) + len(last) if last.strip() and last in head else start
    if asked in head[at:]:
        raise _asked_differently(view, index)
    return at


def _last_words(view: View, prompt: str) -> str:
    """What a prompt ends with: its last control tokens and what follows, or its last line."""
    plain = without_opening(prompt)
    marks = list(_runs(view.marks, plain))
    return plain[marks[-1].start() :].lstrip() if marks else plain[plain.rstrip().rfind("\n") + 1 :]


def _asked_differently(view: View, index: int) -> DataError:
    """The sentence for a turn that cannot be told from what stands before it."""
    return DataError(
        f"the chat template {view.template.name!r} asks for turn {index + 1} in another way than it writes it, so what is to be "
        "trained cannot be told. Give a template file whose prompt begins what it writes: chat_template: FILE."
    )


def _border(view: View, index: int, prompt: str, head: str, start: int) -> int:
    """Where in ``head`` the words of the assistant's turn begin, when the prompt is no beginning of it.

    Raises:
        DataError: it cannot be told.
    """
    border = len(common(prompt, head[:start]))
    last = _last_words(view, prompt)
    at = head.rfind(last, border, start) if last.strip() else -1
    border = at + len(last) if at >= 0 else border  # both part before the assistant's turn begins
    asked = str(view.messages[index - 1]["content"]).strip()
    if asked and asked in head[border:start]:
        raise _asked_differently(view, index)
    return border


def common(prompt: str, head: str) -> str:
    """How both begin, never ending inside a mark: ``<think>`` and ``</think>`` share a beginning."""
    pairs = enumerate(zip(prompt, head, strict=False))
    common = prompt[: next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(head)))]
    cut = re.search(r"[<\[][^<>\[\]\s]*$", common)
    return common[: cut.start()] if cut and len(common) < len(prompt) else common


def _thought_written(message: Message, prompt: str) -> str:
    """A thought and its close, as a model writes them after a prompt that has opened the thought."""
    opened = opened_thought(prompt)
    close, blanks = (THOUGHTS[opened.group(1)], opened.group(2)) if opened else ("</think>", "\n")
    content = str(message["content"])
    match = written_thought(content)
    if match and not message.get("reasoning_content"):
        said = content[match.end() :]
        thought = match.group(1).lstrip("\n") if "\n" in blanks else match.group(1)
        return thought + close + said[: len(said) - len(said.lstrip())]
    lines = "\n" if "\n" in blanks else ""
    return str(message["reasoning_content"]).strip() + lines + close + lines * 2


def _thought_end(view: View, message: Message, answer: str) -> int:
    """Where the thought at the start of an answer ends, 0 where there is none.

    What is said begins after it; before a call, which is no text of the turn, the mark that closes the thought is its end.
    """
    thought, said = (part.strip() for part in thought_of(message))
    at = answer.find(thought) if thought else -1
    if at < 0:
        return 0
    end = at + len(thought)
    begins = answer.find(said, end) if said else -1
    if begins >= 0:
        return begins
    close = re.compile(r"\s*(?:" + "|".join(re.escape(mark) for mark in THOUGHTS.values()) + r")\s*").match(answer, end)
    close = close or (view.marks.ending.match(answer, end) if view.marks.ending else None)
    return close.end() if close else end


def _empty_thought(text: str) -> str:
    """An empty thought at the start of a text, with the blanks around it."""
    for mark, close in THOUGHTS.items():
        match = re.match(rf"\s*(?:{re.escape(mark)})?\s*{re.escape(close)}\s*", text)
        if match:
            return match.group()
    return ""


def _refuse_lost_calls(view: View, index: int, written: str) -> None:
    """Stop at a template that does not write the calls of a turn.

    Raises:
        DataError: a called function's name is not there.
    """
    for call in view.messages[index]["tool_calls"]:
        name = str(call["function"]["name"])
        if name not in written:
            raise DataError(
                f"the chat template {view.template.name!r} does not write the call of {name!r} in turn {index + 1}: it knows no "
                "tools. Give a template file that does: chat_template: FILE."
            )


def _ending(view: View, index: int, after: str, close: str) -> tuple[str, str]:
    """The mark that ends an answer, and what the template writes after it.

    It is the run of control tokens that the close begins with, or the close's own words; where it has neither, the mark that the
    next turn begins with, for that is what the model has to write to end its own.
    """
    match = view.marks.ending.match(close) if view.marks.ending else None
    if match:
        return match.group(), close[match.end() :]
    if close.strip():
        return close.rstrip(), close[len(close.rstrip()) :]
    following = view.messages[index + 1] if index + 1 < len(view.messages) else None
    if following is not None and following["role"] != "user":
        talk = view.messages[: index + 1]
        mark = _following_mark(view, after, [*talk, following])
    elif view.messages[index].get("tool_calls"):
        mark = _following_mark(view, after, [*view.messages[: index + 1], {"role": "tool", "content": "b"}])
    else:
        mark = _usual(view)[1]
    return (close + mark, "") if mark else ("", close)


def _following_mark(view: View, after: str, talk: Sequence[Message]) -> str:
    """The control token that follows ``after`` once a further turn stands there."""
    try:
        text = view.of(talk)
    except DataError:
        return ""
    match = view.marks.ending.match(text, len(after)) if view.marks.ending and text.startswith(after) else None
    first = view.marks.control.search(text, len(after)) if match and view.marks.control else None
    return text[len(after) : first.end()] if first else ""
