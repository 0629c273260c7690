"""What an architecture is, told before weights are read: whether it can be a chat model, and with which attention."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from studio.core.errors import UserError

_REMEDY = "Use a model that writes text from left to right, such as those of the Llama, Qwen, Mistral or Gemma families."

# Permutation models and encoders with a head for words: their class is for language modelling, their attention looks ahead.
_LOOK_AHEAD = {"flaubert", "xlm", "xlnet"}
# Layers whose weight is multiplied without calling the layer (``mamba_inner_fn`` of transformers 5.19): an adapter beside it is
# never asked, and packed numbers would be taken for the weight.
_READ_DIRECTLY = {
    "mamba": ("dt_proj", "out_proj", "x_proj"),
    "falcon_mamba": ("dt_proj", "out_proj", "x_proj"),
    "falcon_h1": ("out_proj",),
    "mamba2": ("out_proj",),
    "nemotron_h": ("out_proj",),
}

# Recurrent models of transformers 5.19 that carry padding on the left into the text, whatever the attention mask says.
_CARRY_PADDING = {"rwkv", "recurrent_gemma"}


def decoder_of(causal_lm: Any) -> Any:
    """What a language model is without its output layer; None where transformers does not say.

    Some classes call their output layer ``decoder`` too, and give that when they are asked (ModernBERT's decoder).
    """
    decoder = causal_lm.get_decoder()
    return causal_lm.base_model if decoder is head_of(causal_lm) else decoder


def is_scorer(model: Any) -> bool:
    """True of a model that gives a row one score, where others have an output layer over the vocabulary."""
    return type(model).__name__.endswith("ForSequenceClassification")


def head_of(model: Any) -> Any:
    """The output layer: over the vocabulary, or of a single score."""
    return model.score if is_scorer(model) else model.get_output_embeddings()


class WideScore(nn.Linear):
    """A score in float32, whatever the arithmetic of the layers before it: near ties are told by their last digits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., d] of any number type to float32 [..., 1]."""
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.float(), self.weight.float(), bias)


def widen_score(model: Any) -> None:
    """Keep the score of a reward model, and what is computed with it, in float32."""
    model.score.__class__ = WideScore
    model.score.float()


def refuse_scoring(config: PretrainedConfig, name: str) -> None:
    """Go on only with architectures that transformers carries with a score in place of the output layer.

    Raises:
        UserError: there is no such class, or it calls its score something else than loaders of adapters expect.
    """
    architecture: Any = AutoModelForSequenceClassification._model_mapping.get(type(config), None)
    if architecture is None or not issubclass(architecture, PreTrainedModel):
        raise UserError(
            f"{name} ({config.model_type}) cannot be a reward model: transformers has no class of it that scores. Use a base of "
            "the Llama, Qwen, Mistral or Gemma families."
        )


def carries_padding(config: PretrainedConfig) -> bool:
    """True where rows of several lengths, padded on the left, come out differently than alone."""
    return config.model_type in _CARRY_PADDING


def read_directly(config: PretrainedConfig) -> tuple[str, ...]:
    """Last names of the layers that the architecture never calls, because it multiplies with their weight itself."""
    return _READ_DIRECTLY.get(config.model_type, ())


def refuse_other_kinds(config: PretrainedConfig, name: str) -> None:
    """Go on only with architectures that write text from left to right and that transformers carries as such.

    Args:
        name: of the base, for the message.
    Raises:
        UserError: says what the model is instead.
    """
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"{name} is an encoder-decoder ({kind}): it turns one text into another instead of continuing it, so it cannot be a "
            f"chat model here. {_REMEDY}"
        )
    if kind in _LOOK_AHEAD:
        raise UserError(sees_ahead(name, kind))
    if type(config) in AutoModelForCausalLM._model_mapping:
        return
    if hasattr(config, "vision_config"):
        what = f"a model for pictures and text ({kind}) whose language part transformers does not open on its own"
        remedy = "Use the text-only model of the same family, which most have."
    else:
        what, remedy = f"of a kind ({kind}) that does not write text, such as an encoder or embedding model", _REMEDY
    raise UserError(f"{name} is {what}, so it cannot be a chat model here. {remedy}")


def refuse_bidirectional(model: nn.Module, name: str) -> None:
    """Go on only where some attention hides later tokens, or there is none that says so (state-space models).

    Raises:
        UserError: all attention looks at later tokens too, as in BERT, which any class for language modelling takes in.
    """
    said = {bool(module.is_causal) for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)}
    if said == {False}:
        raise UserError(sees_ahead(name, str(model.config.model_type)))  # type: ignore[union-attr]


@torch.no_grad()
def refuse_seeing_ahead(model: Any, name: str) -> None:
    """Change the last of eight tokens and see that nothing before it changes, on the weights that will train.

    Raises:
        UserError: an earlier position changes, so every target would be visible to the model.
    """
    was_training = model.training
    model.eval()
    try:
        device, words = next(model.parameters()).device, int(model.get_input_embeddings().weight.shape[0])
        ids = torch.randint(0, words, (1, 8), generator=torch.Generator().manual_seed(0)).repeat(2, 1)
        ids[1, -1] = (ids[1, -1] + 1) % words
        logits = model(input_ids=ids.to(device), use_cache=False).logits[:, :-1]  # [2, 7, v]
    finally:
        model.train(was_training)
    if share_that_differs(logits[0], logits[1]) > rounding(logits.dtype):
        raise UserError(sees_ahead(name, model.config.model_type))


def share_that_differs(left: torch.Tensor, right: torch.Tensor) -> float:
    """Largest difference of any number, as a share of the largest number."""
    left, right = left.float(), right.float()
    return float((left - right).abs().max() / right.abs().max().clamp(min=torch.finfo(torch.float32).tiny))


def rounding(dtype: torch.dtype) -> float:
    """Share of the largest logit by which two ways of summing up may differ in a number type.

    Measured: 5e-6 in float32 and 2.3e-2 in bfloat16 on the starter model; what really sees others differs by more than 1e-3.
    """
    return 2e-4 if dtype == torch.float32 else 0.04


def refuse_packing(config: PretrainedConfig, name: str) -> None:
    """Go on only with architectures that are told places, by which they know where each of several rows begins.

    Raises:
        UserError: its forward pass takes no places (Bloom, MPT, Mamba, RWKV).
    """
    architecture: Any = AutoModelForCausalLM._model_mapping[type(config)]
    if "position_ids" not in inspect.signature(architecture.forward).parameters:
        raise UserError(
            f"rows cannot be packed for {name} ({config.model_type}): it is not told where a row begins, so they would see each "
            "other. Use --set packing=false."
        )


def attention_for(config: PretrainedConfig, asked: str, name: str) -> str | None:
    """The attention to ask transformers for; None leaves the choice to it (``sdpa``, or ``eager`` where there is none).

    Soft-capping of attention scores (Gemma-2, https://arxiv.org/abs/2408.00118, section 2) is computed by ``eager`` and by
    FlashAttention; ``sdpa`` takes the argument and leaves it out without a word.

    Args:
        asked: ``auto`` or an implementation, as in a preset.
    Raises:
        UserError: what is asked for does not exist for this architecture, or would leave out its soft-capping.
    """
    cap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    if asked == "auto":
        return "eager" if cap else None
    if asked == "sdpa" and cap:
        raise UserError(
            f"attention: sdpa would leave out the soft-capping of attention scores (at {cap:g}) that {name} was made with. Use "
            "auto, eager or flash_attention_2."
        )
    architecture: Any = AutoModelForCausalLM._model_mapping[type(config)]
    there = {"sdpa": architecture._supports_sdpa, "flash_attention_2": architecture._supports_flash_attn}
    if not there.get(asked, True):
        raise UserError(f"attention: {asked} does not exist for {name} ({config.model_type}). Use auto or eager.")
    return asked


def sees_ahead(name: str, kind: str) -> str:
    """The sentence for a model whose positions depend on later tokens."""
    return (
        f"{name} ({kind}) looks at later tokens when it predicts one, as encoders do, so it would see every "
        f"answer it is to learn. {_REMEDY}"
    )
