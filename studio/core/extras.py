"""The one guard for optional packages: imported where used, refused with the pip line."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from studio.core.errors import MissingExtraError


def require(module: str, *, feature: str, extra: str | None = None) -> ModuleType:
    """Import an optional module, or say which feature needs it and how to install it.

    Args:
        module: import name, for example ``"wandb"``.
        feature: what the person asked for, in their words.
        extra: name of the studio's extra that carries it; without one the package is named itself.
    Raises:
        MissingExtraError: the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        what = f"'finetuning-studio[{extra}]'" if extra else package
        raise MissingExtraError(f"{feature} needs the package '{package}' ({error}). Install it: pip install {what}") from error


def available(module: str) -> bool:
    """True when the module can be found; nothing is imported."""
    return importlib.util.find_spec(module) is not None
