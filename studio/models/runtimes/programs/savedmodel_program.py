"""Runs the SavedModel in saved_model/, row by row: its shapes are fixed. Needs: pip install tensorflow numpy."""

from pathlib import Path

import numpy as np
import tensorflow


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds; ``places`` in its ``extra`` says which tensor is which, ``axes`` how its axes are ordered.
    """
    function = tensorflow.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    wanted = function.structured_input_signature[1]
    places, axes = record["extra"]["places"], record["extra"].get("axes", {})

    def tensor(name, value):
        value = value.transpose(axes[name]) if name in axes else value
        return tensorflow.constant(value.astype(wanted[places[name]].dtype.as_numpy_dtype))

    def run(arrays):
        rows = []
        for row in range(len(next(iter(arrays.values())))):
            rows.append(function(**{places[name]: tensor(name, value[row : row + 1]) for name, value in arrays.items()}))
        return {name: np.concatenate([row[places[name]].numpy() for row in rows]) for name in record["outputs"]}

    return run
