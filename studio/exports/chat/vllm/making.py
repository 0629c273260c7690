"""Making a folder of compressed-tensors of a run, and its proof in vLLM."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from studio.adapters.chat.loading import LoadedRun, load_run
from studio.adapters.chat.merge import export_merged
from studio.core.environments import find_python, threads
from studio.core.errors import DataError, UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import read_split
from studio.exports.chat.proving import asking, check_run, loses_much, prove, warning, written_by
from studio.exports.chat.vllm.environment import QUANTIZE
from studio.exports.writing import described, finish_export, hold, new_export, told
from studio.models.chat.encoding import encode_examples
from studio.models.chat.runtimes.vllm import open_vllm
from studio.models.exported import ExportRecord
from studio.models.vllm_environment import find_environment, wanted_build

SCRIPT = Path(__file__).with_name("quantise.py")
FOUR_BITS = ("w4a16", "gptq", "awq")
CALIBRATED = ("gptq", "awq")
"""Kinds that look at rows; those are the run's training rows, never the ones that it is measured with."""
ROWS, TOKENS = 128, 512
LEAST_LIKE, LEAST_SAME = 0.2, 0.8
"""Divergence and agreement beyond which 8 bits are not the model any more. Activations lose too, and vLLM computes the rest in
bfloat16, so more is lost than where weights alone are in 8 bits: 0.04 nats on SmolLM2-135M (docs/exports.md); told from 0.02."""
GROUPS = (128, 64, 32)
"""Weights that share a scale: the largest that divides every row, and vLLM's kernels for CPUs want multiples of 32."""
CPU_HEADS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Widths of a head that vLLM's attention on a CPU computes (``CPUAttentionBackend`` of vLLM 0.32)."""


def check(run_folder: Path, quant: str) -> None:
    """Look at a run before any work.

    Raises:
        UserError: an environment is not installed, vLLM cannot run such numbers here, or the layers do not divide into groups.
        StudioError: a file is not the one that the run wrote down.
    """
    build = wanted_build()
    if quant == "fp8" and build != "cuda":
        raise UserError(
            "--quant fp8 is written only where a GPU can prove it, and this machine has none: vLLM computes it on a CPU too "
            "slowly to be asked. Take --quant w8a8, or export on a machine with an NVIDIA GPU."
        )
    find_python(QUANTIZE)
    find_environment()
    folder, base = check_run(run_folder)
    config = _language(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    width = head_width(config)
    if build == "cpu" and width is not None and width not in CPU_HEADS:
        allowed = ", ".join(map(str, CPU_HEADS))
        raise UserError(
            f"--to vllm cannot prove {base} on this machine: its heads are {width} wide, and vLLM on a CPU computes those of "
            f"{allowed}. Export it on a machine with an NVIDIA GPU, or take --to gguf."
        )
    if quant in FOUR_BITS:
        group_of(config, base, quant)
    if quant in CALIBRATED and read_run(run_folder).dataset:
        run_dataset(read_run(run_folder), Workspace.around(run_folder))


def _language(config: dict[str, Any]) -> dict[str, Any]:
    """Of a model of several parts the language part."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def head_width(config: dict[str, Any]) -> int | None:
    """How wide a head is; None where the configuration has other names for it."""
    if config.get("head_dim"):
        return int(config["head_dim"])
    if config.get("hidden_size") and config.get("num_attention_heads"):
        return int(config["hidden_size"]) // int(config["num_attention_heads"])
    return None


def group_of(config: dict[str, Any], base: str, quant: str) -> int:
    """The largest group that divides the rows of every layer.

    Raises:
        UserError: none does.
    """
    sizes = {
        name: int(config[name]) for name in ("hidden_size", "intermediate_size", "moe_intermediate_size") if config.get(name)
    }
    if (width := head_width(config)) and config.get("num_attention_heads"):
        sizes["width of all heads"] = width * int(config["num_attention_heads"])
    for group in GROUPS:
        if all(size % group == 0 for size in sizes.values()):
            return group
    odd = next(f"{name} {size}" for name, size in sizes.items() if size % GROUPS[-1])
    raise UserError(
        f"--quant {quant} cannot hold {base}: its {odd} does not divide into groups of {GROUPS[-1]} weights. Take --quant w8a8."
    )


def calibration_rows(run: LoadedRun) -> list[list[int]]:
    """Token ids of up to 128 of the run's training rows, at most 512 tokens each, spread evenly over them.

    Raises:
        UserError: the Dataset is gone, or no row of it can be read by the template.
    """
    rows = read_split(run_dataset(run.record, Workspace.around(run.folder)), "train")
    step = max(1, len(rows) // ROWS)
    found = []
    for row in rows[::step][:ROWS]:
        try:
            encoded = encode_examples(run.tokenizer, run.template, row.messages, tools=row.tools, max_length=TOKENS)
        except DataError:
            continue
        found += [each.input_ids for each in encoded.rows]
    if not found:
        raise UserError(f"no training row of {run.record.name} can be calibrated with. Take --quant w4a16, which needs none.")
    return found[:ROWS]


def export_vllm(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run as a folder of compressed-tensors, loaded and asked in vLLM before it is there.

    Raises:
        UserError: the run has nothing to export, or vLLM cannot hold it.
        StudioError: what was written is not the same model, or vLLM cannot load it; nothing is left behind.
    """
    form = f"vllm ({quant})"
    with new_export(target) as partial:
        work = partial / "work"
        work.mkdir()
        export_merged(run_folder, work / "merged")
        run = load_run(run_folder, dtype=torch.float32, quantization="none")
        made = _quantised(run, work, partial, quant)
        shutil.rmtree(work)
        with open_vllm(partial) as runtime:
            proof = prove(run, runtime, form)
        limits = _limits(form, quant, proof.measured.divergence, proof.measured.agreement)
        words = [*proof.words, ("layers made smaller", str(made["layers"]))]
        if made["rows"]:
            words.append(("calibrated with", f"{made['rows']} training rows"))
        record = ExportRecord(
            form="vllm",
            quant=quant,
            kind="chat",
            run=described(run_folder),
            runtime=proof.runtime,
            proof={"vllm": proof.figures},
            limits=limits,
            versions=made["versions"],
            extra={**asking(run), "group": made["group"], "calibration_rows": made["rows"]},
        )
        finish_export(partial, record, words, _use())
    said = told(run_folder, target, record, words, folder_size(target), f"vllm serve {target}")
    remarks = [warning(quant, proof.measured)] if loses_much(proof.measured) else []
    return replace(said, blocks=(*said.blocks, *(f"\n{remark}" for remark in remarks)))


def _quantised(run: LoadedRun, work: Path, target: Path, quant: str) -> dict[str, Any]:
    """Weights, tokenizer and template in ``target``; gives back what made them, in groups of what, with how many rows."""
    merged = work / "merged"
    config = _language(json.loads((merged / "config.json").read_text(encoding="utf-8")))
    group = group_of(config, run.base_source.name, quant) if quant in FOUR_BITS else 0
    rows = calibration_rows(run) if quant in CALIBRATED else []
    question = {"source": str(merged), "target": str(target), "quant": quant, "group": group, "rows": rows, "threads": threads()}
    made = written_by(find_python(QUANTIZE), SCRIPT, question, work)
    for path in merged.iterdir():
        if path.name in {"chat_template.jinja", "generation_config.json"} or path.name.startswith(
            ("tokenizer", "special_tokens")
        ):
            shutil.copyfile(path, target / path.name)
    return {**made, "group": group or None, "rows": len(rows)}


def _limits(form: str, quant: str, divergence: float, agreement: float) -> dict[str, float]:
    """Refuse what 8 bits never lose unless something is wrong; gives back the limits that held. What 4 bits lose is told."""
    if quant in FOUR_BITS:
        hold("the Kullback-Leibler divergence", divergence, sys.float_info.max, form=form)
        return {}
    hold("the Kullback-Leibler divergence", divergence, LEAST_LIKE, form=form)
    hold("the share of equal likeliest tokens", agreement, LEAST_SAME, form=form, least=True)
    return {"divergence": LEAST_LIKE, "agreement": LEAST_SAME}


def _use() -> str:
    """How the folder is used, in Markdown."""
    lines = [
        "vLLM, which takes the chat template and the tokens that end answers from the folder:",
        "",
        "    vllm serve THIS_FOLDER",
        "",
    ]
    return "\n".join([*lines, "Measure it like a run: `studio eval SUITE --model THIS_FOLDER --baseline RUN`."])
