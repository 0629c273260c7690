"""A suite: what is measured, on which rows, with which settings, and what must hold. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from studio.core.errors import nearest
from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class SuiteData(Settings):
    """The rows that are asked."""

    dataset: str | None = None
    """Dataset name, path or fingerprint; None takes the one the run was trained on."""
    split: Literal["test", "validation", "train"] = "test"
    """Split of that dataset. Rows the run was trained on are refused unless ``training_rows`` says otherwise."""
    training_rows: Literal["refuse", "drop", "keep"] = "refuse"
    """What happens when a row was trained on (same id or same conversation): stop, leave it out and count it, or keep it and
    say so loudly."""


class GenerationSettings(Settings):
    """How answers are written. The default is greedy: the same answers every time."""

    max_new_tokens: Positive = 128
    """Longest answer in tokens; a longer one is cut and counted as truncated."""
    batch_size: Positive = 32
    """Answers written side by side. It changes speed and memory, not the answers."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy; above 0 the next token is drawn, flatter with higher values."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """When drawing: keep the most likely tokens that together have this probability."""
    top_k: Count = 0
    """When drawing: keep this many of the most likely tokens; 0 keeps all."""


class LikelihoodSettings(Settings):
    """How the reference answers are scored."""

    batch_size: Positive = 16
    """Rows per forward pass. It changes speed and memory, not the scores."""
    max_length: Positive | None = None
    """Longer conversations are cut on the right at this many tokens and counted; None means the model's context."""


class Threshold(Settings):
    """One condition for ``--gate``; exactly one of the bounds."""

    metric: str
    """A metric of this suite."""
    at_least: float | None = None
    """The tuned model's value must not be below this."""
    at_most: float | None = None
    """The tuned model's value must not be above this."""
    not_worse_than_base: Literal[True] | None = None
    """The paired comparison with the baseline must not say "worse"."""

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        """A threshold with two meanings, or none, is a mistake."""
        given = [name for name in ("at_least", "at_most", "not_worse_than_base") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"the threshold on '{self.metric}' has {' and '.join(given) or 'no bound'}. "
                "Give exactly one of at_least, at_most, not_worse_than_base."
            )
        return self


class Suite(Settings):
    """A measuring plan for conversations."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the suite and of the folder its reports go to."""
    description: str = ""
    """One line for lists and for the report."""
    data: SuiteData = SuiteData()
    """The rows that are asked."""
    metrics: Annotated[list[str], Field(min_length=1)]
    """Registry keys of metrics, in the order of the report."""
    generation: GenerationSettings = GenerationSettings()
    """How answers are written."""
    likelihood: LikelihoodSettings = LikelihoodSettings()
    """How reference answers are scored."""
    compare_by: str | None = None
    """The metric that picks the most improved and most worsened examples; None takes the first suitable of this suite."""
    examples_shown: Count = 5
    """Most improved and most worsened examples in the report, each."""
    limit: Positive | None = None
    """Ask only this many rows, drawn with ``seed``; None asks all."""
    seed: Count = 0
    """Seed of the draw of rows, of drawn answers and of the resamples."""
    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples for the intervals."""
    thresholds: list[Threshold] = []
    """What must hold for ``--gate``; exit code 3 when it does not."""

    @field_validator("metrics")
    @classmethod
    def _no_repeats(cls, metrics: list[str]) -> list[str]:
        """A metric named twice would be reported twice."""
        repeated = sorted({name for name in metrics if metrics.count(name) > 1})
        if repeated:
            raise ValueError(f"'{repeated[0]}' is named twice. Keep one.")
        return metrics

    @field_validator("thresholds")
    @classmethod
    def _on_metrics_of_this_suite(cls, thresholds: list[Threshold], info: ValidationInfo) -> list[Threshold]:
        """A threshold on a metric that is never computed could never be met or missed."""
        metrics: list[str] = info.data.get("metrics") or []
        for threshold in thresholds if metrics else []:
            if threshold.metric not in metrics:
                raise ValueError(
                    f"a threshold is on '{threshold.metric}', which is not a metric of this suite."
                    f"{nearest(threshold.metric, metrics)} In the suite: {', '.join(metrics)}."
                )
        return thresholds

    @field_validator("compare_by")
    @classmethod
    def _compare_by_metric_of_this_suite(cls, compare_by: str | None, info: ValidationInfo) -> str | None:
        """Examples can only be ranked by something that is computed."""
        metrics: list[str] = info.data.get("metrics") or []
        if compare_by is not None and metrics and compare_by not in metrics:
            raise ValueError(
                f"'{compare_by}' is not a metric of this suite.{nearest(compare_by, metrics)} In the suite: {', '.join(metrics)}."
            )
        return compare_by
