"""LoRA on image models: attach, load, inversion, the layout of kohya. ``load_image_run`` is what model cards show people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.adapters.images.loading import LoadedImageRun, load_image_run

__all__ = ["LoadedImageRun", "load_image_run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: its libraries take seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from studio.adapters.images import loading

    return getattr(loading, name)
