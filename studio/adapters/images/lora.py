"""Low-rank adapters on image networks: attach with PEFT, save as diffusers loads them, load back with every key used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from studio.core.errors import StudioError, UserError
from studio.models.images.families.base import Family
from studio.models.weights import check_safetensors
from studio.schema.diffusion import ImageLoraSettings

WEIGHTS = "pytorch_lora_weights.safetensors"
"""The file that diffusers' ``load_lora_weights`` looks for."""
_METADATA = "lora_adapter_metadata"
_ADAPTER = "default"


def attach_image_lora(family: Family, settings: ImageLoraSettings, *, seed: int) -> dict[str, nn.Module]:
    """Freeze the base and put adapters on the denoising network, and on the text encoders where that is asked for.

    Returns:
        The networks that carry adapters, by component name.
    Raises:
        UserError: a target module is in no network, or the family has no text encoder to tune.
    """
    networks = family.networks()
    for network in networks.values():
        network.requires_grad_(False)
    if settings.text_encoder and not family.text_networks:
        raise UserError(f"lora.text_encoder: the family {family.name} has no text encoder of its own. Set it to false.")
    carriers = [family.tuned, *(family.text_networks if settings.text_encoder else ())]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for component in carriers:
            targets = _targets(family, settings, text=component != family.tuned)
            _attach(networks[component], _config(settings, targets), component, settings)
    return {component: networks[component] for component in carriers}


def save_image_lora(carriers: Mapping[str, nn.Module], folder: Path) -> None:
    """Write ``pytorch_lora_weights.safetensors`` with keys ``component.layer.lora_A.weight`` and PEFT's settings as metadata.

    A diffusers pipeline of the base takes the folder: ``pipe.load_lora_weights(folder)``.
    """
    tensors: dict[str, torch.Tensor] = {}
    metadata: dict[str, Any] = {}
    for component, network in carriers.items():
        state = get_peft_model_state_dict(network, adapter_name=_ADAPTER)
        tensors |= {f"{component}.{name}": value.detach().to("cpu", torch.float32).contiguous() for name, value in state.items()}
        config = network.peft_config[_ADAPTER].to_dict()  # type: ignore[union-attr, index, operator]
        metadata |= {f"{component}.{name}": _plain(value) for name, value in config.items()}
    folder.mkdir(parents=True, exist_ok=True)
    packed = json.dumps(metadata, indent=2, sort_keys=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt", _METADATA: packed})


def load_image_lora(family: Family, folder: Path) -> dict[str, nn.Module]:
    """Put a saved adapter onto its base.

    Returns:
        The networks that carry adapters, by component name.
    Raises:
        UserError: there is no adapter in the folder, or it names layers this base does not have.
        StudioError: the file is damaged.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{folder} has no {WEIGHTS}; adapters saved as .bin are pickles and are never loaded.")
    check_safetensors(path)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
    tensors = load_file(path)
    networks = family.networks()
    components = dict.fromkeys(name.partition(".")[0] for name in tensors)
    for component in components:
        state = _below(tensors, component)
        if component not in networks:
            raise UserError(
                f"{path} tunes {component!r}, which the family {family.name} does not have. Give the base it was made for."
            )
        config = LoraConfig(**_known_settings(_below(metadata, component)))
        _load(networks[component], config, state, f"{path} ({component})")
    return {component: networks[component] for component in components}


def set_lora_scale(carriers: Mapping[str, nn.Module], scale: float) -> None:
    """Multiply what the adapters add; 1 is as trained, 0 is the base."""
    for layer in _layers(carriers):
        layer.set_scale(_ADAPTER, scale)


@contextmanager
def without_lora(carriers: Mapping[str, nn.Module]) -> Iterator[None]:
    """The base inside the block: adapters are off."""
    for layer in _layers(carriers):
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in _layers(carriers):
            layer.enable_adapters(enabled=True)


def _layers(carriers: Mapping[str, nn.Module]) -> Iterator[Any]:
    """Every adapter layer."""
    for network in carriers.values():
        yield from (layer for layer in network.modules() if isinstance(layer, BaseTunerLayer))


def _targets(family: Family, settings: ImageLoraSettings, *, text: bool) -> list[str] | str:
    """Target modules in PEFT's terms."""
    if text:
        return list(family.text_lora_targets)
    if isinstance(settings.target_modules, list):
        return settings.target_modules
    known = family.lora_targets.get(settings.target_modules)
    return list(known) if known else "all-linear"


def _config(settings: ImageLoraSettings, targets: list[str] | str) -> LoraConfig:
    """PEFT's settings."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=targets,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        init_lora_weights="gaussian" if settings.init == "gaussian" else True,
    )


def _attach(network: nn.Module, config: LoraConfig, component: str, settings: ImageLoraSettings) -> None:
    """Inject adapters, float32 whatever the base is kept in."""
    try:
        inject_adapter_in_model(config, network, adapter_name=_ADAPTER)
    except ValueError as error:
        raise UserError(
            f"lora.target_modules {settings.target_modules} cannot be used on the {component}: {str(error).splitlines()[0]} "
            "Use 'attention' or 'all-linear', or names as they stand in the network."
        ) from error
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _load(network: nn.Module, config: LoraConfig, state: dict[str, torch.Tensor], where: str) -> None:
    """Inject and fill; every saved key must be used, and every adapter filled."""
    try:
        inject_adapter_in_model(config, network, adapter_name=_ADAPTER, state_dict=state)
    except ValueError as error:
        raise UserError(f"{where} does not fit this base: {str(error).splitlines()[0]}") from error
    wanted = set(get_peft_model_state_dict(network, adapter_name=_ADAPTER))
    unused, empty = sorted(set(state) - wanted), sorted(wanted - set(state))
    if unused or empty:
        raise UserError(
            f"{where} does not fit this base: {len(unused)} of its keys match nothing (first: {unused[:1]}), "
            f"{len(empty)} adapters would stay empty (first: {empty[:1]}). Give the base it was made for."
        )
    set_peft_model_state_dict(network, state, adapter_name=_ADAPTER)
    network.requires_grad_(False)


def _known_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide what an adapter computes; the others are PEFT's own affair.

    Raises:
        StudioError: the file does not say them.
    """
    names = ("r", "lora_alpha", "target_modules", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern")
    if "r" not in values:
        raise StudioError("the adapter's file does not say its rank: it is damaged, or was not saved by the studio.")
    return {name: values[name] for name in names if values.get(name) is not None}


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Entries under ``prefix.``, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in values.items() if name.startswith(f"{prefix}.")}


def _plain(value: Any) -> Any:
    """A value that JSON knows."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", value)
