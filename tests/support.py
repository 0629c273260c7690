"""Families of language models on their whole road, and the page that says what each can do: docs/support.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.models.bases import resolve_base
from studio.models.chat.generation import Decoding, stream_tokens
from studio.models.chat.loading import load_causal_lm
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import load_yaml
from studio.train.chat.plan import plan
from studio.train.chat.run import prepare, train_run

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora.dropout": 0},
    "qlora": {"lora.dropout": 0, "quantization": "nf4"},
    "packed": {"lora.dropout": 0, "packing": True},
    "full": {"method": "full"},
}
# Names of families as people say them, by those of tests/families.py.
NAMES = {
    "llama": "Llama", "mistral": "Mistral", "ministral": "Ministral 3", "qwen2": "Qwen2", "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3-MoE", "qwen3_next": "Qwen3-Next", "gemma2": "Gemma 2", "gemma3": "Gemma 3, text",
    "gemma3_mm": "Gemma 3, multimodal (language part)", "phi3": "Phi-3, Phi-4", "gpt2": "GPT-2", "gpt_neox": "GPT-NeoX",
    "falcon": "Falcon", "olmo2": "OLMo 2", "granite": "Granite", "granite_hybrid": "Granite 4 hybrid", "cohere": "Cohere",
    "smollm3": "SmolLM3", "gpt_oss": "gpt-oss", "deepseek_v3": "DeepSeek-V3", "mamba2": "Mamba-2", "nemotron_h": "Nemotron-H",
    "jamba": "Jamba", "lfm2": "LFM2", "glm4": "GLM-4", "mixtral": "Mixtral",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What came of one method on one family: ``yes``, ``-`` where there is nothing to do, or the first words of the refusal."""

    plan: str
    train: str
    chat: str
    merge: str
    serve: str


def walk(trainer: Any, family: str, method: str, folder: Path) -> Cell:
    """Plan, train two steps, answer, merge; a refusal must be one sentence, and anything else raises."""
    run = trainer.open(max_steps=2, eval_every=2, batch_size=4, micro_batch_size=2, **METHODS[method])
    preset = load_yaml(run / "config.yaml", ChatAdapter)
    try:
        planned = plan(preset)
    except UserError as error:
        return Cell(str(error), "-", "-", "-", "-")
    served = "yes" if not planned.vllm else "no class" if planned.vllm[0].startswith("vLLM has no class") else "merged"
    try:
        record = train_run(run, resume=False, say=lambda _text: None)
    except UserError as error:
        return Cell("yes", str(error), "-", "-", "-")
    if method in {"lora", "full"}:
        assert abs(record.result["first_loss"] - plain_loss(preset, run)) < 1e-4, "not the loss of plain transformers"
    chat = merge = "yes"
    try:
        loaded = load_run(run)
        list(stream_tokens(loaded.model, [5, 6, 7], Decoding(max_new_tokens=3), ends=frozenset(), context=64))
    except UserError as error:
        chat = str(error)
    try:
        export_merged(run, folder / "merged")
    except (UserError, StudioError) as error:
        merge = "-" if method == "full" else str(error)
    return Cell("yes", "yes", chat, merge, served)


@torch.no_grad()
def plain_loss(preset: ChatAdapter, run: Path) -> float:
    """Mean negative log-likelihood (nats) of the first step's targets, one row at a time through plain transformers."""
    prepared = prepare(preset, resolve_base(preset.model), run_dataset(read_run(run), Workspace.around(run)))
    model = load_causal_lm(resolve_base(preset.model), dtype=torch.float32).eval()
    total = count = 0.0
    for place in prepared.windows[0]:
        for number in prepared.sequences[place]:
            row = prepared.training.rows[number]
            logits = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0, :-1].float()
            kept = torch.tensor(row.trained[1:])
            nll = torch.nn.functional.cross_entropy(logits, torch.tensor(row.input_ids[1:]), reduction="none")
            total, count = total + float(nll[kept].sum()), count + int(kept.sum())
    return total / count


def rendered(cells: dict[str, dict[str, Cell]]) -> str:
    """The page: one line per family and method, and the sentences that stand for a refusal below."""
    gaps: list[str] = []

    def short(text: str) -> str:
        if text in {"yes", "-", "merged", "no class"}:
            return text
        text = text.replace("|", "/")
        if text not in gaps:
            gaps.append(text)
        return f"no ({gaps.index(text) + 1})"

    lines = []
    for family in NAMES:
        for method in METHODS:
            cell = cells.get(family, {}).get(method)
            values = " | ".join(short(value) for value in asdict(cell).values()) if cell else " | ".join(["not tried"] * 5)
            lines.append(f"| {NAMES[family]} | {method} | {values} | not made yet |")
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(gaps, 1))
    return HEAD + "\n".join(lines) + (f"\n\n## Gaps\n\n{numbered}\n" if gaps else "\n")


HEAD = """# What each family of language models can do

Written by `make support`, which sends a base of two layers of each family down the whole road; nothing here is written by hand.
The loss of a first step of `lora` and `full` is compared with that of plain transformers, a merged model with base plus adapter.
`serve` is what a stock vLLM takes: the adapter (`yes`), only the merged model (`merged`), or neither (`no class`). `GGUF` is not
made yet. Numbers in brackets lead to the sentence that a person gets, below;
`not tried` waits for the next `make support`.

| family | method | plan | train | chat | merge | serve | GGUF |
|---|---|---|---|---|---|---|---|
"""
