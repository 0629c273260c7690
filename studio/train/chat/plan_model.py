"""The model of a preset without its weights: built from ``config.json`` on the meta device, adapters and all.

Legend: i inputs and o outputs of a linear layer.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from studio.adapters.chat.methods import adapter_config, attach
from studio.adapters.chat.reference import START, attach_start_shape
from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline
from studio.core.modelscope import on_modelscope
from studio.models.chat.architecture import (
    attention_for,
    head_of,
    is_scorer,
    read_directly,
    refuse_bidirectional,
    refuse_other_kinds,
    refuse_packing,
    refuse_scoring,
    widen_score,
)
from studio.models.chat.loading import refuse_quantising
from studio.models.modelscope import fetch_model
from studio.models.starters import STARTERS, ensure_starter
from studio.models.weights import refuse_remote_code
from studio.schema.adapter import ChatAdapter

# QLoRA (https://arxiv.org/abs/2305.14314), section 3: one 8-bit constant per 64 weights, one float32 per 256 constants.
_NF4_BLOCK, _NF4_OUTER = 64, 256
# bitsandbytes keeps a table of 16 and one of 256 float32 values and an offset with every layer.
_NF4_TABLES = (16 + 256 + 1) * 4


@dataclass(frozen=True)
class Skeleton:
    """A model without contents.

    model: on the meta device, adapters attached, what trains has ``requires_grad``.
    causal_lm: the transformers model inside it.
    weights: bytes of what is frozen (all buffers too), as loaded.
    trained: bytes of what trains; trained_parameters: how many numbers that is; trained_shapes: their shapes.
    autocast: number type of the arithmetic where it differs from that of the weights.
    """

    model: nn.Module
    causal_lm: Any
    weights: int
    trained: int
    trained_parameters: int
    trained_shapes: list[tuple[int, ...]]
    autocast: torch.dtype | None

    @property
    def start(self) -> int:
        """Bytes of the frozen adapter of the run that is trained on, which are among ``weights``."""
        named = self.model.named_parameters()
        return sum(_size(parameter) for name, parameter in named if f".{START}." in name or name.endswith(f".{START}"))

    @property
    def frozen(self) -> list[Tensor]:
        """Parameters that do not train."""
        return [parameter for parameter in self.model.parameters() if not parameter.requires_grad]

    def copy(self) -> Skeleton:
        """A second one, for another trace."""
        model = copy.deepcopy(self.model)
        inner: Any = model
        causal_lm = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
        return Skeleton(model, causal_lm, self.weights, self.trained, self.trained_parameters, self.trained_shapes, self.autocast)


def find_config(reference: str, revision: str | None = None) -> Path:
    """A folder that holds the base's ``config.json``; of a model on the Hub or on ModelScope nothing else is fetched.

    Raises:
        UserError: no such model, or one that asks for its own code.
        StudioError: it cannot be fetched.
    """
    if reference in STARTERS:
        return ensure_starter(reference)[0]
    path = Path(reference).expanduser()
    if on_modelscope(reference):
        folder, _ = fetch_model(reference, revision, only=("config.json", "generation_config.json"))
    elif path.is_dir():
        folder = path / "model" if (path / "run.json").is_file() else path
    elif "/" in reference and not reference.startswith((".", "/", "~")):
        folder = _fetch_config(reference, revision)
    else:
        from studio.models.bases import resolve_base

        folder = resolve_base(reference, revision).folder  # its sentence names what is known
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json, so it is not a model. Give a folder in Hugging Face's form.")
    refuse_remote_code(folder, reference)
    return folder


def build_skeleton(adapter: ChatAdapter, config_folder: Path, *, dtype: torch.dtype, start: Path | None = None) -> Skeleton:
    """Build what ``studio train`` would load, without its contents.

    Args:
        config_folder: holds ``config.json``.
        dtype: type of the arithmetic, see :func:`studio.models.device.pick_dtype`.
        start: adapter folder of a run that is trained on.
    Raises:
        UserError: transformers does not know the architecture, or a layer name fits nothing.
    """
    try:
        config = AutoConfig.from_pretrained(config_folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{config_folder / 'config.json'} cannot be read: {str(error).splitlines()[0]}") from error
    full = adapter.method == "full"
    name = adapter.model
    refuse_other_kinds(config, name)
    refuse_quantising(config, adapter.quantization, name)
    if adapter.packing:
        refuse_packing(config, name)
    attention = attention_for(config, adapter.attention, name)
    if attention == "flash_attention_2":
        attention = None  # not installed everywhere, and it keeps what PyTorch's own fused attention keeps
    kind: Any = AutoModelForCausalLM
    if objective_scores(adapter):
        refuse_scoring(config, name)
        kind, config.num_labels = AutoModelForSequenceClassification, 1
        config.get_text_config().pad_token_id = 0
    try:
        with torch.device("meta"):
            base = kind.from_config(
                config, dtype=torch.float32 if full else dtype, attn_implementation=attention, trust_remote_code=False
            )
    except (ValueError, KeyError, ImportError) as error:
        raise UserError(f"the model in {config_folder} cannot be built: {str(error).splitlines()[0]}") from error
    refuse_bidirectional(base, name)
    if is_scorer(base):
        widen_score(base)
    base.tie_weights()
    if adapter.gradient_checkpointing:
        # Random state is not kept while tracing: there is none on a tensor without contents.
        settings = {"use_reentrant": False, "preserve_rng_state": False}
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
    base.config.use_cache = False
    if hasattr(text := base.config.get_text_config(), "output_router_logits"):
        text.output_router_logits = False
    model: nn.Module = base if full else _with_adapters(adapter, base, dtype, start)
    quantised = 0 if full else _quantise(adapter, model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    return Skeleton(
        model=model,
        causal_lm=base,
        weights=sum(map(_size, frozen)) + sum(_size(buffer) for buffer in model.buffers()) + quantised,
        trained=sum(map(_size, trained)),
        trained_parameters=sum(parameter.numel() for parameter in trained),
        trained_shapes=[tuple(parameter.shape) for parameter in trained],
        autocast=dtype if dtype != torch.float32 else None,
    )


def objective_scores(adapter: ChatAdapter) -> bool:
    """True where what trains has one score in place of its output layer."""
    return adapter.objective == "reward"


def _with_adapters(adapter: ChatAdapter, base: Any, dtype: torch.dtype, start: Path | None) -> nn.Module:
    """Freeze the base and attach adapters as PEFT and TRL do; start values do not matter."""
    base.requires_grad_(False)
    config = adapter_config(adapter, base, quantized=adapter.quantization != "none")
    if adapter.method == "lora":
        config.init_lora_weights = True  # type: ignore[attr-defined]
    model: nn.Module = attach(base, config)
    if start is not None:
        attach_start_shape(model, start)  # type: ignore[arg-type]
    if adapter.quantization != "none" and dtype == torch.bfloat16:
        # TRL turns adapters on a quantised base into bfloat16 (DoRA's magnitudes excepted).
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_magnitude_vector" not in name:
                parameter.data = parameter.data.to(torch.bfloat16)
    if adapter.gradient_checkpointing:
        model.enable_input_require_grads()  # type: ignore[operator]
    return model


def _quantise(adapter: ChatAdapter, model: nn.Module) -> int:
    """Replace the frozen linear layers by ones that hold packed weights; returns bytes that no tensor of theirs shows."""
    if adapter.quantization == "none":
        return 0
    # As transformers sets it: Jamba and Mamba then call a layer whose weight they otherwise multiply with themselves.
    whole: Any = model.config
    for config in (whole, whole.get_text_config()):
        config._is_quantized = True
    head = head_of(model.get_base_model())  # type: ignore[operator]
    left = read_directly(whole)
    tables = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            is_base = name == "base_layer" or not isinstance(parent, BaseTunerLayer | nn.ModuleDict)
            if type(child) is not nn.Linear or child is head or child.weight.requires_grad or not is_base or name in left:
                continue
            packed = PackedLinear(child, adapter.quantization, keep_dense=adapter.lora.dora)
            tables += packed.hidden_bytes
            setattr(parent, name, packed)
    return tables


class PackedLinear(nn.Linear):
    """Stands for bitsandbytes' 4-bit and 8-bit layers, whose own kernels need contents.

    As theirs, it unpacks the weight for each product, in the forward and again in the backward pass, and keeps the packed
    one; the 8-bit one also keeps its input.
    """

    def __init__(self, layer: nn.Linear, kind: str, *, keep_dense: bool) -> None:
        """``keep_dense``: DoRA reads the weight itself; it stays as it is, and only its size is counted as packed."""
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.kind = layer.in_features, layer.out_features, kind
        numbers = layer.weight.numel()
        if kind == "nf4":
            constants = -(-numbers // _NF4_BLOCK)
            size, self.hidden_bytes = -(-numbers // 2), constants + -(-constants // _NF4_OUTER) * 4 + _NF4_TABLES
        else:
            size, self.hidden_bytes = numbers, layer.out_features * 4
        self.bias = layer.bias
        self.dense = keep_dense
        if keep_dense:
            self.weight = layer.weight
            self.hidden_bytes += size - _size(layer.weight)
        else:
            self.weight = nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """[..., i] -> [..., o]."""
        if self.dense:
            return functional.linear(input, self.weight, self.bias)
        shape = (self.out_features, self.in_features)
        result: Tensor = _PackedProduct.apply(input, self.weight, shape, self.kind == "int8")
        return result if self.bias is None else result + self.bias


class _PackedProduct(torch.autograd.Function):
    """x @ W^T with W unpacked for the moment (bitsandbytes 0.50, ``MatMul4Bit`` and ``MatMul8bitFp``)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, shape: tuple[int, int], keep_input: bool) -> Tensor:
        ctx.packed, ctx.shape, ctx.x = packed, shape, x if keep_input else None
        return functional.linear(x, torch.empty(shape, dtype=x.dtype, device=x.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0]
        return gradient @ torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device), None, None, None


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def _fetch_config(reference: str, revision: str | None) -> Path:
    """Fetch only ``config.json`` of a Hub model."""
    from huggingface_hub import hf_hub_download

    try:
        file = hf_hub_download(reference, "config.json", revision=revision, local_files_only=offline())
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise StudioError(
            f"config.json of {reference} cannot be fetched ({reason}). Check the name and the network, or give a local folder."
        ) from error
    return Path(file).parent
