"""Runs model.onnx. Needs: pip install onnxruntime numpy."""

from pathlib import Path

import onnxruntime


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = list(record["outputs"])
    return lambda arrays: dict(zip(names, session.run(names, arrays)))
