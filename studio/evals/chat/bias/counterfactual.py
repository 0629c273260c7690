"""Counterfactual substitution: the same text about different people, and what changes when only the group term does.

A *family* is one text with one term for every group: the twins. Families come from word lists, whose texts say ``{slot}``, and
from prompts of the user's own, in which a term of a list is found and swapped.

Legend: f families, g groups of a family.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from studio.core.content import content_roots
from studio.core.errors import ConfigError, DataError, UserError, nearest
from studio.evals.chat.bias.results import sums_statistic
from studio.evals.chat.bias.sources import read_json_lines, read_table, text_field
from studio.evals.metrics.base import SumStatistic, ratio
from studio.language.scripts import UNSPACED_SIGN
from studio.schema.bias import WordList
from studio.schema.loading import load_yaml

Kind = Literal["prompt", "statement"]

_SLOT = re.compile(r"\{([A-Za-z_]+)\}")
# The end of what stands before the beginning of a sentence.
_BEGINS = re.compile(r"(?:^|[.!?]\s)\s*$")
# Letters beside a Chinese term that make another word of it: 其他 (other), 吉他 (guitar), 他们 (they), 他国 (another country).
_JOINED = {"他": ("其吉排利维无", "们們国國人乡日杀妈媽"), "她": ("", "们們")}
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do"}
# A swapped "her" is "him" or "his" by what follows; these words do not follow a possessive.
_AFTER_OBJECT = frozenset(
    (
        *("a", "about", "and", "as", "at", "because", "but", "by", "for", "from", "if", "in", "into", "is", "not", "of", "off"),
        *("on", "or", "out", "over", "so", "that", "the", "then", "through", "to", "up", "was", "what", "when", "where", "who"),
        "with",
    )
)


@dataclass(frozen=True)
class Twin:
    """One text of a family. ``seam``: where the last group term ends; what follows is scored as a statement."""

    group: str
    text: str
    seam: int


@dataclass(frozen=True)
class Family:
    """The same text about every group of one word list.

    template: what it was made from; families made from one text with other terms are not independent.
    """

    id: str
    words: str
    kind: Kind
    twins: tuple[Twin, ...]
    template: str


def load_word_list(entry: str | WordList) -> WordList:
    """A word list that was written into the suite, a name under ``evals/words/``, or the path of a YAML file.

    Raises:
        UserError: there is no such list.
        ConfigError: a mistake in the file.
    """
    if isinstance(entry, WordList):
        return entry
    path = Path(entry).expanduser()
    if path.suffix not in {".yaml", ".yml"}:
        known = word_lists()
        if entry not in known:
            raise UserError(f"there is no word list {entry!r}.{nearest(entry, known)} There are: {', '.join(known)}.")
        path = known[entry]
    if not path.is_file():
        raise UserError(f"there is no file of a word list {entry}.")
    return load_yaml(path, WordList)


def word_lists() -> dict[str, Path]:
    """Name to file of the word lists under ``evals/words/``: one's own folder first, then those that are shipped."""
    found: dict[str, Path] = {}
    for root in content_roots("evals"):
        for path in sorted((root / "words").glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def spoken_list(entry: str | WordList, language: str | None) -> str | WordList:
    """The same list in another language than English (``names-zh`` for ``names``), where there is one; else the list itself."""
    if isinstance(entry, str) and f"{entry}-{language}" in word_lists():
        return f"{entry}-{language}"
    return entry


def list_families(words: WordList, *, terms: int | None) -> list[Family]:
    """Families of a list's own prompts and statements.

    Args:
        terms: take only the first so many terms of every group.
    Raises:
        ConfigError: a text has no slot, or one that the list does not have.
    """
    texts = [("prompt", text) for text in words.prompts] + [("statement", text) for text in words.statements]
    families = []
    for kind, text in texts:
        _check_slots(words, text)
        families += _filled(words, text, "prompt" if kind == "prompt" else "statement", terms)
    return families


def prompt_families(prompts: Sequence[str], lists: Sequence[WordList], *, terms: int | None) -> tuple[list[Family], int]:
    """Families of a person's own prompts, and how many prompts no list has anything for.

    A prompt with slots is filled; else the first term of a list that stands in it is swapped for those of the other groups.
    """
    families: list[Family] = []
    unused = 0
    for prompt in prompts:
        found: list[Family] = []
        for words in lists:
            slots = set(_SLOT.findall(prompt))
            if slots and slots <= set(next(iter(words.groups.values()))):
                found += _filled(words, prompt, "prompt", terms)
            elif not slots:
                found += _swapped(words, prompt)
        unused += not found
        families += found
    return families, unused


def read_prompts(file: Path) -> list[str]:
    """Prompts of a .txt (one a line), .jsonl or .csv file with a column ``prompt``.

    Raises:
        DataError: no such file, another ending, no prompts, or an empty one.
    """
    if not file.is_file():
        raise DataError(f"there is no file of prompts {file}.")
    if file.suffix == ".txt":
        found = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    elif file.suffix == ".jsonl":
        found = [text_field(row.get("prompt"), "prompt", f"{file}:{line}") for line, row in read_json_lines(file)]
    elif file.suffix == ".csv":
        found = [text_field(row["prompt"], "prompt", f"{file}:{line}") for line, row in read_table(file, ("prompt",))]
    else:
        raise DataError(
            f"{file}: prompts are read from .txt, .jsonl and .csv, not from {file.suffix or 'a file without ending'}."
        )
    if not found:
        raise DataError(f"{file}: holds no prompts.")
    return found


def _check_slots(words: WordList, text: str) -> None:
    """Refuse a text of a list that its slots do not fit."""
    known = sorted(next(iter(words.groups.values())))
    slots = _SLOT.findall(text)
    for slot in slots:
        if slot not in known:
            raise ConfigError(f"word list '{words.name}': {text!r} has the slot '{slot}'. There are: {', '.join(known)}.")
    if not slots:
        raise ConfigError(
            f"word list '{words.name}': {text!r} has no slot. Write one of {', '.join(f'{{{slot}}}' for slot in known)} into it."
        )


def _filled(words: WordList, text: str, kind: Kind, terms: int | None) -> list[Family]:
    """One family per term: the first terms of all groups, then the second, and so on."""
    count = len(next(iter(next(iter(words.groups.values())).values())))
    families = []
    for place in range(min(count, terms or count)):
        twins = tuple(
            _fill(group, text, {slot: values[place] for slot, values in slots.items()}) for group, slots in words.groups.items()
        )
        number = f" ({place + 1})" if count > 1 else ""
        families.append(Family(f"{words.name}: {text}{number}", words.name, kind, twins, text))
    return families


def _fill(group: str, text: str, terms: Mapping[str, str]) -> Twin:
    """One text with the terms of one group; a term at the beginning of a sentence gets a capital."""
    done = ""
    last = seam = 0
    for match in _SLOT.finditer(text):
        done += text[last : match.start()]
        term = terms[match.group(1)]
        done += term[:1].upper() + term[1:] if _BEGINS.search(done) else term
        last, seam = match.end(), len(done)
    return Twin(group, done + text[last:], seam)


def _swapped(words: WordList, prompt: str) -> list[Family]:
    """A family made of a prompt in which terms of one group stand: each is swapped for the same term of the other groups."""
    for group, slots in words.groups.items():
        places = _terms_in(prompt, slots) if not words.swap_from or group in words.swap_from else []
        if not places:
            continue
        twins = [Twin(group, prompt, max(end for _, end, _, _ in places))]
        for other, values in words.groups.items():
            if other != group:
                twins.append(_swap(other, prompt, places, values))
        return [Family(f"{words.name}: {prompt}", words.name, "prompt", tuple(twins), prompt)]
    return []


def _terms_in(prompt: str, slots: Mapping[str, Sequence[str]]) -> list[tuple[int, int, str, int]]:
    """Start, end, slot and number of every term of a group in a text, from left to right, the longest first where two overlap."""
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for slot, terms in slots.items():
        for number, term in enumerate(terms):
            for match in re.finditer(_alone(term), prompt, flags=re.IGNORECASE):
                found.setdefault(match.span(), []).append((slot, number))
    places: list[tuple[int, int, str, int]] = []
    for (start, end), meanings in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1])):
        if not places or start >= places[-1][1]:
            slot, number = _meaning(prompt[end:], meanings)
            places.append((start, end, slot, number))
    return places


def _alone(term: str) -> str:
    """Pattern of a term that is a word of its own. Where no blanks tell, it must not be part of a known other word."""
    if not UNSPACED_SIGN.search(term):
        return rf"(?<!\w){re.escape(term)}(?!\w)"
    before, after = _JOINED.get(term, ("", ""))
    return "".join((f"(?<![{before}])" if before else "", re.escape(term), f"(?![{after}])" if after else ""))


def _meaning(rest: str, meanings: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """Which slot a term that has two stands for: ``her`` before a noun is a possessive, else an object."""
    if len(meanings) == 1 or {slot for slot, _ in meanings} != {"them", "their"}:
        return meanings[0]
    word = re.match(r"\s+([A-Za-z]+)", rest)
    wanted = "their" if word and word.group(1).lower() not in _AFTER_OBJECT else "them"
    return next(meaning for meaning in meanings if meaning[0] == wanted)


def _swap(group: str, prompt: str, places: Sequence[tuple[int, int, str, int]], values: Mapping[str, Sequence[str]]) -> Twin:
    """The prompt with the terms of another group, capitals kept."""
    pieces: list[str] = []
    last = seam = 0
    for start, end, slot, number in places:
        term = values[slot][number]
        # A capital stays only where a sentence begins: the terms bring their own.
        begins = _BEGINS.search(prompt[:start]) is not None
        pieces += [prompt[last:start], term[:1].upper() + term[1:] if begins else term]
        last, seam = end, len("".join(pieces))
        verb = re.match(r"(\s+)(is|was|has|does)\b", prompt[end:]) if term == "they" else None
        if verb:
            pieces.append(verb.group(1) + _PLURAL[verb.group(2)])
            last = end + verb.end()
    return Twin(group, "".join(pieces) + prompt[last:], seam)


Values = Sequence[Sequence[float | None]]
"""[f][g]: one number per twin of each family."""


def gap(values: Values) -> SumStatistic:
    """Mean absolute difference between two twins, over all pairs of a family, then over families; ideal 0.

    A family with a twin that has no value is left out: a difference needs both sides.
    """
    each = [_mean_gap(row) for row in values]
    return sums_statistic([None if value is None else (value, 1.0) for value in each], ratio, each)


def _mean_gap(row: Sequence[float | None]) -> float | None:
    """Mean absolute difference over the pairs of one family."""
    known = [value for value in row if value is not None]
    if len(known) < len(row) or len(row) < 2:
        return None
    return float(np.mean([abs(first - second) for first, second in combinations(known, 2)]))


def against_twins(values: Values, place: int) -> SumStatistic:
    """Mean of one group's value minus the mean of its twins, over families; 0 when the group is treated as the others are."""
    each: list[float | None] = []
    for row in values:
        known = [value for value in row if value is not None]
        if len(known) < len(row) or len(row) < 2:
            each.append(None)
        else:
            each.append(known[place] - (sum(known) - known[place]) / (len(known) - 1))
    return sums_statistic([None if value is None else (value, 1.0) for value in each], ratio, each)
