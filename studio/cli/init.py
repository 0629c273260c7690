"""``studio init``: a project folder that says what is wanted and what success means, before anything is trained."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from studio.cli import output
from studio.core.errors import UserError, nearest
from studio.core.translation import language, later, t
from studio.data.kinds import STARTER_KIND

# Starter file -> place in the project.
_FILES = {
    "project.yaml": "project.yaml",
    "README.md": "README.md",
    "recipe.yaml": f"data_recipes/{STARTER_KIND}/NAME.yaml",
    "suite.yaml": "evals/NAME.yaml",
    "example.jsonl": "data/example.jsonl",
}

_QUESTIONS = {
    "TASK": (later("What shall the model do?"), later("FILL IN: what shall the model do?")),
    "AUDIENCE": (later("Who will use it?"), later("FILL IN: who will use it, and when?")),
}


def init(
    name: Annotated[str, typer.Argument(help="Name of the project; a folder of that name is made. With --check: its folder.")],
    check: Annotated[bool, typer.Option("--check", help="Check a project that exists instead of making one.")] = False,
    task: Annotated[str | None, typer.Option(help="What the model has to do, in one sentence.")] = None,
    audience: Annotated[str | None, typer.Option(help="Who will use it, and when.")] = None,
) -> None:
    """Start a project: a file for goal, success metrics, data and risks, with a recipe, a suite and the next commands.

    On a terminal two questions are asked where they are not answered already; otherwise none. Nothing that exists is overwritten.
    """
    folder = Path(name).expanduser()
    if check:
        if task is not None or audience is not None:
            raise UserError(
                "--check looks at a project as it is. Leave --task and --audience out, or change them in its project.yaml."
            )
        _check(folder)
    else:
        _make(folder, {"TASK": task, "AUDIENCE": audience})


def _make(folder: Path, said: Mapping[str, str | None]) -> None:
    """Write the whole project folder in one step.

    Args:
        said: answers to the questions that need not be asked.
    """
    from studio.core.files import new_folder, write_text

    name = folder.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(
            f"{name!r} cannot be the name of a project. Use letters, digits, '.', '_' and '-', a letter or digit first."
        )
    if folder.exists():
        raise UserError(
            f"{folder} exists already and is not overwritten. Choose another name, or check it: studio init {folder} --check"
        )
    known = {mark: " ".join(answer.split()) for mark, answer in said.items() if answer is not None}
    answers = {mark: known.get(mark) or _ask(t(question)) or t(unanswered) for mark, (question, unanswered) in _QUESTIONS.items()}
    with new_folder(folder) as draft:
        for source, target in _FILES.items():
            text = _starter(source)
            # A JSON string is a YAML string, whatever is in it.
            quote = functools.partial(json.dumps, ensure_ascii=False) if target.endswith(".yaml") else str
            filled = {"NAME": name} | {mark: quote(answer) for mark, answer in answers.items()}
            parts = re.split(r"\b(NAME|TASK|AUDIENCE)\b", text)
            text = "".join(filled[part] if index % 2 else part for index, part in enumerate(parts))
            write_text(draft / target.replace("NAME", name), text)
    files = [target.replace("NAME", name) for target in _FILES.values()]
    if output.json_wanted():
        output.emit_json({"folder": folder, "files": files})
        return
    output.say(t("Made {folder}/ with {files}.", folder=folder, files=", ".join(files)))
    output.say(t("Next: fill in {folder}/project.yaml, then: studio init {folder} --check", folder=folder))


def _starter(name: str) -> str:
    """A starter file in the person's language; a form that has no words of its own is the same in all."""
    folder = resources.files("studio.cli").joinpath("starter")
    translated = folder.joinpath(language(), name)
    return (translated if translated.is_file() else folder.joinpath(name)).read_text(encoding="utf-8")


def _check(folder: Path) -> None:
    """Read the project's files strictly; the first mistake is the error."""
    from studio.data.kinds import load_recipe
    from studio.evals.metrics import METRICS
    from studio.schema.loading import load_yaml
    from studio.schema.project import Project, find_project
    from studio.schema.suite import Suite

    file = find_project(folder)
    project = load_yaml(file, Project)
    for wanted in project.success:
        if wanted.metric not in METRICS:
            guess = nearest(wanted.metric, METRICS)
            raise UserError(f"{file}: unknown metric {wanted.metric!r} in 'success'.{guess} Allowed: {', '.join(METRICS)}.")
    suite_file = file.parent / "evals" / f"{project.name}.yaml"
    for recipe in sorted((file.parent / "data_recipes").glob(f"*/{project.name}.yaml")):
        load_recipe(recipe)
    missing = []
    if suite_file.is_file():
        suite = load_yaml(suite_file, Suite)
        missing = [wanted.metric for wanted in project.success if wanted not in suite.thresholds]
    if missing:
        raise UserError(
            f"{suite_file}: has no threshold like the success metric '{missing[0]}' of {file.name}. "
            "Copy it into 'thresholds', so that `studio eval --gate` holds runs to it."
        )
    if output.json_wanted():
        output.emit_json({"project": project, "complete": True})
    else:
        counts = {"metrics": len(project.success), "risks": len(project.risks)}
        output.say(t("{file} is complete: success metrics: {metrics}, risks named: {risks}.", file=file, **counts))


def _ask(question: str) -> str:
    """Ask on a terminal; an empty answer, or no terminal, leaves it for later."""
    if output.json_wanted() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    answer: str = typer.prompt(t("{question} (Enter: later)", question=question), default="", show_default=False, err=True)
    return " ".join(answer.split())
