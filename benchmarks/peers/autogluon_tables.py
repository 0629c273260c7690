"""AutoGluon on folds of tables, run by the Python of an environment of its own; imports nothing of the studio.

    python autogluon_tables.py FOLDER SECONDS

FOLDER holds ``<name>-<fold>-train.csv`` and ``-test.csv`` with the column ``target``, and ``kinds.json``: name to ``labels`` or
``numbers``. Writes ``<name>-<fold>-autogluon.csv`` (one prediction per row) and ``autogluon.json``: seconds of each fit and the
version. Settings are those of its first page: ``presets="medium_quality"``, a time limit, nothing else.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

import pandas as pd
from autogluon.tabular import TabularPredictor


def main(folder: Path, limit: float) -> None:
    """Fit every fold in turn."""
    kinds = json.loads((folder / "kinds.json").read_text(encoding="utf-8"))
    seconds = {}
    for file in sorted(folder.glob("*-train.csv")):
        case = file.name.removesuffix("-train.csv")
        train, test = (pd.read_csv(folder / f"{case}-{part}.csv") for part in ("train", "test"))
        labels = kinds[case.rpartition("-")[0]] == "labels"
        place = folder / "models"
        began = time.monotonic()
        predictor = TabularPredictor("target", path=str(place), verbosity=0, eval_metric="accuracy" if labels else "rmse")
        predictor.fit(train, presets="medium_quality", time_limit=limit)
        seconds[case] = time.monotonic() - began
        predictor.predict(test).to_csv(folder / f"{case}-autogluon.csv", index=False)
        shutil.rmtree(place)
    told = {"seconds": seconds, "version": metadata.version("autogluon.tabular")}
    (folder / "autogluon.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
