"""``studio provenance``: which run painted a picture, by the mark in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.cli import output


def provenance(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files.")],
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 3 where a file has no mark, or was changed since.")] = False,
) -> None:
    """Say which run painted pictures, by the mark that the studio writes into each PNG, and whether their pixels are as painted.

    A mark informs and does not prove: anybody can remove or write one.
    """
    from studio.core.errors import GateNotMetError
    from studio.core.provenance import read_mark

    found = [read_mark(path) for path in pictures]
    if output.json_wanted():
        output.emit_json([vars(one) for one in found])
    else:
        rows = []
        for one in found:
            mark = one.mark or {}
            said = one.state if one.mark or not one.source_type else "no mark of the studio's, but said to be made by a model"
            rows.append([one.file, said, mark.get("model"), mark.get("base"), mark.get("seed"), mark.get("created")])
        output.table(["file", "pixels", "painted by", "base", "seed", "when"], rows)
    bad = [f"{one.file}: {one.state}" for one in found if one.state != "as painted"]
    if gate and bad:
        raise GateNotMetError(f"{len(bad)} of {len(found)} files have no mark that fits: {'; '.join(bad)}.")
