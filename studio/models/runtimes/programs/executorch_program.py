"""Runs model.pte, row by row: its shapes are fixed. Needs: pip install executorch torch numpy."""

from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds.
    """
    method = Runtime.get().load_program(folder / "model.pte").load_method("forward")
    names = list(record["outputs"])

    def run(arrays):
        rows = []
        for row in range(len(next(iter(arrays.values())))):
            given = [torch.from_numpy(np.ascontiguousarray(arrays[name][row : row + 1])) for name in record["inputs"]]
            rows.append([value.numpy().copy() for value in method.execute(given)])
        return {name: np.concatenate([row[place] for row in rows]) for place, name in enumerate(names)}

    return run
