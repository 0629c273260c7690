"""Settings of ``objective: grpo``. Each field is documented here once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings
from studio.schema.rewards import Reward

Positive = Annotated[int, Field(gt=0)]


class VllmSettings(Settings):
    """Settings of ``grpo.writer: vllm``."""

    memory: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the GPU's memory that vLLM takes, its copy of the base included; a CPU gives it what it needs."""
    correction: Annotated[float, Field(ge=1)] | None = 2.0
    """vLLM computes in another order than the training does, so the model that learns gives each token a slightly other
    probability than the one it was drawn with: its loss is multiplied by their ratio, and by no more than this (truncated
    importance sampling, https://fengyao.notion.site/off-policy-rl). None leaves the loss as it is."""


class GrpoSettings(Settings):
    """How answers are drawn, what they get points for, and how the points become a loss, for ``objective: grpo``."""

    rewards: list[Reward] = []
    """What answers are given points for; their weighted sum is the reward. At least one."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Answers drawn to each prompt, which are compared with one another. Must divide ``batch_size``, which counts answers."""
    max_new_tokens: Positive = 256
    """Longest answer; prompts that leave less room in ``max_length`` are left out and named."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Answers are drawn, and their probabilities computed, from the scores divided by this."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Answers are drawn from the likeliest tokens with this mass; the loss does not know of it, so 1 is exact."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Answers are drawn from so many likeliest tokens; 0 is all, and exact as above."""
    loss: Literal["dapo", "grpo", "dr_grpo"] = "dapo"
    """What an answer's tokens weigh: all tokens of a step the same (DAPO, https://arxiv.org/abs/2503.14476); every answer the
    same (GRPO, https://arxiv.org/abs/2402.03300), so that tokens of long ones weigh less; or each one over ``max_new_tokens``,
    whatever is drawn (Dr. GRPO, https://arxiv.org/abs/2503.20783)."""
    scale: Literal["group", "batch", "none"] = "group"
    """What the distance of a reward from its group's mean is divided by: the standard deviation in the group, in the whole
    step, or nothing (Dr. GRPO: dividing makes too easy and too hard prompts weigh more)."""
    updates: Positive = 1
    """Optimizer steps on the same answers. From the second on, ``epsilon`` limits how far they move."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """A token moves a step no further once its probability has fallen by this share."""
    epsilon_high: Annotated[float, Field(gt=0)] | None = None
    """The same where it has risen; None is ``epsilon``. DAPO's is 0.28."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """How closely the model is held to the one it started from, by the Kullback-Leibler divergence of each token; 0 does not, and
    saves a pass over the answers."""
    truncated: Literal["learn", "mask"] = "learn"
    """Answers cut off at ``max_new_tokens`` are learnt from by their reward, or carry no loss (DAPO's overlong filtering)."""
    rollout_batch_size: Positive | None = None
    """Answers written side by side, per process; None writes all of a step at once. It decides memory and speed."""
    writer: Literal["transformers", "vllm"] = "transformers"
    """What writes the answers: the model that is trained, or the vLLM that ``studio serve --install`` made for this machine,
    which takes up the adapter of every step, and is for answers that are many or long. LoRA only."""
    vllm: VllmSettings = VllmSettings()
    """Settings of ``writer: vllm``."""
