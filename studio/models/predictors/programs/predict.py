"""Asks this export: python predict.py "a text" ..., python predict.py PICTURE ..., or python predict.py ROWS.csv

One line of JSON for each text, picture or row. From a program of yours: Model().predict([...]).
"""

import json
import sys
from pathlib import Path

import numpy as np
import reading
import runtime

AT_ONCE = 32


class Model:
    """An export, opened."""

    def __init__(self, folder=Path(__file__).resolve().parent):
        self.record = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.about = json.loads((folder / "predictor.json").read_text(encoding="utf-8"))
        self.read = reading.Reader(folder, self.record["extra"]["reading"])
        self.run = runtime.load(folder, self.record)

    def predict(self, items):
        """What is said of texts, of paths of pictures, or of rows (column to value); one dict each."""
        found = []
        for first in range(0, len(items), AT_ONCE):
            answers = self.run(self.read(items[first : first + AT_ONCE]))
            if self.about["task"] == "numbers":
                found += [self.number(float(value)) for value in np.asarray(answers["value"]).reshape(-1)]
            else:
                found += [self.label(row) for row in np.asarray(answers["probabilities"], dtype=np.float64)]
        return found

    def label(self, shares):
        """The likeliest label; of two labels the positive one from its threshold on."""
        labels, positive, threshold = (self.about[name] for name in ("labels", "positive", "threshold"))
        place = int(shares.argmax())
        if positive is not None and threshold is not None:
            yes = labels.index(positive)
            place = yes if shares[yes] >= threshold else 1 - yes
        return {"label": labels[place], "probabilities": dict(zip(labels, shares.tolist()))}

    def number(self, value):
        """The number, with the interval around it where there is one."""
        half = self.about["interval"].get("half_width")
        return {"value": value} if half is None else {"value": value, "low": value - half, "high": value + half}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for answer in Model().predict(reading.items_of(sys.argv[1:])):
        print(json.dumps(answer, ensure_ascii=False))
