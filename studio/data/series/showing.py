"""Observations on a terminal and on pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.telling import Pairs, Table, Told
from studio.data.entries import REMOVED, Entry, given
from studio.data.kinds import Wanted
from studio.data.parquet import read_split_table, read_whole_dataset
from studio.data.series.rows import RemovedPoint, facts_of, read_removed_points
from studio.data.showing import choose, next_page

PAGE = 20
_SHOWN = 60


def show_series(folder: Path, wanted: Wanted) -> Told:
    """Rows of one split, or removed rows.

    Raises:
        UserError: no such split, row, id or page.
    """
    record = read_whole_dataset(folder)
    facts = facts_of(record)
    if wanted.removed:
        gone: Sequence[RemovedPoint] = read_removed_points(folder)
        chosen, first = choose(gone, wanted, page=PAGE, id_of=lambda item: item.id)
        table = _removed(chosen, first, record.name)
        document: list[dict[str, Any]] = [
            {"row": first + offset} | {name: getattr(item, name) for name in RemovedPoint.__slots__}
            for offset, item in enumerate(chosen)
        ]
        return Told((table, *next_page(wanted, first, len(chosen), len(gone))), document)
    rows = read_split_table(folder, record, wanted.split).to_pylist()
    lines, first = choose(rows, wanted, page=PAGE, id_of=lambda item: str(item["id"]))
    covariates = [*facts["known"], *facts["past"]]
    cells = [
        [
            first + offset,
            line["series"],
            line["time"],
            line["value"],
            *(line[name] for name in covariates),
            "filled" * line["filled"],
        ]
        for offset, line in enumerate(lines)
    ]
    table = Table(["row", "series", "time", "value", *covariates, ""], cells, right=["row", "value", *covariates])
    season = f"season of {facts['season_length']}" if facts["season_length"] > 1 else "no season"
    about = Pairs([("series", f"{facts['count']:,}, frequency {facts['frequency']}, {season}"), ("folder", folder)])
    document = [{"row": first + offset, **line, "time": line["time"].isoformat()} for offset, line in enumerate(lines)]
    return Told((table, about, *next_page(wanted, first, len(lines), len(rows))), document)


def _removed(rows: Sequence[RemovedPoint], first: int, name: str) -> Table:
    """Removed rows with the reason."""
    return Table(
        ["row", "id", "series", "time", "step", "reason", "value", "needed"],
        [
            [
                first + offset,
                item.id,
                item.series or "",
                item.time or "",
                item.step,
                item.reason,
                (item.value or "")[:_SHOWN],
                item.threshold or "",
            ]
            for offset, item in enumerate(rows)
        ],
        right=["row"],
        empty=f"{name}: nothing was removed.",
    )


def series_entries(folder: Path, part: str) -> list[Entry]:
    """Rows of one split of a finished Dataset, or its removed rows, as pages show them.

    Raises:
        StudioError: a file is missing or damaged.
    """
    if part == REMOVED:
        return [
            Entry(
                gone.id,
                [],
                given(
                    {
                        "series": gone.series,
                        "time": gone.time,
                        "found": gone.value,
                        "allowed": gone.threshold,
                        "kept": gone.matched,
                    }
                ),
                f"{gone.step}: {gone.reason}",
            )
            for gone in read_removed_points(folder)
        ]
    record = read_whole_dataset(folder)
    facts = facts_of(record)
    covariates = [*facts["known"], *facts["past"]]
    return [
        Entry(
            line["id"],
            [],
            {
                "series": line["series"],
                "time": str(line["time"]),
                "value": f"{line['value']:g}",
                **{name: f"{line[name]:g}" for name in covariates if line[name] is not None},
                **({"filled": "yes"} if line["filled"] else {}),
            },
        )
        for line in read_split_table(folder, record, part).to_pylist()
    ]
