"""What is worth trying where a search names no space: what the preset says, else the studio's own table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import ConfigError
from studio.schema.loading import Settings, load_yaml
from studio.schema.search import KnownSpace, KnownSpaces
from studio.search.space import Space, read_space

TABLE = Path(__file__).parent / "spaces.yaml"


def matching_space(settings: Mapping[str, Any]) -> KnownSpace | None:
    """The first entry whose settings a preset has; None where the table knows none.

    Args:
        settings: of the preset, nested names joined by dots.
    """
    for entry in load_yaml(TABLE, KnownSpaces).spaces:
        if all(settings.get(key) == value for key, value in entry.matches.items()):
            return entry
    return None


def known_space(
    preset: Path,
    schema: type[Settings],
    fixed: Sequence[str],
    settings: Mapping[str, Any],
    called: str,
    own: Mapping[str, Any] | None = None,
) -> Space:
    """The space of a search that names none.

    Args:
        own: ``search`` of the preset, None where it has none.
    Raises:
        ConfigError: the table has none for it either, or the preset's own has a slip.
    """
    found = None if own else matching_space(settings)
    space, place = (own, f"{preset}: search") if own else (found.space if found else None, str(TABLE))
    if space is None:
        raise ConfigError(
            f"what shall be tried? No space is known for {called}. Give one: --set SETTING=low..high (:log behind it for the "
            "scale of logarithms), --set 'SETTING=[a, b]', or --space FILE"
        )
    # What a person fixed is not tried.
    said = {setting.partition("=")[0].strip() for setting in fixed}
    left = {key: value for key, value in space.items() if key not in said}
    if not left:
        raise ConfigError(f"every setting that is worth trying of {called} is fixed with --set. Leave one out, or give a range.")
    return read_space(preset, schema, fixed, left, place)
