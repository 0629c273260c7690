"""``studio export``: a run in another form. Which forms there are stands in ``studio.adapters.exports``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.adapters.exports import DEFAULT, NumberType, forms
from studio.cli import output
from studio.core.errors import UserError, nearest

_FORMS = forms()
_TO = f"What to write: {' or '.join(f'{name} ({form.models})' for name, form in _FORMS.items())}."
_OUT = f"Where to; it must not exist. Default: {' or '.join(form.place for form in _FORMS.values())} inside the run."
_RANK = (
    f"Rank of the LoRA, for {', '.join(name for name, form in _FORMS.items() if form.takes_rank)}. Default: what keeps 99% of it."
)
_DTYPES: dict[str, NumberType] = {"float32": "float32", "bfloat16": "bfloat16"}


def export(
    run: Annotated[str, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'.")],
    to: Annotated[str, typer.Option("--to", help=_TO)] = DEFAULT,
    out: Annotated[Path | None, typer.Option("--out", help=_OUT)] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Number type of the weights: float32 (exact) or bfloat16 (half the size, rounded).")
    ] = "float32",
    rank: Annotated[int | None, typer.Option("--rank", min=1, help=_RANK)] = None,
) -> None:
    """Write a run in another form, proven equal or measured; the forms are named below, from the table."""
    if to not in _FORMS:
        raise UserError(f"cannot export to {to!r}.{nearest(to, _FORMS)} Allowed: {', '.join(_FORMS)}.")
    if dtype not in _DTYPES:
        raise UserError(f"--dtype is {dtype!r}.{nearest(dtype, _DTYPES)} Allowed: {', '.join(_DTYPES)}.")
    if rank is not None and not _FORMS[to].takes_rank:
        raise UserError(f"--rank has no meaning with --to {to}. Leave it out.")
    wishes = {"rank": rank} if _FORMS[to].takes_rank else {}
    folder = output.open_workspace().find_run(run)
    target = _FORMS[to].target(folder, out)
    output.tell(_FORMS[to].write(folder, target, dtype=_DTYPES[dtype], **wishes))


_WHATS = ", or ".join(form.what for form in _FORMS.values())
export.__doc__ = f"Write a run in another form, proven equal or with what is lost measured: {_WHATS}."
