"""Columns as people have them made plain: the same for every row, whatever was learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from studio.models.predictors.base import chosen
from studio.models.predictors.features import MISSING, pixel_names, plain_features, plain_groups
from studio.schema.columns import Column

COLUMNS = [
    Column(name="weight", type="number"),
    Column(name="carrier", type="category"),
    Column(name="said", type="text"),
    Column(name="sent", type="time"),
]


def test_every_type_becomes_numbers_or_text() -> None:
    frame = pd.DataFrame({"weight": [1.0, np.nan], "carrier": ["road", None], "said": [None, "hi"]})
    frame["sent"] = pd.to_datetime(["2024-02-29 13:00", None])
    plain = plain_features(frame, COLUMNS)
    groups = plain_groups(COLUMNS)
    assert sorted(plain.columns) == sorted(groups["number"] + groups["category"] + groups["text"])
    assert plain["carrier"].tolist() == ["road", MISSING] and plain["said"].tolist() == ["", "hi"]
    days, year, month, weekday, hour = (plain[name].tolist() for name in groups["number"][1:])
    assert (year[0], month[0], weekday[0], hour[0]) == (2024, 2, 3, 13) and days[0] == 19782 + 13 / 24
    assert all(np.isnan(values[1]) for values in (days, year, month, weekday, hour))


def test_the_unit_of_moments_does_not_matter() -> None:
    seconds = pd.DataFrame({"sent": pd.to_datetime(["2024-02-29 13:00"]).astype("datetime64[s]")})
    nanoseconds = pd.DataFrame({"sent": pd.to_datetime(["2024-02-29 13:00"]).astype("datetime64[ns]")})
    assert plain_features(seconds, COLUMNS[3:]).equals(plain_features(nanoseconds, COLUMNS[3:]))


def test_pixels_of_a_picture_that_is_see_through_lie_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 48), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "red.png")
    column = Column(name="seen", type="picture")
    plain = plain_features(pd.DataFrame({"seen": [str(tmp_path / "clear.png"), str(tmp_path / "red.png")]}), [column])
    assert list(plain.columns) == pixel_names("seen") and (plain.iloc[0] == 1).all()
    assert plain.iloc[1].to_numpy().reshape(-1, 3).mean(axis=0).tolist() == [1, 0, 0]


def test_a_label_is_the_likeliest_or_the_positive_one_from_its_threshold_on() -> None:
    said = np.array([[0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    assert chosen(said, ["no", "yes"], "yes", None).tolist() == ["no", "no", "yes"]
    assert chosen(said, ["no", "yes"], "yes", 0.4).tolist() == ["yes", "no", "yes"]
    assert chosen(said, ["no", "yes"], "no", 0.65).tolist() == ["yes", "no", "yes"]
