"""``studio export``: a run in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from studio.cli import output
from studio.core.errors import UserError, nearest

TARGETS = {
    "merged": "one model folder: the adapter folded into the unquantised base (chat)",
    "kohya": "one file that AUTOMATIC1111, Forge, ComfyUI and others load (images)",
}


def export(
    run: Annotated[str, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'.")],
    to: Annotated[str, typer.Option("--to", help="What to write: merged (chat) or kohya (images).")] = "merged",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where to; it must not exist. Default: merged/ or kohya/NAME.safetensors inside the run."),
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Number type of the weights: float32 (exact) or bfloat16 (half the size, rounded).")
    ] = "float32",
) -> None:
    """Write a run in another form, proven equal: merged safetensors of a chat model, or an image LoRA in kohya's layout."""
    if to not in TARGETS:
        raise UserError(f"cannot export to {to!r}.{nearest(to, TARGETS)} Allowed: {', '.join(TARGETS)}.")
    kinds: dict[str, Literal["float32", "bfloat16"]] = {"float32": "float32", "bfloat16": "bfloat16"}
    if dtype not in kinds:
        raise UserError(f"--dtype is {dtype!r}.{nearest(dtype, kinds)} Allowed: {', '.join(kinds)}.")
    folder = output.open_workspace().find_run(run)
    if to == "kohya":
        _export_kohya(folder, out)
        return
    target = out or folder / "merged"
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten. Move it away or give another folder with --out.")
    from studio.adapters.chat.export import export_merged

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


def _export_kohya(folder: Path, out: Path | None) -> None:
    """Write and report one file."""
    name = f"{folder.parent.name}.safetensors"
    target = out if out is not None and out.suffix == ".safetensors" else (out or folder / "kohya") / name
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten. Move it away or give another file with --out.")
    from studio.adapters.images.kohya_export import export_kohya

    result = export_kohya(folder, target)
    if output.json_wanted():
        output.emit_json(result)
        return
    output.say(f"LoRA of {result.modules} layers written to {result.file} ({output.size_text(result.bytes)}, {result.family}).")
    output.pairs(
        [
            ("read back by", result.read_by),
            ("largest difference of an update", f"{result.update_difference:.1e} of its size"),
            ("largest difference of a prediction", f"{result.output_difference:.1e} of its size"),
        ]
    )
