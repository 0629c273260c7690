"""``android``: the LiteRT or ExecuTorch file of a predictor, with the Kotlin that loads and asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.core.errors import UserError
from studio.deploy.exported import Exported, find_export
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render

# What Google's and PyTorch's own pages give for these calls.
LITERT, EXECUTORCH = "com.google.ai.edge.litert:litert:2.3.0", "org.pytorch:executorch-android"
_EXECUTORCH_TRIED = "1.5.1"
_KOTLIN = {"float32": ("FloatArray", "Float"), "int32": ("IntArray", "Int"), "int64": ("LongArray", "Long")}


class Android(Place):
    """A Kotlin class and where the file goes."""

    what = "Android: the LiteRT or ExecuTorch file with the Kotlin that loads it"
    kinds = ("classifier", "regressor")

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The class, made of the inputs that the export wrote down."""
        export = find_export(asked, ("tflite", "executorch"), (".tflite", ".pte"), place="android")
        lite = export.file.suffix == ".tflite"
        values = {
            "name": asked.name,
            "slug": asked.slug,
            "run": asked.run,
            "export": export,
            "lite": lite,
            "inputs": _inputs(export),
            "labels": _labels(export),
            "dependency": LITERT if lite else f"{EXECUTORCH}:{_written_by(export)}",
            "file": f"{asked.slug.replace('-', '_')}{export.file.suffix}",
        }
        return Written(
            files={"StudioModel.kt": render("android/StudioModel.kt.j2", values)},
            begin=render("android/begin.md.j2", values),
            limits=(
                "The Kotlin was not compiled and no phone was asked: there is no Android SDK here.",
                "That the file gives the run's answers was shown by its export, with the runtime for computers.",
                "How rows become tensors (tokens, pixels, columns) stands in the export's reading.py, not in Kotlin yet.",
            ),
            facts={"model_bytes": export.bytes, "dependency": values["dependency"], "inputs": values["inputs"]},
        )


def _written_by(export: Exported) -> str:
    """The version of ExecuTorch that wrote the file: the phone's is to be the same."""
    versions = export.record.versions if export.record else {}
    return versions.get("executorch", _EXECUTORCH_TRIED)


def _inputs(export: Exported) -> list[dict[str, Any]]:
    """Name, Kotlin type and shape of each input.

    Raises:
        UserError: the export does not say, or has a type that the phone's runtime does not take.
    """
    described: Mapping[str, Any] = export.record.inputs if export.record else {}
    if not described:
        raise UserError(
            f"{export.folder} does not say what the model is fed. Export it anew: studio export RUN --to {export.line.form}"
        )
    found = []
    for name, one in described.items():
        # LiteRT takes 64-bit integers as 32-bit ones.
        dtype = str(one.get("dtype", "float32"))
        dtype = "int32" if dtype == "int64" and export.file.suffix == ".tflite" else dtype
        if dtype not in _KOTLIN:
            raise UserError(
                f"the input {name!r} has numbers of type {dtype}, and Android takes {', '.join(_KOTLIN)}. Take --to lambda."
            )
        shape = [size if isinstance(size, int) else 1 for size in one.get("shape", ())]
        array, number = _KOTLIN[dtype]
        found.append({"name": name, "array": array, "number": number, "shape": shape})
    return found


def _labels(export: Exported) -> list[str]:
    """Labels in the order of the outputs, empty for numbers."""
    for one in (export.record.outputs if export.record else {}).values():
        if isinstance(one, Mapping) and one.get("labels"):
            return [str(label) for label in one["labels"]]
    extra = export.record.extra if export.record else {}
    return [str(label) for label in extra.get("labels", ())]
