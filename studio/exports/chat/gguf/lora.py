"""The adapter of a run alone as GGUF, on the GGUF file of its base.

Legend: r rank, i inputs and o outputs of a layer. A is [r, i], B is [o, r]; llama.cpp adds alpha / r * B @ A.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from studio.adapters.chat.loading import LoadedRun, load_run
from studio.core.environments import find_python
from studio.core.errors import UserError
from studio.core.files import folder_size, sha256_json
from studio.core.telling import Told, size_text
from studio.core.workspace import Workspace, read_run
from studio.exports.chat.gguf import architectures, making
from studio.exports.chat.gguf.architectures import Architecture, architecture_of
from studio.exports.chat.gguf.making import TOKENIZER, hold_tokens, limits_of, marks_of, write_beside
from studio.exports.chat.gguf.vocabulary import read_vocabulary
from studio.exports.chat.gguf.writer import Marks, read_config, write_gguf
from studio.exports.chat.measuring import measure
from studio.exports.chat.proving import asking
from studio.exports.writing import described, finish_export, new_export, told, versions_of
from studio.models.chat.runtimes.llama import LLAMA, LlamaRuntime
from studio.models.exported import ExportRecord

_PREFIX = "base_model.model."


def check(run_folder: Path, quant: str) -> None:
    """Look at a run before any work.

    Raises:
        UserError: it has no plain LoRA, llama.cpp is missing, or GGUF cannot hold its base here.
        StudioError: a file is not the one that the run wrote down.
    """
    record, name = read_run(run_folder), f"{run_folder.parent.name}/{run_folder.name}"
    instead = f"Export it whole: studio export {name} --to gguf"
    if record.method == "full":
        raise UserError(f"the run {name} tuned every weight and has no adapter. {instead}")
    making.check(run_folder, quant)
    config = _adapter_config(run_folder)
    kind = "dora" if config.get("use_dora") else str(config.get("peft_type", "LORA")).lower()
    if kind != "lora":
        raise UserError(f"--to gguf-lora holds a plain LoRA, and the run {name} trained {kind}. {instead}")
    if config.get("bias", "none") != "none" or config.get("modules_to_save") or config.get("trainable_token_indices"):
        raise UserError(
            f"the run {name} trained biases, tokens or whole layers beside its LoRA, which GGUF cannot hold. {instead}"
        )
    find_python(LLAMA)


def _adapter_config(run_folder: Path) -> dict[str, Any]:
    """PEFT's settings of the run's adapter."""
    found: dict[str, Any] = json.loads((run_folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    return found


def export_lora(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run's adapter and its base as a folder with two GGUF files.

    Args:
        quant: kind of numbers of the base; those of the adapter stay float32.
    Raises:
        UserError: a layer cannot have an adapter in GGUF.
        StudioError: both together are not the run; nothing is left behind.
    """
    run = load_run(run_folder, dtype=torch.float32, quantization="none")
    marks = marks_of(run)
    found = architecture_of(read_config(run.base_source.folder), run.base_source.name)
    base = base_file(run, quant, found, marks)
    name = run.record.name
    with new_export(target) as partial:
        lora, beside = partial / f"{name}-lora.gguf", partial / f"base-{quant}.gguf"
        write_adapter(run, lora, found)
        _share(base, beside)
        with LlamaRuntime(beside, exact=quant == "f32", lora=lora) as llama:
            hold_tokens(run, llama, marks)
            measured, runtime = measure(run, llama.logits, who="llama.cpp"), llama.name
        limits = limits_of(f"gguf-lora ({quant} base)", quant, found, measured)
        template = write_beside(partial, run, marks, beside.name, adapter=lora.name)
        sizes = [("adapter", size_text(lora.stat().st_size)), ("base", f"{size_text(base.stat().st_size)}, {quant}, shared")]
        words = [("tokens of the prompts", "the same as the run's"), *measured.words(), *sizes]
        record = ExportRecord(
            form="gguf-lora",
            quant=quant,
            kind="chat",
            run=described(run_folder),
            runtime=runtime,
            proof={"llama.cpp": measured.figures()},
            limits=limits,
            versions=versions_of("gguf", "transformers", "torch", "finetuning-studio"),
            extra={
                "file": lora.name,
                "base_file": beside.name,
                "ollama": template,
                **asking(run, TOKENIZER),
            },
        )
        finish_export(partial, record, words, _use(lora.name, beside.name, template))
    said = told(run_folder, target, record, words, folder_size(target), f"ollama create {name} -f {target / 'Modelfile'}")
    return said if template else replace(said, blocks=(*said.blocks, f"\n{making.NO_TEMPLATE}"))


def base_file(run: LoadedRun, quant: str, found: Architecture, marks: Marks) -> Path:
    """The base as GGUF, written once for all runs that stand on it with the same template; in the workspace's cache."""
    source = run.base_source
    key = sha256_json([source.sha256, quant, marks.template, marks.ends, marks.adds, gguf.GGML_QUANT_VERSION])[:16]
    path = Workspace.around(run.folder).root / "cache" / "gguf" / f"{key}-{quant}.gguf"
    if path.is_file():
        return path
    config = read_config(source.folder)
    words = read_vocabulary(source.folder, int(config["vocab_size"]), source.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_gguf(source.folder, partial, quant, found=found, words=words, marks=marks, about={"name": Path(source.name).name})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _share(base: Path, beside: Path) -> None:
    """The base in the export's folder: the same file under a second name where the disk allows it."""
    try:
        beside.hardlink_to(base)
    except OSError:
        shutil.copyfile(base, beside)


def write_adapter(run: LoadedRun, target: Path, found: Architecture) -> None:
    """Write the LoRA of a loaded run.

    Raises:
        UserError: a layer has no place in GGUF, or is no linear one.
    """
    config = run.model.get_base_model().config.to_dict()
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == found.name)
    places = gguf.get_tensor_name_map(arch, int(config["num_hidden_layers"]))
    layers = {name: module for name, module in run.model.named_modules() if getattr(module, "lora_A", None)}
    ranks = {module.lora_A["default"].weight.shape[0] for module in layers.values() if "default" in module.lora_A}
    scales = {module.scaling["default"] for module in layers.values()}
    whole = len(ranks) == 1 and len(scales) == 1  # one alpha says it all
    alpha = next(iter(scales)) * next(iter(ranks)) if whole else 1.0
    writer = gguf.GGUFWriter(str(target), found.name)
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
        for name, module in layers.items():
            short = name.removeprefix(_PREFIX)
            place = places.get_name(f"{short}.weight", try_suffixes=(".weight",))
            if (
                place is None
                or "default" not in module.lora_A
                or (place == "output.weight" and config.get("tie_word_embeddings"))
            ):
                raise UserError(
                    f"--to gguf-lora cannot hold the adapter on {short}. Export the whole model: "
                    f"studio export {run.folder.name} --to gguf"
                )
            a, b = (_numbers(getattr(module, part)["default"]) for part in ("lora_A", "lora_B"))
            b = b if whole else b * np.float32(module.scaling["default"] * a.shape[0])
            writer.add_tensor(f"{place}.lora_a", np.ascontiguousarray(a))
            laid = architectures.laid(f"{short}.weight", b, config, found)
            writer.add_tensor(f"{place}.lora_b", np.ascontiguousarray(laid))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _numbers(layer: Any) -> NDArray[np.float32]:
    """Weight of a linear layer."""
    found: NDArray[np.float32] = layer.weight.detach().float().cpu().numpy()
    return found


def _use(lora: str, base: str, template: bool) -> str:
    """How the files are used, in Markdown."""
    server = ["llama.cpp:", "", f"    llama-server -m {base} --lora {lora} --jinja", ""]
    rest = [f"`{base}` is the untouched base with the run's template; other runs on the same base and template share it."]
    return "\n".join([*making.use_in_ollama(template), *server, *rest])
