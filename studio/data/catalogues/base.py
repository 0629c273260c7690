"""What catalogues share: their answers as JSON, kept for builds without a network, and the licence that they state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.data.remote import Kept, kept_file
from studio.schema.places import AtUrl
from studio.schema.table_recipe import CatalogueTable

# What catalogues write where nobody has said anything.
_UNSAID = frozenset({"", "unknown", "none", "n/a", "not specified", "other", "other (specified in description)"})
_METADATA_MB = 16


def fetched(
    source: CatalogueTable, url: str, file_name: str, hosts: Sequence[str], headers: Mapping[str, str] | None, *, fixed: bool
) -> tuple[Kept, tuple[str, ...]]:
    """A file of a catalogue; see :func:`studio.data.remote.kept_file`.

    Args:
        hosts: that it may come from beside its own and those of the source.
        headers: sent to the host of the address alone. fixed: what lies there never changes.
    """
    at = AtUrl(
        type="url", url=url, file_name=file_name, hosts=[*source.hosts, *hosts], max_mb=source.max_mb, private=source.private
    )
    return kept_file(at, headers, fixed=fixed)


def described(source: CatalogueTable, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a catalogue answers at an address, as JSON.

    Raises:
        StudioError: it answers no JSON object, or not at all.
    """
    small = source.model_copy(update={"max_mb": _METADATA_MB})
    kept, _ = fetched(small, url, "answer.json", (), headers, fixed=False)
    try:
        value = json.loads(kept.file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudioError(f"{url} answers what is no JSON ({error}). Check the server, or try again later.") from error
    if not isinstance(value, dict):
        raise StudioError(f"{url} answers no JSON object. Check the server.")
    return value


def licence_of(source: CatalogueTable, stated: object, where: str) -> tuple[str, tuple[str, ...]]:
    """The licence of a data set and a note on where it is from.

    Args:
        stated: by the catalogue. where: the data set's name, for people.
    Raises:
        UserError: neither the catalogue nor the recipe says one.
    """
    said = " ".join(stated.split()) if isinstance(stated, str) and stated.strip().lower() not in _UNSAID else None
    if source.licence is not None:
        return source.licence, (f"{where}: the catalogue states the licence {said or 'of nobody'}, the recipe {source.licence}",)
    if said is None:
        shown = f" (it says {stated!r})" if stated else ""
        raise UserError(f"{where} states no licence{shown}. Find out from its owner and say it in the source: licence: ...")
    return said, (f"{where}: the licence {said} is what the catalogue states",)
