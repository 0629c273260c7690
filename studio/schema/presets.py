"""Which schema a preset is read with: the one of its ``kind``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import ConfigError, nearest
from studio.core.registry import Registry
from studio.schema.loading import Settings, load_yaml

KINDS = Registry(
    "kind of preset",
    {
        "chat": "studio.schema.adapter:ChatAdapter",
        "diffusion": "studio.schema.diffusion:DiffusionAdapter",
        "vae": "studio.schema.generative:VaeAdapter",
        "gan": "studio.schema.generative:GanAdapter",
    },
)


def kind_of(path: Path) -> str:
    """The ``kind`` a preset's file says; ``chat`` where the file cannot be read, for the reader of chats will say why.

    Raises:
        ConfigError: another kind than those that can be trained.
    """
    try:
        value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return "chat"
    kind = value.get("kind", "chat") if isinstance(value, dict) else "chat"
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        raise ConfigError(f"{path}: 'kind' is {kind!r}.{nearest(str(kind), KINDS)} Allowed: {known}.")
    return kind


def load_preset(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a preset of any kind.

    Raises:
        ConfigError: as :func:`studio.schema.loading.load_yaml`.
    """
    schema: type[Settings] = KINDS.get(kind_of(path))
    return load_yaml(path, schema, overrides)
