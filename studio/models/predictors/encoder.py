"""Pretrained encoders of texts with a head: what ``bert`` is. Any encoder that transformers carries itself.

Legend: b texts, s tokens of the longest, e numbers per token, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from studio.core.errors import StudioError, UserError
from studio.models.predictors.networks import load_weights, save_weights
from studio.models.predictors.text_layers import TextNetwork
from studio.models.quiet import quiet_transformers

ENCODER, HEAD = "encoder", "head.safetensors"
_AT_ONCE = 1000
_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say a number far beyond this."""


class EncoderNetwork(TextNetwork):
    """An encoder; a text's features are the mean of what it gives for the text's tokens (https://arxiv.org/abs/1908.10084)."""

    def __init__(self, encoder: Any, *, labels: int, dropout: float) -> None:
        """The head is new, with random weights."""
        super().__init__()
        # A pooler looks at the first token only and is not asked.
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(int(encoder.config.hidden_size), labels))

    def embed(self, numbers: Tensor) -> Tensor:
        """See :meth:`TextNetwork.embed`; without positions, which the encoder adds."""
        embedded: Tensor = self.encoder.get_input_embeddings()(numbers)
        return embedded

    def features(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`TextNetwork.features`."""
        return mean_of(self.encoder(inputs_embeds=embedded, attention_mask=mask.long()).last_hidden_state, mask)

    def read(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`TextNetwork.read`."""
        return mean_of(self.encoder(input_ids=numbers, attention_mask=mask.long()).last_hidden_state, mask)

    def layers(self) -> list[nn.Module]:
        """The encoder's layers, the lowest first: its longest list of modules."""
        lists = [part for part in self.encoder.modules() if isinstance(part, nn.ModuleList)]
        return max((list(one) for one in lists), key=len, default=[])

    def write(self, folder: Path) -> None:
        """The encoder as a folder that transformers opens, the head beside it."""
        with quiet_transformers():
            self.encoder.save_pretrained(folder / ENCODER)
        save_weights(self.head, folder / HEAD)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> EncoderNetwork:
        """What :meth:`write` wrote.

        Raises:
            StudioError: a file is missing or damaged.
        """
        network = cls(load_encoder(folder / ENCODER), labels=settings["labels"], dropout=settings["dropout"])
        load_weights(network.head, folder / HEAD)
        return network


def mean_of(states: Tensor, mask: Tensor) -> Tensor:
    """Mean [b, e] of what an encoder gives [b, s, e] over the tokens of each text (mask bool [b, s])."""
    weights = mask[:, :, None].to(states)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def load_encoder(folder: Path) -> Any:
    """The encoder of a folder, in float32.

    Raises:
        StudioError: it cannot be opened, or weights are missing in it.
    """
    from transformers import AutoModel

    try:
        with quiet_transformers():
            encoder, report = AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StudioError(f"{folder} cannot be opened as an encoder ({str(error).splitlines()[0]}).") from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise StudioError(
            f"the weights in {folder} lack {len(missing)} tensors ({', '.join(missing[:3])}). Fetch the model again."
        )
    return encoder


def check_encoder(folder: Path, name: str) -> None:
    """Refuse what is no encoder of texts, before its weights are opened.

    Raises:
        UserError: says what it is.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

    remedy = "Give an encoder such as minilm-l6, or a BERT, RoBERTa, DeBERTa or ModernBERT of the Hub (owner/name)."
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{name} is no model that transformers knows. {remedy}") from error
    kind = config.model_type
    if config.is_encoder_decoder or kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        writes = config.is_encoder_decoder or kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        what = f"writes texts ({kind})" if writes else f"does not read texts ({kind})"
        raise UserError(f"{name} {what}, and bert needs an encoder. {remedy}")


class TokenReader:
    """Texts as the numbers of an encoder's tokens, its first and last marks included."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """``max_length``: tokens of a text that are read."""
        self.tokenizer, self.max_length = tokenizer, max_length

    @property
    def padding(self) -> int:
        """The number that fills up; where a tokenizer has none, any does, for it is masked."""
        number = self.tokenizer.pad_token_id
        return 0 if number is None else int(number)

    def numbers(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Numbers of each text's tokens, and how many texts were longer than is read."""
        found: list[list[int]] = []
        cut = 0
        with quiet_transformers():  # it warns of long texts, which are cut here
            for first in range(0, len(texts), _AT_ONCE):
                part = list(texts[first : first + _AT_ONCE])
                whole = self.tokenizer(part, truncation=False, padding=False)["input_ids"]
                cut += sum(len(row) > self.max_length for row in whole)
                found += self.tokenizer(part, truncation=True, max_length=self.max_length, padding=False)["input_ids"]
        return found, cut

    def pieces(self, text: str) -> list[str]:
        """The tokens that :meth:`numbers` numbers, as the tokenizer writes them."""
        pieces: list[str] = self.tokenizer.convert_ids_to_tokens(self.numbers([text])[0][0])
        return pieces

    def write(self, folder: Path) -> None:
        """The tokenizer's files, beside the encoder."""
        self.tokenizer.save_pretrained(folder / ENCODER)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TokenReader:
        """What :meth:`write` wrote."""
        return cls(load_encoder_tokenizer(folder / ENCODER), settings["max_length"])


def load_encoder_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder.

    Raises:
        StudioError: it cannot be opened.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise StudioError(f"the tokenizer in {folder} cannot be opened ({str(error).splitlines()[0]}).") from error


def longest_text(config: Any, tokenizer: Any) -> int | None:
    """Tokens that an encoder reads at most, None without a limit."""
    limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    found = [int(limit) for limit in limits if limit is not None and 0 < limit < _NO_LIMIT]
    return min(found, default=None)
