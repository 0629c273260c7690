"""The step that takes e-mail addresses, phone numbers and API keys out of conversations.

It finds what has a clear form. It is no anonymisation: names, addresses and stories stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_contents
from studio.data.verdicts import Drop

Span = tuple[int, int]

# The look-behind keeps the search linear: a match starts only where a run of address characters starts.
_EMAIL = re.compile(r"(?<![\w.%+-])(?!git@)[\w.%+-]++@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_PHONE = re.compile(r"(?<![\w+])\+?\(?\d[\d\s()./\-\u2010-\u2013]{5,20}\d(?!\w)")
# Forms published by their issuers, as collected in gitleaks' rules (https://github.com/gitleaks/gitleaks, config/gitleaks.toml).
_KEYS: dict[str, re.Pattern[str]] = {
    "AKIA": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "ASIA": re.compile(r"\bASIA[0-9A-Z]{16}\b"),
    "gh": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    "github_pat_": re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    "glpat-": re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}"),
    "sk-": re.compile(r"\bsk-(?:[A-Za-z0-9]{20,}|(?:proj|ant|svcacct|admin|or)-[A-Za-z0-9_-]{20,})"),
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "pypi-": re.compile(r"\bpypi-[A-Za-z0-9_-]{50,}"),
    "npm_": re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"),
    "xox": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "AIza": re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    "k_": re.compile(r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}\b"),
    "eyJ": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
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
        contents = [self._clean(turn["content"], found) for turn in row.turns]
        meta = {key: self._clean(value, found) if isinstance(value, str) else value for key, value in row.meta.items()}
        if not found:
            return row
        if self._drop:
            kinds = ", ".join(f"{found.count(kind)} {kind}" for kind in self._what if kind in found)
            return Drop("personal or secret data", kinds, "none")
        changed = with_contents(row, contents)
        return changed if meta == row.meta else replace(changed, meta=meta)

    def _clean(self, text: str, found: list[str]) -> str:
        """One text with placeholders; the kinds that were found are added to ``found``."""
        for kind in self._what:
            spans = list(self._finders()[kind](text))
            if spans:
                found += [kind] * len(spans)
                text = _replace(text, spans, f"[{kind.upper()}]")
        return text

    def _finders(self) -> dict[str, Callable[[str], Iterator[Span]]]:
        """How each kind is found."""
        return {"email": find_emails, "phone": lambda text: find_phones(text, self._region), "key": find_keys}


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
