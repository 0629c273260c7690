"""``studio advise``: which presets a project should try, what data is missing, what success would need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.cli import output


def advise(
    project: Annotated[
        str, typer.Argument(help="project.yaml, or a project's folder; its 'needs' are weighed.")
    ] = "project.yaml",
) -> None:
    """Name two or three presets with reasons, what data is missing, and what success would need. Nothing is trained."""
    from studio.core.errors import UserError
    from studio.search.advise import advise as weigh
    from studio.search.advise import told

    path = Path(project).expanduser()
    file = path / "project.yaml" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"there is no project {project}. Make one: studio init NAME")
    output.tell(told(file, weigh(file, output.open_workspace(), output.note)))
