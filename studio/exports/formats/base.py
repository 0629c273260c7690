"""What writes a form's files from a graph, and the table of those that there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from studio.core.registry import Registry
from studio.exports.graph import Graph, Road

# Help texts are made of forms, and these import nothing heavy.
if TYPE_CHECKING:
    from studio.models.runtimes.sessions import Arrays

FORMATS = Registry(
    "format",
    {
        "onnx": "studio.exports.formats.onnx:Onnx",
        "torchscript": "studio.exports.formats.torch_files:TorchScript",
        "pt2": "studio.exports.formats.torch_files:Pt2",
        "tflite": "studio.exports.formats.litert:TfLite",
        "savedmodel": "studio.exports.formats.tensorflow:SavedModel",
        "openvino": "studio.exports.formats.openvino:OpenVino",
        "executorch": "studio.exports.formats.executorch:ExecuTorch",
    },
)
"""Name of a form to what writes it."""


class Format(ABC):
    """One form of file."""

    name: ClassVar[str]
    road: ClassVar[Road]
    """How graphs are made for it."""
    packages: ClassVar[tuple[str, ...]]
    """Distributions whose versions the record names."""
    estimators: ClassVar[bool] = False
    """Whether it holds what is no network (:attr:`Graph.onnx`)."""
    texts: ClassVar[bool] = True
    """Whether it holds networks that read texts."""

    def check(self) -> None:
        """Refuse before any work what cannot be written here.

        Raises:
            UserError, MissingExtraError: a package or an environment is not installed.
        """
        from studio.models.runtimes.sessions import check_runtime

        check_runtime(self.name)

    @abstractmethod
    def write(
        self, graph: Graph, folder: Path, *, quant: str | None = None, calibration: Sequence[Arrays] = ()
    ) -> dict[str, Any]:
        """Write the files into a folder, and give back what its runtime has to know besides names (``extra`` of the record).

        Args:
            quant: kind of quantisation. calibration: inputs from training rows, by which ranges are measured.
        Raises:
            StudioError: it cannot be written.
        """
