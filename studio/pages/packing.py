"""A folder as a zip that is written while it is sent, so that nothing is kept of it; bounded."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import StreamingResponse

from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import size_text

MOST_BYTES = 20 * 10**9
"""Of one download; whoever wants more copies the folder."""
_PIECE = 1 << 20


class _Outlet(io.RawIOBase):
    """Takes what a zip writes and hands it on."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Keep a piece until it is taken."""
        piece = bytes(data)  # type: ignore[call-overload]
        self._parts.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def zipped(place: Path, name: str) -> StreamingResponse:
    """A folder or a file as a download.

    Raises:
        UserError: it is larger than a download may be.
    """
    size = folder_size(place) if place.is_dir() else place.stat().st_size
    if size > MOST_BYTES:
        raise UserError(f"{place} holds {size_text(size)}, and a download has at most {size_text(MOST_BYTES)}. Copy the folder.")
    headers = {"content-disposition": f'attachment; filename="{name}.zip"', "cache-control": "no-store"}
    return StreamingResponse(_pieces(place, name), media_type="application/zip", headers=headers)


def _pieces(place: Path, name: str) -> Iterator[bytes]:
    """The zip, piece by piece. Weights do not get smaller by packing, so nothing is; links are left out, they lead elsewhere."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path, inside in _files(place):
            with path.open("rb") as source, archive.open(f"{name}/{inside}", "w", force_zip64=True) as target:
                while piece := source.read(_PIECE):
                    target.write(piece)
                    yield outlet.take()
    yield outlet.take()


def _files(place: Path) -> Iterator[tuple[Path, str]]:
    """Regular files and their names inside."""
    if not place.is_dir():
        yield place, place.name
        return
    for folder, _, names in os.walk(place):
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, path.relative_to(place).as_posix()
