"""Files that people bring: ``uploads/<name>-<hash>/`` of a workspace holds ``upload.json`` and the files under ``files/``.

What was brought is only ever read. The same bytes brought twice are one upload.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from studio.core.errors import StudioError, UserError
from studio.core.files import disk_errors, sha256_json, write_json
from studio.core.records import Record, read_record
from studio.core.workspace import Workspace
from studio.jobs.records import now
from studio.pages.packed import holds_pictures, safe_name, unpack

FILE, FILES = "upload.json", "files"
MOST_FILES = 5_000
MOST_BYTES = 2 * 10**9
"""Of all files of one upload."""
_PIECE = 1 << 20
_DAY = 24 * 3600


class UploadedFile(Record):
    """One file: its name here, its name as it was sent, its bytes and their hash."""

    name: str
    sent_as: str
    bytes: int
    sha256: str


class UploadRecord(Record):
    """``upload.json``: who brought what, and when. ``unpacked``: the file was a zip of pictures, and ``files/`` holds them."""

    id: str
    by: str = ""
    created: str
    files: list[UploadedFile]
    unpacked: bool = False


@dataclass(frozen=True)
class Upload:
    """An upload on disk."""

    folder: Path
    record: UploadRecord

    @property
    def place(self) -> Path:
        """What a recipe reads: the file, or the folder of several."""
        files = self.folder / FILES
        return files / self.record.files[0].name if len(self.record.files) == 1 and not self.record.unpacked else files

    @property
    def title(self) -> str:
        """The name of the file, or of the first of several."""
        return self.record.files[0].name

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.record.files)


def uploads_folder(workspace: Workspace) -> Path:
    """Where the uploads of a workspace lie."""
    return workspace.root / "uploads"


def keep_upload(workspace: Workspace, files: Sequence[tuple[str, BinaryIO]], *, by: str = "") -> Upload:
    """Write files that were sent, and say what they became; what was brought before is found again.

    Args:
        files: name as it was sent and content, read from its beginning.
    Raises:
        UserError: no file, only empty ones, or more than an upload may hold. StudioError: the disk is full or read-only.
    """
    if not files:
        raise UserError("no file was chosen. Choose one or several files.")
    if len(files) > MOST_FILES:
        raise UserError(f"{len(files):,} files were sent, and an upload holds {MOST_FILES:,}. Pack them as a zip.")
    root = uploads_folder(workspace)
    with disk_errors("an upload", root):
        root.mkdir(parents=True, exist_ok=True)
        _clear_away(root)
        place = Path(tempfile.mkdtemp(dir=root, prefix=".incoming-"))
        try:
            record = _written(place, files, by)
            write_json(place / FILE, record.model_dump(mode="json"))
            place.chmod(0o755)
            with suppress(OSError):  # somebody brought the same before, or at the same time
                place.rename(root / record.id)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return read_upload(root / record.id)


def _written(place: Path, files: Sequence[tuple[str, BinaryIO]], by: str) -> UploadRecord:
    """Copy the files into the folder."""
    (place / FILES).mkdir()
    kept: list[UploadedFile] = []
    room = MOST_BYTES
    for sent_as, stream in files:
        name = _free_name(safe_name(sent_as), {file.name.casefold() for file in kept})
        size, sha256 = _copy(stream, place / FILES / name, room)
        room -= size
        kept.append(UploadedFile(name=name, sent_as=sent_as[:500], bytes=size, sha256=sha256))
    if not any(file.bytes for file in kept):
        named = ", ".join(file.name for file in kept[:3])
        raise UserError(f"{named} is empty (0 bytes). Choose the file that holds the rows.")
    identity = sha256_json([[file.name, file.sha256] for file in kept])[:8]
    stem = kept[0].name.partition(".")[0][:40] or "file"
    unpacked = len(kept) == 1 and holds_pictures(place / FILES / kept[0].name)
    if unpacked:
        unpack(place / FILES / kept[0].name, place / FILES, MOST_FILES, MOST_BYTES)
    return UploadRecord(id=f"{stem}-{identity}", by=by, created=now(), files=kept, unpacked=unpacked)


def _clear_away(root: Path) -> None:
    """Remove what was left of uploads whose server was killed in the middle, after a day."""
    for left in root.glob(".incoming-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _DAY:
                shutil.rmtree(left, ignore_errors=True)


def _copy(stream: BinaryIO, path: Path, room: int) -> tuple[int, str]:
    """Copy one file; its bytes and their hash.

    Raises:
        UserError: it is larger than what is left.
    """
    size, digest = 0, hashlib.sha256()
    with path.open("wb") as out:
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > room:
                raise UserError(
                    f"{path.name} is too large: an upload holds {MOST_BYTES / 1e9:g} GB. Send a part of it, or copy it to this "
                    "machine and build it there: studio data look FILE"
                )
            digest.update(piece)
            out.write(piece)
    return size, digest.hexdigest()


def _free_name(name: str, taken: set[str]) -> str:
    """The name, or the name with a number where another file of the upload has it."""
    stem, dot, suffix = name.partition(".")
    number = 2
    found = name
    while found.casefold() in taken:
        found = f"{stem}-{number}{dot}{suffix}"
        number += 1
    return found


def read_upload(folder: Path) -> Upload:
    """Read one upload.

    Raises:
        StudioError: ``upload.json`` is missing or damaged.
    """
    record = read_record(folder / FILE, UploadRecord)
    if not record.files:
        raise StudioError(f"{folder / FILE} names no file. Remove the folder and bring the file again.")
    return Upload(folder, record)


def list_uploads(workspace: Workspace) -> list[Upload]:
    """Uploads, newest first; damaged ones are left out."""
    found = []
    for file in uploads_folder(workspace).glob(f"[!.]*/{FILE}"):
        with suppress(StudioError):
            found.append(read_upload(file.parent))
    return sorted(found, key=lambda upload: (upload.record.created, upload.record.id), reverse=True)
