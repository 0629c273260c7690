"""Writing groups as ONNX, proven on the rows that they were found in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.exports.formats.base import FORMATS, Format
from studio.exports.formatted import MODEL, ask_program, finished_run
from studio.exports.forms import Export, Wishes

if TYPE_CHECKING:
    import pandas as pd

    from studio.models.clusters.opening import Clusters
    from studio.models.exported import ExportRecord

_MOST, _PROGRAM = 500, 5
_EXACT = 1e-6
"""Most that a distance may differ by, of the largest one."""


class Onnx(Export):
    """Columns to the nearest centre."""

    models = "groups"
    kinds = ("clusters",)
    what = "ONNX of groups around centres (k-means)"
    place = "onnx/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.models.clusters.opening import open_clusters
        from studio.models.predictors.plain_preparation import check_preparation

        record = finished_run(run_folder, holds=MODEL)
        name = f"{run_folder.parent.name}/{run_folder.name}"
        clusters = open_clusters(run_folder / MODEL)
        if clusters.info.form != "centres" or not clusters.groups.k:
            raise UserError(
                f"{name} has {clusters.groups.k} groups of form {clusters.info.form}, and --to onnx holds those around centres, "
                "as cluster/kmeans and cluster/agglomerative find them. Ask the run itself: studio predict RUN FILE"
            )
        if clusters.space.embedding is not None or clusters.space.unfolded is not None:
            what = "a network that looks at texts or pictures" if clusters.space.embedding is not None else "UMAP"
            raise UserError(
                f"the space of {name} is made by {what}, which --to onnx does not hold. Ask the run: studio predict RUN FILE"
            )
        check_preparation(clusters.space.preparation, clusters.info.columns)
        run_dataset(record, Workspace.around(run_folder))
        writer: Format = FORMATS.get("onnx")()
        writer.check()

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """Write, prove and tell."""
        from studio.exports.writing import finish_export, new_export, told
        from studio.models.clusters.opening import open_clusters

        clusters = open_clusters(run_folder / MODEL)
        rows = _rows(run_folder, clusters)
        with new_export(target) as folder:
            record = _files(run_folder, clusters, rows, folder)
            proof = _prove(clusters, rows, folder, record)
            record = record.model_copy(update={"proof": proof, "limits": {"agreement": 1.0, "difference": _EXACT}})
            words = [
                ("rows placed by both", f"{proof['rows']}"),
                ("same group as the run", f"{proof['agreement']:.1%} (at least 100%)"),
                ("largest difference of a distance", f"{proof['difference']:.1e} of the largest (at most {_EXACT:.0e})"),
                ("predict.py beside it", f"the same for {proof['program']} rows"),
            ]
            finish_export(folder, record, words, _USE)
            size = folder_size(folder)
        return told(run_folder, target, record, words, size, f"python {target / 'predict.py'} ROWS.csv")


_USE = (
    "```sh\npip install onnxruntime numpy\npython predict.py ROWS.csv\n```\n\n"
    "`predict.py` needs nothing of the studio: `reading.py` prepares columns, `runtime.py` runs the file, and `export.json` says "
    "names, shapes and meanings of the tensors for programs in other languages. In the studio: `studio predict FOLDER FILE`."
)


def _rows(run_folder: Path, clusters: Clusters) -> pd.DataFrame:
    """Rows of the run's Dataset, of its first split."""
    from studio.core.workspace import read_dataset
    from studio.data.examples import Wanted, read_examples

    folder = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    split = next(name for name, count in read_dataset(folder).splits.items() if count)
    names = tuple(column.name for column in clusters.info.columns)
    return read_examples(folder, split, Wanted(None, None, names)).features.head(_MOST)


def _files(run_folder: Path, clusters: Clusters, rows: pd.DataFrame, folder: Path) -> ExportRecord:
    """Everything but the proof and the page; gives back the record, which is written too, for the program reads it."""
    from studio.exports.clusters.graphs import graph_of
    from studio.exports.writing import described, versions_of
    from studio.models.clusters import programs
    from studio.models.clusters.base import DESCRIPTION
    from studio.models.clusters.exported import GROUPING
    from studio.models.exported import ExportRecord, write_export
    from studio.models.predictors.plain_preparation import write_preparation
    from studio.models.predictors.programs import columns
    from studio.models.runtimes.sessions import copy_program, runtime_name

    graph = graph_of(clusters, int(clusters.space.prepared(rows.head(1)).shape[1]))
    write_preparation(clusters.space.preparation, clusters.info.columns, folder)
    writer: Format = FORMATS.get("onnx")()
    extra = writer.write(graph, folder)
    copy_program("onnx", folder)
    shutil.copyfile(Path(columns.__file__), folder / "reading.py")
    shutil.copyfile(Path(programs.__path__[0]) / "predict.py", folder / "predict.py")
    shutil.copyfile(run_folder / MODEL / DESCRIPTION, folder / DESCRIPTION)
    record = graph.described(
        ExportRecord(
            form="onnx",
            kind="clusters",
            run=described(run_folder),
            runtime=runtime_name("onnx"),
            versions=versions_of(*writer.packages),
            extra={**extra, GROUPING: {"dtype": "float64"}},
        )
    )
    write_export(folder, record)
    return record


def _prove(clusters: Clusters, rows: pd.DataFrame, folder: Path, record: ExportRecord) -> dict[str, Any]:
    """Figures of the proof.

    Raises:
        StudioError: the export places a row elsewhere.
    """
    import numpy as np

    from studio.exports.writing import hold
    from studio.models.clusters.exported import open_exported

    exported = open_exported(folder, record)
    truth, found = clusters.place(rows), exported.place(rows)
    agreement = float(np.mean(truth.groups == found.groups))
    hold("share of equal groups", agreement, 1.0, form="onnx", least=True)
    scale = float(np.nanmax(truth.distances, initial=0.0)) or 1.0
    apart = np.abs(np.nan_to_num(truth.distances) - np.nan_to_num(found.distances))
    difference = float(apart.max(initial=0.0)) / scale
    hold("the largest difference of a distance", difference, _EXACT, form="onnx")
    alone = exported.place(rows.head(1))
    if alone.groups.tolist() != truth.groups[:1].tolist():
        raise StudioError("the onnx export places a row by itself otherwise than among others, so nothing was written.")
    asked = rows.head(_PROGRAM)[[column.name for column in clusters.info.columns]]
    given = asked.to_json(orient="records", date_format="iso", double_precision=15)
    said = [int(answer["group"]) for answer in ask_program(folder, "onnx", given)]
    if said != truth.groups[:_PROGRAM].tolist():
        raise StudioError("predict.py of the onnx export gives other groups than its file, so nothing was written.")
    return {"rows": len(rows), "agreement": agreement, "difference": difference, "program": len(said)}
