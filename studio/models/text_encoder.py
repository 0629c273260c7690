"""Texts as a pretrained encoder sees them: unit vectors whose cosine says how near two meanings are.

Legend: b texts of a batch, s padded length, h hidden size, n texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.core.errors import UserError
from studio.models.bases import resolve_base

_BATCH = 32


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of transformers with mean pooling over its last hidden states. made_with: what it is, for a report."""

    model: Any
    tokenizer: Any
    made_with: str

    def embed(self, texts: Sequence[str], max_length: int | None = None) -> Any:
        """Unit vectors, float32 [n, h]: the mean over a text's tokens, as sentence-transformers pools by default.

        ``max_length``: tokens of a text that are read; None means as many as the model can.
        """
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                batch = self.tokenizer(
                    list(texts[start : start + _BATCH]), padding=True, truncation=True, max_length=max_length, return_tensors="pt"
                ).to(self.model.device)
                hidden = self.model(**batch).last_hidden_state.float()  # [b, s, h]
                mask = batch["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
                parts.append(torch.nn.functional.normalize(mean, dim=-1).cpu())
        return torch.cat(parts)


def encoder_identity(name: str) -> str:
    """Hash of the weights of an encoder, without opening them.

    Raises:
        UserError: there is no such model. StudioError: it cannot be fetched.
    """
    return resolve_base(name, use="text encoder").sha256


@cache
def open_text_encoder(name: str) -> TextEncoder:
    """Load an encoder: a starter, a folder, or one of the Hub; safetensors only.

    Raises:
        UserError: there is no such model, or it cannot be opened safely.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from studio.models.device import pick_device
    from studio.models.quiet import quiet_transformers

    base = resolve_base(name, use="text encoder")
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False, local_files_only=True)
            model = AutoModel.from_pretrained(
                base.folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{name} cannot be loaded as an embedding model: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    made_with = f"cosine of mean-pooled embeddings of {base.name}, weights sha256 {base.sha256[:16]}"
    return TextEncoder(model.eval().to(pick_device()), tokenizer, made_with)
