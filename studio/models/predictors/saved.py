"""Objects of scikit-learn in files of skops, which run no code when they are opened."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError

_COMPRESSION = 3
"""Of 9; trees shrink to a quarter, and more takes long for little."""

# What pipelines are made of beyond what skops trusts by itself; all of it is code of scikit-learn, numpy and Python that is
# installed here. A file that names anything else is refused: so is a partial of any function but these.
TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)

# skops lists all estimators of scikit-learn when it is imported. The walk through its packages imports this one as well, and with
# it torch: 1.8 of 3.0 s of CPU. It holds no estimator.
_WITH_TORCH = "sklearn.externals.array_api_compat.torch"


@contextmanager
def _without_torch() -> Iterator[None]:
    """While the block runs, that package counts as one that cannot be imported, which the walk passes over."""
    if _WITH_TORCH in sys.modules:
        yield
        return
    # Python's own mark for a module that is not there.
    sys.modules[_WITH_TORCH] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_WITH_TORCH]


def skops_io() -> Any:
    """The module ``skops.io``, without torch where nothing else has brought it."""
    with _without_torch():
        import skops.io

    return skops.io


def write_skops(value: Any, path: Path) -> None:
    """Write an object of scikit-learn."""
    skops_io().dump(value, path, compression=zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION)


def open_skops(path: Path) -> Any:
    """What a file of skops holds.

    Raises:
        StudioError: it is missing, damaged, or names code that no predictor needs.
    """
    reader = skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return reader.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise StudioError(f"{path} names code that no predictor needs ({error}); it was not opened.") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise StudioError(
            f"{path} cannot be opened ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
        ) from error
