"""What a file or a folder is, and the recipe that reads it: every kind of Dataset is asked, each tries its own reader."""

from __future__ import annotations

import codecs
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import DataError, StudioError, UserError
from studio.core.files import write_text
from studio.core.telling import Block, Hint, Pairs, Table, Told, counted, size_text
from studio.data.frames import FRAMES, FrameOptions, read_frame
from studio.data.kinds import DATASET_KINDS, all_dataset_kinds
from studio.data.proposals import Proposal, Refusal, glimpse, log_settings, recipe_text
from studio.data.readers import READERS, Raw, ReadOptions, read_file
from studio.data.readers.guessing import find_encoding
from studio.data.readers.kinds import TEXTS
from studio.data.readers.packed import ARCHIVE, kind_of, members

_HEAD = 1 << 16
_DEEP = 1_000
_EXAMPLES = 3
_ROWS = 50
_WIDTH = 44
# Of larger tables of other kinds than those that are streamed, only kind and size are told.
_WHOLE = 200 << 20
# Share of zero bytes from which a file is no text with a few stray ones.
_ZEROS = 0.1
# A proposal that fits less than that is a guess: why the other kinds do not read the file is then said too.
_UNSURE = 0.5
_CALLED = {
    ".csv": "table, comma-separated text", ".tsv": "table, text with tabs", ".json": "JSON", ".jsonl": "JSON lines",
    ".jsonlines": "JSON lines", ".ndjson": "JSON lines", ".parquet": "parquet table", ".xlsx": "Excel workbook",
    ".yaml": "YAML", ".yml": "YAML",
    ".txt": "text", ".md": "markdown", ".markdown": "markdown", ".pdf": "PDF document", ".docx": "Word document",
    ".html": "web page", ".htm": "web page", ".xhtml": "web page", ".xml": "XML", ".ods": "OpenDocument spreadsheet",
    ".docm": "Word document", ".epub": "EPUB book", ".srt": "subtitles", ".vtt": "subtitles", ".ipynb": "Jupyter notebook",
    ".arff": "ARFF table", ".zip": "zip archive", ".gz": "gzip archive", ".bz2": "bzip2 archive", ".xz": "xz archive",
    ".zst": "Zstandard archive", ".sqlite": "SQLite database", ".db": "database",
}  # fmt: skip
_TEXTS = TEXTS | {".html", ".htm", ".xhtml", ".xml", ".srt", ".vtt", ".ipynb", ".arff"}
# Kinds that lie in a zip archive.
_ZIPPED = frozenset({".xlsx", ".ods", ".docx", ".docm", ".epub"})
_MAGIC = (
    (b"PAR1", "parquet table"), (b"%PDF", "PDF document"), (b"PK\x03\x04", "zip archive (also docx, xlsx, odt)"),
    (b"PK\x05\x06", "zip archive"), (b"BZh", "bzip2 archive"), (b"\xfd7zXZ\x00", "xz archive"), (b"\x1f\x8b", "gzip archive"),
    (b"(\xb5/\xfd", "Zstandard archive"), (b"SQLite format 3", "SQLite database"),
    (b"\x89PNG", "PNG picture"), (b"\xff\xd8\xff", "JPEG picture"), (b"GIF8", "GIF picture"), (b"RIFF", "WebP, WAV or AVI"),
    (b"Rar!", "RAR archive"), (b"7z\xbc\xaf", "7z archive"), (b"\xd0\xcf\x11\xe0", "old Office file (doc, xls, ppt)"),
    (b"\x80\x04", "Python pickle"), (b"GGUF", "weights (GGUF)"), (b"\x93NUMPY", "NumPy array"), (b"\x89HDF", "HDF5 file"),
    (b"ID3", "MP3 sound"), (b"OggS", "Ogg sound"), (b"\x7fELF", "program"), (b"MZ", "program"),
)  # fmt: skip
_ADVICE = {
    (".zip", ".tar", ".rar", ".7z", ".tgz"): "Unpack it and give the folder.",
    (".gz", ".bz2", ".xz", ".zst"): "Unpack it, and give the file inside.",
    (".xls", ".ods", ".numbers"): "Save it as xlsx or csv.",
    (".doc", ".odt", ".rtf", ".pages", ".docx", ".pdf", ".pptx", ".ppt", ".epub"): "Save its text as .md or .txt.",
    (".html", ".htm", ".xml"): "Save its text as .md or .txt, or its rows as csv or JSON lines.",
    (".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".npz", ".h5"): "Such files can run code; write parquet or csv.",
    (".mp3", ".wav", ".m4a", ".ogg", ".flac", ".mp4", ".mov", ".mkv", ".avi"): "Sounds and films are not read; a transcript is.",
    (".safetensors", ".gguf", ".onnx"): "These are weights, no data: give them as --model.",
}  # fmt: skip


@dataclass
class Looked:
    """What was seen. columns: name, share filled and examples. lines: the first of a text. refusals: why a kind cannot."""

    path: Path
    facts: list[tuple[str, object]]
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def best(self) -> Proposal | None:
        """The proposal that fits best."""
        return self.proposals[0] if self.proposals else None

    def why_not(self) -> str:
        """One sentence or more where there is no proposal: why, and what to do."""
        if self.refusals:
            kinds: dict[str, list[str]] = {}
            for one in self.refusals:
                kinds.setdefault(one.reason, []).append(one.kind)
            return "\n".join(f"not as {' or '.join(names)}: {reason}" for reason, names in kinds.items())
        remedy = next((text for endings, text in _ADVICE.items() if self.path.suffix.lower() in endings), "")
        known = sorted({*READERS, *FRAMES, ".txt", ".md"})
        return f"nothing here reads {self.path.name}. {remedy or 'Write its rows as one of ' + ', '.join(known) + '.'}"


def look_at(path: Path, kind: str | None = None) -> Looked:
    """What a file or folder is, and which recipes read it, the likeliest first.

    Args:
        kind: only recipes of this kind are proposed.
    Raises:
        UserError: nothing is there, or something that is neither a file nor a folder; the kind is not known.
    """
    if kind is not None:
        DATASET_KINDS.get(kind)
    if not path.exists():
        raise UserError(f"there is no file or folder {str(path)!r}. Give the path of one.")
    if not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is neither a file nor a folder, but a pipe or a device. Write what it gives into a file.")
    looked = Looked(path, [("path", path)])
    looked.facts += _facts_of_folder(path) if path.is_dir() else _facts_of_file(path)
    if path.is_file() and _is_nested(path):
        looked.refusals.append(Refusal("rows", f"{path.name} holds values nested more than {_DEEP:,} deep. Write its rows flat."))
        return looked
    if path.is_file() and (known := _recipe_kind(path)):
        looked.refusals.append(Refusal("data", f"{path.name} is a recipe of kind {known}. Build it: studio data build {path}"))
        return looked
    if path.is_file():
        _look_inside(looked)
    for one in all_dataset_kinds():
        if kind in (None, one.name):
            found = _asked(one, path)
            if isinstance(found, Proposal):
                looked.proposals.append(found)
            elif found is not None:
                looked.refusals.append(found)
    looked.proposals.sort(key=lambda proposal: -proposal.likeness)
    return looked


def _recipe_kind(path: Path) -> str | None:
    """The kind of a file that is a recipe itself; None for any other file."""
    if path.suffix.lower() not in {".yaml", ".yml"} or path.stat().st_size > _HEAD:
        return None
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    said = value.get("kind") if isinstance(value, dict) and "sources" in value else None
    return said if isinstance(said, str) and said in DATASET_KINDS else None


def _is_nested(path: Path) -> bool:
    """True for JSON that opens brackets upon brackets; readers take time that grows with the square of the depth."""
    if path.suffix.lower() not in {".json", ".jsonl", ".ndjson", ".txt", ".yaml", ".yml"}:
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return False
    return max(itertools.accumulate({91: 1, 123: 1, 93: -1, 125: -1}.get(byte, 0) for byte in head), default=0) > _DEEP


def _asked(kind: Any, path: Path) -> Proposal | Refusal | None:
    """What one kind proposes; a file of strangers may hold what no reader foresaw, and that is the answer then, not a crash."""
    try:
        proposal: Proposal | Refusal | None = kind.propose(path)
        if isinstance(proposal, Proposal):
            kind.schema.model_validate(proposal.recipe)
        return proposal
    except StudioError as error:
        return Refusal(kind.name, str(error))
    except Exception as error:
        return Refusal(kind.name, f"{path.name} could not be read ({type(error).__name__}: {glimpse(error, 200)}). Report it.")


def _facts_of_folder(path: Path) -> list[tuple[str, object]]:
    """Files by ending, and how much they hold."""
    try:
        files = [
            file
            for file in path.rglob("*")
            if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
        ]
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        return [("what", f"folder that cannot be listed ({error.strerror})")]
    endings = Counter(file.suffix.lower() or "without ending" for file in files)
    listed = ", ".join(f"{ending} ({count:,})" for ending, count in endings.most_common(12))
    return [("what", "folder"), ("files", f"{len(files):,}: {listed}" if files else "none"), ("size", size_text(size))]


def _facts_of_file(path: Path) -> list[tuple[str, object]]:
    """Kind, size and encoding of a file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        return [("what", f"file that cannot be opened ({error.strerror})")]
    suffix = path.suffix.lower()
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    encoding = None if found else _encoding(path, head, size) if suffix in _TEXTS else encoding_of(head)
    called = _called(suffix, found, encoding)
    facts: list[tuple[str, object]] = [("what", called if size else f"empty file ({called})"), ("size", size_text(size))]
    if suffix == ARCHIVE:
        facts += _held_by(path)
    return facts + ([("encoding", encoding)] if encoding and size else [])


def _held_by(path: Path) -> list[tuple[str, object]]:
    """What lies in an archive; nothing where it cannot be listed."""
    try:
        read, other = members(path, {*READERS, ".txt", ".md", ".markdown"})
    except StudioError:
        return []
    names = [*read, *other]
    more = ", ..." if len(names) > 6 else ""
    return [("holds", f"{counted(len(names), 'file')}: {', '.join(names[:6])}{more}" if names else "no file")]


def _called(suffix: str, found: str | None, encoding: str | None) -> str:
    """What a file is: by its first bytes, and by its ending where these agree with it."""
    by_name = _CALLED.get(suffix)
    if found is None:
        no_text = by_name is not None and encoding is None and suffix in _TEXTS
        return "no text, though its name says so" if no_text else by_name or ("text" if encoding else "unknown, no text")
    if by_name is None:
        return found
    agree = by_name.split()[0] in found or (suffix in _ZIPPED and found.startswith("zip")) or "database" in by_name
    return by_name if agree else f"{found}, though it is called {suffix}"


def _encoding(path: Path, head: bytes, size: int) -> str | None:
    """The encoding that readers find, and how; of a large file that of its beginning. None where it is no text."""
    if size > _WHOLE:
        return encoding_of(head)
    found = find_encoding(path)
    if found.encoding is None:
        return None if b"\x00" in head else f"not certain: {found.doubt}"
    if head.count(0) > _ZEROS * len(head) and found.encoding == "utf-8":
        return None
    return (found.note or found.encoding).removeprefix("read as ") if found.encoding != "utf-8" else _utf8(head, found.note)


def _utf8(head: bytes, note: str | None) -> str:
    """UTF-8 and what is odd about it: a mark, zero bytes, bytes that are none."""
    told = encoding_of(head)
    return ", ".join([told if told and b"\x00" not in head else "utf-8", *([note] if note else [])])


def encoding_of(head: bytes) -> str | None:
    """Encoding of the beginning of a text; None where it is none."""
    marks = ((codecs.BOM_UTF8, "utf-8 with a mark"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
    found = next((name for mark, name in marks if head.startswith(mark)), None)
    if found:
        return found
    if b"\x00" in head:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        return f"not utf-8 (byte {error.start} is 0x{head[error.start]:02x})"
    return "utf-8"


def _look_inside(looked: Looked) -> None:
    """Columns with examples of a file of rows, the first lines of a text; nothing where it cannot be read."""
    suffix = kind_of(looked.path)
    try:
        if suffix in READERS:
            found = itertools.islice(read_file(looked.path, ReadOptions()), _ROWS)
            looked.columns = _columns([one.value for one in found if isinstance(one, Raw)])
        elif log := log_settings(looked.path)[0]:
            frame = read_frame(looked.path, FrameOptions(**log)).columns.head(_ROWS)
            looked.columns = _columns(frame.to_dict("records"))
        elif suffix in FRAMES and looked.path.stat().st_size < _WHOLE:
            frame = read_frame(looked.path, FrameOptions()).columns.head(_ROWS)
            looked.columns = _columns(frame.to_dict("records"))
        if not looked.columns and str(dict(looked.facts).get("encoding")).startswith("utf-8"):
            looked.lines = list(_first_lines(looked.path))
    except Exception:
        # Why it cannot be read is what the kinds say, each of its own reader.
        return


def _columns(rows: Sequence[Any]) -> list[tuple[str, str, str]]:
    """Name, share of rows with a value and examples of each column; rows that are no objects have none."""
    named = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(str(name) for row in named for name in row))
    lines = []
    for name in names[:40]:
        filled = [row[name] for row in named if row.get(name) not in (None, "") and row[name] == row[name]]
        examples = list(dict.fromkeys(glimpse(value, _WIDTH) for value in filled))[:_EXAMPLES]
        lines.append((name, f"{len(filled):,} of {len(named):,}", " | ".join(examples)))
    return lines


def _first_lines(path: Path) -> Iterator[str]:
    """The first lines of a text."""
    with path.open("r", encoding="utf-8-sig", errors="replace") as stream:
        for line in itertools.islice(iter(lambda: stream.readline(1000), ""), 8):
            yield glimpse(line, 100)


def told_of(looked: Looked) -> Told:
    """What was seen, for people and for programs."""
    best = looked.best
    blocks: list[Block] = [Pairs(looked.facts)]
    if looked.columns:
        blocks += ["", Table(["column", "filled", "examples"], looked.columns)]
    if looked.lines:
        blocks += ["", *(f"  {line}" for line in looked.lines)]
    blocks.append("")
    if best is None:
        blocks.append(looked.why_not())
    else:
        blocks += [
            f"{best.kind}: {best.what}",
            *(f"\n{shown}" for shown in best.shown),
            "",
            recipe_text(best, looked.path).rstrip(),
        ]
        others = [f"{other.kind} ({other.what})" for other in looked.proposals[1:]]
        if others:
            blocks += ["", f"It can also be read with --kind: {'; '.join(glimpse(other, 160) for other in others)}"]
        if best.likeness < _UNSURE and looked.refusals:
            blocks += ["", looked.why_not()]
        blocks.append(Hint(f"Keep it: studio data look {looked.path} --to mine.yaml, then: studio data build mine.yaml"))
    document = {
        "facts": {name: str(value) for name, value in looked.facts},
        "columns": [{"name": name, "filled": filled, "examples": examples} for name, filled, examples in looked.columns],
        "proposals": [
            {"kind": one.kind, "what": one.what, "choices": one.choices, "recipe": one.recipe, "shown": one.shown}
            | {"text": recipe_text(one, looked.path)}
            for one in looked.proposals
        ],
        "refusals": [{"kind": one.kind, "reason": one.reason} for one in looked.refusals],
        "lines": looked.lines,
        "why_not": None if looked.proposals else looked.why_not(),
    }
    return Told(tuple(blocks), document)


def proposed_text(looked: Looked) -> str:
    """The text of the recipe that fits best.

    Raises:
        DataError: there is none; says why.
    """
    if looked.best is None:
        raise DataError(f"{looked.path}: {looked.why_not()}")
    return recipe_text(looked.best, looked.path)


def write_recipe(looked: Looked, place: Path) -> None:
    """Write the recipe that fits best.

    Raises:
        UserError: a file is there already, or its name is no recipe's. DataError: there is no proposal.
    """
    if place.suffix not in {".yaml", ".yml"}:
        raise UserError(f"{str(place)!r} cannot be the name of a recipe: it ends in .yaml. Give --to {place.stem or 'mine'}.yaml")
    text = proposed_text(looked)
    if place.exists():
        raise UserError(f"{place} exists already and is not overwritten. Give another name: --to")
    write_text(place, text)
