"""Says where rows belong: python predict.py ROWS.csv

One line of JSON for each row: the number of its group (0 for none) and how far it is from the group's centre. From a program of
yours: Model().predict([{"column": value, ...}]).
"""

import json
import sys
from pathlib import Path

import reading
import runtime

AT_ONCE = 1000


class Model:
    """An export, opened."""

    def __init__(self, folder=Path(__file__).resolve().parent):
        self.record = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.read = reading.Reader(folder, self.record["extra"]["grouping"])
        self.run = runtime.load(folder, self.record)

    def predict(self, items):
        """The group and the distance of each row; a row without a direction has no distance."""
        found = []
        for first in range(0, len(items), AT_ONCE):
            said = self.run(self.read(items[first : first + AT_ONCE]))
            for group, distance in zip(said["group"].tolist(), said["distance"].tolist()):
                found.append({"group": int(group), "distance": distance if group else None})
        return found


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for answer in Model().predict(reading.items_of(sys.argv[1:])):
        print(json.dumps(answer))
