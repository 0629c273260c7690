"""Rows of columns as the numbers that a model takes. Needs: numpy.

What was learned of the training rows (which categories there are, what fills gaps, which words count) stands in
preparation.json, and its larger arrays in preparation.npz.
"""

import csv
import json
import math
import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

MISSING = "(missing)"
EPOCH = datetime(1970, 1, 1)
WORD, BLANKS = re.compile(r"(?u)\b\w\w+\b"), re.compile(r"\s\s+")


def items_of(arguments):
    """Each argument is a csv file with the columns of the training; numbers with a point, times as 2026-01-31 14:00."""
    rows = []
    for path in arguments:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def number(value):
    """A number, NaN where there is none."""
    return math.nan if value is None or value == "" else float(value)


def text(value, missing):
    """A text, or what stands for one that is missing."""
    return missing if value is None or value == "" or value != value else str(value)


def moment(value):
    """Days since 1970, year, month, day of the week from Monday on, hour; NaN where there is no time."""
    if value is None or value == "" or value != value:
        return [math.nan] * 5
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    days = (time.replace(tzinfo=None) - EPOCH).total_seconds() / 86400
    return [days, time.year, time.month, time.weekday(), time.hour]


def terms(analyzer, smallest, largest, value):
    """Runs of words, or of letters inside words with a blank at both ends."""
    if analyzer == "word":
        words = WORD.findall(value.lower())
        sizes = range(smallest, largest + 1)
        return [" ".join(words[start : start + size]) for size in sizes for start in range(len(words) - size + 1)]
    found = []
    for word in BLANKS.sub(" ", value.lower()).split():
        padded = f" {word} "
        for size in range(smallest, largest + 1):
            found += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
            if size >= len(padded):
                break
    return found


class Terms:
    """TF-IDF with logarithmic counts, each text of length 1."""

    def __init__(self, about, weights):
        self.analyzer, (self.smallest, self.largest) = about["analyzer"], about["ngrams"]
        self.places = {term: place for place, term in enumerate(about["terms"])}
        self.weights = weights

    def __call__(self, value):
        """Places of the terms of a text in order, and the value of each.

        Every sum is made in the order in which scikit-learn makes it: trees may have learned the last digits.
        """
        counts = Counter(
            self.places[term] for term in terms(self.analyzer, self.smallest, self.largest, value) if term in self.places
        )
        places = np.array(sorted(counts), dtype=np.int64)
        values = (np.log(np.array([counts[place] for place in places], dtype=np.float64)) + 1) * self.weights[places]
        length = math.sqrt(sum(one * one for one in values.tolist()))
        return places, values / (length or 1)


class Reader:
    """Rows to ``features`` [rows, features]."""

    def __init__(self, folder: Path, reading: dict):
        """``reading``: ``dtype`` of the features."""
        self.dtype = reading["dtype"]
        about = json.loads((folder / "preparation.json").read_text(encoding="utf-8"))
        self.parts = about["parts"]
        arrays = np.load(folder / "preparation.npz")
        self.arrays = {name: arrays[name] for name in arrays.files}
        for part in self.parts:
            if part["kind"] == "text":
                part["made"] = [Terms(one, self.arrays[one["weights"]]) for one in part["vectorizers"]]

    def __call__(self, rows):
        """Rows, each a dict of column to value; an unknown category is what the training made of rare ones."""
        parts = [getattr(self, part["kind"])(part, rows) for part in self.parts]
        return {"features": np.concatenate(parts, axis=1).astype(self.dtype)}

    def categories(self, part, rows):
        """A column of zeros and ones for each category, or one of whole numbers."""
        found = []
        for column in part["columns"]:
            codes = [column["codes"].get(text(row[column["name"]], MISSING), column["unknown"]) for row in rows]
            if part["one_hot"]:
                block = np.zeros((len(rows), column["width"]))
                for row, code in enumerate(codes):
                    if code is not None:
                        block[row, code] = 1
            else:
                block = np.array(codes, dtype=np.float64)[:, None]
            found.append(block)
        return np.concatenate(found, axis=1)

    def numbers(self, part, rows):
        """Numbers and times, gaps filled and marked, scaled, as far as the training did."""
        columns = []
        for column in part["columns"]:
            values = [row[column["name"]] for row in rows]
            columns.append(np.array([moment(value) if column["time"] else [number(value)] for value in values], dtype=np.float64))
        found = np.concatenate(columns, axis=1)
        gaps = np.isnan(found)
        if part["fill"] is not None:
            found = np.where(gaps, np.array(part["fill"]), found)
        found = np.concatenate([found, gaps[:, part["marked"]]], axis=1)
        return found if part["scale"] is None else (found - np.array(part["mean"])) / np.array(part["scale"])

    def text(self, part, rows):
        """Shares of words and of runs of letters, or few numbers made of them."""
        components = None if part["components"] is None else np.ascontiguousarray(self.arrays[part["components"]].T)
        width = sum(len(one.places) for one in part["made"])
        found = np.zeros((len(rows), width if components is None else components.shape[1]))
        for row, total in zip(rows, found):
            before = 0
            for one in part["made"]:
                for place, value in zip(*one(text(row[part["column"]], ""))):
                    if components is None:
                        total[before + place] = value
                    else:
                        total += value * components[before + place]
                before += len(one.places)
        return found
