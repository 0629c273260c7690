"""Which pretrained network turns texts or pictures into numbers: checked when a Run is opened, opened when it trains."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from studio.core.errors import UserError, nearest
from studio.core.records import RunRecord
from studio.models.bases import ResolvedBase, recorded_revision, resolve_base
from studio.schema.columns import Column
from studio.train.record import unchanged

if TYPE_CHECKING:
    from studio.models.clusters.embedding import Embedding
    from studio.schema.clusters import ClustersPreset

TEXTS, PICTURES = "minilm-l6", "efficientnet-lite0"
"""The starters that are taken where a preset names none."""
_MOST_TOKENS = 256
_SIDE = 160
"""Side of the pictures in pixels: on 378 emoji 96, 160 and 224 gave a classifier 79, 80 and 82% in 7, 19 and 43 ms each."""


def embedded_type(preset: ClustersPreset, columns: Sequence[Column]) -> str | None:
    """``text`` or ``picture`` where a network looks at columns of that type, else None.

    Raises:
        UserError: there is no such column, both are asked for, or a base is named that nothing uses.
    """
    wanted = [kind for kind, on in (("text", preset.texts == "encoder"), ("picture", preset.pictures == "network")) if on]
    if len(wanted) > 1:
        raise UserError("texts: encoder and pictures: network are two networks, and a run has one. Set one of them.")
    if not wanted:
        if preset.model is not None:
            raise UserError(
                f"--model {preset.model}: texts are counted and pictures taken by their pixels, for which no model is needed. "
                "Set texts: encoder or pictures: network, or leave it out."
            )
        return None
    if wanted[0] not in {column.type for column in columns}:
        setting = "texts: encoder" if wanted[0] == "text" else "pictures: network"
        raise UserError(
            f"{setting} is set, and no column is of type {wanted[0]}. Leave it out, or name such a column in features."
        )
    return wanted[0]


def find_base(preset: ClustersPreset, columns: Sequence[Column], record: RunRecord | None = None) -> ResolvedBase | None:
    """The network's weights, checked; None where none is used.

    Args:
        record: of a Run that was opened; its weights must not have changed.
    Raises:
        UserError: there are none of that name, they are of another kind, or they have changed. StudioError: they cannot be had.
    """
    kind = embedded_type(preset, columns)
    if kind is None:
        return None
    revision = recorded_revision(record.base) if record is not None else None
    if kind == "text":
        from studio.models.predictors.encoder import check_encoder

        base = resolve_base(preset.model or TEXTS, revision, use="text encoder")
        check_encoder(base.folder, base.name)
    else:
        base = resolve_base(preset.model or PICTURES, revision, use="picture network")
        _architecture(base)
    return base if record is None else unchanged(base, record)


def open_embedding(base: ResolvedBase, kind: str, texts: Sequence[str | None], note: Callable[[str], None]) -> Embedding:
    """The network, opened.

    Args:
        texts: the training rows' texts; how many are longer than is read is told.
    """
    from studio.models.clusters.embedding import PictureEmbedding, TextEmbedding

    if kind == "picture":
        from studio.models.predictors.picture_layers import TimmNetwork
        from studio.train.predictors.timm_networks import load_pretrained

        shape = {"architecture": _architecture(base), "labels": 1, "activation_name": None, "dropout": 0.0}
        network = TimmNetwork(**shape)  # type: ignore[arg-type]
        facts = network.body.pretrained_cfg | load_pretrained(network, base)
        settings = {"type": "timm", **shape, "size": _SIDE, "mean": list(facts["mean"]), "std": list(facts["std"])}
        return PictureEmbedding(network, settings)
    from studio.models.predictors.encoder import TokenReader, load_encoder, load_encoder_tokenizer, longest_text

    encoder, tokenizer = load_encoder(base.folder), load_encoder_tokenizer(base.folder)
    reader = TokenReader(tokenizer, min(_MOST_TOKENS, longest_text(encoder.config, tokenizer) or _MOST_TOKENS))
    cut = reader.numbers([text or "" for text in texts])[1]
    if cut:
        note(f"{cut:,} of {len(texts):,} texts are longer than {reader.max_length} tokens and were cut on the right")
    return TextEmbedding(encoder, reader)


def _architecture(base: ResolvedBase) -> str:
    """The key of a network of timm in ``TIMM_NAMES``.

    Raises:
        UserError: it is none of these.
    """
    from studio.models.predictors.picture_layers import TIMM_NAMES

    found = str(json.loads((base.folder / "config.json").read_text(encoding="utf-8")).get("architecture"))
    known = {name: key for key, name in TIMM_NAMES.items()}
    if found not in known:
        raise UserError(
            f"the weights of {base.name} are of {found}, which cannot be opened here.{nearest(found, known)} Known: "
            f"{', '.join(known)}."
        )
    return known[found]
