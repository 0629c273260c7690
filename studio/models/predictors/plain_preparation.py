"""A fitted preparation of scikit-learn as plain numbers, which ``programs/columns.py`` computes with instead of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.models.predictors.features import plain_groups, time_names
from studio.schema.columns import Column

PREPARATION, ARRAYS = "preparation.json", "preparation.npz"
_NEVER = "\0never seen"


def write_preparation(preparation: Any, columns: Sequence[Column], folder: Path) -> None:
    """Write what a fitted ``ColumnTransformer`` of :func:`studio.train.predictors.preparation.prepare` has learned.

    Raises:
        UserError: see :func:`check_preparation`.
    """
    check_preparation(preparation, columns)
    arrays: dict[str, np.ndarray] = {}
    parts: list[dict[str, Any]] = []
    for name, transformer, wanted in preparation.transformers_:
        if name == "remainder":
            continue
        if name == "categories":
            parts.append(_categories(transformer, wanted))
        elif name == "numbers":
            parts.append(_numbers(transformer, columns))
        else:
            parts.append(_text(name, transformer, wanted, arrays))
    write_json(folder / PREPARATION, {"parts": parts})
    np.savez_compressed(folder / ARRAYS, **arrays)  # type: ignore[arg-type]


def check_preparation(preparation: Any, columns: Sequence[Column]) -> None:
    """Refuse what can only be computed with the training rows or with pictures.

    Raises:
        UserError: one sentence with the remedy.
    """
    from sklearn.impute import KNNImputer

    pictures = [column.name for column in columns if column.type == "picture"]
    if pictures:
        raise UserError(
            f"the run makes columns of the pixels of {pictures[0]}, which no export holds. Train a network that looks at "
            "pictures: studio train classify/small-cnn"
        )
    steps = [step for _, part, _ in preparation.transformers_ for step in _steps(part)]
    if any(isinstance(step, KNNImputer) for step in steps):
        raise UserError(
            "the run fills gaps from the nearest training rows (preparation.missing=nearest), and no export holds these rows. "
            "Train it with --set preparation.missing=median"
        )


def _steps(transformer: Any) -> list[Any]:
    """The steps of a pipeline, or the one thing that it is."""
    return [step for _, step in transformer.steps] if hasattr(transformer, "steps") else [transformer]


def _categories(encoder: Any, names: Sequence[str]) -> dict[str, Any]:
    """Which number each category becomes, found by asking: rare and unknown ones depend on several of its settings."""
    from sklearn.preprocessing import OneHotEncoder

    one_hot = isinstance(encoder, OneHotEncoder)
    found, before = [], 0
    usual = {name: values[0] for name, values in zip(names, encoder.categories_, strict=True)}
    for name, values in zip(names, encoder.categories_, strict=True):
        asked = [*values, _NEVER]
        rows = pd.DataFrame({other: np.array([usual[other]] * len(asked), dtype=object) for other in names})
        rows[name] = np.array(asked, dtype=object)
        if one_hot:
            width = _width(encoder, list(names).index(name))
            block = encoder.transform(rows).toarray()[:, before : before + width]
            codes = [int(row.argmax()) if row.any() else None for row in block]
            before += width
        else:
            width = 1
            codes = [int(code) for code in encoder.transform(rows)[:, list(names).index(name)]]
        known = {str(value): code for value, code in zip(values, codes[:-1], strict=True)}
        found.append({"name": name, "codes": known, "unknown": codes[-1], "width": width})
    return {"kind": "categories", "one_hot": one_hot, "columns": found}


def _width(encoder: Any, place: int) -> int:
    """Columns that a one-hot encoder makes of one of its columns."""
    rare = encoder.infrequent_categories_[place] if hasattr(encoder, "infrequent_categories_") else None
    kept = len(encoder.categories_[place])
    return kept if rare is None else kept - len(rare) + 1


def _numbers(transformer: Any, columns: Sequence[Column]) -> dict[str, Any]:
    """Gaps and sizes; times stand among the numbers with five each."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    part: dict[str, Any] = {"kind": "numbers", "fill": None, "marked": [], "mean": None, "scale": None}
    told = [{"name": one.name, "time": one.type == "time"} for one in columns if one.type in {"time", "number"}]
    plain = [name for one in told for name in (time_names(str(one["name"])) if one["time"] else [one["name"]])]
    assert plain == plain_groups(columns)["number"]
    for step in _steps(transformer):
        if isinstance(step, SimpleImputer):
            part["fill"] = [float(value) for value in step.statistics_]
            part["marked"] = [] if step.indicator_ is None else [int(place) for place in step.indicator_.features_]
        elif isinstance(step, StandardScaler):
            part |= {"mean": step.mean_.tolist(), "scale": step.scale_.tolist()}
    return part | {"columns": told}


def _text(name: str, transformer: Any, column: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Terms and their weights, and what makes few numbers of them."""
    steps = _steps(transformer)
    vectorizers = [one for _, one in steps[0].transformer_list] if hasattr(steps[0], "transformer_list") else [steps[0]]
    told = []
    for place, one in enumerate(vectorizers):
        key = f"weights of {name}, {place}"
        arrays[key] = np.asarray(one.idf_, dtype=np.float64)
        told.append(
            {
                "analyzer": one.analyzer,
                "ngrams": list(one.ngram_range),
                "terms": one.get_feature_names_out().tolist(),
                "weights": key,
            }
        )
    components = None
    if len(steps) > 1:
        components = f"components of {name}"
        arrays[components] = np.asarray(steps[1].components_, dtype=np.float64)
    return {"kind": "text", "column": column, "vectorizers": told, "components": components}
