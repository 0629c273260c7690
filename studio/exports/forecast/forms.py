"""The forms of runs that forecast; what writes their files is in ``studio/exports/formats``."""

from __future__ import annotations

from studio.exports.forecast.form import ForecastExport


class Onnx(ForecastExport):
    """What most runtimes read."""

    format = "onnx"
    what = "ONNX of a network that forecasts"
    place = "onnx/"


class TorchScript(ForecastExport):
    """What older programs of torch read."""

    format = "torchscript"
    what = "TorchScript (deprecated by torch) of a network that forecasts"
    place = "torchscript/"


class Pt2(ForecastExport):
    """What follows TorchScript."""

    format = "pt2"
    what = "a torch.export program of a network that forecasts"
    place = "pt2/"
