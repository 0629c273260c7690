"""Runs model.tflite, row by row: its shapes are fixed. Needs: pip install ai-edge-litert numpy."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds; ``places`` in its ``extra`` says which tensor of the file is which.
    """
    interpreter = Interpreter(str(folder / "model.tflite"))
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details()
    places = record["extra"]["places"]

    def run(arrays):
        rows = []
        for row in range(len(next(iter(arrays.values())))):
            # TFLite holds whole numbers in 32 bits.
            given = {places[name]: value[row : row + 1].astype(details[places[name]]["dtype"]) for name, value in arrays.items()}
            rows.append(runner(**given))
        return {name: np.concatenate([row[places[name]] for row in rows]) for name in record["outputs"]}

    return run
