"""Tables as people have them, small and made here, and recipes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.tables.build import build_table_dataset
from studio.data.tables.reading import ReadTable, read_columns
from studio.data.tables.sources import SourceTable
from studio.data.tables.table import DataTable
from studio.schema.table_recipe import TableRecipe


def recipe(path: Path | str = "rows.csv", **fields: Any) -> TableRecipe:
    """A recipe for one local file; ``source`` holds more fields of the source."""
    source = {"type": "local", "path": str(path), "licence": "own data", "name": "rows", **fields.pop("source", {})}
    return TableRecipe.model_validate({"kind": "table", "sources": [source], **fields})


def build(path: Path, workspace: Workspace, *, tell: Any = lambda _: None, **fields: Any) -> BuildOutcome:
    """Build a table of one file under the name ``rows``."""
    return build_table_dataset(recipe(path, **fields), workspace, name="rows", beside=path.parent, tell=tell)


def read(columns: dict[str, list[Any]], /, **fields: Any) -> ReadTable:
    """A table of columns as its reading leaves it; texts are texts, as of csv."""
    frame = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
    rows = len(frame)
    source = SourceTable(frame, [f"rows/{number}" for number in range(1, rows + 1)], [], [])
    return read_columns([source], ["rows"], recipe(**fields))


def table(columns: dict[str, list[Any]], /, divided: list[str] | None = None, **fields: Any) -> DataTable:
    """A table after reading, divided as said."""
    found = read(columns, **fields).table
    found.split = np.array(divided, dtype=object) if divided is not None else None
    return found


def credit(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Numbers, categories, a time and a target that depends on them."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(7, 0.5, rows).round(2)
    age = rng.integers(18, 80, rows)
    city = rng.choice(["Ulm", "Bonn", "Kiel"], rows, p=[0.6, 0.3, 0.1])
    risk = income / 1000 + age / 40 + rng.normal(0, 0.7, rows)
    return pd.DataFrame(
        {
            "income": income,
            "age": age,
            "city": city,
            "asked_on": (pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), "D")).strftime("%Y-%m-%d"),
            "repaid": np.where(risk > np.quantile(risk, 0.3), "yes", "no"),
        }
    )
