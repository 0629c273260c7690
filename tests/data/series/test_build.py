"""Series from files and packages: long and wide, frequency and gaps told, divided in time; what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.series.kind import SERIES
from studio.data.series.rows import facts_of, read_panel
from tests.data.series.made_series import build, made_frame, written

if TYPE_CHECKING:
    from tests.conftest import Result


@pytest.fixture
def frame() -> pd.DataFrame:
    return made_frame()


def test_the_last_windows_of_every_series_are_held_out_in_time(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    outcome = build(written(tmp_path, frame.sample(frac=1, random_state=0)), workspace)
    record = outcome.record
    assert record.splits == {"train": 3 * 54, "validation": 3 * 6, "test": 3 * 12}
    facts = facts_of(record)
    assert (facts["frequency"], facts["season_length"], facts["count"]) == ("MS", 12, 3)
    whole = {split: pd.read_parquet(outcome.folder / f"{split}.parquet") for split in record.splits}
    for name in ("s0", "s1", "s2"):
        times = [part.loc[part.series == name, "time"] for part in whole.values()]
        assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert any("put in order of time" in note for note in outcome.notes), "the rows were shuffled"
    panel = read_panel(outcome.folder, ["train", "validation"])
    assert [len(one) for one in panel.series] == [60] * 3 and panel.series[1].start == pd.Timestamp("2015-01-01")
    np.testing.assert_allclose(panel.series[0].values, frame[frame.series == "s0"].value.to_numpy()[:60])


def test_wide_and_long_files_of_every_form_give_the_same_series(
    frame: pd.DataFrame, tmp_path: Path, workspace: Workspace
) -> None:
    wide = frame.pivot(index="time", columns="series", values="value").reset_index()
    files = {"wide.csv": written(tmp_path, wide, "wide.csv")}
    for suffix in ("parquet", "json", "xlsx"):
        files[suffix] = tmp_path / f"long.{suffix}"
    frame.to_parquet(files["parquet"])
    frame.assign(time=frame.time.dt.strftime("%Y-%m-%d")).to_json(files["json"], orient="records")
    frame.to_excel(files["xlsx"], index=False)
    expected = read_panel(build(written(tmp_path, frame), workspace).folder, ["train"])
    for name, file in files.items():
        found = read_panel(build(file, workspace, name=Path(name).stem).folder, ["train"])
        assert found.names == expected.names, name
        for one, other in zip(found.series, expected.series, strict=True):
            np.testing.assert_allclose(one.values, other.values, err_msg=name)


@pytest.mark.parametrize(
    ("data", "frequency", "stamps"), [("nile", "YS-JAN", 100), ("co2", "W-SAT", 2284), ("sunspots", "YS-JAN", 309)]
)
def test_data_sets_of_statsmodels_need_no_fetch(data: str, frequency: str, stamps: int, workspace: Workspace) -> None:
    from studio.data.series.build import build_series_dataset
    from studio.schema.loading import load_value
    from studio.schema.series_recipe import SeriesRecipe

    value = {"kind": "series", "sources": [{"type": "package", "data": data, "licence": "public domain"}]}
    outcome = build_series_dataset(load_value(value, SeriesRecipe), workspace, name=data)
    facts = facts_of(outcome.record)
    assert facts["frequency"] == frequency
    [one] = read_panel(outcome.folder, list(outcome.record.splits)).series
    assert len(one) == stamps
    if data == "co2":
        # 59 weeks have no value; they are removed with the reason, and are gaps of the grid.
        assert outcome.record.steps[0].removed == {"no value": 59}
        assert int(np.isnan(one.values).sum()) == facts["gaps"]["stamps"] == 59
        assert any("59 stamps" in note and "longest gap" in note for note in outcome.notes)


def test_gaps_are_told_and_filled_as_said_and_never_from_behind_a_split(
    frame: pd.DataFrame, tmp_path: Path, workspace: Workspace
) -> None:
    # The last stamps of train and one inside it are missing.
    gone = frame[(frame.series == "s0") & (frame.index.isin([10, 11, 52, 53]))].index
    file = written(tmp_path, frame.drop(gone))
    series = {
        how: read_panel(build(file, workspace, f"fill={how}", name=how).folder, ["train", "validation", "test"]).series[0]
        for how in ("none", "previous", "linear", "zero")
    }
    values = frame.value.to_numpy()
    assert np.isnan(series["none"].values[[10, 11, 52, 53]]).all()
    assert (series["zero"].values[[10, 52]] == 0).all()
    assert (series["previous"].values[[10, 11]] == values[9]).all()
    np.testing.assert_allclose(series["linear"].values[10], values[9] + (values[12] - values[9]) / 3)
    assert (series["linear"].values[[52, 53]] == values[51]).all(), "a line to the validation split would tell of it"
    for how in ("previous", "linear", "zero"):
        assert not series[how].seen[[10, 11, 52, 53]].any() and series[how].seen.sum() == 68, "filled values are marked"
    outcome = build(file, workspace, "fill=linear", name="told")
    assert outcome.record.model_extra["rows_added"] == 4
    assert any("gaps: 4 stamps in 1 series" in note and "filled (linear)" in note for note in outcome.notes)


def test_doubled_stamps_are_removed_with_the_reason_or_refused(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    more = pd.concat([frame, frame.iloc[[3]], frame.iloc[[4]].assign(value=1.0)])
    file = written(tmp_path, more)
    outcome = build(file, workspace)
    assert outcome.record.steps[1].removed == {"a copy of a row": 1, "a second value for one stamp": 1}
    gone = pd.read_parquet(outcome.folder / "removed.parquet")
    assert gone.matched.tolist() == ["sales/4", "sales/5"] and "kept" in gone.value.iloc[1]
    with pytest.raises(DataError, match=r"2 rows have the stamp of an earlier row.*s0 2015-04-01"):
        build(file, workspace, "doubled=refuse")


def test_series_below_each_other_without_a_name_are_recognised(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    file = written(tmp_path, frame.drop(columns="series").assign(shop=frame.series))
    with pytest.raises(DataError, match=r"name the column that tells them apart \(columns.series\)"):
        build(file, workspace)
    assert facts_of(build(file, workspace, "columns.series=shop").record)["count"] == 3


def test_short_series_and_those_of_another_frequency_go_with_a_reason(
    frame: pd.DataFrame, tmp_path: Path, workspace: Workspace
) -> None:
    short = made_frame(1, 30).assign(series="short")
    daily = made_frame(1, 80, frequency="D").assign(series="daily")
    outcome = build(written(tmp_path, pd.concat([frame, short, daily])), workspace)
    assert facts_of(outcome.record)["count"] == 3
    removed = outcome.record.steps[2].removed
    assert removed == {"the series has another frequency": 80, "the series is too short": 30}
    gone = pd.read_parquet(outcome.folder / "removed.parquet")
    line = gone[gone.series == "short"].iloc[0]
    assert (line.value, line.threshold) == ("30 stamps", "42 stamps: 12 test, 6 validation, 24 before")


def test_a_series_shorter_than_its_season_is_named_as_too_short(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"no row is left: the step 'grid' removed 10 of 10 \(the series is too short\)"):
        build(written(tmp_path, made_frame(1, 10)), workspace)


def test_rows_that_are_no_observation_have_a_reason_each(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    told = frame.astype({"value": "object"}).assign(time=frame.time.dt.strftime("%Y-%m-%d"))
    told.loc[5, "value"], told.loc[6, "value"], told.loc[7, "value"], told.loc[8, "time"] = "broken", "n/a", "inf", "unknown"
    told.loc[9, "series"] = None
    outcome = build(written(tmp_path, told), workspace)
    assert outcome.record.steps[0].removed == {
        "the value is no number": 1,
        "no value": 1,
        "the value is infinite": 1,
        "no stamp": 1,
        "no name of a series": 1,
    }


def test_all_missing_constant_and_mixed_formats(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no column holds numbers|no row is left"):
        build(written(tmp_path, frame.assign(value=None)), workspace, "columns.value=value")
    outcome = build(written(tmp_path, frame.assign(value=frame.value.where(frame.series != "s1", 5.0))), workspace)
    assert facts_of(outcome.record)["constant"] == ["s1"] and any("s1 never changed" in note for note in outcome.notes)
    mixed = frame.assign(time=frame.time.dt.strftime("%Y-%m-%d"))
    mixed.loc[[4, 9], "time"] = ["05/31/2015", "10/31/2015"]
    with pytest.raises(DataError, match=r"two formats: most as '2015-01-01', but row 5 '05/31/2015', row 10 '10/31/2015'"):
        build(written(tmp_path, mixed), workspace)


def test_time_zones_are_told(tmp_path: Path, workspace: Workspace) -> None:
    frame = made_frame(1, 24 * 14, frequency="h")
    told = frame.assign(time=frame.time.dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"))
    outcome = build(written(tmp_path, told), workspace, "split.horizon=24")
    assert any("converted to UTC" in note for note in outcome.notes)
    assert read_panel(outcome.folder, ["train"]).series[0].start == pd.Timestamp("2014-12-31 22:00")
    assert facts_of(outcome.record)["season_length"] == 24


def test_no_frequency_and_wrong_ones_are_one_sentence(tmp_path: Path, workspace: Workspace) -> None:
    draws = np.random.default_rng(0)
    odd = made_frame(1, 60, frequency="D")
    odd["time"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.cumsum(draws.integers(1, 9, 60)), unit="D")
    with pytest.raises(DataError, match=r"no frequency was found: of sales.*Say it: frequency: D"):
        build(written(tmp_path, odd.drop(columns="series")), workspace)
    with pytest.raises(UserError, match="'monthly' is no frequency"):
        build(written(tmp_path, made_frame(1)), workspace, "frequency=monthly")


def test_covariates_are_kept_and_must_be_numbers(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    more = frame.assign(price=np.arange(len(frame)) * 1.5, rain=2.0, weather="dry")
    outcome = build(written(tmp_path, more), workspace, "columns.known=[price]", "columns.past=[rain]")
    panel = read_panel(outcome.folder, ["train", "validation", "test"])
    assert (panel.known, panel.past) == (("price",), ("rain",)) and panel.series[1].known[0, 0] == 72 * 1.5
    assert any("columns that are not used: weather" in note for note in outcome.notes)
    with pytest.raises(DataError, match=r"the covariate 'weather' holds 'dry' \(row 1\)"):
        build(written(tmp_path, more), workspace, "columns.known=[weather]")
    with pytest.raises(DataError, match="no column 'prices'. Did you mean 'price'"):
        build(written(tmp_path, more), workspace, "columns.known=[prices]")


def test_unknown_settings_are_named_with_the_nearest(frame: pd.DataFrame, tmp_path: Path, workspace: Workspace) -> None:
    file = written(tmp_path, frame)
    for setting, said in (
        ("split.horizn=3", "horizon"),
        ("fil=linear", "fill"),
        ("split.seed=1", "Allowed: horizon, validation, windows"),
    ):
        with pytest.raises(UserError, match=said):
            build(file, workspace, setting)


def test_the_same_bytes_give_the_same_dataset_and_a_change_another(
    frame: pd.DataFrame, tmp_path: Path, workspace: Workspace
) -> None:
    file = written(tmp_path, frame)
    first, again, other = build(file, workspace), build(file, workspace), build(file, workspace, "fill=zero")
    assert again.cached and again.folder == first.folder and other.folder != first.folder
    split = build(file, workspace, "split.windows=1")
    assert split.reused == 2 and split.record.splits["test"] == 18


def test_commands_build_show_and_report(frame: pd.DataFrame, tmp_path: Path, studio: Callable[..., Result]) -> None:
    written(tmp_path, frame.drop(5))
    recipe = tmp_path / "sales.yaml"
    recipe.write_text(
        "kind: series\nsources:\n  - {type: local, path: sales.csv, licence: own data}\nsplit: {horizon: 6, windows: 2}\n"
    )
    space = ("--workspace", tmp_path / "space")
    done = studio("data", "build", recipe, *space)
    assert done.code == 0, done.err
    assert "216" not in done.out and "215 read, 0 removed" in done.out
    shown = studio("data", "show", "sales", "--split", "test", *space)
    assert shown.code == 0 and "3, frequency MS, season of 12" in shown.out and "2020-01-01" in shown.out
    assert studio("data", "show", "sales", "--removed", *space).out.strip().startswith("sales: nothing was removed")
    page = next((tmp_path / "space").rglob("report.html")).read_text()
    assert page.count("<svg") == 6 and "strength of the trend" in page and "2015-06-01" in page and "Gaps" in page
    entries = list(SERIES.entries(Workspace.open(tmp_path / "space").find_dataset("sales"), "train"))
    assert entries[0].facts == {"series": "s0", "time": "2015-01-01 00:00:00", "value": f"{frame.value[0]:g}"}


def test_the_starter_panel_builds(workspace: Workspace) -> None:
    from studio.core.content import find_content
    from studio.data.kinds import load_recipe

    kind, recipe = load_recipe(find_content("data_recipes", "series/employment"))
    try:
        outcome = kind.build(recipe, workspace, name="employment", beside=Path.cwd(), tell=lambda _: None)
    except StudioError as error:
        pytest.skip(f"the wheel is not in the cache and the network is off; run make test once with it on ({error})")
    assert outcome.record.splits == {"train": 1584, "validation": 264, "test": 792}
    assert facts_of(read_dataset(outcome.folder))["frequency"] == "MS"
