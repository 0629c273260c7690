"""Files that are packed: gz, zst, bz2 and xz around one file, zip around several. Unpacked in pieces, never beyond a bound.

A member of an archive is named by a path that goes on behind the archive's own: ``rows/archive.zip/inner.csv``.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from studio.core.errors import DataError, UserError
from studio.core.extras import require
from studio.core.files import disk_errors
from studio.core.workspace import cache_folder

SINGLE = (".gz", ".zst", ".bz2", ".xz")
"""Endings of files that hold one other file."""
ARCHIVE = ".zip"
# Text that repeats itself packs to a hundredth; deflate ends at 1/1,032, zstd and xz far below. Small files are not judged.
_RATIO, _SMALL = 300, 256 << 20
_LARGEST = 64 << 30
_MEMBERS = 100_000
_PIECE = 1 << 20
# A block of zstd that repeats one byte packs 128 KB into 4 bytes, so that much input gives at most 64 MB at once.
_ZSTD_PIECE = 2048
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)


def kind_of(path: Path) -> str:
    """Ending that says how a file is read, in small letters: that of ``rows.csv.gz`` is ``.csv``."""
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() if last in SINGLE else last


def file_on_disk(path: Path) -> Path:
    """The file itself, or the archive that a member lies in."""
    return next((place for place in (path, *path.parents) if place.suffix.lower() == ARCHIVE and place.is_file()), path)


def members(archive: Path, suffixes: Collection[str]) -> tuple[list[str], list[str]]:
    """Names of the files of an archive that can be read, in order of name, and of those that cannot; hidden ones are left out.

    Raises:
        DataError: it is damaged, or holds what no archive of data holds: a link, a path that leads out of it, two files of one
            name, an encrypted file, another archive, or far more than its own size.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            items = opened.infolist()
    except _BROKEN as error:
        raise DataError(f"{archive} is no zip archive, or is cut off ({error}). Pack it again.") from error
    _check_members(archive, items)
    names = sorted(item.filename for item in items if not item.is_dir() and not _hidden(item.filename))
    packed = next((name for name in names if PurePosixPath(name).suffix.lower() in {ARCHIVE, *SINGLE}), None)
    if packed is not None:
        raise DataError(f"{archive} holds {packed!r}, which is packed once more. Unpack it and give the files themselves.")
    known = [name for name in names if PurePosixPath(name).suffix.lower() in suffixes]
    return known, [name for name in names if name not in set(known)]


def _check_members(archive: Path, items: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive whose list alone says that it should not be unpacked."""
    if len(items) > _MEMBERS:
        raise DataError(f"{archive} holds {len(items):,} files; at most {_MEMBERS:,} are read. Divide it.")
    seen: set[str] = set()
    for item in items:
        path = PurePosixPath(item.filename.replace("\\", "/"))
        what = None
        if path.is_absolute() or ".." in path.parts or item.filename[1:2] == ":":
            what = "leads out of the archive"
        elif stat.S_ISLNK(item.external_attr >> 16):
            what = "is a link"
        elif item.filename in seen:
            what = "stands in it twice"
        elif item.flag_bits & 1:
            what = "is encrypted"
        if what:
            raise DataError(f"{archive}: {item.filename!r} {what}, so nothing of it is read. Pack the files anew, without that.")
        seen.add(item.filename)
    _check_size(archive, archive.stat().st_size, sum(item.file_size for item in items))


def _check_size(path: Path, packed: int, unpacked: int) -> None:
    """Refuse what grows beyond all that data does."""
    if unpacked > _LARGEST or unpacked > max(_SMALL, _RATIO * packed):
        raise DataError(
            f"{path} unpacks to more than {unpacked >> 20:,} MB from {packed:,} bytes, which is what a zip bomb does (allowed: "
            f"{_RATIO} times its size, and {_LARGEST >> 30} GB). If it is sound, unpack it and give the file itself."
        )


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """The file as it is to be read: itself, or unpacked for as long as the block lasts; sentences about it name ``path``.

    Raises:
        DataError: it is cut off, damaged, or unpacks beyond the bound.
        MissingExtraError: zst, and no package for it is installed.
    """
    holder = file_on_disk(path)
    single = path.suffix.lower() in SINGLE
    if holder == path and not single:
        yield path
        return
    place = cache_folder() / "unpacking"
    with disk_errors("an unpacked file", place):
        place.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=place)
    with folder as name:
        plain = Path(name) / (path.stem if single else path.name)
        with disk_errors("an unpacked file", place):
            _unpack(path, holder, plain)
        try:
            yield plain
        except UserError as error:
            raise type(error)(str(error).replace(str(plain), str(path))) from error


def _unpack(path: Path, holder: Path, plain: Path) -> None:
    """Write the unpacked bytes of a file, or of a member of an archive."""
    packed, done = holder.stat().st_size, 0
    pieces = _pieces(path) if holder == path else _member(holder, path.relative_to(holder).as_posix())
    with plain.open("wb") as sink:
        while True:
            try:
                piece = next(pieces, None)
            except _BROKEN as error:
                raise DataError(f"{path} is cut off or damaged ({_said(error)}). Pack it again, or fetch it again.") from error
            if piece is None:
                return
            done += len(piece)
            _check_size(path, packed, done)
            sink.write(piece)


def _pieces(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file around one other."""
    suffix = path.suffix.lower()
    if suffix == ".zst":
        yield from _zstd_pieces(path)
        return
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with openers[suffix](path, "rb") as stream:
        yield from _read(stream)


def _zstd_pieces(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of all frames of a zst file; Python 3.14 and newer read it themselves."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        zstd = None
    if zstd is not None:
        with zstd.open(path, "rb") as stream:
            yield from _read(stream)
        return
    zstandard = require("zstandard", feature=f"{path.name} (packed with zstd)", extra="zstd")
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    frame, begun = reader.decompressobj(), False
    with path.open("rb") as stream:
        while chunk := stream.read(_ZSTD_PIECE):
            while chunk:
                try:
                    yield frame.decompress(chunk)
                except zstandard.ZstdError as error:
                    raise ValueError(str(error)) from error
                begun, chunk = not frame.eof, frame.unused_data if frame.eof else b""
                frame = reader.decompressobj() if frame.eof else frame
    if begun:
        raise EOFError("the file ends in the middle of its data")


def _member(archive: Path, name: str) -> Iterator[bytes]:
    """The unpacked bytes of a member; its checksum is compared at the end."""
    with zipfile.ZipFile(archive) as opened:
        if name not in opened.namelist():
            raise DataError(f"{archive} holds no file {name!r}. It has {', '.join(opened.namelist()[:10])}.")
        with opened.open(name) as stream:
            yield from _read(stream)


def _read(stream: BinaryIO | Any) -> Iterator[bytes]:
    """A stream in pieces."""
    while piece := stream.read(_PIECE):
        yield piece


def _said(error: BaseException) -> str:
    """First line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _hidden(name: str) -> bool:
    """True for files that a person did not put there: those that begin with a dot, and what macOS adds."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
