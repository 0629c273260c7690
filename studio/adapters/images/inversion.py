"""Textual inversion: the base stays as it is, and a new word's embeddings are learnt (https://arxiv.org/abs/2208.01618).

Legend: n vectors of the word, d width of a text encoder, b captions, s tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studio.core.errors import StudioError, UserError
from studio.models.images.families.base import Family
from studio.models.images.families.pipeline import PipelineFamily
from studio.schema.diffusion import InversionSettings

WEIGHTS = "learned_embeds.safetensors"
"""The file that diffusers' ``load_textual_inversion`` looks for."""

# Names of the text encoders in files for several, as the UIs and diffusers' own scripts write them.
_CLIP = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
_FAMILIES = ("sd15", "sdxl")


class NewWords(nn.Module):
    """Embeddings of new tokens, laid over what the encoder's own table says of them."""

    def __init__(self, first: int, vectors: Tensor) -> None:
        """``first``: number of the first new token; vectors: [n, d]."""
        super().__init__()
        self.first = first
        self.vectors = nn.Parameter(vectors.clone().float())

    def forward(self, tokens: Tensor, embedded: Tensor) -> Tensor:
        """Replace the new tokens' rows in [b, s, d]."""
        places = tokens - self.first  # [b, s]
        new = (places >= 0) & (places < len(self.vectors))
        learnt = self.vectors[places.clamp(0, len(self.vectors) - 1)].to(embedded.dtype)
        return torch.where(new.unsqueeze(-1), learnt, embedded)


def attach_inversion(family: Family, settings: InversionSettings) -> dict[str, nn.Module]:
    """Freeze the base and give every text encoder trainable embeddings for the new word, starting at a known word's.

    Returns:
        The text encoders by component name; only the new embeddings train.
    Raises:
        UserError: the family has no words to learn, or knows this one already.
    """
    if family.name not in _FAMILIES or not isinstance(family, PipelineFamily):
        raise UserError(f"method: inversion works on {' and '.join(_FAMILIES)}, and this base is {family.name}. Use 'lora'.")
    carriers: dict[str, nn.Module] = {}
    for name in family.text_networks:
        encoder, tokenizer = family.part(name), family.part(name.replace("text_encoder", "tokenizer"))
        table = encoder.get_input_embeddings().weight
        start = tokenizer(settings.start_word, add_special_tokens=False).input_ids
        if not start:
            raise UserError(
                f"inversion.start_word {settings.start_word!r} is no word of this base. Take another, such as 'thing'."
            )
        vectors = table[start].mean(dim=0, keepdim=True).float().repeat(settings.vectors, 1)
        # Different starts, or all vectors of a word would learn the same.
        noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0)).to(vectors.device)
        vectors += 0.01 * float(table.float().std()) * noise
        _lay_over(encoder, tokenizer, settings.word, vectors)
        carriers[name] = encoder
    for network in family.networks().values():
        network.requires_grad_(False)
    for encoder in carriers.values():
        _new_words(encoder).requires_grad_(True)
    return carriers


def save_inversion(carriers: Mapping[str, nn.Module], word: str, folder: Path) -> None:
    """Write ``learned_embeds.safetensors``: ``{word: [n, d]}`` for one encoder, ``clip_l`` and ``clip_g`` for two."""
    from safetensors.torch import save_file

    learnt = {name: _new_words(encoder).vectors.detach().cpu().contiguous() for name, encoder in carriers.items()}
    tensors = {word: learnt["text_encoder"]} if len(learnt) == 1 else {_CLIP[name]: value for name, value in learnt.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt", "word": word})


def load_inversion(family: Family, folder: Path) -> str:
    """Teach an opened base the word of a saved folder; returns the word.

    Raises:
        UserError: it was learnt on another kind of base.
        StudioError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    try:
        with safe_open(str(path), framework="pt") as stream:
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (no mapping)
            word = str((stream.metadata() or {}).get("word", ""))
    except (OSError, SafetensorError) as error:
        raise StudioError(f"{path} cannot be read ({error}). Train it again.") from error
    names = {_CLIP[name]: name for name in family.text_networks if name in _CLIP}
    if word in tensors and len(tensors) == 1:
        names = {word: "text_encoder"}
    if not word or set(names) != set(tensors) or not isinstance(family, PipelineFamily):
        raise UserError(f"{path} holds {', '.join(sorted(tensors))}, which does not fit a base of family {family.name}.")
    for key, name in names.items():
        encoder = family.part(name)
        width = encoder.get_input_embeddings().weight.shape[1]
        if tensors[key].shape[1] != width:
            raise UserError(f"{path} has embeddings of {tensors[key].shape[1]} numbers, the {name} of this base has {width}.")
        _lay_over(encoder, family.part(name.replace("text_encoder", "tokenizer")), word, tensors[key])
        _new_words(encoder).requires_grad_(False)
    family.forget_text()
    return word


def _lay_over(encoder: Any, tokenizer: Any, word: str, vectors: Tensor) -> None:
    """Add ``word``, ``word_1`` … to the tokenizer, as diffusers spells the vectors of one word, and their embeddings."""
    words = [word, *(f"{word}_{number}" for number in range(1, len(vectors)))]
    first = len(tokenizer)
    if not tokenizer.get_vocab().keys().isdisjoint(words) or tokenizer.add_tokens(words) != len(words):
        raise UserError(f"{word!r} is a word of this base already. Choose one that is not, such as '<my-thing>'.")
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings()
    learnt = NewWords(first, vectors).to(table.weight.device)
    # As a part of the table it is found by whoever lists the encoder's parameters.
    table.register_module("new_words", learnt)
    table.register_forward_hook(lambda module, inputs, output: module.new_words(inputs[0], output))


def _new_words(encoder: nn.Module) -> NewWords:
    """The embeddings laid over an encoder's table."""
    found = next((module for module in encoder.modules() if isinstance(module, NewWords)), None)
    if found is None:
        raise StudioError("this text encoder has learnt no word")
    return found
