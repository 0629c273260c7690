"""What of a folder is about the data and no data: cards and licences; and files that were held out by who made them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from studio.data.sources import DataFile

_PAPERS = re.compile(
    r"(?i:readme|license|licence|copying|citation|changelog|contributing|code_of_conduct)(?:[._-].*)?"
    # In small letters these may be what a person writes about.
    r"|NOTICE|CHANGES|CONTRIBUTORS|AUTHORS|SECURITY|requirements"
)
_TEXTS = frozenset({".md", ".markdown", ".txt"})
_HELD_OUT = re.compile(r"(?:test|validation|valid|val|dev|eval)(?:[._-].*)?", re.I)
_TRAIN = re.compile(r"(?:.*[._-])?train(?:[._-].*)?", re.I)
_SHOWN = 4


def without_papers(files: Sequence[DataFile]) -> tuple[tuple[DataFile, ...], str | None]:
    """The files of a source without those that describe it, and a line about them.

    Texts called README or LICENSE are left out where data files (a cloned dataset of the Hub, a repository) lie beside them; a
    folder of nothing but texts is read whole, but for licences.
    """
    papers = [file for file in files if _is_paper(file)]
    rest = [file for file in files if not _is_paper(file)]
    if not rest or not papers:
        return tuple(files), None
    if all(file.path.suffix.lower() in _TEXTS for file in rest):
        papers = [file for file in papers if file.path.stem.lower().startswith(("licen", "copying"))]
    if not papers:
        return tuple(files), None
    names = _listed([file.label for file in papers])
    gone = {file.label for file in papers}
    return (
        tuple(file for file in files if file.label not in gone),
        f"{names} {'says' if len(papers) == 1 else 'say'} what the data is and {'was' if len(papers) == 1 else 'were'} left out; "
        f"a source with pattern: {papers[0].path.name} reads such a file",
    )


def _is_paper(file: DataFile) -> bool:
    """True for a text with the name of a card or a licence."""
    return file.path.suffix.lower() in _TEXTS and _PAPERS.fullmatch(file.path.stem) is not None


def held_out_files(files: Sequence[DataFile]) -> str | None:
    """A line about files that were held out for testing by who made them, beside one for training; None where there are none."""
    held = [file.label for file in files if _is_part(file, _HELD_OUT)]
    train = [file for file in files if _is_part(file, _TRAIN)]
    if not held or not train:
        return None
    pattern = "train/*" if not _TRAIN.fullmatch(train[0].path.stem) else "*train*"
    return (
        f"{_listed(held)} {'is' if len(held) == 1 else 'are'} held out by {'its' if len(held) == 1 else 'their'} name and "
        f"{'was' if len(held) == 1 else 'were'} read and divided like all others, so that most of it trains; pattern: "
        f"'**/{pattern}' reads the training files alone"
    )


def _is_part(file: DataFile, name: re.Pattern[str]) -> bool:
    """True where the file or its folder has such a name."""
    return any(name.fullmatch(part) for part in (file.path.stem, *file.label.split("/")[:-1]))


def _listed(names: Sequence[str]) -> str:
    """The first of some names."""
    shown = list(names[:_SHOWN])
    if len(names) > _SHOWN:
        return ", ".join(shown) + f" and {len(names) - _SHOWN:,} others"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
