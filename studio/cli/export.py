"""``studio export``: a run in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from studio.cli import output
from studio.core.errors import UserError, nearest

TARGETS = {"merged": "one model folder: the adapter folded into the unquantised base"}


def export(
    run: Annotated[str, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'.")],
    to: Annotated[str, typer.Option("--to", help="What to write: merged.")] = "merged",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; it must not exist. Default: merged/ inside the run.")
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Number type of the weights: float32 (exact) or bfloat16 (half the size, rounded).")
    ] = "float32",
) -> None:
    """Write a run as merged safetensors, proven to give the adapter's logits within 1e-3 on 16 prompts."""
    if to not in TARGETS:
        raise UserError(f"cannot export to {to!r}.{nearest(to, TARGETS)} Allowed: {', '.join(TARGETS)}.")
    kinds: dict[str, Literal["float32", "bfloat16"]] = {"float32": "float32", "bfloat16": "bfloat16"}
    if dtype not in kinds:
        raise UserError(f"--dtype is {dtype!r}.{nearest(dtype, kinds)} Allowed: {', '.join(kinds)}.")
    folder = output.open_workspace().find_run(run)
    target = out or folder / "merged"
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten. Move it away or give another folder with --out.")
    from studio.adapters.export import export_merged

    result = export_merged(folder, target, dtype=kinds[dtype])
    if output.json_wanted():
        output.emit_json(result)
        return
    output.say(f"Merged model written to {result.folder} ({output.size_text(result.bytes)}, {result.dtype}).")
    rows: list[tuple[str, object]] = [
        ("prompts compared", f"{result.prompts} ({result.prompts_from})"),
        ("largest logit difference to base + adapter", f"{result.max_difference:.1e} (at most 1e-03)"),
    ]
    if result.rounding_difference is not None:
        rows.append(("after rounding to bfloat16", f"{result.rounding_difference:.1e}"))
    if result.quantized_difference is not None and result.quantized_agreement is not None:
        rows.append(("to the quantised base + adapter it was trained as", f"{result.quantized_difference:.1e}"))
        rows.append(("same next token as there", f"{result.quantized_agreement:.1%} of positions"))
    output.pairs(rows)
    output.say(f"\nServe it: vllm serve {result.folder}")
