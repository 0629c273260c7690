"""Saved predictors: written beside a training, opened by name of their form; opening runs no code of theirs."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.records import read_record
from studio.core.registry import Registry
from studio.models.predictors.base import DESCRIPTION, Predictor, PredictorInfo

# Form of a saved predictor to the class that opens it.
FORMS = Registry(
    "form of predictor",
    {
        "pipeline": "studio.models.predictors.pipeline:PipelinePredictor",
        "text-network": "studio.models.predictors.text_network:TextNetworkPredictor",
        "picture-network": "studio.models.predictors.picture_network:PictureNetworkPredictor",
        "column-network": "studio.models.predictors.column_network:ColumnNetworkPredictor",
    },
)


def save_predictor(predictor: Predictor, folder: Path) -> None:
    """Write a predictor into an empty folder; its description goes last."""
    predictor.write(folder)
    write_json(folder / DESCRIPTION, predictor.info.model_dump(mode="json"))


def read_info(folder: Path) -> PredictorInfo:
    """The description of a saved predictor.

    Raises:
        StudioError: the folder holds none, or it is damaged.
    """
    return read_record(folder / DESCRIPTION, PredictorInfo)


def open_predictor(folder: Path) -> Predictor:
    """The predictor of a Run's ``model/`` folder.

    Raises:
        StudioError: it is missing, damaged, or of a form that this studio does not know.
    """
    info = read_info(folder)
    if info.form not in FORMS:
        raise StudioError(
            f"{folder} holds a predictor of form {info.form!r}, and this studio knows {', '.join(FORMS)}. Update it."
        )
    form: type[Predictor] = FORMS.get(info.form)
    return form.load(folder, info)
