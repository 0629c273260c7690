"""``studio export``: a run in another form. Which forms there are stands in ``studio.exports.forms``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from studio.cli import output
from studio.core.environments import install as install_environment
from studio.core.errors import UserError, nearest
from studio.core.signals import sigterm_as_interrupt
from studio.exports.comparing import compare as compare_exports
from studio.exports.forms import DEFAULT, NumberType, Wishes, checked, environments, form_for, forms

_FORMS = [(name, form) for name, each in forms().items() for form in each]
_ENVIRONMENTS = environments()


def _takers(wish: str) -> str:
    """Names of the forms that know a setting."""
    return ", ".join(dict.fromkeys(name for name, form in _FORMS if wish in form.takes))


_TO = f"What to write: {' or '.join(f'{name} ({form.models})' for name, form in _FORMS)}."
_OUT = f"Where to; it must not exist. Default: {' or '.join(dict.fromkeys(form.place for _, form in _FORMS))} inside the run."
_RANK = f"Rank of the LoRA, for {_takers('rank')}. Default: what keeps 99% of it."
_DTYPE = f"Number type of the weights, for {_takers('dtype')}: float32 (exact) or bfloat16 (half the size, rounded)."
_QUANTS = "; ".join(f"{name} ({form.models}): {', '.join(form.quants)}" for name, form in _FORMS if form.quants)
_QUANT = f"How numbers are made smaller. {_QUANTS or 'No form has this'}."
_INSTALL = f"Install what a form needs into a folder of its own: {', '.join(_ENVIRONMENTS) or 'no form needs one'}."
_COMPARE = "Write nothing: measure what was exported of the run beside the run itself: size, speed, memory, distance."


def export(
    run: Annotated[str | None, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'.")] = None,
    to: Annotated[str, typer.Option("--to", help=_TO)] = DEFAULT,
    out: Annotated[Path | None, typer.Option("--out", help=_OUT)] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help=_DTYPE)] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=1, help=_RANK)] = None,
    quant: Annotated[str | None, typer.Option("--quant", help=_QUANT)] = None,
    install: Annotated[str | None, typer.Option("--install", help=_INSTALL)] = None,
    compare: Annotated[bool, typer.Option("--compare", help=_COMPARE)] = False,
) -> None:
    """Write a run in another form, proven equal or measured; the forms are named below, from the table."""
    if install is not None:
        if install not in _ENVIRONMENTS:
            raise UserError(
                f"--install {install}: no such environment.{nearest(install, _ENVIRONMENTS)} Allowed: {', '.join(_ENVIRONMENTS)}."
            )
        python = install_environment(_ENVIRONMENTS[install], say=output.note)
        output.note(f"The environment {install} is ready: {python}")
        if run is None:
            return
    if run is None:
        raise UserError("which run? studio export RUN --to FORM; the newest is 'last'. Runs: studio runs list")
    folder = output.open_workspace().find_run(run)
    if compare:
        if (to, out, dtype, rank, quant) != (DEFAULT, None, None, None, None):
            raise UserError(
                "--compare writes nothing, so --to, --out, --dtype, --rank and --quant have no meaning with it. Leave them out."
            )
        with sigterm_as_interrupt():
            output.tell(compare_exports(folder))
        return
    form = form_for(to, folder)
    wishes = checked(form, to, Wishes(dtype=cast("NumberType | None", dtype), rank=rank, quant=quant))
    target = form.target(folder, out, quant)
    form.check(folder, wishes)
    with sigterm_as_interrupt():
        output.tell(form.write(folder, target, wishes))


_WHATS = ", or ".join(form.what for _, form in _FORMS)
export.__doc__ = f"Write a run in another form, proven equal or with what is lost measured: {_WHATS}."
