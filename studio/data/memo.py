"""Remembered file hashes, so that an unchanged 125 MB file is not read again to know that it is unchanged."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from studio.core.files import sha256_file, write_json


class HashMemo:
    """sha256 by path, size, time of change and inode. A file touched in any way is hashed again."""

    def __init__(self, path: Path) -> None:
        """``path`` is the JSON file that remembers; a damaged one counts as empty."""
        self._path = path
        self._known: dict[str, list[object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def sha256(self, file: Path) -> str:
        """Hex sha256 of a file's bytes."""
        status = file.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        key = str(file.resolve())
        remembered = self._known.get(key)
        if isinstance(remembered, list) and remembered[:-1] == stamp:
            return str(remembered[-1])
        digest = sha256_file(file)
        self._known[key] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learnt, if anything."""
        if self._changed:
            write_json(self._path, self._known)
            self._changed = False
