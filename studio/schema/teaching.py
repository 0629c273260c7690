"""Settings of the objectives that learn from another model, or learn to judge answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class DistillSettings(Settings):
    """How a teacher is followed, for ``objective: distill`` (https://arxiv.org/abs/1503.02531)."""

    teacher: str | None = None
    """The model that is followed: a run (name, ``last``, path), a starter, a Hub id or a local folder, whose vocabulary must be
    that of the student; or ``rows``, for log-probabilities that a server gave with its answers (``writer.top_logprobs``)."""
    beta: Share = 0.0
    """Which divergence from the teacher is the loss (GKD, https://arxiv.org/abs/2306.13649): 0 is forward KL (cover all that the
    teacher says), 1 reverse KL (keep to what it says most), between them the generalised Jensen-Shannon divergence."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Both distributions are softened by it. The loss is not multiplied by its square."""
    answer_share: Share = 0.0
    """Share of the rows' own loss (negative log-likelihood of their answers) in the whole; the rest is the divergence."""
    top_k: Positive | None = 64
    """So many of the teacher's likeliest tokens are compared at each target, and all others together as one. They are computed
    once, before the first step, and kept on disk (8 bytes each), so that the teacher is not in memory while the student trains.
    None compares the whole vocabulary, with the teacher in memory."""
    on_policy: Share = 0.0
    """Share of the rows whose last answer the student writes anew, for the teacher to judge (GKD); it stays in memory."""
    max_new_tokens: Positive = 128
    """Longest answer that the student writes."""
    teacher_quantization: Literal["none", "nf4", "int8"] = "none"
    """Load the teacher in 4 or 8 bits."""

    @model_validator(mode="after")
    def _in_the_rows(self) -> DistillSettings:
        """What stands in rows was said once, of a few tokens, at temperature 1."""
        if self.teacher == "rows":
            if not self.cached:
                raise ValueError("distill.teacher: rows can answer nothing anew. Leave on_policy at 0, and give top_k a number.")
            if self.temperature != 1 or self.teacher_quantization != "none":
                raise ValueError(
                    "distill.teacher: rows was asked before, at temperature 1. Leave temperature and quantization out."
                )
        return self

    @property
    def cached(self) -> bool:
        """True when the teacher is asked once, before the first step."""
        return self.top_k is not None and self.on_policy == 0


class RewardSettings(Settings):
    """How pairs become a score, for ``objective: reward``."""

    center: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the squared sum of a pair's scores, which keeps them around zero (https://arxiv.org/abs/2312.09244); 0.01 is
    usual."""
