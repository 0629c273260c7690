"""The parts of a model card that differ for forecasts: how to ask for one, how often its intervals held, what it cannot know."""

from __future__ import annotations

from typing import Any

from studio.adapters.card import ModelCard
from studio.core.markdown import markdown_table
from studio.core.records import ReportRecord


class ForecastCard(ModelCard):
    """The card of a forecaster."""

    shown_settings = ("horizon", "season_length", "seed")
    loss_unit = "Losses are mean quantile losses, in units of the spread of each window's past."

    def head(self) -> dict[str, Any]:
        """What hubs call it."""
        return {"pipeline_tag": "time-series-forecasting", **super().head()}

    def licence(self) -> str | None:
        """That of the series, where they have one only."""
        licences = dict.fromkeys(source.licence for source in self.dataset.sources if source.licence) if self.dataset else {}
        return str(next(iter(licences))) if len(licences) == 1 else None

    def made(self) -> str:
        """What was fitted to what."""
        series = self.record.result.get("series")
        return f"A forecaster, `{self.record.method}`, learnt from {series or 'some'} time series"

    def given_settings(self) -> list[list[Any]]:
        """The preset's settings, and those of its estimator and intervals."""
        groups = {name: self.settings.get(name) or {} for name in ("estimator", "intervals", "backtest")}
        inner = [
            [f"{group}.{name}", ", ".join(map(str, value)) if isinstance(value, list) else value]
            for group, values in groups.items()
            for name, value in values.items()
            if value is not None
        ]
        return super().given_settings() + inner

    def usage(self) -> str:
        """Commands and code that work as pasted."""
        run = self.record.id
        return (
            "## Use\n\nFrom the end of the training, or from the end of a file with the same columns:\n\n"
            f"```sh\nstudio predict {run} --out forecast.csv\nstudio predict {run} newer.csv --out forecast.csv\n```\n\n"
            "In this folder, with the studio's Python:\n\n```python\nfrom pathlib import Path\n\n"
            "from studio.models.forecast.opening import open_forecaster\n\n"
            'forecaster = open_forecaster(Path("model"))\n'
            "forecasts = forecaster.forecast(forecaster.histories, forecaster.info.horizon)\n"
            "print(forecasts[0].point, forecasts[0].lower, forecasts[0].upper)\n```"
        )

    def training(self) -> str:
        """With the rehearsal."""
        backtest = self.record.result.get("backtest") or {}
        if not backtest:
            return super().training() + "\n\nThere was no back-test: how often its intervals hold is not known."
        windows = [str(number) for number in range(1, backtest["windows"] + 1)]
        rows = [
            [f"{level}%", _share(backtest["coverage"][level]), *map(_share, backtest["coverage_per_window"][level])]
            for level in backtest["coverage"]
        ]
        table = markdown_table(["interval", "held in all", *(f"window {number}" for number in windows)], rows)
        told = f"Back-test: {backtest['windows']} windows of {backtest['horizon']} stamps, each forecast from what lay before it."
        return "\n".join([super().training(), "", told, "", *table])

    def cautions(self) -> str:
        """What no forecast can know."""
        return (
            "It continues what its series did. What never happened in them (a crisis, a new rival, another way of counting) it "
            "cannot foresee, and its intervals do not hold there. "
        )

    def unknown(self, reports: list[ReportRecord]) -> str:  # noqa: ARG002 - nothing that is measured takes them away
        """What stays open."""
        return "how it does beyond the windows that were tried, and on other series"


def _share(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{value:.0%}"
