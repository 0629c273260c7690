"""Training ``bert``: a pretrained encoder, whole, from a layer on, by low-rank adapters, or its head alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from studio.core.errors import DataError, UserError
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.encoder import (
    EncoderNetwork,
    TokenReader,
    check_encoder,
    load_encoder,
    load_encoder_tokenizer,
    longest_text,
)
from studio.models.predictors.text_network import TextNetworkPredictor, texts_of
from studio.schema.networks import Bert
from studio.train.predictors.bases import base_again
from studio.train.predictors.frozen import features_once
from studio.train.predictors.job import Job
from studio.train.predictors.learning import learn, seeded
from studio.train.predictors.objective import Stages, balance, label_objective
from studio.train.predictors.reading import readable_texts

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset


def resolve_encoder(preset: AnyPredictorPreset, revision: str | None = None) -> ResolvedBase:
    """The encoder that a preset names, checked.

    Raises:
        UserError: none is named, it is not here, or it is no encoder of texts.
    """
    if preset.model is None:
        raise UserError("bert starts from a pretrained encoder, and none is named. Give one: --model minilm-l6")
    base = resolve_base(preset.model, revision, use="text encoder")
    check_encoder(base.folder, base.name)
    return base


def encoder_base(preset: AnyPredictorPreset) -> ResolvedBase:
    """The encoder of a preset, once its settings are known to fit the encoder's shape; no weight is opened.

    Raises:
        UserError: as :func:`resolve_encoder`, and where the encoder has fewer layers or reads fewer tokens than is asked for.
    """
    base, settings = resolve_encoder(preset), preset.estimator
    assert isinstance(settings, Bert)
    network = empty_network(base, settings, labels=2)
    refuse_too_long(settings, network, TokenReader(load_encoder_tokenizer(base.folder), settings.max_length), base.name)
    frozen_parts(network, settings, base.name)
    return base


def empty_network(base: ResolvedBase, settings: Bert, *, labels: int) -> EncoderNetwork:
    """The network without contents (on the meta device)."""
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.device("meta"):
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(base.folder, local_files_only=True))
        return EncoderNetwork(encoder, labels=labels, dropout=settings.dropout)


def fit_encoder(job: Job, info: PredictorInfo, settings: Bert) -> TextNetworkPredictor | None:
    """Tune an encoder; None when a signal stopped it after saving a checkpoint.

    Raises:
        UserError: the encoder cannot be tuned as asked. DataError: every text is empty.
    """
    base = base_again(job, resolve_encoder)
    reader = TokenReader(load_encoder_tokenizer(base.folder), settings.max_length)
    texts = texts_of(job.train.features[info.columns[0].name])
    if not any(text.strip() for text in texts):
        raise DataError(
            f"every text in the column {info.columns[0].name} of the training rows is empty: there is nothing to read."
        )
    with seeded(job.preset.seed):
        network = EncoderNetwork(load_encoder(base.folder), labels=len(job.labels), dropout=settings.dropout)
        refuse_too_long(settings, network, reader, base.name)
        frozen = frozen_parts(network, settings, base.name)
        set_dropout(network, settings.dropout)
        if settings.tune == "lora":
            add_adapters(network, settings)
    train, held = readable_texts(job, reader)
    rows = balance(job)
    objective, told = label_objective(job, rows, settings.label_smoothing)
    trains: nn.Module = network
    if settings.tune == "frozen" and network.encoder in frozen:
        train, held = features_once(job, network, train, held)
        trains, frozen = network.head, []
    figures = learn(job, trains, train, held, objective, rows.matrix, Stages(frozen=lambda _epoch: frozen))
    if figures is None:
        return None
    if settings.tune == "lora":
        network.encoder = network.encoder.merge_and_unload()
    plain = {"type": "bert", "labels": len(job.labels), "dropout": settings.dropout, "max_length": settings.max_length}
    result = {**figures, **told, "parameters": sum(value.numel() for value in network.parameters())}
    described = info.model_copy(update={"form": TextNetworkPredictor.form, "extra": {**info.extra, "result": result}})
    return TextNetworkPredictor(described, network, reader, plain)


def refuse_too_long(settings: Bert, network: EncoderNetwork, reader: TokenReader, name: str) -> None:
    """Go on only with texts that the encoder has positions for.

    Raises:
        UserError: it has fewer.
    """
    limit = longest_text(network.encoder.config, reader.tokenizer)
    if limit is not None and settings.max_length > limit:
        raise UserError(
            f"max_length is {settings.max_length}, and {name} reads {limit} tokens at most. "
            f"Set --set estimator.max_length={limit}, or take an encoder that reads longer texts."
        )


def frozen_parts(network: EncoderNetwork, settings: Bert, name: str) -> list[nn.Module]:
    """Parts of the encoder that never train; the whole encoder where no layer does.

    Raises:
        UserError: there are not so many layers.
    """
    if settings.tune != "frozen":
        return []
    layers = network.layers()
    first = len(layers) if settings.freeze_below is None else settings.freeze_below
    if first > len(layers):
        raise UserError(
            f"freeze_below is {first}, and {name} has {len(layers)} layers. Set one of 0 to {len(layers)}; "
            f"{len(layers)} freezes them all."
        )
    if first == len(layers):
        return [network.encoder]
    return [network.encoder.get_input_embeddings(), *_beside_layers(network), *layers[:first]]


def _beside_layers(network: EncoderNetwork) -> list[nn.Module]:
    """What stands before the layers: embeddings with all that belongs to them."""
    return [part for name, part in network.encoder.named_children() if "embed" in name]


def set_dropout(network: EncoderNetwork, share: float) -> None:
    """Give every dropout layer of the encoder the preset's share."""
    for part in network.encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = share


def add_adapters(network: EncoderNetwork, settings: Bert) -> None:
    """Low-rank adapters on every linear layer of the encoder, which itself stays as it is (https://arxiv.org/abs/2106.09685)."""
    from peft import LoraConfig, get_peft_model

    wish = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, lora_dropout=settings.dropout, target_modules="all-linear")
    network.encoder = get_peft_model(network.encoder, wish)
