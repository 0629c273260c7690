"""Names and archives that strangers send: made harmless before anything of them lies on the disk."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

from studio.core.errors import UserError

_LONGEST, _DEEPEST = 100, 6
_PIECE = 1 << 20
# By these an archive is told from one of rows; which pictures are read is for the recipe to say.
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".svg", ".avif"})
# What programs put beside the files of a person.
_CLUTTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


def safe_name(sent: str) -> str:
    """A name for a file that was sent: its last part, without signs that mean something to a system or a page."""
    last = unicodedata.normalize("NFC", sent).replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = re.sub(r"[^\w.()+-]+", "_", last).lstrip("._-") or "file"
    stem, dot, suffix = kept.rpartition(".")
    if not stem:
        return kept[:_LONGEST]
    suffix = f"{dot}{suffix}"[:20]
    return stem[: _LONGEST - len(suffix)] + suffix


def holds_pictures(path: Path) -> bool:
    """True for a zip archive half of whose files or more are pictures; of those nothing here reads the archive itself."""
    if path.suffix.lower() != ".zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and _wanted(name)]
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    pictures = sum(PurePosixPath(name).suffix.lower() in _PICTURES for name in names)
    return pictures > 0 and 2 * pictures >= len([name for name in names if PurePosixPath(name).suffix.lower() != ".txt"])


def unpack(path: Path, place: Path, most_files: int, most_bytes: int) -> None:
    """Put the files of an archive into a folder, in folders of the same names, and remove the archive.

    Raises:
        UserError: it holds too much, has a password, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and _wanted(one.filename)]
            if len(members) > most_files:
                raise UserError(
                    f"{path.name} holds {len(members):,} files, and an upload {most_files:,} at most. Send parts of it."
                )
            taken: set[str] = {path.name.casefold()}
            room = most_bytes
            for one in members:
                target = place / _inside(one.filename, taken)
                target.parent.mkdir(parents=True, exist_ok=True)
                room -= _written(archive, one, target, room, path.name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise UserError(f"{path.name} cannot be unpacked ({error}). Pack it anew, without a password.") from None
    path.unlink()


def _wanted(name: str) -> bool:
    """False for what lies in an archive and was not put there by a person."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not any(part in _CLUTTER or part.startswith(".") for part in parts if part not in {".", ".."})


def _inside(name: str, taken: set[str]) -> PurePosixPath:
    """A path below the folder that nothing else has, whatever the archive says."""
    parts = [safe_name(part) for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    *folders, last = parts[-_DEEPEST:] or ["file"]
    stem, dot, suffix = last.rpartition(".") if "." in last else (last, "", "")
    found, number = PurePosixPath(*folders, last), 2
    while str(found).casefold() in taken:
        found, number = PurePosixPath(*folders, f"{stem}-{number}{dot}{suffix}"), number + 1
    taken.add(str(found).casefold())
    return found


def _written(archive: zipfile.ZipFile, one: zipfile.ZipInfo, target: Path, room: int, name: str) -> int:
    """Unpack one file; its bytes.

    Raises:
        UserError: there is more than there is room for, whatever the archive says of its size.
    """
    size = 0
    with archive.open(one) as stream, target.open("wb") as out:
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > room:
                raise UserError(f"{name} unpacks to more than an upload may hold. Send parts of it.")
            out.write(piece)
    return size
