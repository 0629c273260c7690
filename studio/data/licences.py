"""Licences as hubs name them in the head of a card.

Source: https://huggingface.co/docs/hub/repositories-licenses (the identifiers, in small letters).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

HUB_LICENCES = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear",
    "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl",
    "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0",
    "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "ofl-1.1",
    "pddl", "postgresql", "ncsa", "unlicense", "zlib", "unknown", "other",
))  # fmt: skip


def hub_licence(stated: Iterable[str | None]) -> dict[str, Any]:
    """``license`` of a card's head, and ``license_name`` where a source states one that hubs have no name for.

    Args:
        stated: what each source states, None where it states none. One that states none makes the whole ``unknown`` beside the
            others, because the rows of that source may not be allowed what the others allow.
    """
    names = list(dict.fromkeys((one or "").strip() or "unknown" for one in stated)) or ["unknown"]
    known = list(dict.fromkeys(name.lower() if name.lower() in HUB_LICENCES else "other" for name in names))
    named = [name for name in names if name.lower() not in HUB_LICENCES]
    return {"license": known[0] if len(known) == 1 else known} | ({"license_name": "; ".join(named)} if named else {})
