"""Data sets of OpenML through its REST API (openml.org/apis): the description first, then the file that it names."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.data.catalogues.base import described, fetched, licence_of
from studio.data.remote import Kept
from studio.data.sources import ResolvedSource, resolved, single_file
from studio.schema.table_recipe import OpenmlTable

# Where openml.org keeps its files.
_HOSTS = ("openml.org", "www.openml.org", "api.openml.org", "data.openml.org")


def resolve_openml(source: OpenmlTable, index: int, suffixes: Collection[str]) -> ResolvedSource:
    """A data set by its number, or by its name and version.

    Raises:
        UserError: there is none, or nobody says its licence.
        StudioError: the server does not answer, and nothing is in the cache.
    """
    about = _description(source)
    name, version = str(about.get("name") or source.id), str(about.get("version") or "")
    where = f"OpenML {about.get('id', source.id)} ({name}, version {version})"
    licence, notes = licence_of(source, about.get("licence") or about.get("license"), where)
    kept, form, more = _file(source, about, where)
    notes += more
    notes += (f"{where} was fetched on {kept.fetched} as {form}, sha256 {kept.sha256}",)
    notes += tuple(
        f"{where}: the catalogue says that {what} is {about[key]}"
        for key, what in (
            ("default_target_attribute", "the target"),
            ("row_id_attribute", "the id"),
            ("ignore_attribute", "ignored"),
        )
        if about.get(key)
    )
    if about.get("status") not in {None, "active"}:
        notes += (f"{where} has the status {about['status']}",)
    location = f"{source.server}/d/{about.get('id', source.id)}"
    files = single_file(kept.file, suffixes)
    return resolved(source, index, name, location, kept.sha256, revision=version, files=files, notes=notes, licence=licence)


def _description(source: OpenmlTable) -> dict[str, Any]:
    """The description of a data set.

    Raises:
        UserError: there is none.
    """
    number = source.id if source.id.isdecimal() else _number(source)
    try:
        answer = described(source, f"{source.server}/api/v1/json/data/{number}")
    except StudioError as error:
        raise _unknown(source, error) from error
    about = answer.get("data_set_description")
    if not isinstance(about, dict):
        raise StudioError(f"{source.server} answers no description of the data set {number}. Check server and id.")
    return about


def _number(source: OpenmlTable) -> str:
    """The number of a data set that is named by its name and version."""
    name, _, version = source.id.rpartition("@")
    url = f"{source.server}/api/v1/json/data/list/data_name/{urllib.parse.quote(name, safe='')}/data_version/{version}"
    try:
        listed = described(source, url).get("data", {}).get("dataset", [])
    except StudioError as error:
        raise _unknown(source, error) from error
    numbers = [str(one["did"]) for one in listed if isinstance(one, dict) and "did" in one]
    if len(numbers) != 1:
        found = f"there are {len(numbers)}: {', '.join(numbers[:6])}" if numbers else "there is none"
        raise UserError(f"{source.id!r} names no single data set of {source.server} ({found}). Give its number: id: 61")
    return numbers[0]


def _unknown(source: OpenmlTable, error: StudioError) -> StudioError:
    """OpenML answers 412 for what it does not have."""
    if " answers 412" not in str(error):
        return error
    return UserError(f"{source.server} has no data set {source.id!r}. Look for it there, and give its number: id: 61")


def _file(source: OpenmlTable, about: dict[str, Any], where: str) -> tuple[Kept, str, tuple[str, ...]]:
    """The file of a data set, what it is, and notes: parquet, or ARFF where there is none or it cannot be had."""
    own = (urllib.parse.urlsplit(source.server).hostname or "").lower()
    hosts = (own, *_HOSTS) if own.endswith("openml.org") else (own,)
    failed: StudioError | None = None
    notes: tuple[str, ...] = ()
    for key, ending in (("parquet_url", "parquet"), ("url", "arff")):
        url = str(about.get(key) or "")
        if not url:
            continue
        if source.server.startswith("https:") and url.startswith("http:"):
            url = f"https:{url.removeprefix('http:')}"
        _check_host(url, {*hosts, *source.hosts}, where)
        try:
            kept, more = fetched(source, url, f"{_plain(str(about.get('name') or 'data'))}.{ending}", hosts, None, fixed=True)
        except StudioError as error:
            failed = error
            notes += (f"{where}: its {ending} cannot be had ({error})",)
            continue
        return kept, ending, notes + more
    raise failed or UserError(f"{where} names no file that can be fetched. Choose another version of it.")


def _check_host(url: str, hosts: Collection[str], where: str) -> None:
    """Refuse a file of a host that the catalogue is not known to use: its description is written by strangers."""
    host = (urllib.parse.urlsplit(url).hostname or "").lower()
    if host not in hosts:
        raise UserError(f"{where} has its file on {host or url[:80]}. If that is right, allow it in the source: hosts: [{host}]")


def _plain(name: str) -> str:
    """A name as that of a file."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)[:80].lstrip(".") or "data"
