"""Settings of objectives that learn from preferences, what each means where nothing is said, and where it means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from studio.schema.loading import Settings

PAIRED = ("dpo", "ipo", "orpo", "simpo", "cpo")
PREFERENCES = (*PAIRED, "kto")

# Which objectives read a setting.
_READ_BY: dict[str, tuple[str, ...]] = {
    "beta": PREFERENCES,
    "margin": ("simpo",),
    "label_smoothing": ("dpo", "simpo", "cpo"),
    "sft_weight": PAIRED,
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
# What runs of older versions have in their config.yaml whatever they learnt.
_WRITTEN_BEFORE = {"beta": 0.1, "sft_weight": 0.0}


@dataclass(frozen=True)
class Weighing:
    """What a loss of preferences reads, with every value; see :class:`PreferenceSettings`."""

    beta: float
    margin: float
    label_smoothing: float
    sft_weight: float


class PreferenceSettings(Settings):
    """How preferences become a loss, for ``objective: dpo``, ``ipo``, ``orpo``, ``simpo``, ``cpo`` and ``kto``."""

    beta: Annotated[float, Field(gt=0)] | None = None
    """DPO, KTO, IPO (its tau): how closely the tuned model is held to the one it started from; larger is closer. CPO, SimPO: how
    much a difference in likelihood counts. ORPO (its lambda): weight of the odds ratio. None is the papers': 2 for SimPO, else
    0.1."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """SimPO only (its gamma): by how much the reward of the chosen answer should exceed the other's; None is half of beta."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """DPO, CPO and SimPO: the share of pairs that are taken to be the wrong way round (https://ericmitchell.ai/cdpo.pdf)."""
    sft_weight: Annotated[float, Field(ge=0)] | None = None
    """Not of KTO: this much of the chosen answer's own loss (nats per token) is added, which keeps it from becoming unlikely
    together with the rejected one (RPO, https://arxiv.org/abs/2404.19733): its mean over tokens for each pair (DPO, IPO), or over
    the tokens of all pairs of a step (ORPO, CPO, SimPO). None is 1 for ORPO and CPO, of whose losses it is a part, else 0."""
    desirable_weight: Annotated[float, Field(gt=0)] | None = None
    """KTO only: weight of answers that were liked; None balances liked and disliked rows to the same total weight."""
    undesirable_weight: Annotated[float, Field(gt=0)] | None = None
    """KTO only: weight of answers that were disliked; None is 1."""

    def filled(self, objective: str) -> Weighing:
        """The settings with a value where nothing was said."""
        beta = self.beta if self.beta is not None else 2.0 if objective == "simpo" else 0.1
        sft_weight = self.sft_weight if self.sft_weight is not None else float(objective in {"orpo", "cpo"})
        margin = self.margin if self.margin is not None else beta / 2
        return Weighing(beta, margin, self.label_smoothing, sft_weight)

    def refuse_unread(self, objective: str) -> None:
        """Refuse a setting that the objective does not read.

        Raises:
            ValueError: names it and who does.
        """
        for name, readers in _READ_BY.items():
            value = getattr(self, name)
            silent = (type(self).model_fields[name].default, _WRITTEN_BEFORE.get(name))
            if objective not in readers and value not in silent:
                raise ValueError(
                    f"'preference.{name}' {value:g} has no meaning with 'objective: {objective}': only {', '.join(readers)} "
                    f"{'reads' if len(readers) == 1 else 'read'} it. Remove it."
                )
