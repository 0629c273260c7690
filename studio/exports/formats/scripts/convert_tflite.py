"""From an exported program of torch to TFLite; see ``studio.core.environments.run_script``.

Question: ``program`` (a .pt2 file), ``sample`` (an .npz of its inputs in order), ``inputs``, ``outputs`` (names), ``model`` (the
file to write), ``quant``. Answer: ``places``, name to tensor of the file's only signature.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")
import litert_torch
from ai_edge_litert.interpreter import Interpreter

question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
module = torch.export.load(question["program"]).module()


class Named(torch.nn.Module):
    """The program as a module that may be converted: one of torch refuses ``eval``."""

    def __init__(self):
        super().__init__()
        self.program = module

    def eval(self):
        return self

    def forward(self, *given):
        return self.program(*given)


with np.load(question["sample"]) as arrays:
    sample = tuple(torch.from_numpy(arrays[name]) for name in question["inputs"])
edge = litert_torch.convert(Named(), sample)
edge.export(question["model"])

interpreter = Interpreter(question["model"])
runner = interpreter.get_signature_runner()
inputs, outputs = sorted(runner.get_input_details()), sorted(runner.get_output_details())


def numbered(names):
    """In the order of the numbers at their ends: args_0, args_1, ... args_10."""
    return sorted(names, key=lambda name: int("".join(sign for sign in name if sign.isdigit()) or 0))


places = dict(zip(question["inputs"], numbered(inputs), strict=True)) | dict(
    zip(question["outputs"], numbered(outputs), strict=True)
)
Path(sys.argv[2]).write_text(json.dumps({"places": places}), encoding="utf-8")
