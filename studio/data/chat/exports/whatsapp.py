"""WhatsApp's export as text: a line per message with a stamp in the style of the phone's language, further lines belong to it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from studio.data.chat.exports.base import Chat, Heard, Said
from studio.data.readers.base import ReadOptions
from studio.data.readers.encoding import open_text

PROGRAM = "WhatsApp"
# Android: ``31.12.23, 22:15 - Ida: text``; iOS: ``[31.12.23, 22:15:33] Ida: text``. A word may stand before the hour (French
# ``à``, Chinese and Korean halves of the day), AM or PM after it, with narrow blanks and invisible marks of direction.
_DATE = r"\d{1,4}[\u200e\u200f]?\s?[./-]\s?\d{1,2}[\u200e\u200f]?\s?[./-]\s?\d{1,4}\.?(?:\s?г\.)?"
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?"
_START, _END = r"[\u200e\u200f\u202a]*(?P<open>\[)?", r"(?(open)\]|(?:\s+-|,))\s(?P<rest>.*)"
_HALF = r"(?:\s?(?P<after>[^\W\d]\.?\s?[^\W\d]?\.?))?"
_STAMP = re.compile(rf"{_START}(?P<date>{_DATE})[,،]?\s+(?:(?P<before>[^\W\d]{{1,6}}\.?)\s?)?{_CLOCK}{_HALF}{_END}", re.DOTALL)
# Vietnamese and a few others say the hour first.
_HOUR_FIRST = re.compile(rf"{_START}{_CLOCK}{_HALF},?\s+(?P<date>{_DATE})(?P<before>){_END}", re.DOTALL)
_AFTERNOON = ("p", "下午", "晚上", "午後", "오후", "م", "μμ")
_MORNING = ("a", "上午", "早上", "凌晨", "午前", "오전", "ص", "πμ")
_SPEAKER = re.compile(r"(?P<name>[^:\"“”„«»]{1,60}?)\s?:(?: (?P<text>.*)|)\Z", re.DOTALL)
# A program's own log has stamps too, and these in the place of speakers.
_LEVELS = frozenset({"DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "TRACE"})
_MARKS = "\u200e\u200f"
_ATTACHED = re.compile(r"\A[\u200e\u200f]*[^\s/]+\.\w{2,5} \([^()\n]+\)\s*")
_IN_ANGLES = re.compile(r"[\u200e\u200f]+<[^<>\n]+>|<This message was edited>")
_ONLY_ANGLES = re.compile(r"[\u200e\u200f]*<[^<>\n]+>[\u200e\u200f]*")
_DELETED = re.compile(
    r"(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht|du hast diese nachricht gelöscht"
    r"|ce message a été supprimé|vous avez supprimé ce message|se eliminó este mensaje|eliminaste este mensaje|mensagem apagada"
    r"|(?:você|tu) apag(?:ou|aste) esta mensagem|questo messaggio è stato eliminato|hai eliminato questo messaggio"
    r"|dit bericht is verwijderd|det här meddelandet raderades|данное сообщение удалено|此訊息已刪除|此消息已删除|null)\.?",
    re.I,
)


def is_whatsapp(lines: Sequence[str]) -> bool:
    """True where the first line that holds something has a stamp, and one of the lines a speaker behind it."""
    filled = [line for line in lines if line.strip()]
    stamped = [found for line in filled if (found := _stamp(line))]
    speakers = {speaker["name"].strip().upper() for one in stamped if (speaker := _SPEAKER.match(one["rest"]))}
    return bool(filled) and _stamp(filled[0]) is not None and bool(speakers - _LEVELS)


def _stamp(line: str) -> re.Match[str] | None:
    """The stamp that a line begins with."""
    return _STAMP.match(line) or _HOUR_FIRST.match(line)


def read_whatsapp(path: Path, label: str, options: ReadOptions, heard: Heard) -> Chat:
    """The chat of one file; days and months are told apart by what makes the stamps run forward."""
    with open_text(path, options) as stream:
        found = list(_messages(stream))
    day_first = _day_first([stamp for stamp, _, _ in found])
    chat = Chat(PROGRAM, label, _name_of(label, path))
    for stamp, name, text in found:
        if name is None:
            heard.left["notices of WhatsApp"] += 1
            continue
        kept, media = _only_text(text)
        if media:
            heard.left["pictures, sounds and deleted messages"] += 1
        chat.messages.append(Said(name, name, kept, _when(stamp, day_first)))
    return chat


def _messages(lines: Iterator[str] | Sequence[str]) -> Iterator[tuple[re.Match[str], str | None, str]]:
    """Stamp, speaker and text of each message; a notice has no speaker."""
    stamp: re.Match[str] | None = None
    name: str | None = None
    text: list[str] = []
    for line in lines:
        line = line.rstrip("\r\n")
        found = _stamp(line)
        if found is None:
            text.append(line)
            continue
        if stamp is not None:
            yield stamp, name, "\n".join(text)
        speaker = _SPEAKER.match(found["rest"])
        stamp, name = found, speaker["name"].strip(_MARKS + " ") if speaker else None
        text = [speaker["text"] or ""] if speaker else [found["rest"]]
    if stamp is not None:
        yield stamp, name, "\n".join(text)


def _only_text(text: str) -> tuple[str, bool]:
    """A message without what stands for a picture, a sound, a notice or a deleted message; whether something did."""
    if _ONLY_ANGLES.fullmatch(text.strip()) or _DELETED.fullmatch(text.strip(_MARKS + " \n")):
        return "", True
    first, _, caption = text.partition("\n")
    # iOS puts its own words (``image omitted``, ``Missed voice call``) behind a mark of direction.
    if first.startswith(_MARKS[0]) and not _IN_ANGLES.match(first):
        return caption.strip(), True
    kept = _IN_ANGLES.sub("", _ATTACHED.sub("", text)).replace(_MARKS[0], "").strip()
    return kept, bool(_ATTACHED.match(text)) or (not kept and bool(text.strip()))


def _numbers(stamp: re.Match[str]) -> list[int]:
    """The three numbers of a date as they are written."""
    return [int(number) for number in re.findall(r"\d+", stamp["date"])]


def _date(numbers: Sequence[int], day_first: bool) -> tuple[int, int, int]:
    """Year, month and day."""
    first, second, third = numbers
    if first > 31:
        return first, second, third
    year = third if third > 99 else 2000 + third
    return (year, second, first) if day_first else (year, first, second)


def _day_first(stamps: Sequence[re.Match[str]]) -> bool:
    """Whether days stand before months: by the numbers that can be no month, else by which reading runs backwards less often.

    Where both read alike, a clock of twelve hours between slashes is taken for American.
    """
    dates = [_numbers(stamp) for stamp in stamps]
    if any(12 < first <= 31 for first, _, _ in dates):
        return True
    if any(second > 12 for _, second, _ in dates):
        return False
    backwards = {}
    for order in (True, False):
        days = [_date(numbers, order) for numbers in dates]
        backwards[order] = sum(later < earlier for earlier, later in itertools.pairwise(days))
    if backwards[True] != backwards[False]:
        return backwards[True] < backwards[False]
    return not (stamps and "/" in stamps[0]["date"] and (stamps[0]["after"] or "").lower().startswith(("a", "p")))


def _when(stamp: re.Match[str], day_first: bool) -> float | None:
    """Seconds since 1970, in the time of this machine: an export says no zone, and only distances count."""
    year, month, day = _date(_numbers(stamp), day_first)
    hour = int(stamp["hour"])
    half = (stamp["after"] or stamp["before"] or "").lower()
    if half.startswith(_AFTERNOON) and hour < 12:
        hour += 12
    elif half.startswith(_MORNING) and not half.startswith("à") and hour == 12:
        hour = 0
    try:
        return datetime(year, month, day, hour % 24, int(stamp["minute"]), int(stamp["second"] or 0)).timestamp()
    except (ValueError, OverflowError):
        return None


def _name_of(label: str, path: Path) -> str:
    """The name of a chat: iOS calls every file ``_chat.txt`` and the folder or archive after the chat."""
    if path.stem != "_chat":
        return path.stem
    return Path(label).parent.stem or path.parent.name
