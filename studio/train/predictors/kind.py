"""Runs that predict labels or numbers: opened, planned and told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace
from studio.schema.loading import load_yaml
from studio.train.kinds import Answers, Planned, PlanWish, RunKind
from studio.train.opening import SCRATCH, Asked, Say

if TYPE_CHECKING:
    from studio.data.examples import Examples
    from studio.schema.loading import Settings
    from studio.schema.predictors import AnyPredictorPreset, ClassifierPreset, RegressorPreset
    from studio.train.measuring import Measured


class PredictorKind(RunKind):
    """What Runs of labels and of numbers share."""

    app = "predict"
    datasets = ("table", "chat", "image")

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.train.opening import named_dataset
        from studio.train.predictors.checks import check_data
        from studio.train.record import open_run

        if asked.processes > 1:
            raise UserError(f"--processes {asked.processes}: predictors train in one process. Leave it out.")
        preset = cast("AnyPredictorPreset", load_yaml(asked.preset, self.schema, asked.overrides))
        folder = workspace.find_dataset(named_dataset(preset.data, workspace))
        dataset, base = check_data(preset, folder)
        workspace.check_writable()
        return open_run(
            preset.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"}),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=folder,
            dataset=dataset,
            base=base or SCRATCH,
            processes=1,
            method=estimator_of(preset),
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:  # noqa: ARG002 - it is quick
        """See :meth:`studio.train.kinds.RunKind.plan`."""
        from studio.train.predictors.planning import plan_training

        preset = cast("AnyPredictorPreset", load_yaml(asked.preset, self.schema, asked.overrides))
        if wish.sweep:
            raise UserError("--sweep finds the largest batch of language models. Leave it out.")
        return plan_training(preset, workspace, wish)

    def train(
        self,
        folder: Path,
        *,
        resume: bool,
        processes: int,  # noqa: ARG002 - one process, checked when it was opened
        accelerate_config: Path | None,  # noqa: ARG002 - likewise
        say: Say,
    ) -> RunRecord:
        """See :meth:`studio.train.kinds.RunKind.train`."""
        from studio.train.predictors.run import train_predictor

        preset = cast("AnyPredictorPreset", load_yaml(folder / "config.yaml", self.schema))
        return train_predictor(folder, preset, resume=resume, say=say)

    def measure(self, folder: Path, record: RunRecord, split: str) -> Measured:  # noqa: ARG002 - the model knows
        """See :func:`studio.train.predictors.measuring.measure_predictor`."""
        from studio.train.predictors.measuring import measure_predictor

        return measure_predictor(folder, cast("AnyPredictorPreset", load_yaml(folder / "config.yaml", self.schema)), split)

    def examples(self, preset: Settings, dataset: Path, split: str) -> Examples:
        """The rows of a split with their target."""
        from studio.data.examples import read_examples
        from studio.train.predictors.job import wanted_of

        return read_examples(dataset, split, wanted_of(cast("AnyPredictorPreset", preset)))

    def predict(self, folder: Path, source: str | None, *, options: dict[str, str], say: Say) -> Answers:  # noqa: ARG002 - it is quick
        """See :func:`studio.train.predictors.predicting.predict_file`."""
        from studio.train.predictors.predicting import predict_file

        return predict_file(folder, source, options)

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """Networks alone have losses."""
        return "on the training rows"

    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:  # noqa: ARG002 - all stands in the record
        """What is told at the end of a training."""
        result = record.result
        rows: list[tuple[str, object]] = [("rows", f"{result['rows']:,} to learn from, {result['columns']} columns")]
        rows += [(name, value) for name, value in result.get("validation", {}).items()]
        return rows


class ClassifierKind(PredictorKind):
    """Runs that give labels."""

    name = "classifier"
    title = "Classifier preset"
    about = "`adapters/classify/*.yaml`: labels for rows of tables, for texts and for pictures."
    suite = "classification"

    @property
    def schema(self) -> type[ClassifierPreset]:
        """See :class:`studio.schema.predictors.ClassifierPreset`."""
        from studio.schema.predictors import ClassifierPreset

        return ClassifierPreset


class RegressorKind(PredictorKind):
    """Runs that give numbers."""

    name = "regressor"
    title = "Regressor preset"
    about = "`adapters/regress/*.yaml`: numbers for rows of tables and for texts."
    suite = "regression"

    @property
    def schema(self) -> type[RegressorPreset]:
        """See :class:`studio.schema.predictors.RegressorPreset`."""
        from studio.schema.predictors import RegressorPreset

        return RegressorPreset


def estimator_of(preset: AnyPredictorPreset) -> str:
    """Type of the estimator of either preset."""
    return str(preset.estimator.type)


CLASSIFIER = ClassifierKind()
REGRESSOR = RegressorKind()
