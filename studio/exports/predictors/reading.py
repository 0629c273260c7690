"""What an export needs to read rows: vocabulary, tokenizer or preparation, written beside it, and a program that uses them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.exports.graph import Graph
from studio.language.scripts import WORD_PATTERNS
from studio.models.predictors import programs
from studio.models.predictors.base import DESCRIPTION, Predictor
from studio.models.predictors.column_network import ColumnNetworkPredictor
from studio.models.predictors.picture_network import PictureNetworkPredictor
from studio.models.predictors.pipeline import PipelinePredictor
from studio.models.predictors.plain_preparation import check_preparation, write_preparation
from studio.models.predictors.text_network import TextNetworkPredictor
from studio.models.predictors.words import WordReader

PREDICT, READING = "predict.py", "reading.py"
_TOKENIZER = "tokenizer.json"


def check_reading(predictor: Predictor) -> None:
    """Refuse a run whose rows nothing but the studio can read.

    Raises:
        UserError: one sentence with the remedy.
    """
    if isinstance(predictor, PipelinePredictor):
        check_preparation(predictor.pipeline[0], predictor.info.columns)
    elif isinstance(predictor, ColumnNetworkPredictor):
        check_preparation(predictor.preparation, predictor.info.columns)
    elif isinstance(predictor, TextNetworkPredictor):
        tokenizer = getattr(predictor.reader, "tokenizer", None)
        if tokenizer is not None and not getattr(tokenizer, "is_fast", False):
            raise UserError(
                f"the tokenizer of {predictor.info.estimator} has no {_TOKENIZER}, and no other program could read texts as it "
                "does. Train on a base whose tokenizer has one."
            )


def write_reading(predictor: Predictor, graph: Graph, folder: Path) -> dict[str, Any]:
    """Write what reads rows into an export's folder, and give back the ``reading`` of its record."""
    write_json(folder / DESCRIPTION, predictor.info.model_dump(mode="json"))
    reading = _reading(predictor, folder)
    length = graph.inputs[0].shape[-1]
    if graph.inputs[0].name == "input_ids" and isinstance(length, int):
        reading["length"] = length
    if graph.inputs[0].name == "features":
        reading["dtype"] = graph.inputs[0].dtype
    place = Path(programs.__path__[0])
    shutil.copyfile(place / "predict.py", folder / PREDICT)
    shutil.copyfile(place / f"{reading['reader']}.py", folder / READING)
    return reading


def _reading(predictor: Predictor, folder: Path) -> dict[str, Any]:
    """The same without sizes."""
    if isinstance(predictor, PictureNetworkPredictor):
        return {"reader": "pictures"} | {name: predictor.settings[name] for name in ("size", "mean", "std")}
    if isinstance(predictor, TextNetworkPredictor):
        reader: Any = predictor.reader
        if isinstance(reader, WordReader):
            reader.write(folder)
            return {"reader": "words", "max_length": reader.max_length, "patterns": WORD_PATTERNS}
        reader.tokenizer.backend_tokenizer.save(str(folder / _TOKENIZER))
        return {"reader": "tokens", "max_length": reader.max_length, "padding": reader.padding}
    preparation = predictor.preparation if isinstance(predictor, ColumnNetworkPredictor) else predictor.pipeline[0]  # type: ignore[attr-defined]
    write_preparation(preparation, predictor.info.columns, folder)
    return {"reader": "columns"}
