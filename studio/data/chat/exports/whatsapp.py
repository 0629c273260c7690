"""WhatsApp's export as text: a line per message with a stamp in the style of the phone's language, further lines belong to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from studio.data.chat.exports.base import Chat, Heard, Said
from studio.data.chat.exports.stamps import stamp_of, times_of
from studio.data.readers.base import ReadOptions
from studio.data.readers.encoding import open_text

PROGRAM = "WhatsApp"
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
    stamped = [found for line in filled if (found := stamp_of(line))]
    speakers = {speaker["name"].strip().upper() for one in stamped if (speaker := _SPEAKER.match(one["rest"]))}
    return bool(filled) and stamp_of(filled[0]) is not None and bool(speakers - _LEVELS)


def read_whatsapp(path: Path, label: str, options: ReadOptions, heard: Heard) -> Chat:
    """The chat of one file; its stamps are read in the one way in which they run forward."""
    with open_text(path, options) as stream:
        found = list(_messages(stream))
    times = times_of([stamp for stamp, _, _ in found])
    chat = Chat(PROGRAM, label, _name_of(label, path))
    for when, (_, name, text) in zip(times, found, strict=True):
        if name is None:
            heard.left["notices of WhatsApp"] += 1
            continue
        kept, media = _only_text(text)
        if media:
            heard.left["pictures, sounds and deleted messages"] += 1
        chat.messages.append(Said(name, name, kept, when))
    return chat


def _messages(lines: Iterator[str] | Sequence[str]) -> Iterator[tuple[re.Match[str], str | None, str]]:
    """Stamp, speaker and text of each message; a notice has no speaker."""
    stamp: re.Match[str] | None = None
    name: str | None = None
    text: list[str] = []
    for line in lines:
        line = line.rstrip("\r\n")
        found = stamp_of(line)
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


def _name_of(label: str, path: Path) -> str:
    """The name of a chat: iOS calls every file ``_chat.txt`` and the folder or archive after the chat."""
    if path.stem != "_chat":
        return path.stem
    return Path(label).parent.stem or path.parent.name
