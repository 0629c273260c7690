"""The forms of runs that forecast; what writes their files is in ``studio/exports/formats``."""

from __future__ import annotations

from studio.exports.forecast.form import ForecastExport
from studio.models.runtimes.environments import LITERT, TENSORFLOW


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


class TfLite(ForecastExport):
    """Phones and small boards."""

    format = "tflite"
    what = "TensorFlow Lite of a network that forecasts"
    place = "tflite/"
    environment = LITERT


class SavedModel(ForecastExport):
    """TensorFlow and TensorFlow Serving."""

    format = "savedmodel"
    what = "a SavedModel of TensorFlow of a network that forecasts"
    place = "savedmodel/"
    environment = TENSORFLOW


class OpenVino(ForecastExport):
    """Processors of Intel."""

    format = "openvino"
    what = "OpenVINO of a network that forecasts"
    place = "openvino/"


class ExecuTorch(ForecastExport):
    """Phones and small boards, by torch's own runtime."""

    format = "executorch"
    what = "ExecuTorch of a network that forecasts"
    place = "executorch/"
