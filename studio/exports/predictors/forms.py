"""The forms of runs that give labels or numbers; what writes their files is in ``studio/exports/formats``."""

from __future__ import annotations

from studio.exports.predictors.form import PredictorExport
from studio.models.runtimes.environments import LITERT, TENSORFLOW


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


class TfLite(PredictorExport):
    """Phones and small boards."""

    format = "tflite"
    what = "TensorFlow Lite of a network"
    place = "tflite/"
    environment = LITERT


class SavedModel(PredictorExport):
    """TensorFlow and TensorFlow Serving."""

    format = "savedmodel"
    what = "a SavedModel of TensorFlow of a network"
    place = "savedmodel/"
    environment = TENSORFLOW


class OpenVino(PredictorExport):
    """Processors of Intel."""

    format = "openvino"
    what = "OpenVINO of a classifier or regressor"
    place = "openvino/"


class ExecuTorch(PredictorExport):
    """Phones and small boards, by torch's own runtime."""

    format = "executorch"
    what = "ExecuTorch of a network"
    place = "executorch/"
