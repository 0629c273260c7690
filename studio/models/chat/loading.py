"""Opening a language model with transformers: tokenizer, weights, quantisation. Safetensors only, never a model's own code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from studio.core.errors import StudioError, UserError
from studio.models.bases import ResolvedBase
from studio.models.chat.architecture import (
    attention_for,
    is_scorer,
    read_directly,
    refuse_bidirectional,
    refuse_other_kinds,
    refuse_scoring,
    widen_score,
)
from studio.models.device import pick_device
from studio.models.quiet import quiet_transformers

_LAYER = re.compile(r"\.\d+\.")
# Forms of published models (gpt-oss, DeepSeek) that transformers unpacks, or computes with as they are.
_UNPACKED_BY_LOADING = {"mxfp4", "fp8"}

Quantization = Literal["none", "nf4", "int8"]


def load_tokenizer(base: ResolvedBase) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a base, with a padding token (the end token where it has none of its own).

    Raises:
        UserError: it cannot be loaded without the model's own code, or does not know character offsets.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"the tokenizer of {base.name} cannot be loaded: {_first_line(error)}.") from error
    if not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {base.name} is {type(tokenizer).__name__}, which gives no character offsets, so that trained "
            "tokens cannot be marked. Add its tokenizer.json to the folder."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"the tokenizer of {base.name} has neither a padding nor an end token. Set eos_token in tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(
    base: ResolvedBase,
    *,
    dtype: torch.dtype,
    quantization: Quantization = "none",
    attention: str = "auto",
    device: torch.device | None = None,
) -> PreTrainedModel:
    """Load the weights of a base onto one device, in evaluation mode.

    Args:
        dtype: type of the weights, or of the arithmetic where they are quantised.
        quantization: ``nf4`` is 4-bit NormalFloat with double quantisation, ``int8`` is LLM.int8.
        attention: ``auto`` leaves the choice to transformers, but where soft-capping needs ``eager``.
        device: None means :func:`pick_device`.
    Raises:
        UserError: the device cannot do what is asked, or the architecture is no language model that transformers carries.
        StudioError: the weights do not fit the configuration.
    """
    return _load(AutoModelForCausalLM, base, dtype, quantization, attention, device)


def load_scorer(
    base: ResolvedBase,
    *,
    dtype: torch.dtype,
    pad_id: int,
    quantization: Quantization = "none",
    attention: str = "auto",
    device: torch.device | None = None,
) -> PreTrainedModel:
    """Load the weights of a base with one score in place of its output layer, which is new unless the folder holds it.

    The score of a row is read at its last token that is not padding.

    Args:
        pad_id: the padding token. Others as of :func:`load_causal_lm`.
    Raises:
        UserError: transformers has no such class for the architecture; and as :func:`load_causal_lm`.
        StudioError: the weights do not fit the configuration.
    """
    refuse_scoring(read_config(base), base.name)
    model = _load(
        AutoModelForSequenceClassification, base, dtype, quantization, attention, device, num_labels=1, pad_token_id=pad_id
    )
    model.config.get_text_config().pad_token_id = pad_id
    widen_score(model)
    return model


def _load(
    kind: Any,
    base: ResolvedBase,
    dtype: torch.dtype,
    quantization: Quantization,
    attention: str,
    device: torch.device | None,
    **more: Any,
) -> PreTrainedModel:
    """Open a base as one of transformers' kinds of model."""
    device = device or pick_device()
    config = read_config(base)
    refuse_other_kinds(config, base.name)
    arguments: dict[str, Any] = {"dtype": dtype, "attn_implementation": attention_for(config, attention, base.name), **more}
    if device.type != "cpu" or quantization != "none":
        arguments["device_map"] = {"": str(device)}
    if quantization != "none":
        arguments["quantization_config"] = quantization_config(quantization, dtype, device, whole=read_directly(config))
    with quiet_transformers():
        try:
            found: Any = kind.from_pretrained(
                base.folder,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **arguments,
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise UserError(f"{base.name} cannot be loaded: {_first_line(error)}") from error
        except RuntimeError as error:
            if "out of memory" in str(error).lower():
                raise StudioError(
                    f"{base.name} does not fit into the memory of {device}. Use quantization: nf4 or a smaller model; "
                    "'studio plan' says beforehand what fits."
                ) from error
            if "ignore_mismatched_sizes" in str(error):  # what transformers advises would fill them with random numbers
                raise StudioError(
                    f"the weights of {base.name} do not fit its configuration: tensors have other shapes than config.json says. "
                    "Fetch the model again."
                ) from error
            raise StudioError(f"{base.name} cannot be loaded: {_first_line(error)}") from error
    model, info = found
    if is_scorer(model):
        info["missing_keys"] = [key for key in info["missing_keys"] if not key.startswith("score.")]
    refuse_bidirectional(model, base.name)  # first: an encoder has no output layer, and nothing is wrong with its weights
    _refuse_other_weights(model, info, base.name)
    loaded: PreTrainedModel = model.eval()
    text: Any = loaded.config.get_text_config()
    if getattr(text, "output_router_logits", False):
        text.output_router_logits = False  # asks for a loss over routers in every forward pass, also while answering
    if quantization == "nf4" and device.type == "cpu":
        _keep_differentiable(loaded)
    return loaded


def _refuse_other_weights(model: PreTrainedModel, info: dict[str, Any], name: str) -> None:
    """Go on only when the file holds what the configuration asks for: no tensor too few, and no layers that it does not count.

    transformers fills missing weights with random numbers, leaves out what it has no place for, and goes on.

    Raises:
        StudioError: says how many tensors, and names some.
    """
    missing = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"]) + _packed_otherwise(model)
    if missing:
        raise StudioError(
            f"the weights of {name} do not fit its configuration: {len(missing)} tensors are missing or have another shape "
            f"({', '.join(missing[:3])}). Fetch the model again."
        )
    kinds = {_LAYER.sub(".N.", key) for key in model.state_dict() if _LAYER.search(key)}
    # By layer; one that has parts of its own (for predicting several tokens) is no layer too many.
    left: dict[str, list[str]] = {}
    for key in info["unexpected_keys"]:
        if found := _LAYER.search(key):
            left.setdefault(key[: found.end()], []).append(key)
    extra = [keys for keys in left.values() if all(_LAYER.sub(".N.", key) in kinds for key in keys if key.endswith(".weight"))]
    weights = [key for keys in extra for key in keys if key.endswith(".weight")]
    if weights:
        raise StudioError(
            f"the weights of {name} have layers that its configuration does not count ({len(weights)} tensors, such as "
            f"{sorted(weights)[0]}), and without them it is another model. Set num_hidden_layers in config.json right, or fetch "
            "the model again."
        )


def _packed_otherwise(model: nn.Module) -> list[str]:
    """Layers whose packed weight has another shape than the configuration says, of which transformers says nothing."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            packed: Any = module.weight
            state = getattr(packed, "quant_state", None)
            if tuple(packed.shape if state is None else state.shape) != (module.out_features, module.in_features):
                found.append(f"{name}.weight")
    return found


def refuse_quantising(config: PretrainedConfig, quantization: Quantization, name: str) -> None:
    """Go on only with a base that can be trained as asked, and merged later.

    Raises:
        UserError: its weights are packed already, or are changed in place by its own code.
    """
    packed = getattr(config, "quantization_config", None)
    found = packed.get("quant_method") if isinstance(packed, dict) else getattr(packed, "quant_method", None)
    method = str(getattr(found, "value", found)).lower()
    if packed and ("bitsandbytes" in method or method not in _UNPACKED_BY_LOADING):
        raise UserError(
            f"the weights of {name} are packed by {method.partition('_')[0]} already, and nothing could be merged into them. "
            "Give the model they were made from; with quantization: nf4 it is packed while it is loaded."
        )
    if packed and quantization != "none":
        raise UserError(f"the weights of {name} are packed as {method} already. Use quantization: none, which unpacks them.")
    if quantization != "none" and config.model_type == "rwkv":
        raise UserError(f"{name} (rwkv) rescales its weights in place, which packed ones do not allow. Use quantization: none.")


def read_config(base: ResolvedBase) -> PretrainedConfig:
    """The configuration of a base.

    Raises:
        UserError: transformers does not know the architecture, or the file is damaged.
    """
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(base.folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{base.name} cannot be loaded: {_first_line(error)}") from error
    return config


def quantization_config(
    quantization: Quantization, dtype: torch.dtype, device: torch.device, whole: Sequence[str] = ()
) -> BitsAndBytesConfig:
    """The bitsandbytes settings behind a name.

    Source: QLoRA (https://arxiv.org/abs/2305.14314): NF4, double quantisation, arithmetic in the compute type.

    Args:
        whole: last names of layers that stay as they are, beside the output layer.

    Raises:
        UserError: bitsandbytes has no kernels for this device.
    """
    if device.type not in {"cuda", "cpu", "xpu"}:
        raise UserError(
            f"quantization: {quantization} needs a CUDA GPU or a CPU; this machine computes on {device.type}. Use none."
        )
    skipped = (
        ["lm_head", "score", *whole] if whole else None
    )  # None leaves the output layer out by itself, a list only what it names
    if quantization == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=skipped,
        )
    return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)


def _keep_differentiable(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights on CPUs with AVX512-BF16.

    The first forward pass in evaluation mode would rewrite them into a layout whose product has no gradient, and a model
    that is validated and then trained on would silently get wrong gradients (bitsandbytes 0.50, ``Linear4bit.forward``).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _first_line(error: BaseException) -> str:
    """The first line of a library's message, without its final stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
