"""Continues series: python predict.py SERIES.json

The file holds one series or a list of them: {"values": [1.5, null, 2.0], "first": 0, "known": [[...]], "past": [[...]]}.
values: up to now, null where there is none. seen: false for values that were made up to fill gaps; may be left out. first:
stamps from ``reference`` in export.json to the first value (below 0 if it lies before). known: covariates known ahead, for every
value and the stamps to come; past: covariates up to now; both may be left out where the training had none. One line of JSON for
each series: the median, and the bounds by level in percent.
"""

import json
import sys
from pathlib import Path

import numpy as np
import runtime


def carried(values):
    """Gaps of [stamps, columns] with the last value, 0 before the first one."""
    found = np.array(values, dtype=np.float64)
    last = np.zeros(found.shape[1])
    for row in found:
        row[:] = np.where(np.isnan(row), last, row)
        last = row
    return found


def numbers(values, columns):
    """A list of rows as float64 [rows, columns], NaN for null."""
    return np.array([[np.nan if one is None else one for one in row] for row in values], dtype=np.float64).reshape(
        len(values), columns
    )


class Model:
    """An export, opened."""

    def __init__(self, folder=Path(__file__).resolve().parent):
        self.record = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.about = self.record["extra"]["forecaster"]
        self.run = runtime.load(folder, self.record)

    def predict(self, items):
        """The medians and bounds of series; one dict each."""
        if not items:
            return []
        windows = [self.window(item) for item in items]
        arrays = {name: np.stack([one[name] for one in windows]).astype(np.float32) for name in ("past", "future")}
        found = np.asarray(self.run(arrays)["quantiles"], dtype=np.float64)
        return [self.forecast(said, one["middle"], one["spread"]) for said, one in zip(found, windows)]

    def window(self, item):
        """The last stamps of a series, scaled by themselves, and what is known of the stamps to come."""
        context, horizon = self.about["context"], self.about["horizon"]
        known, past = self.about["known"], self.about["past"]
        values = np.array([np.nan if one is None else one for one in item["values"]], dtype=np.float64)
        count = len(values)
        seen = np.array(item.get("seen", np.isfinite(values)), dtype=np.float64)
        filled = carried(values[:, None])[:, 0]
        covariates = np.zeros((context + count + horizon, known + past))
        ahead = np.full((count + horizon, known), np.nan)
        given = numbers(item.get("known", []), known)[: count + horizon]
        ahead[: len(given)] = given
        covariates[context:, :known] = carried(ahead)
        covariates[context : context + count, known:] = carried(numbers(item.get("past", [[]] * count), past))
        scaled = (covariates - np.array(self.about["means"])) / np.array(self.about["spreads"]) if known + past else covariates
        scaled[:context] = 0.0
        everything = {"values": np.concatenate([np.zeros(context), filled]), "seen": np.concatenate([np.zeros(context), seen])}
        then = {name: part[count : count + context] for name, part in everything.items()}
        middle = float(then["values"][-1])
        sure = then["values"][then["seen"] > 0]
        spread = max(float(sure.std()) if len(sure) else 0.0, self.about["least_spread"] * abs(middle)) or 1.0
        here = np.where(np.arange(context) >= context - count, (then["values"] - middle) / spread, 0.0)
        phase = self.phase(item.get("first", 0) + count)
        columns = [here, then["seen"], scaled[count : count + context], phase[:context]]
        to_come = [scaled[count + context :, :known], phase[context:]]
        return {"past": np.column_stack(columns), "future": np.column_stack(to_come), "middle": middle, "spread": spread}

    def phase(self, now):
        """Places in the season as points on a circle, from the context before ``now`` to the horizon behind it."""
        places = now + np.arange(-self.about["context"], self.about["horizon"])
        if self.about["season_length"] < 2:
            return np.zeros((len(places), 2))
        angle = 2 * np.pi * places / self.about["season_length"]
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)

    def forecast(self, said, middle, spread):
        """Quantiles [stamps, quantiles] in units of the series, bounds as wide as the training's back-test wants them."""
        bounds = np.sort(said * spread + middle, axis=1)
        place = {share: number for number, share in enumerate(self.about["shares"])}
        median = bounds[:, place[0.5]]
        found = {"median": median.tolist(), "lower": {}, "upper": {}}
        for level in self.about["levels"]:
            factor = self.about["factors"].get(str(level), 1.0)
            low, high = bounds[:, place[(100 - level) / 200]], bounds[:, place[(100 + level) / 200]]
            found["lower"][str(level)] = (median - factor * (median - low)).tolist()
            found["upper"][str(level)] = (median + factor * (high - median)).tolist()
        return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for answer in Model().predict(asked if isinstance(asked, list) else [asked]):
        print(json.dumps(answer))
