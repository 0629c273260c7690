"""The parts of a model card that differ for predictors: how to ask it, what it reads and gives, what it is held against."""

from __future__ import annotations

from typing import Any

from studio.adapters.card import ModelCard, figure_text, is_plain
from studio.core.errors import StudioError
from studio.core.markdown import markdown_table
from studio.core.records import ReportRecord
from studio.models.predictors.base import DESCRIPTION, Filling, PredictorInfo
from studio.models.predictors.opening import read_info
from studio.schema.columns import Column

MODEL = "model"
_MOST_COLUMNS, _MOST_VALUES, _MOST_LABELS = 60, 6, 40
_READS = {"text": "text", "picture": "image"}


class PredictorCard(ModelCard):
    """The card of a classifier or a regressor; a plain one until its model is there."""

    shown_settings = (
        "target", "features", "imbalance", "threshold", "log_target", "interval", "extra_columns", "missing_columns", "seed",
    )  # fmt: skip
    loss_unit = "Losses stand here where a network was trained; they are means over rows."

    @property
    def info(self) -> PredictorInfo | None:
        """What the model says of itself; None before the training has ended."""
        if not (self.run_folder / MODEL / DESCRIPTION).is_file():
            return None
        try:
            return read_info(self.run_folder / MODEL)
        except StudioError:
            return None

    def head(self) -> dict[str, Any]:
        """With the task's name as hubs have it."""
        info = self.info
        if info is None:
            return super().head()
        reads = _READS.get(info.columns[0].type, "tabular") if len(info.columns) == 1 else "tabular"
        task = "classification" if info.task == "labels" else "regression"
        return {"pipeline_tag": f"{reads}-{task}", **super().head()}

    def made(self) -> str:
        """What it predicts, and how."""
        info = self.info
        if info is None:
            return super().made()
        what = f"Labels of `{info.target}`" if info.task == "labels" else f"Numbers of `{info.target}`"
        base = "" if self.from_scratch else f" on `{self.record.base.get('name')}`"
        return f"{what} by {info.estimator}{base}, trained"

    def usage(self) -> str:
        """Commands and code that work as pasted, and what it reads and gives."""
        info = self.info
        if info is None:
            return ""
        return "\n\n".join([self._asking(info), _reads(info), _gives(info)])

    def _asking(self, info: PredictorInfo) -> str:
        """Ways to ask it."""
        run = f"{self.run_folder.parent.name}/{self.run_folder.name}"
        kind = info.columns[0].type if len(info.columns) == 1 else ""
        asked = {"text": '--text "…"', "picture": "picture.png"}.get(kind, "rows.csv")
        commands = [
            f"studio predict {run} {asked}",
            f"studio predict {run} rows.csv --probabilities --out answers.csv"
            if info.task == "labels"
            else f"studio predict {run} rows.csv --out answers.csv",
            f"studio app predict {run}",
        ]
        code = [
            "from pathlib import Path",
            "",
            "import pandas as pd",
            "",
            "from studio.models.predictors.opening import open_predictor",
            "",
            'predictor = open_predictor(Path("model"))  # runs no code of the file',
            'texts = {column.name: str for column in predictor.info.columns if column.type != "number"}',
            'print(predictor.predict(pd.read_csv("rows.csv", dtype=texts)))',
        ]
        return (
            "## Use\n\nOn the command line, where the studio is installed:\n\n```\n" + "\n".join(commands) + "\n```\n\nIn this "
            "folder, in Python:\n\n```python\n" + "\n".join(code) + "\n```"
        )

    def given_settings(self) -> list[list[Any]]:
        """The settings of the estimator beside those that are shown."""
        given = super().given_settings()
        estimator = self.settings.get("estimator")
        if isinstance(estimator, dict):
            given += [[f"estimator.{name}", value] for name, value in estimator.items() if is_plain(value) and value != ""]
        return given

    def cautions(self) -> str:
        """What it does with rows unlike those it learned from."""
        if self.info is None:
            return ""
        return (
            "It answers every row, also one that is unlike all it learned from: the ranges and values above are what it knows. "
            "What goes along with the target in its data need not be the cause of it. "
        )

    def unknown(self, reports: list[ReportRecord]) -> str:
        """How it treats groups of people, until that is measured."""
        return (
            ""
            if any(report.suite == "fairness" for report in reports)
            else "how it treats groups of people (`studio eval fairness`)"
        )

    def evaluation(self) -> str:
        """The reports; the command of a predictor's own suite where there are none."""
        suite = "classification" if self.record.kind == "classifier" else "regression"
        return super().evaluation().replace("studio eval release", f"studio eval {suite}")


def _reads(info: PredictorInfo) -> str:
    """The columns with what is known of each."""
    rows = [_column(column, info.fillings.get(column.name, Filling())) for column in info.columns[:_MOST_COLUMNS]]
    more = len(info.columns) - _MOST_COLUMNS
    table = markdown_table(["column", "type", "unit", "what it is", "known values", "missing in training"], rows)
    return "\n".join(["### What it reads", "", *table, *(["", f"and {more} columns more."] if more > 0 else [])])


def _column(column: Column, filling: Filling) -> list[Any]:
    """One line of the table of columns."""
    known = ""
    if filling.low is not None and filling.high is not None:
        known = f"{filling.low:g} to {filling.high:g}"
    elif filling.values:
        more = max(filling.distinct, len(filling.values)) - _MOST_VALUES
        known = ", ".join(filling.values[:_MOST_VALUES]) + (f" and {more} more" if more > 0 else "")
    return [column.name, column.type, column.unit or "", column.about or "", known, f"{filling.missing:.1%}"]


def _gives(info: PredictorInfo) -> str:
    """Labels with their shares and the threshold, or the number's unit and interval; the baseline."""
    lines = ["### What it gives", ""]
    if info.task == "labels":
        rows = [[label, f"{info.baseline.get(label, 0.0):.1%}"] for label in info.labels[:_MOST_LABELS]]
        lines += markdown_table(["label", "share of the training rows"], rows)
        more = len(info.labels) - _MOST_LABELS
        lines += ["", f"and {more} labels more."] if more > 0 else []
        rule = "The likeliest label is given."
        if info.positive is not None and info.threshold is not None:
            rule = f"`{info.positive}` is given from a probability of {info.threshold:.3g} on, chosen on the validation rows."
        commonest = max(info.labels, key=lambda label: info.baseline.get(label, 0.0))
        lines += ["", f"{rule} Baseline: always `{commonest}`."]
        return "\n".join(lines)
    unit = f" {info.unit}" if info.unit else ""
    lines.append(f"A number of `{info.target}`{f', in {info.unit}' if info.unit else ''}.")
    if info.interval:
        lines.append(
            f"With it an interval of ± {figure_text(info.interval['half_width'])}{unit}, made to hold "
            f"{info.interval['level']:.0%} of the true values (split conformal, on validation rows)."
        )
    lines.append(
        f"Baseline: always the mean of the training rows, {figure_text(info.baseline['mean'])}{unit} (median "
        f"{figure_text(info.baseline['median'])}{unit})."
    )
    return "\n".join(lines)
