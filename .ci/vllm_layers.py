"""What vLLM reads of an adapter, by architecture: run by vLLM's own Python over folders of tiny bases, prints JSON.

    PYTHON .ci/vllm_layers.py FOLDER...

Each base is built by vLLM itself; each of its layers is looked up as vLLM's LoRA loader does (0.32, ``lora_model.py`` and
``worker_manager.py``): the name is mapped, an unknown last part makes the loader refuse the whole adapter, and a known one at an
unknown place is passed over without a word. ``studio/adapters/chat/vllm_models.py`` keeps what is not as everywhere; ``make
test-serve`` compares.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}

import vllm
from safetensors import safe_open
from vllm.config import set_current_vllm_config
from vllm.distributed import init_distributed_environment, initialize_model_parallel
from vllm.distributed.parallel_state import destroy_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.lora.utils import get_supported_lora_modules, parse_fine_tuned_lora_name, process_packed_modules_mapping
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.model_executor.models.interfaces import supports_lora

_NUMBER = re.compile(r"\.\d+(?=\.|$)")


def main(folders: list[Path]) -> None:
    """Print the facts of every base that this vLLM can build."""
    # Otherwise each architecture is looked at in a process of its own.
    registry._LazyRegisteredModel.inspect_model_cls = lambda self: registry._ModelInfo.from_model_cls(self.load_model_cls())
    init_distributed_environment(1, 0, f"file://{tempfile.mktemp()}", 0, "gloo")
    found = {}
    for folder in folders:
        name = json.loads((folder / "config.json").read_text())["architectures"][0]
        try:
            found[name] = facts(folder)
        except Exception as error:  # told, so that a look at the output shows which base this build cannot open
            print(f"{name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    print(json.dumps({"vllm": vllm.__version__, "architectures": found}, indent=1, sort_keys=True))


def facts(folder: Path) -> dict[str, Any]:
    """Whether adapters are taken at all, how experts are kept, and what becomes of an adapter on each layer of the base."""
    arguments = EngineArgs(model=str(folder), enforce_eager=True, dtype="bfloat16", max_model_len=128, load_format="dummy")
    config = arguments.create_engine_config()
    with set_current_vllm_config(config):
        destroy_model_parallel()
        initialize_model_parallel(1, 1)
        model: Any = initialize_model(vllm_config=config)
        packed = process_packed_modules_mapping(model)
        supported = get_supported_lora_modules(model)
    known = {part for name in supported for part in packed.get(name, [name])}
    places = set()
    for name, module in model.named_modules():
        if isinstance(module, LinearBase):
            parent, _, last = name.rpartition(".")
            places |= {f"{parent}.{part}" for part in packed.get(last, [last])}
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    refused, ignored = set(), set()
    for layer in layers_of(folder):
        mapped, _ = parse_fine_tuned_lora_name(f"base_model.model.{layer}.lora_A.weight", mapper and mapper.get_rename_mapper())
        short = ".".join(_NUMBER.sub("", layer).split(".")[-2:])
        if mapped.rpartition(".")[2] not in known:
            refused.add(short)
        elif mapped not in places:
            ignored.add(short)
    return {
        "adapters": bool(supports_lora(model)),
        "stacked_experts": bool(getattr(model, "is_3d_moe_weight", False)),
        "embeddings": sorted(getattr(model, "embedding_modules", {})),
        "refused": sorted(refused),
        "ignored": sorted(ignored),
    }


def layers_of(folder: Path) -> set[str]:
    """The layers with a matrix, as the base's own file names them; experts, embeddings and output layer aside."""
    names = set()
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - not a mapping
            matrix = name.endswith(".weight") and len(tensors.get_slice(name).get_shape()) == 2
            if matrix and "expert" not in name.replace("shared_expert", ""):
                names.add(name.removesuffix(".weight"))
    return {name for name in names if not re.search(r"embed|lm_head|wte|wpe|vision|projector", name)}


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
