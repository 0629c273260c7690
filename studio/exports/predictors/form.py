"""Writing a predictor in another form: checked, written aside, asked on rows that were held out, and only then put in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.exports.formats.base import FORMATS
from studio.exports.formatted import MODEL, FormatExport, finished_run
from studio.exports.forms import Wishes

if TYPE_CHECKING:
    from studio.data.examples import Examples
    from studio.models.predictors.base import Predictor

_SPLITS = ("test", "validation", "train")
"""Rows of the first of these that has any prove an export."""
MOST_ROWS = 200
"""Rows that are asked; for one with small numbers every one is asked in both forms."""
_CALIBRATION_ROWS = 64


class PredictorExport(FormatExport):
    """A form of runs that give labels or numbers."""

    models = "labels and numbers"
    kinds = ("classifier", "regressor")

    def check(self, run_folder: Path, wishes: Wishes) -> None:
        """See :meth:`Export.check`."""
        from studio.exports.predictors.reading import check_reading
        from studio.models.predictors.opening import read_info

        record = finished_run(run_folder, holds=MODEL)
        name = f"{run_folder.parent.name}/{run_folder.name}"
        info = read_info(run_folder / MODEL)
        if info.form == "pipeline" and not self.writer.estimators:
            holders = ", ".join(f"--to {one}" for one in FORMATS if FORMATS.get(one).estimators)
            raise UserError(
                f"{name} is an estimator of scikit-learn ({info.estimator}), and {self.format} holds networks only. "
                f"Allowed for it: {holders}."
            )
        if info.form == "pipeline" and small(wishes):
            raise UserError(
                f"{name} is an estimator of scikit-learn ({info.estimator}), and --quant {wishes.quant} is for "
                "networks. Leave it out."
            )
        if info.form == "text-network" and not self.writer.texts:
            holders = ", ".join(f"--to {one}" for one in FORMATS if FORMATS.get(one).texts)
            raise UserError(
                f"{name} reads texts ({info.estimator}), and what writes a {self.format} does not get masks of texts right. "
                f"Allowed for it: {holders}."
            )
        run_dataset(record, Workspace.around(run_folder))
        self.writer.check()
        check_reading(open_on_cpu(run_folder))

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Write, prove and tell."""
        from studio.exports.predictors.proof import prove, words_of_proof
        from studio.exports.writing import finish_export, new_export, told

        predictor = open_on_cpu(run_folder)
        rows, split = held_out(run_folder, predictor)
        with new_export(target) as folder:
            record = self._files(run_folder, predictor, folder, wishes)
            proof, limits = prove(predictor, rows, folder, record)
            record = record.model_copy(update={"proof": {"split": split, **proof}, "limits": limits})
            words = words_of_proof(record, predictor.info.task)
            finish_export(folder, record, words, use_of(record))
            size = folder_size(folder)
        return told(run_folder, target, record, words, size, f"python {target / 'predict.py'} {example_of(record)}")

    def _files(self, run_folder: Path, predictor: Predictor, folder: Path, wishes: Wishes) -> Any:
        """Everything but the proof and the page; gives back the record, which is written too, for programs beside it read it."""
        from studio.exports.predictors.graphs import graph_of
        from studio.exports.predictors.reading import write_reading
        from studio.exports.writing import described, versions_of
        from studio.models.exported import ExportRecord, write_export
        from studio.models.runtimes.sessions import copy_program, runtime_name

        graph = graph_of(predictor, self.writer.road)
        reading = write_reading(predictor, graph, folder)
        calibration = calibration_of(run_folder, predictor, folder, reading) if small(wishes) else []
        extra = self.writer.write(graph, folder, quant=small(wishes), calibration=calibration)
        copy_program(self.format, folder)
        record = ExportRecord(
            form=self.format,
            quant=small(wishes),
            kind=read_run(run_folder).kind,
            run=described(run_folder),
            runtime=runtime_name(self.format),
            versions=versions_of(*self.writer.packages),
            extra={**extra, "reading": reading},
        )
        record = graph.described(record)
        write_export(folder, record)
        return record


def small(wishes: Wishes) -> str | None:
    """The kind of quantisation, None where numbers stay as they are."""
    return None if wishes.quant in {None, "float32"} else wishes.quant


def open_on_cpu(run_folder: Path) -> Predictor:
    """The predictor of a finished run, on the CPU wherever it was trained."""
    from studio.models.predictors.opening import open_predictor

    predictor: Any = open_predictor(run_folder / MODEL)
    if hasattr(predictor, "network"):
        predictor.network.to("cpu")
        predictor.device = "cpu"
    made: Predictor = predictor
    return made


def held_out(run_folder: Path, predictor: Predictor) -> tuple[Examples, str]:
    """Rows that the training did not see, and the split they are of.

    Raises:
        UserError: the Dataset is not there any more, or has other columns now.
    """
    for split in _SPLITS[:-1]:
        rows = _rows(run_folder, predictor, split)
        if rows is not None and len(rows):
            return rows.part(range(min(len(rows), MOST_ROWS))), split
    rows = _rows(run_folder, predictor, _SPLITS[-1])
    assert rows is not None
    return rows.part(range(min(len(rows), MOST_ROWS))), _SPLITS[-1]


def _rows(run_folder: Path, predictor: Predictor, split: str) -> Examples | None:
    """Rows of a split; None where the Dataset has no such split, or no row of it has a target."""
    from studio.core.workspace import read_dataset
    from studio.data.examples import Wanted, read_examples

    info = predictor.info
    folder = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    if not read_dataset(folder).splits.get(split):
        return None
    kind = "category" if info.task == "labels" else "number"
    return read_examples(folder, split, Wanted(info.target, kind, tuple(column.name for column in info.columns)))


def calibration_of(run_folder: Path, predictor: Predictor, folder: Path, reading: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Inputs of single training rows, by which the ranges of small numbers are measured."""
    import importlib

    from studio.models.predictors.exported import items_of

    rows = _rows(run_folder, predictor, "train")
    assert rows is not None
    items = items_of(rows.features.head(_CALIBRATION_ROWS), predictor.info, reading["reader"])
    reader = importlib.import_module(f"studio.models.predictors.programs.{reading['reader']}").Reader(folder, reading)
    return [reader([item]) for item in items]


def use_of(record: Any) -> str:
    """How the files are used, as Markdown."""
    from studio.models.runtimes.sessions import RUNTIMES

    reading = record.extra["reading"]
    needs = {"tokens": " tokenizers", "pictures": " pillow"}.get(reading["reader"], "")
    torch = " torch" if record.form == "executorch" else ""
    return (
        f"```sh\npip install {RUNTIMES[record.form].package}{torch}{needs} numpy\n"
        f"python predict.py {example_of(record)}\n```\n\n"
        "`predict.py` needs nothing of the studio: `reading.py` makes tensors of rows, `runtime.py` runs the file, and "
        "`export.json` says names, shapes and meanings of the tensors for programs in other languages. In the studio: "
        "`studio predict FOLDER FILE`, `studio eval SUITE --model FOLDER`."
    )


def example_of(record: Any) -> str:
    """What its program is given, for a line of a shell."""
    return {"pictures": "PICTURE.png", "columns": "ROWS.csv"}.get(record.extra["reading"]["reader"], '"a text"')
