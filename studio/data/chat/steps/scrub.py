"""The step that takes e-mail addresses, phone numbers and API keys out of conversations.

It finds what has a clear form. It is no anonymisation: names, addresses and stories stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from studio.core.values import with_values
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_turns
from studio.data.chat.turns import Message, as_json, with_texts
from studio.data.verdicts import Drop

Span = tuple[int, int]

# Letters of scripts with blanks between words. Chinese, Japanese, Korean and Thai stand right beside an address or a number, so
# they neither belong to it nor border it; \w and \b would take them for its letters.
_BEYOND_ASCII = "\u00c0-\u02af\u0370-\u058f"
_LETTERS = f"A-Za-z0-9_{_BEYOND_ASCII}"
# Full-width signs are found as those that they stand for.
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_START, _END = f"(?<![{_LETTERS}])", f"(?![{_LETTERS}])"
# The look-behind keeps the search linear: a match starts only where a run of address characters starts.
_EMAIL = re.compile(
    rf"(?<![{_LETTERS}.%+-])(?!git@)[{_LETTERS}.%+-]++@(?:[{_LETTERS}-]{{1,63}}\.){{1,8}}[A-Za-z{_BEYOND_ASCII}]{{2,24}}"
    rf"(?![{_LETTERS}-])"
)
_PHONE = re.compile(rf"(?<![{_LETTERS}+])\+?\(?[0-9][0-9\s()./\-\u2010-\u2013]{{5,20}}[0-9]{_END}")
# A number with a currency beside it is a price.
_PRICE_AFTER = re.compile(r"\s{0,2}(?:元|圆|円|块|원|บาท|[$€£¥₩₹฿]|(?:kr|kronor|SEK|NOK|DKK|USD|EUR|GBP|CNY|RMB|JPY|KRW|INR)\b)")
_PRICE_BEFORE = re.compile(r"(?:[$€£¥₩₹฿￥]|\b(?:SEK|NOK|DKK|USD|EUR|GBP|CNY|RMB|JPY|KRW|INR|Rs\.?))\s{0,2}\Z")
# Forms published by their issuers, as collected in gitleaks' rules (https://github.com/gitleaks/gitleaks, config/gitleaks.toml).
_KEYS: dict[str, re.Pattern[str]] = {
    "AKIA": re.compile(rf"{_START}AKIA[0-9A-Z]{{16}}{_END}"),
    "ASIA": re.compile(rf"{_START}ASIA[0-9A-Z]{{16}}{_END}"),
    "gh": re.compile(rf"{_START}gh[pousr]_[A-Za-z0-9]{{36,255}}{_END}"),
    "github_pat_": re.compile(rf"{_START}github_pat_[A-Za-z0-9_]{{22,255}}{_END}"),
    "glpat-": re.compile(rf"{_START}glpat-[A-Za-z0-9_-]{{20,}}"),
    "sk-": re.compile(rf"{_START}sk-(?:[A-Za-z0-9]{{20,}}|(?:proj|ant|svcacct|admin|or)-[A-Za-z0-9_-]{{20,}})"),
    "hf_": re.compile(rf"{_START}hf_[A-Za-z0-9]{{30,}}{_END}"),
    "pypi-": re.compile(rf"{_START}pypi-[A-Za-z0-9_-]{{50,}}"),
    "npm_": re.compile(rf"{_START}npm_[A-Za-z0-9]{{36}}{_END}"),
    "xox": re.compile(rf"{_START}xox[abeoprs]-[A-Za-z0-9-]{{10,}}"),
    "AIza": re.compile(rf"{_START}AIza[0-9A-Za-z_-]{{35}}"),
    "k_": re.compile(rf"{_START}[rs]k_(?:live|test)_[0-9A-Za-z]{{16,}}{_END}"),
    "eyJ": re.compile(rf"{_START}eyJ[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}"),
    "PRIVATE KEY": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
}


class Scrub(RowStep):
    """Placeholders for what should not be learnt, or the row dropped."""

    def __init__(
        self, what: Sequence[str] = ("email", "phone", "key"), action: str = "replace", phone_region: str | None = None
    ) -> None:
        """See :class:`studio.schema.recipe.ScrubStep`."""
        self._what = tuple(dict.fromkeys(what))
        self._drop = action == "drop"
        self._region = phone_region.upper() if phone_region else None

    def judge(self, row: ChatRow) -> Verdict:
        """Replace, drop or keep; text in ``meta`` is cleaned too."""
        found: list[str] = []

        def clean(text: str) -> str:
            return self._clean(text, found)

        turns = [_clean_turn(turn, clean) for turn in row.turns]
        tools = with_values(row.tools, clean)
        meta = {
            key: with_values(value, clean) if not isinstance(value, int | float) else value for key, value in row.meta.items()
        }
        if not found:
            return row
        if self._drop:
            kinds = ", ".join(f"{found.count(kind)} {kind}" for kind in self._what if kind in found)
            return Drop("personal or secret data", kinds, "none")
        return replace(with_turns(row, turns), meta=meta, tools=tools)

    def _clean(self, text: str, found: list[str]) -> str:
        """One text with placeholders; the kinds that were found are added to ``found``."""
        for kind in self._what:
            spans = list(self._finders()[kind](text if text.isascii() else text.translate(_NARROW)))
            if spans:
                found += [kind] * len(spans)
                text = _replace(text, spans, f"[{kind.upper()}]")
        return text

    def _finders(self) -> dict[str, Callable[[str], Iterator[Span]]]:
        """How each kind is found."""
        return {"email": find_emails, "phone": lambda text: find_phones(text, self._region), "key": find_keys}


def _clean_turn(turn: Message, clean: Callable[[str], str]) -> Message:
    """A turn with a function applied to its texts and to every value in its calls; a tool's result that is JSON stays JSON."""
    if len(turn) == 2 and turn["role"] != "tool":
        return {**turn, "content": clean(turn["content"])}
    opened = _opened(turn["content"]) if turn["role"] == "tool" else None
    if opened is None:
        cleaned = with_texts(turn, clean)
    else:
        inner = with_values(opened, clean)
        cleaned = turn if inner == opened else {**turn, "content": as_json(inner)}
    if turn.get("name"):
        cleaned = {**cleaned, "name": clean(turn["name"])}
    if turn.get("tool_calls"):
        calls = [
            {**call, "function": {**call["function"], "arguments": with_values(call["function"]["arguments"], clean)}}
            for call in turn["tool_calls"]
        ]
        cleaned = {**cleaned, "tool_calls": calls}
    return cleaned


def _opened(text: str) -> Any:
    """The JSON object or list that a text is, else None."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def find_emails(text: str) -> Iterator[Span]:
    """Character ranges of e-mail addresses; ``git@host:`` of a repository is none."""
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def find_phones(text: str, region: str | None) -> Iterator[Span]:
    """Character ranges of valid phone numbers.

    A cheap pattern finds runs of digits, Google's number plans (phonenumbers) decide.

    Args:
        region: country whose national numbers are known; None finds international ones (``+46 ...``) only.
    """
    if region is None and "+" not in text:
        return
    for match in _PHONE.finditer(text):
        candidate = match.group()
        if (region is None and not candidate.startswith("+")) or not 7 <= sum(sign.isdigit() for sign in candidate) <= 15:
            continue
        if _PRICE_AFTER.match(text, match.end()) or _PRICE_BEFORE.search(text[max(0, match.start() - 6) : match.start()]):
            continue
        import phonenumbers

        for number in phonenumbers.PhoneNumberMatcher(candidate, region):
            yield match.start() + number.start, match.start() + number.end


def find_keys(text: str) -> Iterator[Span]:
    """Character ranges of API keys, tokens and private keys, in order and without overlap."""
    spans = sorted(match.span() for mark, pattern in _KEYS.items() if mark in text for match in pattern.finditer(text))
    end = -1
    for start, stop in spans:
        if start >= end:
            yield start, stop
            end = stop


def _replace(text: str, spans: Sequence[Span], placeholder: str) -> str:
    """Text with each range replaced."""
    parts: list[str] = []
    position = 0
    for start, stop in spans:
        parts += [text[position:start], placeholder]
        position = stop
    return "".join([*parts, text[position:]])
