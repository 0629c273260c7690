"""Data sets of Kaggle through its REST API, with the login that a person has set up for Kaggle's own client."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from studio.core.errors import UserError
from studio.core.fetch import offline
from studio.data.catalogues.base import described, fetched, licence_of
from studio.data.readers.packed import members
from studio.data.sources import DataFile, ResolvedSource, resolved, single_file
from studio.schema.table_recipe import KaggleTable

# Where Kaggle keeps its files; the login is not sent there.
_HOSTS = ("storage.googleapis.com", "www.kaggle.com", "kaggle.com")


def resolve_kaggle(source: KaggleTable, index: int, suffixes: Collection[str]) -> ResolvedSource:
    """A version of a data set.

    Raises:
        UserError: no login is set up, there is no such data set or file, or nobody says its licence.
        StudioError: the server does not answer, and nothing is in the cache.
    """
    login = {} if offline() else login_of(os.environ)
    about = described(source, f"{source.server}/api/v1/datasets/view/{source.id}", login)
    where = f"Kaggle {source.id}"
    licence, notes = licence_of(source, about.get("licenseName") or about.get("licenseNameNullable"), where)
    version = source.version or about.get("currentVersionNumber") or about.get("currentVersionNumberNullable")
    if not isinstance(version, int):
        raise UserError(f"{where} does not say which version is the newest. Say one in the source: version: 1")
    url = f"{source.server}/api/v1/datasets/download/{source.id}?datasetVersionNumber={version}"
    name = source.id.partition("/")[2]
    kept, more = fetched(source, url, f"{name}.zip", _HOSTS, login, fixed=True)
    notes += (f"{where}, version {version}, was fetched on {kept.fetched}, sha256 {kept.sha256}", *more)
    files = _chosen(source, kept.file, suffixes)
    location = f"{source.server}/datasets/{source.id}/versions/{version}"
    return resolved(source, index, name, location, kept.sha256, revision=str(version), files=files, notes=notes, licence=licence)


def _chosen(source: KaggleTable, archive: Path, suffixes: Collection[str]) -> tuple[DataFile, ...]:
    """The file that the source names, or all that can be read."""
    files = single_file(archive, suffixes)
    if source.file is None:
        return files
    found = tuple(file for file in files if file.label == f"{archive.name}/{source.file}")
    if not found:
        known = ", ".join(members(archive, suffixes)[0])
        raise UserError(f"Kaggle {source.id} has no file {source.file!r} that can be read. It has: {known}.")
    return found


def login_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The header of a request that says who asks: from the variables of Kaggle's client, or from its file.

    Raises:
        UserError: none is set up; says how.
    """
    if token := environment.get("KAGGLE_API_TOKEN"):
        return {"Authorization": f"Bearer {token.strip()}"}
    name, key = environment.get("KAGGLE_USERNAME"), environment.get("KAGGLE_KEY")
    folder = environment.get("KAGGLE_CONFIG_DIR")
    places = [Path(folder)] if folder else [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle"]
    for place in places if not (name and key) else ():
        with suppress(OSError, ValueError):
            value = json.loads((place / "kaggle.json").read_text(encoding="utf-8"))
            name, key = (value.get("username"), value.get("key")) if isinstance(value, dict) else (None, None)
            break
    if not (name and key):
        raise UserError(
            "type: kaggle needs a login there, and none is set up. Make a token on kaggle.com (Settings, API), save it as "
            f"{places[0] / 'kaggle.json'} or set KAGGLE_USERNAME and KAGGLE_KEY, and build again."
        )
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{key}'.encode()).decode()}"}
