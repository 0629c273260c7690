"""``studio runs lineage``: from the rows of a source to what is in use, run by run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output

if TYPE_CHECKING:
    from studio.loop.lineage import Member

_SHOWN = 80


def lineage(
    run: Annotated[
        str | None, typer.Argument(help="A run, with what it goes back to and what went on from it; without one, what is in use.")
    ] = None,
    row: Annotated[
        str | None, typer.Option("--row", help="Instead: where a row is (its id, or words in it), and what learnt from it.")
    ] = None,
) -> None:
    """Show the family tree of what is in use: sources, Datasets, runs from runs, reports, exports, rounds, aliases."""
    from studio.core.errors import UserError
    from studio.loop.lineage import as_tree, family

    workspace = output.open_workspace()
    if row is not None:
        if run is not None:
            raise UserError("--row looks through all Datasets: leave the run out.")
        _tell_row(row)
        return
    members = family(workspace, run)
    if output.json_wanted():
        output.emit_json([vars(member) for member in members])
        return
    for depth, member in as_tree(members):
        _tell(member, "    " * depth)


def _tell(member: Member, indent: str) -> None:
    """One run with what it is made of."""
    standing = f"   <- {', '.join(member.aliases)}" if member.aliases else ""
    output.say(f"{indent}{member.run}{standing}")
    if member.gone:
        output.say(f"{indent}  gone: {member.gone}")
        return
    begins = f"from {member.start}" if member.start else f"base {member.base or 'none'}"
    output.say(f"{indent}  {member.method}, {begins}")
    data = member.dataset or {}
    output.say(
        f"{indent}  Dataset {data.get('name')}/{data.get('fingerprint')}" + (f": {data['gone']}" if "gone" in data else "")
    )
    for source in data.get("sources", []):
        output.say(
            f"{indent}    {source['rows']} rows of {source['name']}: {source['location']} ({source['licence'] or 'no licence'})"
        )
    for suite, gate in member.reports.items():
        output.say(f"{indent}  measured with {suite}: {gate}")
    for export in member.exports:
        output.say(f"{indent}  exported as {export['form']}: {export['path']}" + ("" if export["there"] else " (gone)"))
    if member.round:
        output.say(f"{indent}  {member.round}")


def _tell_row(wanted: str) -> None:
    """Every place of a row."""
    from studio.loop.lineage import find_row

    found = find_row(output.open_workspace(), wanted)
    if output.json_wanted():
        output.emit_json([vars(one) for one in found])
        return
    rows = [
        [one.dataset, one.split, one.id, one.text[:_SHOWN], ", ".join(one.runs) or None, ", ".join(one.behind) or None]
        for one in found
    ]
    output.table(["Dataset", "split", "id", "row", "runs on the Dataset", "learnt by alias"], rows)
