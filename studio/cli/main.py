"""The ``studio`` command: finds the command asked for, adds the options all have, and turns every error into one sentence.

Nothing but typer is imported before a command is chosen, and the help of one command imports that command's module only.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args

import typer
import typer.core
import typer.main

from studio import __version__
from studio.cli import output
from studio.core.errors import InterruptedRunError, StudioError, UserError, nearest
from studio.core.translation import LANGUAGES, set_language


@dataclass(frozen=True)
class Command:
    """One entry of the command line: where it lives and what ``studio --help`` says about it."""

    target: str
    summary: str
    section: str


START, BEFORE, TUNE, AFTER, HOUSE = "Start here", "Data and base models", "Tuning", "After tuning", "Housekeeping"
HIDDEN = ""

COMMANDS: dict[str, Command] = {
    "quickstart": Command("studio.cli.quickstart:quickstart", "The whole loop on the starter model and corpus.", START),
    "init": Command("studio.cli.init:init", "Start a project: goal, success metrics, limits, recipe.", START),
    "advise": Command("studio.cli.advise:advise", "Which presets a project should try, and what is still missing.", START),
    "doctor": Command("studio.cli.doctor:doctor", "What this machine can do, what is missing, what clashes.", START),
    "models": Command("studio.cli.models:app", "List and fetch starter models.", BEFORE),
    "data": Command("studio.cli.data:app", "Build a Dataset from a recipe, and look into it.", BEFORE),
    "annotate": Command("studio.cli.annotate:app", "Rows out to people's tools, and what they said back.", BEFORE),
    "plan": Command("studio.cli.plan:plan", "Memory, time and disk of a training run, before it starts.", TUNE),
    "train": Command("studio.cli.train:train", "Tune a base model on a Dataset.", TUNE),
    "search": Command("studio.cli.search:search", "Try settings of a preset, and confirm the best on rows never seen.", TUNE),
    "compare": Command("studio.cli.compare:compare", "Compare presets on the same folds of a Dataset.", TUNE),
    "eval": Command("studio.cli.evals:evaluate", "Measure a tuned model against its base.", AFTER),
    "predict": Command("studio.cli.predict:predict", "Labels, numbers, groups or forecasts for the rows of a file.", AFTER),
    "chat": Command("studio.cli.talk:talk", "Talk to a tuned model in the terminal.", AFTER),
    "app": Command("studio.cli.app:app", "Chat, compare, paint, annotate in the browser.", AFTER),
    "feedback": Command("studio.cli.feedback:app", "What users said: figures, export, drift.", AFTER),
    "serve": Command("studio.cli.serve:app", "An OpenAI-compatible endpoint on vLLM.", AFTER),
    "export": Command("studio.cli.export:export", "Write a run in another form, for example merged weights.", AFTER),
    "deploy": Command("studio.cli.deploy:deploy", "A folder for where people use it: Compose, Kubernetes, a Pi.", AFTER),
    "provenance": Command("studio.cli.provenance:provenance", "Which run painted a picture, by the mark in its file.", AFTER),
    "watch": Command("studio.cli.watch:watch", "Look at a model in use, and tell whoever has to know.", AFTER),
    "improve": Command("studio.cli.improve:improve", "One round: feedback, training, gate, trial, promotion.", AFTER),
    "runs": Command("studio.cli.runs:app", "List, show, compare, trace and prune runs.", HOUSE),
    "jobs": Command("studio.cli.jobs:app", "Commands that wait for a free device and run by themselves.", HOUSE),
    "reference": Command("studio.cli.reference:reference", "Print the reference of every command and setting.", HIDDEN),
}


class LazyGroup(typer.core.TyperGroup):
    """The top of the command line; a command's module is imported when that command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """The command behind a name, loaded now; None when there is none."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer's, but an unknown name is told with the nearest one and without loading any module."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise UserError(f"unknown command {args[0]!r}.{nearest(args[0], COMMANDS)} See: studio --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """List the commands by what they are for, from the table alone."""
        for section in dict.fromkeys(command.section for command in COMMANDS.values() if command.section != HIDDEN):
            with formatter.section(section):
                formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items() if command.section == section])


def load_command(name: str) -> Any:
    """Import one command and return it as typer's command object, with the options that every command has."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        for info in target.registered_commands:
            if info.callback is not None:
                info.callback = with_house_options(info.callback)
        target.rich_markup_mode = None
        target._add_completion = False
        group = typer.main.get_group(target)
        group.name, group.no_args_is_help = name, True
        group.help = group.help or COMMANDS[name].summary
        return group
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(with_house_options(target))
    return typer.main.get_command(single)


def with_house_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command function ``--json`` and ``--workspace`` (unless it has its own), tab completion and a clean Ctrl-C."""
    if getattr(function, "_house", False):
        return function
    signature = inspect.signature(function, eval_str=True)
    parameters = [_completed(parameter) for parameter in signature.parameters.values()]
    own = {flag: parameter.name for parameter in parameters for flag in _HOUSE_OPTIONS if flag in _flags(parameter)}
    added = [parameter for flag, parameter in _HOUSE_OPTIONS.items() if flag not in own]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        json = given.get(own["--json"]) if "--json" in own else given.pop("json_output")
        workspace = given.get(own["--workspace"]) if "--workspace" in own else given.pop("workspace_folder")
        if (lang := given.pop("lang", None)) is not None:
            set_language(lang)
        if json:
            output.set_json(True)
        if workspace is not None:
            output.set_workspace(str(workspace))
        try:
            function(**given)
        except KeyboardInterrupt as asked:
            raise InterruptedRunError(f"stopped by {str(asked) or 'Ctrl-C'} before it was done.") from None

    complete = [*parameters, *added]
    command.__signature__ = signature.replace(parameters=_ordered(complete))  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in complete}
    command._house = True  # type: ignore[attr-defined]
    return command


def _ordered(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Keyword-only, so that a default may stand before a parameter without one; typer calls by name anyway."""
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]


def _option(name: str, kind: Any, default: Any, *flags: str, text: str) -> inspect.Parameter:
    """A keyword parameter that typer reads as an option."""
    annotation = Annotated[kind, typer.Option(*flags, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_HOUSE_OPTIONS = {
    "--json": _option("json_output", bool, False, "--json", text="Print one JSON document on stdout, everything else on stderr."),
    "--workspace": _option(
        "workspace_folder", str | None, None, "--workspace", text="Folder of datasets and runs, instead of ./studio-workspace."
    ),
    "--lang": _option(
        "lang", str | None, None, "--lang", text=f"Language: {', '.join(LANGUAGES)}; without it that of the environment (LANG)."
    ),
}


def _flags(parameter: inspect.Parameter) -> set[str]:
    """Option names that a parameter declares, the one typer would make from its name included."""
    declared = {f"--{parameter.name.replace('_', '-')}"}
    for extra in get_args(parameter.annotation)[1:]:
        if isinstance(extra, typer.models.OptionInfo):
            given = [flag for flag in (extra.default, *(extra.param_decls or ())) if isinstance(flag, str)]
            declared = {name for flag in given for name in flag.split("/")} or declared
    return declared


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter with tab completion of the names it takes, chosen by its own name; settings are shown as KEY=VALUE."""
    from studio.cli import completion

    completer = completion.COMPLETERS.get(parameter.name)
    for extra in get_args(parameter.annotation)[1:]:
        if completer and isinstance(extra, typer.models.ParameterInfo) and extra.autocompletion is None:
            extra.autocompletion = completer
        if isinstance(extra, typer.models.OptionInfo) and extra.metavar is None and "--set" in _flags(parameter):
            extra.metavar = "KEY=VALUE"
    return parameter


def _print_version(wanted: bool) -> None:
    """Print the version and leave, for ``--version``."""
    if wanted:
        output.say(f"studio {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="studio",
    cls=LazyGroup,
    add_completion=True,
    rich_markup_mode=None,
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback(help="Tune a language model on your own data, and be sure of what you got.")
def _top(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, the rest on stderr.")] = False,
    workspace_folder: Annotated[
        str | None, typer.Option("--workspace", help="Folder of datasets and runs, instead of ./studio-workspace.")
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option("--lang", help=f"Language: {', '.join(LANGUAGES)}; without it that of the environment (LANG)."),
    ] = None,
) -> None:
    set_language(lang)
    output.set_json(json_output)
    output.set_workspace(workspace_folder)
    if context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 bad input, 3 gate not met, 130 interrupted."""
    from studio.cli.quiet import quiet_libraries

    quiet_libraries()
    try:
        result = typer.main.get_command(app).main(args=list(arguments), prog_name="studio", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except StudioError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(_usage_sentence(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped before it was done.", InterruptedRunError.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has gone; pointing stdout at nothing keeps Python from complaining while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from studio.cli.crash import bug_sentence

        return _fail(bug_sentence(error, list(arguments)), 1)


def _fail(sentence: str, code: int) -> int:
    """Print ``error: sentence`` to stderr and hand back the exit code; a shell that asks for completions is told nothing."""
    if "_STUDIO_COMPLETE" not in os.environ:
        output.note(f"error: {sentence}")
    return code


def _usage_sentence(error: Exception) -> str:
    """What was wrong with the command line, in one line, and where to read on."""
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", error.__str__)()
    if hasattr(error, "possibilities"):  # of an option that there is not; one that lacks its value has a name too
        possible = error.possibilities or []
        message = f"unknown option {error.option_name}." + (f" Did you mean {possible[0]!r}?" if possible else "")  # type: ignore[attr-defined]
    elif name := getattr(error, "option_name", None):
        message = f"option {name} needs a value: {name} VALUE."
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        output.note(context.get_help())
        return "a command is missing."
    message = message[:1].lower() + message[1:].rstrip()
    if message[-1:] not in {".", "?", "!", ")"}:
        message += "."
    return f"{message} See: {context.command_path} --help" if context is not None else message


def main() -> None:
    """Entry point of the installed ``studio`` script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
