"""How models write the call of a tool. Which way a template has is found by letting it write one and reading that back.

The ways are those of the stock templates; the names are vLLM's for its tool parsers where it has one.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from studio.core.errors import DataError

Types = Mapping[str, Mapping[str, Any]]
"""Name of a tool to its parameters' JSON schemas."""


@dataclass
class Calls:
    """What was found in a text: the calls as OpenAI writes them, what should have been one and cannot be read, the text left."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    rest: str = ""

    def add(self, name: Any, arguments: Any, identity: Any = None) -> None:
        """Take up one call.

        Raises:
            ValueError: it has no name, or its arguments are no object.
        """
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if not isinstance(name, str) or not name or not isinstance(arguments, dict):
            raise ValueError("no call")
        called = {"name": name, "arguments": arguments}
        self.calls.append({"id": str(identity) if identity else None, "type": "function", "function": called})


Reader = Callable[[str, Types], Calls]


def types_of(tools: Sequence[Mapping[str, Any]] | None) -> Types:
    """Parameters of each tool, for the ways of writing that leave the type of a value out."""
    functions = (tool.get("function", tool) for tool in tools or ())
    return {
        str(each.get("name")): (each.get("parameters") or {}).get("properties") or {}
        for each in functions
        if isinstance(each, Mapping)
    }


def _json_after(opens: str, closes: str = "", *, around: str = "") -> Reader:
    """Calls as JSON behind a mark: objects that name the tool, or the arguments alone where the mark has a group ``name``.

    Args:
        opens, closes: patterns before and after the JSON; between the two may stand several values. around: pattern of what
            frames all calls.
    """
    opening, closing = re.compile(opens, re.DOTALL), re.compile(rf"\s*(?:{closes})" if closes else r"\s*")
    frame = re.compile(around) if around else None

    def read(text: str, _types: Types) -> Calls:
        found = Calls()
        place = 0
        while match := opening.search(text, place):
            found.rest += text[place : match.start()]
            try:
                place = _take_json(text, match, found)
            except ValueError:
                end = closing.search(text, match.end()) if closes else None
                place = end.end() if end else len(text)
                found.broken.append(text[match.start() : place])
                continue
            end = closing.match(text, place)
            place = end.end() if end else place
        found.rest += text[place:]
        found.rest = frame.sub("", found.rest) if frame else found.rest
        return found

    return read


def _take_json(text: str, match: re.Match[str], found: Calls) -> int:
    """Read the values behind a mark into ``found``; returns the place after them.

    Raises:
        ValueError: it is no JSON, or no call.
    """
    decoder = json.JSONDecoder()
    known = match.groupdict()
    value, place = decoder.raw_decode(text, match.end())
    if "name" in known:
        found.add(known["name"], value, known.get("id"))
        return place
    values = list(value) if isinstance(value, list) else [value]
    while following := re.compile(r"[\s;,]*(?=\{)").match(text, place):  # several objects, one after the other
        value, place = decoder.raw_decode(text, following.end())
        values.append(value)
    before = len(found.calls)
    try:
        for each in values:
            _take_object(each, found)
    except ValueError:
        del found.calls[before:]
        raise
    return place


def _take_object(value: Any, found: Calls) -> None:
    """One call that names its tool; Command R's ``directly_answer`` is none.

    Raises:
        ValueError: it names none, or has no arguments.
    """
    if not isinstance(value, dict):
        raise ValueError("no call")
    inner = value["function"] if isinstance(value.get("function"), dict) else value
    name = inner.get("name", inner.get("tool_name"))
    if name in {"directly_answer", "directly-answer"}:
        return
    identity = value.get("id", value.get("tool_call_id"))
    found.add(name, inner.get("arguments", inner.get("parameters")), identity)


def _tagged(block: str, name: str, pair: str) -> Reader:
    """Calls whose arguments stand between tags, one by one, without their types.

    Args:
        block: pattern of one call, its inside as ``body``. name, pair: patterns inside it; a pair has ``key`` and ``value``.
    """
    blocks, named, pairs = (re.compile(pattern, re.DOTALL) for pattern in (block, name, pair))

    def read(text: str, types: Types) -> Calls:
        found = Calls(rest=blocks.sub("", text))
        for match in blocks.finditer(text):
            inside = match.group("body")
            called = named.search(inside)
            if called is None:
                found.broken.append(match.group())
                continue
            tool = called.group("name").strip()
            given = {each.group("key").strip(): each.group("value") for each in pairs.finditer(inside, called.end())}
            known = types.get(tool, {})
            found.add(tool, {key: _typed(value, known.get(key)) for key, value in given.items()})
        return found

    return read


def _typed(text: str, schema: Any) -> Any:
    """A value that stands there as bare text: what its schema says, else what it looks like."""
    wanted = schema.get("type") if isinstance(schema, Mapping) else None
    if wanted == "string":
        return text
    python = {"True": True, "False": False, "None": None}
    if text.strip() in python:
        return python[text.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Words(ast.NodeTransformer):
    """JSON's words in place of Python's."""

    words: ClassVar = {"true": True, "false": False, "null": None}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self.words[node.id]) if node.id in self.words else node


def _pythonic(opens: str, closes: str) -> Reader:
    """Calls as a list of Python calls: ``[weather(city="Oslo", days=3)]``."""
    pattern = re.compile(rf"{opens}(?P<body>\[\s*[A-Za-z_][\w.-]*\(.*\)\s*\])\s*{closes}", re.DOTALL)

    def read(text: str, _types: Types) -> Calls:
        found = Calls(rest=pattern.sub("", text))
        for match in pattern.finditer(text):
            try:
                tree = ast.parse(match.group("body").strip(), mode="eval").body
                for call in tree.elts if isinstance(tree, ast.List) else []:
                    _take_python(call, found)
            except (SyntaxError, ValueError):
                found.broken.append(match.group())
        return found

    return read


def _take_python(call: ast.expr, found: Calls) -> None:
    """One call written in Python; nothing of it is run.

    Raises:
        ValueError: it is anything but a name with named literals.
    """
    if not isinstance(call, ast.Call) or call.args or any(each.arg is None for each in call.keywords):
        raise ValueError("no call")
    arguments = {str(each.arg): ast.literal_eval(_Words().visit(each.value)) for each in call.keywords}
    found.add(ast.unparse(call.func), arguments)


_GEMMA = re.compile(r"<\|tool_call>call:(?P<name>[\w.-]+)(?P<body>\{.*?\})<tool_call\|>(?:<\|tool_response>)?", re.DOTALL)
_GEMMA_TEXT = re.compile(r'<\|"\|>(.*?)<\|"\|>', re.DOTALL)


def _gemma(text: str, _types: Types) -> Calls:
    """Gemma 4: JSON with bare keys, and texts between marks of their own."""
    found = Calls(rest=_GEMMA.sub("", text))
    for match in _GEMMA.finditer(text):
        texts: list[str] = []

        def held(quoted: re.Match[str], texts: list[str] = texts) -> str:
            texts.append(quoted.group(1))
            return f'"{len(texts) - 1}"'

        bare = re.sub(r"([{,]\s*)([A-Za-z_][\w.-]*)\s*:", r'\1"\2":', _GEMMA_TEXT.sub(held, match["body"]))
        try:
            found.add(match["name"], _with_texts(json.loads(re.sub(r"\bNone\b", "null", bare)), texts))
        except (ValueError, IndexError):
            found.broken.append(match.group())
    return found


def _with_texts(value: Any, texts: Sequence[str]) -> Any:
    """A value in which each text was held back as its number, with the texts in place; keys stay."""
    if isinstance(value, str):
        return texts[int(value)]
    if isinstance(value, list):
        return [_with_texts(inner, texts) for inner in value]
    return {key: _with_texts(inner, texts) for key, inner in value.items()} if isinstance(value, dict) else value


def _llama(text: str, _types: Types) -> Calls:
    """Llama 3: nothing but JSON with name and parameters, or a built-in tool in Python behind its tag."""
    bare = text.strip().removeprefix("<|python_tag|>").strip()
    built_in = re.fullmatch(r"(?P<name>\w+)\.call\((?P<arguments>.*)\)", bare, re.DOTALL)
    found = Calls()
    if built_in:
        try:
            call = ast.parse(f"{built_in['name']}({built_in['arguments']})", mode="eval").body
            _take_python(call, found)
        except (SyntaxError, ValueError):
            found.broken.append(text)
        return found
    if not bare.startswith("{") or '"name"' not in bare or ('"parameters"' not in bare and '"arguments"' not in bare):
        return Calls(rest=text)  # an answer may be JSON and no call
    return _json_after(r"\A\s*(?:<\|python_tag\|>)?\s*(?=\{)")(text, {})


CALL_BEGINS = re.compile(
    r"<(?:seed:|minimax:)?tool_call>|<\|tool_call|\[TOOL_CALLS\]|<｜tool|<invoke |<\|START_ACTION\|>|<\|python_(?:tag|start)\|>"
    r"|Action:\s*```json|functools\s*\["
)
"""Where a call begins in an answer, in any way that has a mark for it."""

_DEEPSEEK = r"</?｜tool▁calls▁(?:begin|end)｜>|<｜tool▁calls?▁(?:begin|end)｜>"
SYNTAXES: dict[str, Reader] = {
    "harmony": _json_after(
        r"(?:<\|start\|>assistant)?(?:<\|channel\|>commentary)?\s*to=(?:functions\.)?(?P<name>[\w.-]+)"
        r"(?:<\|channel\|>commentary)?\s*(?:<\|constrain\|>)?\s*\w*<\|message\|>",
        r"<\|call\|>|<\|end\|>",
    ),
    "qwen3_coder": _tagged(
        r"<(?:seed:)?tool_call>\s*(?P<body><function=.*?)(?:</(?:seed:)?tool_call>|\Z)",
        r"<function=(?P<name>[^>]+)>",
        r"<parameter=(?P<key>[^>]+)>\n?(?P<value>.*?)\n?</parameter>",
    ),
    "glm45": _tagged(
        r"<tool_call>(?P<body>[^<{\[\s][^<]*(?:<arg_key>.*?)?)(?:</tool_call>|\Z)",
        r"\A(?P<name>[^<\n]+)",
        r"<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>",
    ),
    "minimax_m2": _tagged(
        r"(?:<minimax:tool_call>)?\s*<invoke(?P<body> name=.*?)</invoke>\s*(?:</minimax:tool_call>)?",
        r'name="?(?P<name>[^">]+)"?>',
        r'<parameter name="?(?P<key>[^">]+)"?>\n?(?P<value>.*?)\n?</parameter>',
    ),
    "gemma4": _gemma,
    "hermes": _json_after(r"<tool_call>\s*(?=\{)", "</tool_call>"),
    "granite": _json_after(r"<\|?tool_call\|?>\s*(?=\[)", r"</tool_call>"),
    "phi4_mini_json": _json_after(r"<\|tool_call\|>\s*(?=\[)", r"<\|/tool_call\|>"),
    "functools": _json_after(r"functools\s*(?=\[)"),
    "mistral": _json_after(
        r"\[TOOL_CALLS\]\s*(?P<name>[^\[\s{]+)\s*(?:\[CALL_ID\](?P<id>\w+))?\s*(?:\[ARGS\])?\s*(?=\{)",
    ),
    "mistral_list": _json_after(r"\[TOOL_CALLS\]\s*(?=[\[{])"),
    "deepseek_v3": _json_after(
        r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>(?P<name>[^\n]+)\n```json\n",
        r"```\s*<｜tool▁call▁end｜>|```",
        around=_DEEPSEEK,
    ),
    "deepseek_v31": _json_after(
        r"<｜tool▁call▁begin｜>(?P<name>[^<\n]+)<｜tool▁sep｜>\s*(?=\{)", "<｜tool▁call▁end｜>", around=_DEEPSEEK
    ),
    "kimi_k2": _json_after(
        r"<\|tool_call_begin\|>(?:functions\.)?(?P<name>[\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*",
        r"<\|tool_call_end\|>",
        around=r"<\|tool_calls_section_(?:begin|end)\|>",
    ),
    "cohere": _json_after(r"<\|START_ACTION\|>\s*(?=\[)", r"<\|END_ACTION\|>"),
    "cohere_action": _json_after(r"Action:\s*```json\s*(?=\[)", "```"),
    "lfm2": _pythonic(r"<\|tool_call_start\|>", r"<\|tool_call_end\|>"),
    "pythonic": _pythonic(r"\A\s*(?:<\|python_start\|>)?", r"(?:<\|python_end\|>)?"),
    "llama3_json": _llama,
}
"""Names to readers, the more particular before the more general."""


def reads(syntax: str, text: str, call: Mapping[str, Any], types: Types) -> bool:
    """True when a way of writing finds exactly one call in a text, and that with name and values as they are."""
    try:
        found = SYNTAXES[syntax](text, types)
    except (DataError, ValueError, RecursionError):
        return False
    whole = not found.broken and "tool_call" not in found.rest  # nothing of the marks is left
    return whole and [each["function"] for each in found.calls] == [call]
