"""A dataset on the Hub or on ModelScope, by id and revision: downloaded or streamed. Repositories' own code is never run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline
from studio.core.modelscope import Snapshot, fetch_repository, named_repository, on_modelscope

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
# What is fetched of a data set on ModelScope: tables, pictures, and the card, whose head may name configurations.
_DATA = ["*.csv", "*.tsv", "*.json", "*.jsonl", "*.parquet", "*.txt", "*.png", "*.jpg", "*.jpeg", "*.webp", "README.md"]
_NO_DATA = {"configuration.json", "dataset_infos.json", "dataset_info.json"}


@dataclass(frozen=True)
class HubTable:
    """One split of one configuration of a dataset at a revision; ``id`` is a Hub id, ``ms:owner/name``, or a local copy."""

    id: str
    revision: str
    subset: str | None = None
    split: str = "train"
    streaming: bool = False

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows in the Hub's order; raises as :meth:`load` does."""
        table = self.load()
        with self.errors():
            yield from table

    def load(self) -> Any:
        """The table as the library ``datasets`` gives it.

        Raises:
            UserError: no such dataset, revision, configuration or split.
            StudioError: the network is off or fails and nothing is in the cache.
        """
        import datasets

        place = str(fetch_data_set(self.id, self.revision).folder) if on_modelscope(self.id) else self.id
        local = Path(place).is_dir()
        with self.errors():
            return datasets.load_dataset(
                place,
                name=self.subset,
                split=self.split,
                revision=None if local else self.revision,
                streaming=self.streaming,
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the library's errors, which also come while rows are read, into one sentence."""
        import datasets

        try:
            yield
        except datasets.exceptions.DatasetNotFoundError as error:
            raise UserError(
                f"there is no dataset {self.id!r} at revision {self.revision!r} on the Hub, or it needs 'hf auth login' "
                f"({_first_sentence(error)})."
            ) from error
        except ValueError as error:
            raise UserError(f"the dataset {self.id!r} cannot be read as asked: {_first_sentence(error)}.") from error
        except (ConnectionError, OSError) as error:
            raise StudioError(_unreachable(self.id, error)) from error
        except ImportError as error:
            raise UserError(
                f"the dataset {self.id!r} holds files for which a package is not installed ({_first_sentence(error)}). Point "
                "a source of type local at the files that can be read, or of type documents at texts."
            ) from error
        except (RuntimeError, datasets.exceptions.DatasetsError) as error:
            if isinstance(error, datasets.exceptions.DatasetsError):
                cause = error.__cause__ or error
                raise UserError(f"the dataset {self.id!r} cannot be read: {_first_sentence(cause)}.") from error
            raise UserError(
                f"the dataset {self.id!r} needs code of its own, which is never run: {_first_sentence(error)}."
            ) from error


def fetch_data_set(identity: str, revision: str | None) -> Snapshot:
    """The files of a data set on ModelScope that hold rows or pictures, fetched or found in the cache.

    Raises:
        UserError, StudioError: as :func:`studio.core.modelscope.fetch_repository`; or there are no such files.
    """

    def wanted(path: str) -> bool:
        name = PurePosixPath(path).name
        return name not in _NO_DATA and any(fnmatch(name, pattern) for pattern in _DATA)

    snapshot = fetch_repository(named_repository("datasets", identity, revision), wanted)
    if all(file.path == "README.md" for file in snapshot.files):
        raise UserError(f"{identity} holds no file that can be read. Known: {', '.join(_DATA[:-1])}.")
    return snapshot


def resolve_revision(identity: str, revision: str) -> str:
    """Commit behind a branch or tag; the revision itself when it is a commit, a local folder, or the network is off.

    Of a data set on ModelScope it is the digest of its state.

    Raises:
        UserError: the Hub knows no such dataset or revision.
        StudioError: the Hub cannot be reached.
    """
    if on_modelscope(identity):
        return fetch_data_set(identity, revision).digest
    if _COMMIT.match(revision) or Path(identity).is_dir() or offline():
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return str(HfApi().dataset_info(identity, revision=revision, timeout=20).sha or revision)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UserError(
            f"there is no dataset {identity!r} at revision {revision!r} on the Hub, or it needs 'hf auth login'."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise StudioError(_unreachable(identity, error)) from error
    except Exception as error:  # the HTTP client's own errors share no public base class with OSError
        if "httpx" in type(error).__module__ or "requests" in type(error).__module__:
            raise StudioError(_unreachable(identity, error)) from error
        raise


def _unreachable(identity: str, error: BaseException) -> str:
    """One sentence for no network."""
    if offline():
        return (
            f"the Hub dataset {identity!r} is not in the cache and the network is off (HF_HUB_OFFLINE or STUDIO_OFFLINE). "
            "Build once with the network on, or use a local copy (type: local)."
        )
    return (
        f"the Hub could not be reached for {identity!r} ({_first_sentence(error)}). Check the network, "
        "or use a local copy (type: local)."
    )


def _first_sentence(error: BaseException) -> str:
    """First line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
