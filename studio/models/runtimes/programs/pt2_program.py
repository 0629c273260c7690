"""Runs model.pt2. Needs: pip install torch numpy."""

from pathlib import Path

import torch


def load(folder: Path, record: dict):
    """A function that takes arrays by input name and gives arrays by output name; the first axis counts rows.

    Args:
        record: what export.json holds.
    """
    module = torch.export.load(folder / "model.pt2").module()
    names = list(record["outputs"])

    @torch.no_grad()
    def run(arrays):
        found = module(*(torch.from_numpy(arrays[name]) for name in record["inputs"]))
        found = found if isinstance(found, tuple) else (found,)
        return {name: value.numpy() for name, value in zip(names, found)}

    return run
