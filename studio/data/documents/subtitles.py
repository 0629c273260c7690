"""Subtitles (.srt, .vtt): what is said, without the times; the lines of one thought are joined."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import DataError
from studio.data.documents.base import Document, Passage, read_text

# SubRip: 00:00:01,000 --> 00:00:02,500; WebVTT (W3C, 4.2): the hours may be missing, settings may follow.
_TIMES = re.compile(r"\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s*-->\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}).*")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_ENDS = (".", "!", "?", "…", "。", "！", "？")
# A silence of so many seconds parts two passages; without one, a passage ends after so many characters with a sentence.
_SILENCE = 4.0
_LONG = 600


@dataclass(frozen=True)
class _Cue:
    """What is shown at once; times in seconds."""

    start: float
    end: float
    text: str


def read_subtitles(path: Path) -> Document:
    """Subtitles as running text. A line that is shown again with the next one (rolling captions) counts once.

    Raises:
        DataError: no line has times, so that it is no file of subtitles.
    """
    text, notes = read_text(path)
    cues = list(_cues(text))
    if not cues and text.strip().removeprefix("WEBVTT").strip():
        raise DataError(f"{path} holds no line of times such as 00:00:01,000 --> 00:00:02,500, so it is no file of subtitles.")
    return Document(tuple(Passage(passage) for passage in _joined(cues)), notes=notes)


def _cues(text: str) -> Iterator[_Cue]:
    """The cues of a file; its header, notes and styles have no times."""
    for block in re.split(r"\n\s*\n", text):
        lines = block.split("\n")
        place = next((number for number, line in enumerate(lines) if "-->" in line), None)
        times = _TIMES.fullmatch(lines[place]) if place is not None else None
        if place is None or times is None:
            continue
        said = "\n".join(html.unescape(_TAG.sub("", line)).strip() for line in lines[place + 1 :])
        if said.strip():
            yield _Cue(_seconds(times.group(1)), _seconds(times.group(2)), said.strip())


def _seconds(stamp: str) -> float:
    """A time in seconds."""
    total = 0.0
    for part in stamp.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return total


def _joined(cues: list[_Cue]) -> Iterator[str]:
    """Cues as passages."""
    lines: list[str] = []
    end = cues[0].end if cues else 0.0
    shown: list[str] = []
    for cue in cues:
        long = sum(map(len, lines)) > _LONG and lines[-1].endswith(_ENDS)
        if lines and (cue.start - end > _SILENCE or long):
            yield " ".join(lines)
            lines = []
        fresh = cue.text.split("\n")
        lines += [line for line in fresh if line and line not in shown]
        shown, end = fresh, cue.end
    if lines:
        yield " ".join(lines)
