"""What training a network takes, before it starts: memory by tracing one step without contents, time by a few real steps.

Legend: n training rows, b rows of a step, s words or tokens, k labels.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from studio.core.telling import Pairs, Told
from studio.core.workspace import Workspace
from studio.data.examples import Examples
from studio.models.device import pick_device
from studio.schema.networks import Bert, Gru, Learning, Lstm, Mlp, MobileNet, Pictures, ResNet, SmallCnn, TextCnn
from studio.schema.predictors import ClassifierPreset
from studio.train.budget import Budget, StopAfterAFewSteps, disk_of, probed_seconds
from studio.train.capacity import free_disk, memory_of
from studio.train.kinds import Planned, PlanWish
from studio.train.plan_baseline import baseline_bytes
from studio.train.predictors.job import Job, labels_of
from studio.train.storage import StorageTracker, materialise

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

_TRAINER = "studio.train.predictors.learning"
_TRACED_ROWS = 2
"""Rows of a step that a recurrent network is traced with; its lengths must be real numbers."""


@dataclass(frozen=True, kw_only=True)
class NetworkPlan(Budget):
    """The forecast. epoch_steps: of one epoch."""

    headroom = 1.1
    """What is left free: rows as Python's lists, libraries that come later, other programs."""
    remedy = "Set a smaller estimator.batch_size, shorter texts (estimator.max_length) or smaller pictures (estimator.size)."

    epoch_steps: int


def network_planned(preset: AnyPredictorPreset, train: Examples, workspace: Workspace, wish: PlanWish) -> Planned:
    """The plan in words: what trains, steps, memory by what holds it, disk, and time where it is measured.

    Raises:
        UserError, DataError: the probe met what the training itself would meet.
    """
    limit = wish.memory if wish.memory is not None else memory_of("cuda" if pick_device().type == "cuda" else "cpu")
    planned = plan_network(preset, train, memory=limit, free_disk=free_disk(workspace))
    if wish.probe and planned.fits:
        planned = probe_network(preset, train, planned)
    rows: list[tuple[str, object]] = [
        ("estimator", preset.estimator.type),
        ("rows", f"{len(train):,}, {len(train.columns)} columns"),
        ("parameters that train", f"{planned.trained:,} of {planned.parameters:,}"),
        ("steps", f"{planned.steps:,} at most, {planned.epoch_steps:,} an epoch"),
        *planned.told(),
    ]
    document = {"estimator": preset.estimator.type, **asdict(planned), "needed": planned.needed, "fits": planned.fits}
    return Planned(Told((Pairs(rows),), document), planned.check)


def plan_network(preset: AnyPredictorPreset, train: Examples, *, memory: int | None, free_disk: int | None) -> NetworkPlan:
    """Forecast the training of a network on these rows."""
    settings = preset.estimator
    assert isinstance(settings, Learning)
    rows = _rows_per_epoch(preset, train)
    traced = _trace(preset, train)
    epoch_steps = max(1, math.ceil(rows / settings.batch_size) - (rows > 1 and rows % settings.batch_size == 1))
    trained = traced["trained"]
    parts = {
        "runtime": baseline_bytes(pick_device().type, _TRAINER, measure_context=False),
        "rows": _row_bytes(settings, train),
        "weights": 4 * traced["parameters"],
        "best weights so far": 4 * trained,
        "gradients": 4 * trained,
        "optimizer": 8 * trained,
        "activations": traced["activations"],
    }
    return NetworkPlan(
        parameters=traced["parameters"],
        trained=trained,
        steps=epoch_steps * settings.epochs,
        epoch_steps=epoch_steps,
        parts=parts,
        disk=disk_of(traced["parameters"], trained),
        memory=memory,
        free_disk=free_disk,
    )


def probe_network(preset: AnyPredictorPreset, train: Examples, planned: NetworkPlan) -> NetworkPlan:
    """Take a few real steps in a folder that is thrown away, and measure them.

    Raises:
        UserError, DataError: as the training itself would.
    """
    from studio.train.predictors.describing import describe
    from studio.train.predictors.fitting import FITTERS

    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), preset, train, None, resume=False, say=lambda _text: None, stop=StopAfterAFewSteps(Path(folder)))
        FITTERS.get(preset.estimator.type)(job, describe(job))
        return replace(planned, seconds=probed_seconds(Path(folder)))


def _rows_per_epoch(preset: AnyPredictorPreset, train: Examples) -> int:
    """Rows that an epoch takes, those of balanced labels included."""
    if not isinstance(preset, ClassifierPreset) or train.target is None:
        return len(train)
    counts = [int((train.target == label).sum()) for label in labels_of(train)]
    if preset.imbalance in {"oversample", "smote"}:
        return len(counts) * max(counts)
    return len(counts) * min(counts) if preset.imbalance == "undersample" else len(train)


def _row_bytes(settings: Any, train: Examples) -> int:
    """Rows as they lie in memory while training: pictures as bytes, words as numbers in lists, columns as doubles."""
    plain = int(train.features.memory_usage(deep=True).sum())
    if isinstance(settings, Pictures):
        return plain + len(train) * 3 * settings.size**2
    return 2 * plain if isinstance(settings, Mlp) else plain + 36 * len(train) * int(settings.max_length)


def _trace(preset: AnyPredictorPreset, train: Examples) -> dict[str, int]:
    """Parameters, how many of them train, and bytes that a step keeps for going back."""
    settings: Any = preset.estimator
    labels = max(1, len(labels_of(train)))
    recurrent = isinstance(settings, Lstm | Gru)
    count = min(settings.batch_size, _TRACED_ROWS) if recurrent else settings.batch_size
    with nullcontext() if recurrent else torch.device("meta"):
        network = _skeleton(preset, labels, train).train()
    trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
    with nullcontext() if recurrent else FakeTensorMode(allow_non_fake_inputs=True):
        materialise(network)
        inputs = _batch(settings, network, count)
        tracker = StorageTracker()
        tracker.ignore([*network.parameters(), *network.buffers(), *inputs])
        with tracker:
            outputs = network(*inputs)  # held, so that what the way back needs is counted
        kept = tracker.peak
        del outputs
    parameters = sum(value.numel() for value in network.parameters())
    return {"parameters": parameters, "trained": trained, "activations": round(kept * settings.batch_size / count)}


def _skeleton(preset: AnyPredictorPreset, labels: int, train: Examples) -> nn.Module:
    """A network of the preset's shape; only what trains in the last epoch has gradients."""
    settings = preset.estimator
    match settings:
        case Lstm() | Gru() | TextCnn():
            from studio.models.predictors.text_layers import build_word_network
            from studio.train.predictors.text_networks import word_network_settings

            return build_word_network(word_network_settings(settings, words=settings.vocabulary, labels=labels))
        case SmallCnn():
            from studio.models.predictors.picture_layers import SmallCnn as Small

            shape: dict[str, Any] = {
                "labels": labels,
                "activation_name": settings.activation,
                "dropout": settings.dropout,
            }
            return Small(depth=settings.depth, width=settings.width, **shape)
        case ResNet() | MobileNet():
            return _timm_skeleton(settings, labels)
        case Bert():
            return _encoder_skeleton(preset, settings, labels)
        case Mlp():
            from studio.models.predictors.column_network import ColumnNetwork

            shape = {"depth": settings.depth, "width": settings.width, "dropout": settings.dropout}
            shape |= {"features": _prepared_columns(preset, train), "activation_name": settings.activation}
            return ColumnNetwork(outputs=labels, **shape)
    raise NotImplementedError(settings.type)


def _timm_skeleton(settings: ResNet | MobileNet, labels: int) -> nn.Module:
    """A network of timm."""
    from studio.train.predictors.timm_networks import empty_network, stages_of

    network = empty_network(settings, labels)
    return _frozen(network, stages_of(network, settings).frozen(settings.epochs))


def _encoder_skeleton(preset: AnyPredictorPreset, settings: Bert, labels: int) -> nn.Module:
    """An encoder of the base's shape."""
    from studio.train.predictors.encoders import add_adapters, empty_network, encoder_base, frozen_parts

    base = encoder_base(preset)
    network = empty_network(base, settings, labels=labels)
    if settings.tune == "lora":
        add_adapters(network, settings)
    return _frozen(network, frozen_parts(network, settings, base.name))


def _frozen(network: nn.Module, parts: Sequence[nn.Module]) -> nn.Module:
    """The network, with no gradients in some parts."""
    for part in parts:
        part.requires_grad_(False)
    return network


def _batch(settings: Any, network: nn.Module, count: int) -> tuple[Tensor, ...]:
    """A batch as the network takes it: pictures, prepared columns, or texts of the longest length."""
    if isinstance(settings, Pictures):
        return (torch.zeros(count, 3, settings.size, settings.size),)
    if isinstance(settings, Mlp):
        first = next(part for part in network.modules() if isinstance(part, nn.Linear))
        return (torch.zeros(count, first.in_features),)
    shape = (count, settings.max_length)
    return torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.bool)


def _prepared_columns(preset: AnyPredictorPreset, train: Examples) -> int:
    """Features of a table after its preparation, roughly: numbers with an indicator, categories' values, texts' components."""
    texts = preset.preparation.texts.components
    widths = {"number": 2, "time": 10, "text": texts, "picture": 3072}
    return sum(
        widths.get(column.type) or max(2, train.features[column.name].nunique() // max(1, preset.preparation.rare))
        for column in train.columns
    )
