"""The forms of runs that give labels or numbers; what writes their files is in ``studio/exports/formats``."""

from __future__ import annotations

from studio.exports.predictors.form import PredictorExport


class Onnx(PredictorExport):
    """What most runtimes read."""

    format = "onnx"
    takes, quants = frozenset({"quant"}), ("float32", "int8")
    what = "ONNX of a classifier or regressor"
    place = "onnx-QUANT/"


class TorchScript(PredictorExport):
    """What older programs of torch read."""

    format = "torchscript"
    what = "TorchScript (deprecated by torch) of a network"
    place = "torchscript/"


class Pt2(PredictorExport):
    """What follows TorchScript."""

    format = "pt2"
    what = "a torch.export program of a network"
    place = "pt2/"
