"""The page on forecasting names every recipe, preset and metric; the contract names every column and field that is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from studio.core.content import list_content
from studio.data.series.rows import REMOVED_SCHEMA, ROW_SCHEMA
from studio.evals.suites import load_suite
from studio.models.forecast.forecaster import ForecasterInfo
from studio.models.forecast.local import Learnt
from studio.schema.forecast import Estimator
from studio.schema.forecast_scores import ForecastMetric

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "forecasting.md").read_text(encoding="utf-8")
CONTRACT = (DOCS / "artefacts.md").read_text(encoding="utf-8")


def test_the_page_names_everything_there_is() -> None:
    for kind, folder in (("data_recipes", "series/"), ("adapters", "forecast/")):
        for name in list_content(kind):  # type: ignore[arg-type]
            assert not name.startswith(folder) or f"`{name}`" in PAGE, name
    for metric in get_args(ForecastMetric):
        assert f"`{metric}`" in PAGE or f"`{metric}_80`" in PAGE, metric
    types = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(Estimator)[0])}
    presets = {name.partition("/")[2] for name in list_content("adapters") if name.startswith("forecast/")}
    assert types == presets, "one preset for each estimator"
    assert load_suite("forecast").tasks[0].metric_names() == [
        "mase", "rmsse", "mae", "rmse", "smape", "pinball", "coverage_80", "coverage_95", "width_80", "width_95",
    ]  # fmt: skip


def test_the_contract_names_every_column_and_field() -> None:
    data = set(re.findall(r"`(\w+)`", CONTRACT.partition("### A Dataset of time series")[2].partition("\n### ")[0]))
    assert {*ROW_SCHEMA.names, *REMOVED_SCHEMA.names} <= data
    run = set(re.findall(r"`(\w+)`", CONTRACT.partition("### A Run of forecasts")[2].partition("\n## ")[0]))
    assert {*ForecasterInfo.__dataclass_fields__, *Learnt.__dataclass_fields__} <= run
