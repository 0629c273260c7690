"""Runs model.xml and model.bin. Needs: pip install openvino numpy."""

from pathlib import Path

import openvino


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds.
    """
    # OpenVINO rounds to 16 bits by itself where a processor can; the figures of the export are of 32 bits.
    model = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(arrays):
        found = model(arrays)
        return {name: found[name] for name in record["outputs"]}

    return run
