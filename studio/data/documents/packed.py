"""Documents that are zip files inside: what is in them is measured before any of it is unpacked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.errors import DataError
from studio.data.documents.base import check_size

# Bytes that all files of one document may unpack to.
MOST_UNPACKED = 500 << 20

# What Python's zipfile raises on damaged files, beside its own error: offsets below 0, broken streams, names in no encoding.
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError, struct.error, NotImplementedError)


@contextmanager
def opened_zip(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """A document's zip file.

    Args:
        kind: what the document is called in messages, with its article: ``a Word document``.
    Raises:
        DataError: it is none, is damaged or encrypted, or unpacks to more than 500 MB.
    """
    check_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(item.file_size for item in archive.infolist())
            if total > MOST_UNPACKED:
                raise DataError(f"{path} unpacks to {total >> 20:,} MB, more than the {MOST_UNPACKED >> 20} MB that are read.")
            yield archive
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged or no {kind.partition(' ')[2]} ({error}). Save it again.") from error
    except RuntimeError as error:
        if "encrypted" not in str(error):
            raise
        raise DataError(f"{path} is encrypted. Save a copy without a password.") from error
