"""What a chat template makes of a conversation: bounded in time, and one sentence for whatever a template does wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template

from studio.core.errors import DataError
from studio.models.chat.thoughts import with_field, without_thought

Message = dict[str, Any]
"""A turn: ``role`` and ``content``, and where there are any ``name``, ``tool_calls``, ``tool_call_id``, ``reasoning_content`` and
``weight``."""

Value = bool | int | float | str
"""Of an argument of a template."""
Thinking = Literal["keep", "mask", "drop"]
"""What becomes of the thoughts in answers: they train, they stand there without loss, or they are taken out."""

# Things that all loops of one rendering may go over together. The longest conversation that fits a context of a million tokens,
# compared turn by turn with itself, stays far below; a loop that never ends meets the limit within seconds.
LOOP_LIMIT = 5_000_000
TEXT_LIMIT = 50_000_000  # characters; a context of a million tokens has some five million
_BOUND = "studio_bounded"
TEMPLATE_FILE = "chat_template.jinja"  # in the folder of a run
# Keys of a message that no template is to see.
_OWN = ("weight",)


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja chat template and where it came from (``tokenizer``, a name, or a file name).

    day: ISO date of the clock that is frozen in the text, None where the template never asks for it.
    changes: what was written into the text so that every reader of it does the same, in words.
    arguments: what else it is rendered with. client_arguments: those that a client of the served model may set anew.
    thinking: what becomes of the thoughts in answers.
    """

    name: str
    text: str
    day: str | None = None
    changes: tuple[str, ...] = ()
    arguments: Mapping[str, Value] = field(default_factory=dict, hash=False)
    client_arguments: tuple[str, ...] = ()
    thinking: Thinking = "keep"

    @property
    def sha256(self) -> str:
        """Hex hash of the template's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of it; the text stands beside it in a file."""
        return {
            "name": self.name,
            "file": TEMPLATE_FILE,
            "sha256": self.sha256,
            "day": self.day,
            "changes": list(self.changes),
            "arguments": dict(self.arguments),
            "client_arguments": list(self.client_arguments),
            "thinking": self.thinking,
        }

    @classmethod
    def from_record(cls, text: str, record: Mapping[str, Any]) -> ChatTemplate:
        """The template again; runs written before a field was known have its default."""
        return cls(
            name=str(record.get("name") or "tokenizer"),
            text=text,
            day=record.get("day"),
            changes=tuple(record.get("changes") or ()),
            arguments=dict(record.get("arguments") or {}),
            client_arguments=tuple(record.get("client_arguments") or ()),
            thinking=record.get("thinking") or "keep",
        )


class _TooLongError(Exception):
    """A template's loops went over more things than any conversation has."""


class _Bounded:
    """Counts what the loops of one rendering go over."""

    def __init__(self) -> None:
        """Start with the whole allowance."""
        self.left = LOOP_LIMIT

    def __call__(self, items: Any) -> Any:
        """What a loop is to go over: the thing itself where its length is known, else one that counts as it goes."""
        if hasattr(items, "__len__"):
            self._take(len(items))
            return items
        return self._counted(items) if isinstance(items, Iterator) else items

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._take(1)
            yield item

    def _take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _TooLongError


@lru_cache(maxsize=64)
def compiled(text: str) -> Template:
    """The template in the sandbox of transformers, with a bound on its loops.

    Raises:
        jinja2.TemplateSyntaxError: it is no Jinja.
    """
    environment = _compile_jinja_template(text).environment
    tree = environment.parse(text)
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Call(nodes.Name(_BOUND, "load"), [loop.iter], [], None, None, lineno=loop.lineno)
    tree.set_environment(environment)
    template: Template = environment.from_string(tree)
    return template


def render(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    arguments: Mapping[str, Value] | None = None,
) -> str:
    """Text of a conversation under a template, the same as ``tokenizer.apply_chat_template`` gives.

    Args:
        arguments: of this rendering; they win over the template's own.
    Raises:
        DataError: the template refuses the conversation (for example a system turn it does not know), or fails on it.
    """
    if not messages:
        raise DataError("the conversation has no turn that the model could answer.")
    messages = seen(template, messages)
    try:
        text = str(
            compiled(template.text).render(
                messages=[_shown(message) for message in messages],
                tools=list(tools) if tools else None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **{_BOUND: _Bounded(), **tokenizer.special_tokens_map, **template.arguments, **(arguments or {})},
            )
        )
    except TemplateError as error:
        raise DataError(f"the chat template {template.name!r} refuses the conversation: {error}") from error
    except _TooLongError as error:
        raise DataError(
            f"the chat template {template.name!r} goes over more than {LOOP_LIMIT:,} things in its loops and was stopped."
        ) from error
    except RecursionError as error:
        raise DataError(f"the chat template {template.name!r} calls itself without end and was stopped.") from error
    except Exception as error:  # a template is a program: it may raise anything, and none of it is a fault of the studio
        raise DataError(
            f"the chat template {template.name!r} fails on the conversation ({type(error).__name__}: {error}). It may need "
            "something that the conversation does not have; give a template file with chat_template."
        ) from error
    if len(text) > TEXT_LIMIT:
        raise DataError(f"the chat template {template.name!r} makes {len(text):,} characters of it, more than any model reads.")
    return text


def seen(template: ChatTemplate, messages: Sequence[Message]) -> Sequence[Message]:
    """Turns as the template is given them: without thoughts where they are dropped; in a field where they have a channel."""
    if template.thinking == "drop":
        return [without_thought(message) for message in messages]
    if "<|channel|>analysis" in template.text:
        return [with_field(message) for message in messages]
    return messages


def _shown(message: Message) -> Message:
    """A message as the template sees it."""
    if any(key in message for key in _OWN):
        return {key: value for key, value in message.items() if key not in _OWN}
    return message
