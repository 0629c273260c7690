"""In which encoding a text file was written, where nobody says it: found where it is certain, else asked, never guessed."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from studio.core.telling import counted
from studio.data.readers.alphabets import is_written, share_of

_CHUNK = 1 << 20
_SAMPLE = 16 << 10
_LINE = 4096
# Least coherence (charset-normalizer's share of a language's frequent letters that stand in their order) that decides between
# readings which all look like text, and how far ahead of the others it has to be. Measured on sentences in 17 languages.
_SURE, _AHEAD = 0.4, 0.15
# Fewer letters or signs outside ASCII than that decide nothing: one in fifteen pieces of two letters (of the sentences in
# tests/data/readers) was read wrongly without this bound.
_FEW = 4
# Text of one byte to a letter has fewer bytes below the blank than that; UTF-16 of a small alphabet has one in every letter.
_CONTROLS = 0.25
# Share of the bytes of line ends and blanks that are such in UTF-16; in a text with a stray zero byte they are by chance.
_PAIRED = 0.2
_HIGH = re.compile(rb"[\x80-\xff]")
# Signs that are no part of a longer letter in any of the encodings.
_BORDER = re.compile(rb"[\n\r\t \",]")
# One letter of a wide script beside an ASCII one, with none of its own beside it.
_ALONE = re.compile(r"(?<=[a-z])[^\x00-\x7f](?![^\x00-\x7f])|(?<![^\x00-\x7f])[^\x00-\x7f](?=[a-z])")
# Encodings with several bytes to a letter.
_WIDE = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
# Windows' code pages, and those of other systems in which the same bytes are letters too.
_WINDOWS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874")
_OTHERS = ("koi8-r", "mac-roman", "cp850")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Found:
    """What was found of a file. encoding: None where it is not certain. note: what a person should know of it, for the Dataset.
    doubt: what could not be decided, as a clause and a remedy.
    """

    encoding: str | None
    note: str | None = None
    doubt: str | None = None


@dataclass
class _Bytes:
    """A file looked through once. sample: lines with bytes outside ASCII, up to 16 KB; bad: place of the first byte that is not
    UTF-8; nuls: how many bytes are zero.
    """

    sample: bytes = b""
    bad: int | None = None
    nuls: int = 0
    first_nul: int = -1
    size: int = 0


def misread(path: Path, encoding: str) -> str | None:
    """What a person should know who named an encoding: most of the text at the start of the file looks wrongly decoded in it."""
    from ftfy.badness import is_bad

    with path.open("rb") as stream:
        start = stream.read(_CHUNK)
    sample = _high_lines(start, begun=False)[:_SAMPLE]
    text = _decoded(sample, encoding)
    if not text:
        return None
    lines = text.splitlines()
    bad = sum(map(is_bad, lines)) > len(lines) / 2
    if not bad and (encoding not in (*_WIDE, *_WINDOWS, *_OTHERS) or _is_likely(encoding, text)):
        return None
    better = _judged(_Bytes(sample)) if encoding != "utf-8" else Found(None)
    named = (
        f"; its bytes look like {better.encoding.upper()}" if better.encoding not in {None, encoding} and better.encoding else ""
    )
    return f"was read as {encoding.upper()}, and most of its text looks wrongly decoded ({_shown(text)}){named}"


def find_encoding(path: Path) -> Found:
    """Encoding of a text file: by its mark, as UTF-8, as UTF-16 without a mark, else the only one that gives written text."""
    with path.open("rb") as stream:
        head = stream.read(4)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Found(encoding, None if encoding == "utf-8" else f"read as {encoding.upper()}, as its mark says")
    seen = _look_through(path)
    if seen.nuls and (wide := _without_mark(path, seen)):
        return Found(wide, f"read as {wide.upper()}: it has no mark, and its zero bytes stand where that encoding has them")
    nuls = f"holds {counted(seen.nuls, 'NUL byte')}, the first at byte {seen.first_nul:,}" if seen.nuls else None
    if seen.bad is None or _mostly_utf8(seen.sample) or _in_two_encodings(seen.sample):
        return Found("utf-8", nuls)
    return _judged(seen)


def _look_through(path: Path) -> _Bytes:
    """Read a file once, in pieces."""
    seen = _Bytes()
    # Half a character written as if it were one is a matter of that row, not of the encoding.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if seen.bad is None:
                pending = len(decoder.getstate()[0])
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    seen.bad = seen.size - pending + error.start
            if not chunk:
                return seen
            if 0 in chunk:
                seen.first_nul = seen.first_nul if seen.nuls else seen.size + chunk.index(0)
                seen.nuls += chunk.count(0)
            if len(seen.sample) < _SAMPLE and not chunk.isascii():
                seen.sample += _high_lines(chunk, begun=seen.size > 0)[: _SAMPLE - len(seen.sample)]
            seen.size += len(chunk)


def _high_lines(chunk: bytes, *, begun: bool) -> bytes:
    """The lines of a piece of a file with bytes outside ASCII, the long ones from their first such byte on; none of them begins
    in the middle of a letter.

    Args:
        begun: the piece does not begin the file, so its first bytes may be the rest of a letter.
    """
    if begun:
        clear = _BORDER.search(chunk)
        chunk = chunk[clear.end() :] if clear else b""
    lines = chunk.splitlines(keepends=True)
    if len(chunk) >= _CHUNK // 2 and len(lines) > 1 and not lines[-1].endswith((b"\n", b"\r")):
        lines.pop()
    found = []
    for line in lines:
        if high := _HIGH.search(line):
            start = max(0, high.start() - 40)
            found.append(line[start : start + _LINE].rstrip(b"\r\n") + b"\n")
    return b"".join(found)


def _without_mark(path: Path, seen: _Bytes) -> str | None:
    """UTF-16 or UTF-32 by where their zero bytes stand, if the start of the file then decodes to text."""
    with path.open("rb") as stream:
        start = stream.read(_SAMPLE)
    if seen.bad is None and sum(byte < 0x20 for byte in start) < _CONTROLS * len(start):
        return None
    for encoding, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        if seen.size % width:
            continue
        text = start[: len(start) // width * width].decode(encoding, "replace")
        newline = "\n".encode(encoding)
        plain = sum(sign.isprintable() or sign in "\t\r\n" for sign in text)
        if newline not in start or "\x00" in text or plain < 0.98 * len(text) or not _sensible(text):
            continue
        if _PAIRED * (start.count(b"\n") + start.count(b" ")) <= text.count("\n") + text.count(" "):
            return encoding
    return None


def _sensible(text: str) -> bool:
    """True where text of wide characters holds line ends or blanks as often as text does: the other byte order has none."""
    return any(sign in text for sign in "\n\r") and "\ufffd" not in text


def _mostly_utf8(sample: bytes) -> bool:
    """True for UTF-8 with a few damaged places: four sound letters outside ASCII for each that is none."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(not sign.isascii() for sign in text) - bad >= 4 * bad


def _in_two_encodings(sample: bytes) -> bool:
    """True where some lines are sound UTF-8, and the encoding of the others gives no text for them: two files were joined."""
    from ftfy.badness import is_bad

    lines = sample.splitlines(keepends=True)
    sound = b"".join(line for line in lines if _decoded(line, "utf-8") is not None)
    others = b"".join(line for line in lines if _decoded(line, "utf-8") is None)
    if not sound or not others:
        return False
    other = _judged(_Bytes(others)).encoding
    if other is None:
        return False
    text = _decoded(sound, other)
    if text is None or not _is_likely(other, text):
        return True
    read = text.splitlines()
    return sum(bool(is_bad(line)) for line in read) >= len(read) / 2


def _judged(seen: _Bytes) -> Found:
    """The one encoding that gives written text; where several give different ones, they are shown."""
    readings = {encoding: text for encoding in (*_WIDE, *_WINDOWS, *_OTHERS) if (text := _decoded(seen.sample, encoding))}
    likely = {encoding: text for encoding, text in readings.items() if _is_likely(encoding, text)}
    if not _has_letters_of_c1(likely):
        likely = {name: text for name, text in likely.items() if name not in {"mac-roman", "cp850"}}
    likely = _by_language(seen.sample, _most_likely(likely))
    if likely and len(set(likely.values())) == 1 and _enough(next(iter(likely.values()))):
        encoding = next(iter(likely))
        return Found(encoding, f"read as {encoding.upper()}, found by its letters ({_shown(likely[encoding])})")
    shown = likely or {name: readings[name] for name in ("cp1252", "gb18030", "cp1251", "cp932") if name in readings}
    options = "; ".join(f"encoding: {name} reads {_shown(text)}" for name, text in _distinct(shown).items())
    few = "too few letters tell which; " if likely and len(set(likely.values())) == 1 else ""
    return Found(None, None, few + (options or "none that is known fits it"))


def _decoded(sample: bytes, encoding: str) -> str | None:
    """The sample as text, None where it cannot be; of a line that was cut a letter may be missing at the end."""
    texts = []
    lines = sample.splitlines()
    for number, line in enumerate(lines, start=1):
        cut = len(line) >= _LINE - 2 or (number == len(lines) and len(sample) == _SAMPLE)
        for end in range(4 if cut else 1):
            try:
                texts.append(line[: len(line) - end].decode(encoding))
                break
            except UnicodeDecodeError:
                continue
        else:
            return None
    return "\n".join(texts)


def _is_likely(encoding: str, text: str) -> bool:
    """True where a reading is text that people write."""
    if encoding not in _WIDE:
        return is_written(text)
    if not _wide_is_sound(text):
        return False
    if encoding in {"cp932", "euc_jp"}:
        kana = share_of(text, "HIRAGANA", "KATAKANA")
        return kana > 0.05 and kana + share_of(text, "HAN") > 0.9
    if encoding == "cp949":
        return share_of(text, "HANGUL") > 0.85 and _common(text, "euc_kr", 0xB0, 0xC8) > 0.85
    if encoding == "big5":
        return share_of(text, "HAN") > 0.9 and _common(text, "big5", 0xA4, 0xC6) > 0.8
    return share_of(text, "HAN") > 0.9 and _common(text, "gb2312", 0xB0, 0xD7) > 0.7


def _common(text: str, encoding: str, first: int, last: int) -> float:
    """Share of the letters outside ASCII that lie in the half of a table with the common ones, by their first byte."""
    letters = [sign for sign in text if not sign.isascii() and sign.isalpha()]
    codes = [sign.encode(encoding, "ignore") for sign in letters]
    return sum(len(code) == 2 and first <= code[0] <= last for code in codes) / len(codes) if codes else 0.0


def _wide_is_sound(text: str) -> bool:
    """True where hardly a letter of a wide script stands alone in a Latin word, as where a Latin text is read as wide."""
    wide = [sign for sign in text if not sign.isascii() and sign.isalpha()]
    return len(_ALONE.findall(text)) <= 0.1 * len(wide)


def _enough(text: str) -> bool:
    """True for a reading with enough outside ASCII to be judged by."""
    return sum(not sign.isascii() for sign in text) >= _FEW


def _has_letters_of_c1(likely: dict[str, str]) -> bool:
    """True where another reading takes bytes below 0xA0 for letters, which are signs in nearly all that Windows writes."""
    return any(
        sign.isalpha() and sign.encode(name, "ignore") < b"\xa0"
        for name, text in likely.items()
        if name in _WINDOWS
        for sign in set(text)
        if not sign.isascii()
    ) or not any(name in _WINDOWS for name in likely)


def _most_likely(likely: dict[str, str]) -> dict[str, str]:
    """The readings that are left when those are set aside that another one explains.

    GB 2312 has the common Hangul and the kana of EUC where it has Han letters and kana, so text that reads as all Hangul, or as
    Japanese, is that: a Chinese text of that length would hardly do it.
    """
    wide = [name for name in likely if name in _WIDE]
    if "cp949" in wide and share_of(likely["cp949"], "HANGUL") > 0.98 and len(likely["cp949"]) >= 20:
        return {"cp949": likely["cp949"]}
    if "euc_jp" in wide and share_of(likely["euc_jp"], "HIRAGANA") > 0.2:
        return {"euc_jp": likely["euc_jp"]}
    return likely


def _by_language(sample: bytes, likely: dict[str, str]) -> dict[str, str]:
    """Of readings that differ, the one whose letters are as frequent as those of a language (charset-normalizer's tables)."""
    if len(set(likely.values())) < 2:
        return likely
    from charset_normalizer import from_bytes

    names = {codecs.lookup(name).name.replace("-", "_"): name for name in likely}
    matches = from_bytes(sample, cp_isolation=list(names), preemptive_behaviour=False, threshold=0.3)
    fits = {names[match.encoding]: match.coherence for match in matches if match.encoding in names}
    best = max(fits, key=lambda name: fits[name], default=None)
    if best is None or fits[best] < _SURE:
        return likely
    others = (fits.get(name, 0.0) for name, text in likely.items() if text != likely[best])
    return {best: likely[best]} if fits[best] - max(others, default=0.0) >= _AHEAD else likely


def _distinct(readings: dict[str, str]) -> dict[str, str]:
    """The first encoding of each reading, four at most."""
    first: dict[str, str] = {}
    for name, text in readings.items():
        first.setdefault(text, name)
    return {name: text for text, name in list(first.items())[:4]}


def _shown(text: str) -> str:
    """The first line of a reading, short, from a few letters before what is not ASCII."""
    line = text.splitlines()[0] if text else ""
    at = next((place for place, sign in enumerate(line) if not sign.isascii()), 0)
    start = max(0, at - 15)
    return repr(("…" if start else "") + line[start : start + 40] + ("…" if len(line) > start + 40 else ""))
