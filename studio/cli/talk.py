"""The command that talks to a model in the terminal, or answers one question per line from a pipe."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from studio.apps.terminal import converse, open_model
from studio.cli.output import emit_json, json_wanted, note, open_workspace


def talk(
    model: Annotated[str, typer.Argument(help="Run (name, id, folder or 'last') or base model (starter, folder or Hub id).")],
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer in tokens.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 always takes the most likely token.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of drawn answers, when the temperature is above 0.")] = 0,
    system: Annotated[str | None, typer.Option("--system", help="System turn that stands before the talk.")] = None,
    template_argument: Annotated[
        list[str] | None,
        typer.Option("--template-argument", help="NAME=VALUE for the template, such as enable_thinking=false; repeatable."),
    ] = None,
) -> None:
    """Talk to a tuned model. Piped input is answered line by line, without prompts."""
    interactive = sys.stdin.isatty() and not json_wanted()
    note(f"opening {model} …")
    messages = converse(
        open_model(open_workspace(), model, template_argument or ()),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        system=system,
        interactive=interactive,
        silent=json_wanted(),
        tell=note,
    )
    if json_wanted():
        emit_json(messages)
