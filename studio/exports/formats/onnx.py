"""ONNX by torch's exporter, and 8 bits by ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.extras import require
from studio.exports.formats.base import Format
from studio.exports.graph import Graph
from studio.models.runtimes.sessions import Arrays

MODEL = "model.onnx"
_OPSET = 20
# A protobuf message ends at 2 GiB; the weights of larger models stand in a file beside it.
_ONE_FILE = 1_900_000_000


class Onnx(Format):
    """One file; from 2 GB on a second one with the weights, ``model.onnx.data``."""

    name, road = "onnx", "onnx"
    packages = ("torch", "onnx", "onnxscript", "onnxruntime", "skl2onnx")
    estimators = True

    def check(self) -> None:
        """See :meth:`Format.check`."""
        for module in ("onnx", "onnxscript", "skl2onnx"):
            require(module, feature="--to onnx", extra="onnx")
        super().check()

    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """See :meth:`Format.write`."""
        write_onnx(graph, folder / MODEL)
        if quant is not None:
            _quantise(folder / MODEL, calibration)
        return {}


def write_onnx(graph: Graph, path: Path, *, opset: int = _OPSET) -> None:
    """Write a graph as one file, or as two where one cannot hold it.

    Raises:
        StudioError: torch cannot follow the model.
    """
    import onnx

    if graph.onnx is not None:
        onnx.save_model(graph.onnx(), path)
        return
    import torch

    assert graph.module is not None
    shapes = tuple({axis: size for axis, size in enumerate(port.shape) if isinstance(size, str)} for port in graph.inputs)
    with quiet_export():
        try:
            made = torch.onnx.export(
                graph.module,
                graph.sample,
                dynamo=True,
                verbose=False,
                opset_version=opset,
                dynamic_shapes=shapes if any(shapes) else None,
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                custom_translation_table=graph.translations() if graph.translations else None,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise StudioError(f"torch cannot write this model as ONNX ({first_line(error)}).") from error
    assert made is not None
    size = sum(value.numel() * value.element_size() for value in graph.module.state_dict().values())
    made.save(str(path), external_data=size > _ONE_FILE)


def first_line(error: BaseException) -> str:
    """The first line that says something in an exporter's message, of the error that began it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def quiet_export() -> Iterator[None]:
    """Exporters tell of their own inner workings; what matters is raised, and proven by running the file."""
    names = ("torch.onnx", "torch.export", "onnxscript", "root")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _quantise(path: Path, calibration: Sequence[Arrays]) -> None:
    """Weights as 8-bit numbers in place. Convolutions need the ranges of what flows through them, measured on training rows;
    other layers measure them at each call.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        """Hands out training rows once."""

        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> Arrays | None:
            """The next one, None at the end."""
            return next(self.left, None)

    convolutions = any(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary, quiet_export():
        ready, small = Path(temporary) / "ready.onnx", Path(temporary) / "small.onnx"
        quant_pre_process(path, ready, skip_symbolic_shape=True)
        if convolutions and calibration:
            quantize_static(ready, small, Rows(), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8)
        else:
            quantize_dynamic(ready, small, per_channel=True, weight_type=QuantType.QInt8)
        small.replace(path)
