"""The pages of Datasets: templates of this package, of which ``parts.html.j2`` holds what the pages of all kinds share."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

REPORT_FILE = "report.html"
_TEMPLATES = Path(__file__).parent


def page_template(name: str) -> Template:
    """A template of this package, with everything from data escaped; ``parts.html.j2`` holds what pages share."""
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment.get_template(name)
