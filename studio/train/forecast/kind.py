"""Runs that forecast time series: opened, planned, trained, told, asked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.telling import Pairs, Told
from studio.core.workspace import Workspace
from studio.schema.loading import load_yaml
from studio.train.kinds import Answers, Planned, PlanWish, RunKind
from studio.train.opening import SCRATCH, Asked, Say, find_rows

if TYPE_CHECKING:
    from studio.schema.forecast import ForecastPreset
    from studio.train.measuring import Measured

_NETWORKS = ("lstm", "transformer")


class ForecastKind(RunKind):
    """Forecasts of time series."""

    name = "forecast"
    title = "Forecast preset"
    about = "`adapters/forecast/*.yaml`: one way to continue time series."
    suite = "forecast"
    datasets = ("series",)
    app = None
    rehearses = True

    @property
    def schema(self) -> type[ForecastPreset]:
        """See :class:`studio.schema.forecast.ForecastPreset`."""
        from studio.schema.forecast import ForecastPreset

        return ForecastPreset

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.train.forecast.job import check_facts
        from studio.train.record import open_run

        if asked.model is not None:
            raise UserError(f"--model {asked.model}: a forecaster is learnt from its series alone and has no base. Leave it out.")
        preset = load_yaml(asked.preset, self.schema, asked.overrides)
        self._check_estimator(preset, asked.processes)
        folder, dataset = find_rows(preset.data, workspace, kind="series", rows="time series", example="series/employment")
        check_facts(preset, folder)
        workspace.check_writable()
        return open_run(
            preset.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"}),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=folder,
            dataset=dataset,
            base=SCRATCH,
            processes=asked.processes,
            method=str(preset.estimator.type),
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:  # noqa: ARG002 - nothing is probed
        """See :meth:`studio.train.kinds.RunKind.plan`."""
        from studio.train.forecast.planning import check_room, plan_training

        if wish.probe or wish.sweep:
            raise UserError("--probe measures steps and --sweep batches of language models. Leave them out.")
        preset = load_yaml(asked.preset, self.schema, asked.overrides)
        self._check_estimator(preset, asked.processes)
        folder, _ = find_rows(preset.data, workspace, kind="series", rows="time series", example="series/employment")
        planned = plan_training(preset, folder, wish, asked.processes)
        return Planned(Told((Pairs(planned.told),), planned.document), partial(check_room, planned))

    def train(
        self,
        folder: Path,
        *,
        resume: bool,
        processes: int,
        accelerate_config: Path | None,  # noqa: ARG002 - small models on one machine
        say: Say,
    ) -> RunRecord:
        """See :meth:`studio.train.kinds.RunKind.train`."""
        from studio.train.forecast.run import train_forecaster

        preset = load_yaml(folder / "config.yaml", self.schema)
        return train_forecaster(folder, preset, resume=resume, processes=processes, say=say)

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """Networks alone have losses."""
        return "mean quantile loss, in units of each series' own spread"

    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:  # noqa: ARG002 - all stands in the record
        """What is told at the end of a training."""
        result = record.result
        rows: list[tuple[str, object]] = [("series", f"{result['series']:,}, {result['values']:,} values")]
        backtest = result.get("backtest") or {}
        if backtest:
            errors = [f"MASE {_number(backtest['mase'])}"]
            others = {"seasonal naive": backtest["seasonal_naive_mase"], "naive": backtest["naive_mase"]}
            errors += [f"{kind} {_number(value)}" for kind, value in others.items()]
            held = ", ".join(f"{level}% held {_share(share)}" for level, share in backtest["coverage"].items())
            windows = f"{backtest['windows']} windows of {backtest['horizon']}"
            rows += [("back-test", f"{', '.join(errors)} ({windows})"), ("intervals", held)]
        return rows

    def measure(self, folder: Path, record: RunRecord, split: str) -> Measured:
        """See :func:`studio.train.forecast.measuring.measure_forecaster`."""
        from studio.train.forecast.measuring import measure_forecaster

        return measure_forecaster(folder, record, split)

    def predict(self, folder: Path, source: str | None, *, options: dict[str, str], say: Say) -> Answers:
        """Forecasts from the end of the training, or from the end of the rows of a file; see :mod:`.predicting`."""
        from studio.train.forecast.predicting import predict_series

        return predict_series(folder, source, options=options, say=say)

    @staticmethod
    def _check_estimator(preset: ForecastPreset, processes: int) -> None:
        """Refuse what cannot be trained here.

        Raises:
            UserError: an optional package is missing, or several processes are asked for what takes one.
        """
        if preset.estimator.type == "prophet":
            from studio.core.extras import require

            require("prophet", feature="the preset forecast/prophet", extra="prophet")
        if preset.estimator.type in _NETWORKS and processes > 1:
            raise UserError(
                f"--processes {processes}: {preset.estimator.type} is one small network and trains in one process. Leave it out."
            )


def _number(value: float | None) -> str:
    """A scaled error."""
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{value:.0%}"


FORECAST = ForecastKind()
