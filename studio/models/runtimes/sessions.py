"""Asking exported files: in this process where their runtime is a package of ours, in an environment of its own otherwise."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.environments import OwnEnvironment, find_python, run_script
from studio.core.errors import UserError
from studio.core.extras import require
from studio.models.exported import ExportRecord
from studio.models.runtimes.environments import LITERT, TENSORFLOW

Arrays = dict[str, np.ndarray]
Session = Callable[[Mapping[str, np.ndarray]], Arrays]
"""Takes arrays by input name and gives arrays by output name; the first axis counts rows."""

PROGRAM = "runtime.py"
"""Name under which a runtime's program stands beside an export."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Runtime:
    """What runs a form's files. program: module in ``programs``. package: that it needs. extra: of the studio, which carries it;
    environment: where it lives instead.
    """

    program: str
    package: str
    extra: str | None = None
    environment: OwnEnvironment | None = None

    @property
    def path(self) -> Path:
        """The program's file."""
        return _HERE / "programs" / f"{self.program}.py"


RUNTIMES = {
    "onnx": Runtime("onnxruntime_program", "onnxruntime", extra="onnx"),
    "torchscript": Runtime("torchscript_program", "torch"),
    "pt2": Runtime("pt2_program", "torch"),
    "tflite": Runtime("tflite_program", "ai-edge-litert", environment=LITERT),
    "savedmodel": Runtime("savedmodel_program", "tensorflow", environment=TENSORFLOW),
    "openvino": Runtime("openvino_program", "openvino", extra="openvino"),
    "executorch": Runtime("executorch_program", "executorch", extra="executorch"),
}
"""Form of an export to what runs it."""


def check_runtime(form: str) -> None:
    """Refuse a form whose runtime is not installed.

    Raises:
        UserError, MissingExtraError: one sentence with the line that installs it.
    """
    runtime = RUNTIMES[form]
    if runtime.environment is not None:
        find_python(runtime.environment)
    else:
        require(runtime.package.replace("-", "_"), feature=f"the form {form}", extra=runtime.extra)


def runtime_name(form: str) -> str:
    """A form's runtime with its version, for people."""
    runtime = RUNTIMES[form]
    if runtime.environment is None:
        return f"{runtime.package} {version(runtime.package)}"
    code = f"import importlib.metadata as m; print(m.version({runtime.package!r}))"
    from studio.core.environments import prove

    return f"{runtime.package} {prove(find_python(runtime.environment).parents[1], code, runtime.package).strip()}"


def copy_program(form: str, folder: Path) -> None:
    """Put a runtime's program beside an export."""
    shutil.copyfile(RUNTIMES[form].path, folder / PROGRAM)


def open_session(folder: Path, record: ExportRecord) -> Session:
    """The session of an export. The studio's own program runs it, never the copy that lies in the folder.

    Raises:
        UserError, MissingExtraError: its runtime is not installed, or it is of a form that no runtime opens.
    """
    if record.form not in RUNTIMES:
        raise UserError(f"{folder} is an export to {record.form}, which cannot be asked here. Allowed: {', '.join(RUNTIMES)}.")
    check_runtime(record.form)
    runtime = RUNTIMES[record.form]
    about = record.model_dump(mode="json")
    if runtime.environment is not None:
        return _far(runtime, folder, about)
    module = importlib.import_module(f"studio.models.runtimes.programs.{runtime.program}")
    session: Session = module.load(folder, about)
    return session


def _far(runtime: Runtime, folder: Path, record: dict[str, Any]) -> Session:
    """A session in an environment of its own: one process for each call."""
    assert runtime.environment is not None
    python = find_python(runtime.environment)

    def run(arrays: Mapping[str, np.ndarray]) -> Arrays:
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-ask-")))
            np.savez(place / "given.npz", **dict(arrays))  # type: ignore[arg-type]
            question = {
                "program": str(runtime.path),
                "folder": str(folder.resolve()),
                "record": record,
                "given": str(place / "given.npz"),
                "found": str(place / "found.npz"),
            }
            run_script(python, _HERE / "ask_program.py", question, folder=place)
            with np.load(place / "found.npz") as found:
                return {name: found[name] for name in found.files}

    return run
