"""Options that kinds add to a command, made into what typer reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Protocol

import typer

from studio.core.options import Option


class Optioned(Protocol):
    """A kind with options of its own."""

    @property
    def options(self) -> tuple[Option, ...]:
        """What only this kind understands."""


def with_kinds_options(function: Callable[..., None], kinds: Iterable[Optioned]) -> Callable[..., None]:
    """The function with one option for each that a kind has; they arrive in its ``**options``."""
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    added = [_parameter(option) for kind in kinds for option in kind.options]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        function(**given)

    command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return command


def _parameter(option: Option) -> inspect.Parameter:
    """An option as a parameter of a command function."""
    kind: Any = option.type
    annotation = Annotated[kind, typer.Option(option.flag, min=option.least, help=option.help)]
    return inspect.Parameter(option.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=option.default, annotation=annotation)
