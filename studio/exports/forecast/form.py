"""Writing a network that forecasts in another form, proven by the forecasts of its own series."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import read_run
from studio.exports.formatted import MODEL, FormatExport, finished_run
from studio.exports.forms import Wishes

if TYPE_CHECKING:
    from studio.exports.graph import Graph, Road
    from studio.models.exported import ExportRecord
    from studio.models.forecast.network import NetworkForecaster


class ForecastExport(FormatExport):
    """A form of runs that forecast time series."""

    models = "forecasts"
    kinds = ("forecast",)

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.models.forecast.forecaster import is_local

        record = finished_run(run_folder, holds=MODEL)
        name = f"{run_folder.parent.name}/{run_folder.name}"
        if is_local(record.method):
            raise UserError(
                f"{name} learned each series by itself ({record.method}), which is a formula and no network: {self.format} "
                "cannot hold it. Its numbers stand in model/forecaster.json; --to is for forecast/lstm and forecast/transformer."
            )
        self.writer.check()

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """Write, prove and tell."""
        from studio.exports.forecast.proof import prove, words_of_proof
        from studio.exports.writing import finish_export, new_export, told
        from studio.models.forecast.network import NetworkForecaster
        from studio.models.forecast.opening import open_forecaster

        forecaster = open_forecaster(run_folder / MODEL)
        assert isinstance(forecaster, NetworkForecaster)
        with new_export(target) as folder:
            record = self._files(run_folder, forecaster, folder)
            proof, limits = prove(forecaster, folder, record)
            record = record.model_copy(update={"proof": proof, "limits": limits})
            words = words_of_proof(proof, limits)
            finish_export(folder, record, words, use_of(record))
            size = folder_size(folder)
        return told(run_folder, target, record, words, size, f"python {target / 'predict.py'} SERIES.json")

    def _files(self, run_folder: Path, forecaster: NetworkForecaster, folder: Path) -> ExportRecord:
        """Everything but the proof and the page; gives back the record, which is written too, for the program reads it."""
        from studio.exports.writing import described, versions_of
        from studio.models.exported import ExportRecord, write_export
        from studio.models.forecast import programs
        from studio.models.forecast.exported import INFO
        from studio.models.forecast.exported import described as of_forecaster
        from studio.models.runtimes.sessions import copy_program, runtime_name

        graph = graph_of(forecaster, self.writer.road)
        extra = self.writer.write(graph, folder)
        copy_program(self.format, folder)
        shutil.copyfile(Path(programs.__path__[0]) / "predict.py", folder / "predict.py")
        record = graph.described(
            ExportRecord(
                form=self.format,
                kind=read_run(run_folder).kind,
                run=described(run_folder),
                runtime=runtime_name(self.format),
                versions=versions_of(*self.writer.packages),
                extra={**extra, "forecaster": about(forecaster), INFO: of_forecaster(forecaster.info)},
            )
        )
        write_export(folder, record)
        return record


def graph_of(forecaster: NetworkForecaster, road: Road) -> Graph:
    """The network itself: windows and what is known ahead to quantiles, all scaled."""
    import torch

    from studio.exports.graph import Graph, Port
    from studio.models.forecast.network import quantiles_of

    inputs = forecaster.inputs
    rows: int | str = 1 if road == "fixed" else "batch"
    past = Port(
        "past", "float32", (rows, inputs.context, inputs.per_stamp),
        "per stamp: value, whether it was seen (1 or 0), covariates, sine and cosine of the place in the season; values less the "
        "last one, divided by the spread of the window",
    )  # fmt: skip
    future = Port(
        "future", "float32", (rows, inputs.horizon, inputs.per_future_stamp),
        "per stamp to come: covariates known ahead, sine and cosine of the place in the season",
    )  # fmt: skip
    shares = quantiles_of(forecaster.info.levels)
    meaning = f"quantiles {', '.join(map(str, shares))}, to be multiplied by the spread, the last value to be added, and sorted"
    answer = Port("quantiles", "float32", (rows, inputs.horizon, len(shares)), meaning)
    count = 1 if road == "fixed" else 2
    sample = tuple(torch.zeros(count, *[int(size) for size in port.shape[1:]]) for port in (past, future))
    return Graph((past, future), (answer,), forecaster.network.cpu().eval(), sample)


def about(forecaster: NetworkForecaster) -> dict[str, Any]:
    """What the program beside the file needs to make windows and bounds."""
    from studio.models.forecast.network import quantiles_of
    from studio.models.forecast.windows import LEAST_SPREAD

    info, inputs = forecaster.info, forecaster.inputs
    return {
        "frequency": info.frequency,
        "season_length": info.season_length,
        "reference": inputs.reference,
        "context": inputs.context,
        "horizon": inputs.horizon,
        "known": inputs.known,
        "past": inputs.past,
        "covariates": {"known": info.columns.get("known", []), "past": info.columns.get("past", [])},
        "means": list(inputs.means),
        "spreads": list(inputs.spreads),
        "least_spread": LEAST_SPREAD,
        "levels": list(info.levels),
        "shares": quantiles_of(info.levels),
        "factors": {str(level): factor for level, factor in info.factors.items()},
        "unit": info.unit,
    }


def use_of(record: ExportRecord) -> str:
    """How the files are used, as Markdown."""
    from studio.models.runtimes.sessions import RUNTIMES

    torch = " torch" if record.form == "executorch" else ""
    return (
        f"```sh\npip install {RUNTIMES[record.form].package}{torch} numpy\npython predict.py SERIES.json\n```\n\n"
        "`predict.py` needs nothing of the studio, and says at its top what the file holds. `export.json` says names, shapes and "
        "meanings of the tensors, and under `extra.forecaster` how windows are scaled, for programs in other languages. The "
        "series of the training are not in this folder. In the studio: `studio predict FOLDER ROWS.csv`, "
        "`studio eval forecast --model FOLDER`."
    )
