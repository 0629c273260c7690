"""What a writer is told. The shipped prompts lie beside this file, one text file each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import UserError
from studio.core.files import sha256_json
from studio.schema.writer import fields_of

Form = Literal["questions", "sentence", "paraphrase", "self_instruct", "answers"]

# What a prompt may hold, and what an item of the answer must.
_FIELDS: dict[str, tuple[str, ...]] = {
    "questions": ("count", "title", "headings", "text"),
    "sentence": ("title", "headings", "text", "sentence"),
    "paraphrase": ("count", "question", "answer"),
    "self_instruct": ("count", "examples"),
    "answers": ("question",),
}
_NEEDED = {
    "questions": "text", "sentence": "sentence", "paraphrase": "question", "self_instruct": "examples", "answers": "question",
}  # fmt: skip
ITEM_KEYS: dict[str, tuple[str, ...]] = {
    "questions": ("question", "answer", "quote"),
    "sentence": ("question",),
    "paraphrase": ("question",),
    "self_instruct": ("question", "answer"),
    "answers": ("answer",),
}
# A token is seldom longer; a text of more than its row's share of an answer leaves no room for the others.
_CHARACTERS_PER_TOKEN = 4
ROWS = "rows"
"""The key under which an answer holds its items."""


@dataclass(frozen=True)
class Prompt:
    """A template and the form of what it asks for."""

    form: Form
    template: str

    @property
    def sha256(self) -> str:
        """Hash of the template."""
        return sha256_json(self.template)

    @property
    def keys(self) -> tuple[str, ...]:
        """What each item of an answer must hold."""
        return ITEM_KEYS[self.form]

    @property
    def least(self) -> int:
        """Fewest items of an answer: a sentence has a question, and a chunk may hold nothing worth asking."""
        return int(self.form == "sentence")

    @property
    def plain(self) -> bool:
        """True where the whole reply is the one item, in its own words."""
        return self.form == "answers"

    def filled(self, count: int, **values: str) -> list[dict[str, str]]:
        """The messages that ask for ``count`` items."""
        return [{"role": "user", "content": self.template.format(count=count, **values).strip()}]

    def response_format(self, count: int, longest: int | None) -> dict[str, Any]:
        """The form of an answer that is not plain, as a server that takes JSON schemas wants it (OpenAI, vLLM, llama.cpp).

        Args:
            count: most items.
            longest: most characters of each text, without which a small model writes one text for ever; None sets no bounds,
                for servers that know none.
        """
        text = {"type": "string"} if longest is None else {"type": "string", "maxLength": longest}
        items = {"type": "array", "items": _object(dict.fromkeys(self.keys, text))}
        schema = _object({ROWS: items if longest is None else {**items, "minItems": self.least, "maxItems": count}})
        return {"type": "json_schema", "json_schema": {"name": self.form, "schema": schema, "strict": True}}


def longest_text(count: int, max_tokens: int) -> int:
    """Most characters of one text of an item: what an item's share of the answer holds."""
    return max(1, _CHARACTERS_PER_TOKEN * max_tokens // count)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """A schema of an object whose keys are all there, and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def open_prompt(form: Form, given: str | None) -> Prompt:
    """The prompt of a recipe, or the shipped one.

    Raises:
        UserError: a recipe's own prompt leaves out what it is about, or names what is not known.
    """
    if given is None:
        return Prompt(form, (Path(__file__).parent / f"{form}.txt").read_text(encoding="utf-8"))
    found, needed = fields_of(given), _NEEDED[form]
    unknown = sorted(found - set(_FIELDS[form]))
    if needed not in found or unknown:
        wrong = f"holds {{{unknown[0]}}}, which is not known" if unknown else f"does not hold {{{needed}}}"
        raise UserError(f"the writer's prompt {wrong}. Known are {_listed(_FIELDS[form])}; braces that are text are doubled.")
    return Prompt(form, given)


def _listed(names: Sequence[str]) -> str:
    """Names as they stand in a template."""
    return ", ".join(f"{{{name}}}" for name in names)
