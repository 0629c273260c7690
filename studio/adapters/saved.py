"""What a Run says of itself, read back; whatever it trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import StudioError


def saved_settings(run_folder: Path) -> dict[str, Any]:
    """The run's ``config.yaml`` as plain values, read tolerantly: a newer studio may have written it."""
    path = run_folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StudioError(f"{path} is damaged: {str(error).splitlines()[0]}.") from error
    return value if isinstance(value, dict) else {}
