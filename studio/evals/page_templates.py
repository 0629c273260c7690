"""The colours of the pages that evaluations write, by day and by night, and the pages' templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

# CSS variable -> colour by day, colour by night.
_COLOURS = {
    "ink": ("#1c2330", "#e8ecf1"),
    "soft": ("#5b6675", "#a3aebb"),
    "line": ("#dfe4ea", "#37414d"),
    "paper": ("#fff", "#14181d"),
    "tint": ("#f5f7fa", "#1d232a"),
    "good": ("#11703b", "#62c98c"),
    "bad": ("#b3261e", "#ff8a80"),
    "even": ("#5b6675", "#a3aebb"),
    "warn": ("#fff4d6", "#33290b"),
    "warnline": ("#d9a400", "#a88a2b"),
    "open": ("#7a5b00", "#e0bd5a"),
    "tuned": ("#2463b4", "#6aa5f0"),
    "base": ("#9aa5b3", "#6b7785"),
}


def page_template(
    name: str, filters: Mapping[str, Callable[..., Any]] | None = None, folder: Path = Path(__file__).parent
) -> Template:
    """A page's Jinja template, which escapes everything that is not marked as safe and knows ``palette``."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= dict(filters or {})
    environment.globals["palette"] = _palette()
    return environment.from_string((folder / name).read_text(encoding="utf-8"))


def _palette() -> Markup:
    """The colours as CSS."""
    day, night = (" ".join(f"--{name}:{colours[side]};" for name, colours in _COLOURS.items()) for side in (0, 1))
    return Markup(f":root {{ {day} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {night} }} }}")
