"""Tables that travel inside scikit-learn and statsmodels, so that nothing has to be fetched."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.data.frames.base import Frame, plain_columns, whole_frame

_SKLEARN = ("iris", "wine", "breast_cancer", "diabetes")


def package_table(package: str, data: str) -> Frame:
    """A data set of scikit-learn (labels as words, the column ``target`` last) or of statsmodels, as its authors have it.

    Raises:
        UserError: the package holds no such table.
    """
    frame = _of_sklearn(data) if package == "scikit-learn" else _of_statsmodels(data)
    return whole_frame(plain_columns(frame))


def package_version(package: str) -> str:
    """Version of the package, which stands for the bytes of its data."""
    return importlib.metadata.version(package)


def _of_sklearn(data: str) -> pd.DataFrame:
    """Features and target of a bundled data set."""
    if data not in _SKLEARN:
        more = " Pictures of digits are no table." if data == "digits" else ""
        raise UserError(
            f"scikit-learn holds no table {data!r} that needs no download.{nearest(data, _SKLEARN)}{more} It has "
            f"{', '.join(_SKLEARN)}."
        )
    from sklearn import datasets

    options = {"scaled": False} if data == "diabetes" else {}
    found = getattr(datasets, f"load_{data}")(as_frame=True, **options)
    frame: pd.DataFrame = found.frame
    if "target_names" in found and data != "diabetes":
        frame["target"] = np.asarray(found.target_names, dtype=object)[found.target.to_numpy()]
    return frame


def _of_statsmodels(data: str) -> pd.DataFrame:
    """The data of a module of ``statsmodels.datasets``."""
    from statsmodels import datasets

    known = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__) if module.ispkg and module.name != "tests")
    if data not in known:
        raise UserError(f"statsmodels holds no data set {data!r}.{nearest(data, known)} It has {', '.join(known)}.")
    frame: pd.DataFrame = importlib.import_module(f"statsmodels.datasets.{data}").load_pandas().data
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
