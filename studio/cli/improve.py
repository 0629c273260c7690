"""``studio improve``: one round that makes a model in use better, or goes on with the round that is not over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output

if TYPE_CHECKING:
    from studio.loop.rounds import Round


def improve(
    project: Annotated[str, typer.Argument(help="Folder of a project, or its project.yaml.")],
    yes: Annotated[bool, typer.Option("--yes", help="Say yes to the better model that waits.")] = False,
    no: Annotated[bool, typer.Option("--no", help="Give the round that is not over up; what it trained stays.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say how the rounds stand.")] = False,
    port: Annotated[int | None, typer.Option("--port", help="Which running server, where there are several.")] = None,
) -> None:
    """One round: what people said becomes rows, is trained on, compared, tried on a share of the traffic, and promoted.

    Called again, it goes on with the round that is not over: interrupted, waiting for --yes, or on trial.
    """
    from studio.core.errors import UserError
    from studio.schema.loading import load_yaml
    from studio.schema.project import Project, find_project

    if sum((yes, no, status)) > 1:
        raise UserError("--yes, --no and --status exclude each other: give one of them.")
    file = find_project(project)
    plan = load_yaml(file, Project)
    workspace = output.open_workspace()
    if status:
        from studio.loop.rounds import list_rounds

        _tell_all(list_rounds(workspace, plan.name))
        return
    from studio.loop.improving import improve

    answer = "yes" if yes else "no" if no else None
    made = improve(plan, file.resolve().parent, workspace, answer=answer, port=port, say=output.note)  # type: ignore[arg-type]
    if made is None:
        if output.json_wanted():
            output.emit_json({"round": None})
        return
    _tell(made, project)


def _tell(made: Round, project: str) -> None:
    """How a round stands, and what can be done next."""
    record = made.record
    if output.json_wanted():
        output.emit_json({"folder": made.folder, **record.model_dump(mode="json"), "next": record.next_step})
        return
    output.say(f"round {record.number}: {record.status}. {record.sentence}")
    if (made.folder / "report.md").is_file():
        output.say(f"Report: {made.folder / 'report.md'}")
    nexts = {
        "waiting": f"Say yes: studio improve {project} --yes   or give it up: studio improve {project} --no",
        "trial": f"Look again: studio improve {project}   (studio watch {project} takes it back by itself where it is worse)",
    }
    if record.status in nexts:
        output.say(nexts[record.status])


def _tell_all(rounds: list[Round]) -> None:
    """All rounds, oldest first."""
    if output.json_wanted():
        output.emit_json([made.record.model_dump(mode="json") for made in rounds])
        return
    rows = [[made.record.number, made.record.created, made.record.status, made.record.sentence] for made in rounds]
    output.table(["round", "begun", "status", "how it stands"], rows, empty="No round yet.")
