"""Conversations written out in one text with the marks of a template or the names of speakers."""

from __future__ import annotations

import re
from typing import Any

from studio.data.chat.formats.base import ShapeError
from studio.data.chat.formats.calls import between_objects, read_call, read_tools
from studio.data.chat.formats.names import ROLE_NAMES
from studio.data.chat.turns import Message

# Each form: the mark by which it is known, and one turn (role, text).
_MARKED = (
    ("<|im_start|>", re.compile(r"<\|im_start\|>\s*(\w+)[^\n]*\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)),
    (
        "<|start_header_id|>",
        re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL),
    ),
    ("<start_of_turn>", re.compile(r"<start_of_turn>\s*(\w+)\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL)),
    (
        "<|user|>",
        re.compile(r"<\|(system|user|assistant)\|>(.*?)(?:<\|end\|>|</s>|(?=<\|(?:system|user|assistant)\|>)|\Z)", re.DOTALL),
    ),
)
_BETWEEN = re.compile(r"<s>|</s>|<\|begin_of_text\|>|<bos>|<\|endoftext\|>|<\|end_of_text\|>|\s+")
_LLAMA2 = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>\s*)?\[INST\]|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_HASHES = re.compile(r"(?<!#)###\s*(Human|User|Assistant|Bot|GPT|System|Instruction|Input|Response|Question|Answer)\s*:", re.I)
_HASH_ROLES = {
    **dict.fromkeys(("human", "user", "instruction", "question"), "user"),
    **dict.fromkeys(("assistant", "bot", "gpt", "response", "answer"), "assistant"),
    "system": "system",
    "input": "input",
}
_HH = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant|System):")
_GLAIVE = re.compile(r"(?:\A|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):")
_GLAIVE_CALL = re.compile(
    r"\s*<functioncall>\s*\{\s*\"name\":\s*\"([^\"]+)\"\s*(?:,\s*\"arguments\":\s*'(.*)'\s*)?\}\s*\Z", re.DOTALL
)


def read_marked(text: str) -> tuple[list[Message], str] | None:
    """Turns of a text in ChatML, the forms of Llama 2 and 3, Gemma, Zephyr, or with ``### Human:`` and its like.

    Returns:
        turns, and what stands before the first of them; None where the text is in no such form, or says more than its turns.
    """
    for mark, pattern in _MARKED:
        if mark in text and not _BETWEEN.sub("", pattern.sub("", text)):
            turns = [(ROLE_NAMES.get(role.lower(), ""), said) for role, said in pattern.findall(text)]
            return _whole(turns, "")
    if "[INST]" in text:
        return _llama2(text)
    return _hashes(text)


def _whole(turns: list[tuple[str, str]], before: str) -> tuple[list[Message], str] | None:
    """Turns as messages, where every role is known and something is asked and answered."""
    spoken = [{"role": role, "content": said.strip()} for role, said in turns]
    if spoken and not spoken[-1]["content"] and spoken[-1]["role"] == "assistant":
        spoken.pop()
    roles = {turn["role"] for turn in spoken}
    return (spoken, before.strip()) if {"user", "assistant"} <= roles <= {"system", "user", "assistant", "tool"} else None


def _llama2(text: str) -> tuple[list[Message], str] | None:
    """``<s>[INST] <<SYS>>…<</SYS>> question [/INST] answer </s>``."""
    if _BETWEEN.sub("", _LLAMA2.sub("", text)):
        return None
    turns: list[tuple[str, str]] = []
    for asked, answered in _LLAMA2.findall(text):
        turns += [("system", said) for said in _LLAMA2_SYSTEM.findall(asked)]
        turns += [("user", _LLAMA2_SYSTEM.sub("", asked)), ("assistant", re.sub(r"</?s>", "", answered))]
    return _whole(turns, "")


def _hashes(text: str) -> tuple[list[Message], str] | None:
    """``### Human: … ### Assistant: …``, on lines of their own or on one; ``### Input:`` belongs under the instruction."""
    pieces = _HASHES.split(text)
    turns: list[tuple[str, str]] = []
    for name, said in zip(pieces[1::2], pieces[2::2], strict=True):
        role = _HASH_ROLES[name.lower()]
        if role == "input":
            if not turns or turns[-1][0] != "user":
                return None
            turns[-1] = ("user", f"{turns[-1][1].strip()}\n\n{said.strip()}".strip())
        else:
            turns.append((role, re.sub(r"</s>\s*\Z|<\|endoftext\|>\s*\Z", "", said)))
    return _whole(turns, pieces[0]) if turns else None


def read_hh(text: str) -> list[Message] | None:
    """Turns of Anthropic's HH-RLHF: a text that begins with ``Human:``, its turns apart by an empty line."""
    if not text.lstrip().startswith("Human:"):
        return None
    pieces = _HH.split(text)
    roles = {"Human": "user", "Assistant": "assistant", "System": "system"}
    turns = [{"role": roles[name], "content": said.strip()} for name, said in zip(pieces[1::2], pieces[2::2], strict=True)]
    return turns if any(turn["role"] == "assistant" for turn in turns) else None


def read_glaive(system: str, chat: str) -> tuple[list[Message], list[dict[str, Any]]] | None:
    """Turns and tools of Glaive's function calling: a text with ``USER:``, ``ASSISTANT:`` and ``FUNCTION RESPONSE:``.

    Returns None where a call or a tool cannot be read.
    """
    pieces = _GLAIVE.split(chat)
    if len(pieces) < 5 or pieces[0].strip():
        return None
    roles = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
    messages: list[Message] = []
    try:
        tools = [] if "{" not in system else read_tools(f"[{between_objects(system[system.index('{') :])}]", "system")
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            said = text.replace("<|endoftext|>", "").strip()
            turn: Message = {"role": roles[name], "content": said}
            if name == "ASSISTANT" and "<functioncall>" in said:
                call = _GLAIVE_CALL.search(said)
                if call is None:
                    return None
                read = read_call({"name": call.group(1), "arguments": (call.group(2) or "").replace("\\'", "'")}, "chat")
                turn |= {"content": said[: call.start()].strip(), "tool_calls": [read]}
            messages.append(turn)
    except ShapeError:
        return None
    said = re.sub(r"\A\s*SYSTEM:\s*", "", system if not tools else "").strip()
    return ([{"role": "system", "content": said}, *messages] if said else messages), tools
