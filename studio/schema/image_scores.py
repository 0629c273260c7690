"""The task that scores made pictures. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from studio.schema.loading import Settings
from studio.schema.tasks import Positive, Share, TaskSettings, Text, without_repeats

ImageMetric = Literal[
    "inception_score", "fid", "kid", "precision", "recall", "clip_score", "label_accuracy", "coverage", "diversity",
    "copied", "copied_pixels", "nearness",
]  # fmt: skip
NAMED_BY_NETWORK = ("inception_score", "fid", "kid")
"""Scores that carry these names only when the reference Inception weights made them; else ``_own`` is added."""


class PromptSettings(Settings):
    """What the models are asked to draw."""

    split: Literal["test", "validation", "train"] = "test"
    """Captions of this split of the dataset are the prompts; where there are fewer than samples, they are asked again with other
    seeds."""
    texts: list[Text] = []
    """Prompts of the suite's own, instead of captions."""


class ClassifierTraining(Settings):
    """How the studio's own classifier is trained where the reference Inception weights are not at hand."""

    side: Annotated[int, Field(ge=8, le=256)] = 32
    """Pictures are scaled to this many pixels per side."""
    epochs: Positive = 20
    """Passes over the training pictures."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Pictures per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of start values, order and augmentation."""


class ImagesTask(TaskSettings):
    """Pictures made for prompts, against the pictures of a Dataset."""

    type: Literal["images"]
    """Kind of task."""
    dataset: str | None = None
    """Dataset name, path or fingerprint; None takes the one the run was trained on."""
    reference: Literal["train", "validation", "test"] = "train"
    """Split whose pictures the made ones are compared with."""
    reference_limit: Positive | None = 10_000
    """Compare with at most this many, drawn with the suite's seed; None takes all."""
    prompts: PromptSettings = PromptSettings()
    """What the models are asked to draw."""
    samples: Annotated[int, Field(ge=4)] = 256
    """Pictures made by each model; both get the same prompts and seeds."""
    steps: Positive | None = None
    """Denoising steps; None takes the run's own."""
    guidance: Annotated[float, Field(ge=1)] | None = None
    """Guidance scale, 1 is none; None takes the run's own."""
    batch_size: Positive = 32
    """Pictures made or looked at side by side."""
    metrics: Annotated[list[ImageMetric], Field(min_length=1)] = [
        "inception_score", "fid", "kid", "precision", "recall", "clip_score", "label_accuracy", "coverage", "diversity",
        "copied", "copied_pixels", "nearness",
    ]  # fmt: skip
    """What is computed, in the order of the report."""
    inception_weights: str | None = None
    """File of the reference Inception weights; None takes STUDIO_INCEPTION_WEIGHTS or a cache, and without a file the studio
    trains a classifier of its own. Nothing is downloaded."""
    clip: str | None = None
    """Folder, or id in the local Hub cache, of a transformers CLIP; None takes STUDIO_CLIP, and without one there is no CLIP
    score."""
    classifier: ClassifierTraining = ClassifierTraining()
    """How the studio's own classifier is trained."""
    splits: Positive = 10
    """Splits of the Inception Score."""
    kid_subset_size: Annotated[int, Field(ge=2)] = 50
    """Pictures per subset of the kernel distance; larger than the number of samples is an error."""
    kid_subsets: Positive = 100
    """Subsets of the kernel distance."""
    neighbours: Positive = 3
    """The k of precision and recall."""
    pixel_side: Annotated[int, Field(ge=4, le=256)] = 32
    """Pixel distances are taken at this many pixels per side."""
    slow_resamples: Annotated[int, Field(ge=100)] = 200
    """At most this many resamples for the Fréchet distance, which needs the eigenvalues of a matrix for each; above 1,000
    pictures at most 50."""
    least_accuracy: Share = 0.5
    """The report warns when the studio's own classifier names fewer held-out pictures right than this."""

    @field_validator("metrics")
    @classmethod
    def _no_repeats(cls, metrics: list[ImageMetric]) -> list[ImageMetric]:
        """A metric named twice would be reported twice."""
        without_repeats([str(name) for name in metrics])
        return metrics

    @model_validator(mode="after")
    def _enough_pictures(self) -> ImagesTask:
        """Numbers that could only fail after minutes of sampling."""
        if "inception_score" in self.metrics and self.samples < self.splits:
            raise ValueError(
                f"{self.samples} samples cannot be cut into {self.splits} splits. Make more samples, or fewer splits."
            )
        if "kid" in self.metrics and self.samples < self.kid_subset_size:
            raise ValueError(
                f"KID subsets of {self.kid_subset_size} cannot be drawn from {self.samples} samples. Make more samples, or set "
                f"kid_subset_size to at most {self.samples} (another size is another score)."
            )
        if self.samples <= self.neighbours and {"precision", "recall"} & set(self.metrics):
            raise ValueError(f"precision and recall with {self.neighbours} neighbours need more than {self.samples} samples.")
        return self

    def metric_names(self) -> list[str]:
        """What is computed, under both names where the network decides between them."""
        both = [[name, f"{name}_own"] if name in NAMED_BY_NETWORK else [str(name)] for name in self.metrics]
        return [name for names in both for name in names]
