"""A recipe for time series, where a file has stamps at a steady distance and numbers beside them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.workspace import Workspace
from studio.data.frames import FRAMES
from studio.data.memo import HashMemo
from studio.data.proposals import Proposal, Refusal, beginning_of, local_source, log_settings, too_wide
from studio.data.readers.packed import ARCHIVE, kind_of
from studio.data.series.build import SeriesBuilder
from studio.schema.series_recipe import SeriesRecipe

_USUAL_SHARE = 0.9


def propose_series(path: Path) -> Proposal | Refusal | None:
    """A recipe of series; None where nothing has an ending that is known."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    log, doubts = log_settings(path)
    if not log and not any(kind_of(file) in {*FRAMES, ARCHIVE} for file in files):
        return None
    recipe: dict[str, Any] = {
        "kind": "series",
        "description": f"Series from {path.name}.",
        "sources": [local_source(path) | log],
        "doubled": "remove",
        "fill": "none",
        "split": {"horizon": None, "windows": 3, "validation": 1},
    }
    told: list[str] = []
    with tempfile.TemporaryDirectory() as place, beginning_of(path) as first:
        tried = SeriesRecipe.model_validate(recipe | {"sources": [local_source(first) | log]})
        builder = SeriesBuilder(tried, Workspace.open(place), Path.cwd(), told.append)
        try:
            if wide := too_wide(path):
                return Refusal("series", wide)
            read = builder.read(builder.resolve(HashMemo(Path(place) / "memo.json")))
            single = builder.judge(0, read.rows)
            whole = builder.judge(1, single.rows)
        except StudioError as error:
            return Refusal("series", str(error))
    columns = read.figures["columns"]
    series = {point.series for point in whole.rows}
    if not whole.rows:
        return Refusal(
            "series", f"{path} holds no series that is long enough: {next(iter(whole.record.removed), 'no row is left')}."
        )
    recipe["columns"] = {"time": columns["time"], **({"series": columns["series"]} if columns["series"] else {})}
    recipe["columns"] |= {"value": columns["values"] if len(columns["values"]) > 1 else columns["values"][0]}
    order = ("kind", "description", "sources", "columns", "doubled", "fill", "split")
    kept = len(whole.rows) / max(1, len(read.rows) + len(read.removed))
    what = f"{len(series):,} series over {columns['time']}; {told[-1] if told else ''}".rstrip("; ")
    choices = ["Check columns: a column of numbers that is no series is named under known, past or ignore.", *doubts, *read.notes]
    return Proposal("series", 0.8 if kept >= _USUAL_SHARE else 0.3, what, {key: recipe[key] for key in order}, tuple(choices))
