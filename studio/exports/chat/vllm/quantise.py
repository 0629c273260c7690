"""Make the numbers of a model smaller with llmcompressor: ``python quantise.py QUESTION.json ANSWER.json`` in its environment.

Imports nothing of the studio. The question: ``source`` and ``target`` folders, ``quant``, ``group`` (weights that share a scale),
``rows`` of token ids to calibrate with (none for what needs none), ``threads``. The answer: versions, and how many layers were
made smaller. Sources: GPTQ https://arxiv.org/abs/2210.17323, AWQ https://arxiv.org/abs/2306.00978.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the question, write the folder, answer."""
    question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.chdir(Path(sys.argv[1]).parent)  # llmcompressor writes logs into the current folder

    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(question["threads"])
    if not torch.accelerator.is_available():
        pin_nothing()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(question["source"], dtype=torch.bfloat16, local_files_only=True)
    arguments: dict[str, Any] = {}
    if rows := question["rows"]:
        arguments = {
            "dataset": Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}),
            "num_calibration_samples": len(rows),
            "max_seq_length": max(map(len, rows)),
            "shuffle_calibration_samples": False,
        }
    oneshot(model=model, recipe=recipe(question["quant"], question["group"]), **arguments)
    model.save_pretrained(question["target"], save_compressed=True)
    smaller = sum(hasattr(module, "quantization_scheme") for module in model.modules() if hasattr(module, "weight_scale"))
    packages = ("llmcompressor", "compressed-tensors", "torch", "transformers")
    answer = {"versions": {name: version(name) for name in packages}, "layers": smaller}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def pin_nothing() -> None:
    """AWQ of llmcompressor 0.14 pins memory for a copy to a GPU, which torch refuses where there is none; it is only faster."""
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda *_arguments, **_names: None


def recipe(quant: str, group: int) -> list[Any]:
    """What llmcompressor is to do; the head stays as it is, as it often is the table of words too."""
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    plain = {"targets": ["Linear"], "ignore": ["lm_head"]}
    if quant in {"w8a8", "fp8"}:
        return [QuantizationModifier(scheme={"w8a8": "W8A8", "fp8": "FP8_DYNAMIC"}[quant], **plain)]
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": group, "symmetric": False}
    groups = {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}, "ignore": ["lm_head"]}
    if quant == "gptq":
        return [GPTQModifier(**groups)]
    if quant == "awq":
        return [AWQModifier(duo_scaling="both"), QuantizationModifier(**groups)]
    return [QuantizationModifier(**groups)]


if __name__ == "__main__":
    main()
