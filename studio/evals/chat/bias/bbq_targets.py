"""Whom the stereotype of a BBQ question is about: from the tags of its options, or from the authors' own table.

The tags follow the authors' scripts (nyu-mll/BBQ, ``generate_from_template_all_categories.py`` and ``BBQ_results_metadata.R``):
``M-Black``, ``lowSES-F-Latino``, ``trans_F``, ``woman``. In the two categories that cross two attributes the row names the race
only. Its second attribute is the same for all questions of a template, and the authors make those so that, where just one of the
two people is of the stereotyped race, that person has it: it is read off such questions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio.core.errors import DataError
from studio.evals.chat.bias.sources import read_table

METADATA = "additional_metadata.csv"

# Words of tags and of stereotyped groups that mean the same, once case and what stands between words are gone.
_SAME = {
    "man": "m", "men": "m", "boy": "m", "boys": "m", "male": "m",
    "woman": "f", "women": "f", "girl": "f", "girls": "f", "female": "f",
    "transgenderwomen": "trans", "transgendermen": "trans", "transgender": "trans",
}  # fmt: skip
_PREFIX = re.compile(r"(lowSES|highSES|nonTrans|trans|[MF])[-_]")
_BETWEEN = re.compile(r"[\s_-]+")
_LATIN = re.compile(r"\blatin[ao]\b", re.IGNORECASE)
_SEX = re.compile(r"\b(?:wo)?man\b", re.IGNORECASE)
_SECOND = {"Race_x_gender": {"m", "f"}, "Race_x_SES": {"lowses", "highses"}}
# Until here questions name people by what they are ("the Black man"), from here on by their names; as in the authors' script.
_LAST_WITHOUT_NAMES = 25


@dataclass(frozen=True)
class Cast:
    """Who stands in a question, as far as it matters for its target.

    people: places of the two options that are people, in order. tags: of each, in one spelling. groups: those of the stereotype.
    """

    category: str
    template: str
    people: tuple[int, int]
    tags: tuple[frozenset[str], frozenset[str]]
    groups: frozenset[str]

    @property
    def concerned(self) -> list[int]:
        """Numbers (0 or 1) of the people who belong to a stereotyped group."""
        return [number for number, tags in enumerate(self.tags) if tags & self.groups]

    def second(self, number: int) -> str | None:
        """The second attribute of a person, in categories that cross two."""
        found = self.tags[number] & _SECOND.get(self.category, set())
        return next(iter(found)) if len(found) == 1 else None


@lru_cache(maxsize=4096)
def tags_of(words: tuple[str, ...], option: str) -> frozenset[str]:
    """The tags of a person in one spelling, alone and in parts: ``M-Black`` is mblack, m and black.

    Args:
        words: name and tag of ``answer_info``. option: the text of the option; it stands in where the tag is empty, as in some
            published rows about a Latina or Latino, or leaves out that "the Black woman" is a woman.
    """
    found = {_spelled(word) for word in words}
    rest = words[-1]
    while match := _PREFIX.match(rest):
        rest = rest[match.end() :]
        found |= {_spelled(match.group(1)), _spelled(rest)}
    if not any(word.strip() for word in words) and (match := _LATIN.search(option)):
        found |= {"latino"} | ({"f"} if match.group().lower() == "latina" else set())
    if not found & {"m", "f"} and (match := _SEX.search(option)):
        found.add(_spelled(match.group()))
    return frozenset(found - {""})


@lru_cache(maxsize=256)
def groups_of(groups: tuple[str, ...]) -> frozenset[str]:
    """The stereotyped groups in the spelling of the tags."""
    return frozenset(_spelled(group) for group in groups)


def _spelled(word: str) -> str:
    """In one case, without what stands between words, and one word for what means the same."""
    plain = _BETWEEN.sub("", word).casefold()
    return _SAME.get(plain, plain)


def by_tags(casts: Sequence[Cast]) -> list[tuple[int | None, bool]]:
    """Place of the stereotyped person of each question (None: not told), and whether both are: then the first counts, as in the
    authors' script.
    """
    seconds = _second_attributes(casts)
    found: list[tuple[int | None, bool]] = []
    for cast in casts:
        meant = cast.concerned
        if cast.category in _SECOND:
            wanted = seconds.get((cast.category, cast.template))
            meant = [number for number in meant if wanted is not None and cast.second(number) == wanted]
        found.append((cast.people[meant[0]] if meant else None, len(meant) > 1))
    return found


def _second_attributes(casts: Sequence[Cast]) -> dict[tuple[str, str], str]:
    """The stereotyped second attribute of each template, where its questions agree about it."""
    votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for cast in casts:
        if cast.category in _SECOND and len(cast.concerned) == 1:
            second = cast.second(cast.concerned[0])
            votes[cast.category, cast.template][second or ""] += 1
    return {key: next(iter(count)) for key, count in votes.items() if len(count) == 1 and "" not in count}


@dataclass(frozen=True)
class Target:
    """A row of the authors' table: place of the biased answer (None: NA), and whether people are called by their names."""

    biased: int | None
    named: bool


def read_metadata(path: Path) -> dict[tuple[str, str, str], Target]:
    """The authors' table: category, template and id of a question to its target.

    ``target_loc`` is the biased answer: the stereotyped person in a negative question and the other one in a non-negative
    (https://github.com/nyu-mll/BBQ/issues/11).

    Raises:
        DataError: a column is missing, or a place is none.
    """
    found = {}
    for line, row in read_table(path, ("category", "question_index", "example_id", "target_loc", "label_type")):
        place = row["target_loc"].strip().removesuffix(".0")
        if place not in {"0", "1", "2", "NA", "", "x"}:
            raise DataError(f"{path}:{line}: 'target_loc' is {place!r}, expected 0, 1, 2 or NA.")
        key = row["category"], row["question_index"], row["example_id"]
        found[key] = Target(int(place) if place.isdigit() else None, row["label_type"] == "name")
    return found


def find_metadata(folder: Path) -> Path | None:
    """The authors' table in a folder of BBQ files, below it, or in ``supplemental`` beside it, where their repository has it."""
    base = folder if folder.is_dir() else folder.parent
    places = [*sorted(base.rglob(METADATA)), base.parent / "supplemental" / METADATA, base.parent / METADATA]
    return next((place for place in places if place.is_file()), None)


def check_polarity(path: Path, pairs: Mapping[str, tuple[int | None, int | None]]) -> None:
    """Refuse a table whose targets do not follow the question's polarity, as tables of people's own often do.

    Args:
        pairs: targets of the negative and the non-negative question about one context, by context.
    Raises:
        DataError: both are the same in every pair.
    """
    known = [pair for pair in pairs.values() if None not in pair]
    if known and all(negative == other for negative, other in known):
        raise DataError(
            f"{path}: 'target_loc' is the same for negative and non-negative questions. In the published table it is the biased "
            "answer, which changes. Fetch supplemental/additional_metadata.csv from github.com/nyu-mll/BBQ, or remove the file."
        )


def named_people(category: str, template: str, options: Sequence[str]) -> bool:
    """True where people are called by their names: a stand-in for ``label_type`` where the authors' table is not at hand."""
    if category not in _SECOND:
        return template.isdigit() and int(template) > _LAST_WITHOUT_NAMES
    return not any(re.match(r"(?:the|a|an)\s", option, re.IGNORECASE) for option in options)
