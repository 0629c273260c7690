"""Which row of a Dataset another program means: by its id, or a picture by the name of its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from studio.data.annotations.base import Item


class Names:
    """The rows of a Dataset by what others may call them; a name that two rows share stands for neither."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        """``items``: rows by id."""
        self._items = items
        self._named: dict[str, Item | None] = {}
        for item in items.values():
            for name in {*item.names, *(PurePosixPath(name).name for name in item.names)}:
                self._named[name] = None if name in self._named else item

    def find(self, *names: str) -> Item | None:
        """The row that is meant, the first name that says it; None where none does."""
        for name in names:
            if name in self._items:
                return self._items[name]
            path = unquote(name.rpartition("?d=")[2] if "?d=" in name else name.partition("?")[0])
            last = PurePosixPath(path).name
            # Label Studio puts eight hexadecimal digits before the name of an uploaded file.
            for known in (path, last, last.partition("-")[2]):
                if (item := self._named.get(known)) is not None:
                    return item
        return None
