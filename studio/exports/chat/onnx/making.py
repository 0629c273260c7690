"""Making a graph of a run for onnxruntime-genai, and its proof there."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.extras import require
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.exports.chat.merged_graph import check_architecture, write_graph
from studio.exports.chat.proving import loses_much, warning, written_by
from studio.exports.writing import told
from studio.models.chat.runtimes.genai import need_genai, open_onnx

SCRIPT = Path(__file__).with_name("build.py")
PRECISIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "float32": ("fp32", ()),
    "int8": ("int8", ()),
    # Of the builder's ways to 4 bits the one that lost least on SmolLM2-135M: some layers stay in 8 bits (docs/exports.md).
    "int4": ("int4", ("algo_config=k_quant_mixed",)),
}
ARCHITECTURES = (
    "Gemma2ForCausalLM",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)
"""Those whose logits onnxruntime-genai was seen to give as transformers does (tests/exports/chat/onnx). Its builder names more,
of which Gemma 3 fails with onnxruntime-genai 0.18 and transformers 5.19, whose settings of the rotation it does not know."""


def check(run_folder: Path) -> None:
    """Look at a run before any work.

    Raises:
        UserError: a package is missing, the run has no weights yet, or its architecture is not proven there.
        StudioError: a file is not the one that the run wrote down.
    """
    need_genai("--to onnx of a chat")
    require("onnx", feature="--to onnx of a chat", extra="onnx")
    check_architecture(run_folder, "onnx", "onnxruntime-genai", ARCHITECTURES)


def export_onnx(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run as a folder for onnxruntime-genai, run there before it is put in its place.

    Raises:
        UserError: the run has nothing to export, or the builder cannot hold it.
        StudioError: what was written is not the same model, or cannot be loaded; nothing is left behind.
    """
    record, proof = write_graph(
        run_folder,
        target,
        "onnx",
        quant,
        program="onnxruntime-genai",
        build=lambda work, partial: build(work, partial, quant),
        read=open_onnx,
        use=_use(),
    )
    use = f"python -c \"import onnxruntime_genai as og; og.Model('{target}')\"; more in {target / 'README.md'}"
    said = told(run_folder, target, record, proof.words, folder_size(target), use)
    remarks = [warning(quant, proof.measured)] if loses_much(proof.measured) else []
    return replace(said, blocks=(*said.blocks, *(f"\n{remark}" for remark in remarks)))


def build(work: Path, target: Path, quant: str) -> dict[str, Any]:
    """The graph of the folder ``merged`` in ``work``; gives back versions, inputs and outputs."""
    precision, options = PRECISIONS[quant]
    question = {
        "source": str(work / "merged"),
        "target": str(target),
        "cache": str(work / "cache"),
        "precision": precision,
        "options": list(options),
    }
    made = written_by(Path(sys.executable), SCRIPT, question, work)
    # What the builder leaves out where a file of this name is enough for its own tokenizer.
    for name in ("chat_template.jinja", "generation_config.json"):
        if (work / "merged" / name).is_file():
            shutil.copyfile(work / "merged" / name, target / name)
    return made


def _use() -> str:
    """How the folder is used, in Markdown."""
    code = [
        "import json",
        "import onnxruntime_genai as og",
        "model = og.Model('THIS_FOLDER')",
        "tokenizer = og.Tokenizer(model)",
        "turns = json.dumps([{'role': 'user', 'content': 'Hello'}])",
        "settings = og.GeneratorParams(model)",
        "settings.set_search_options(max_length=512, do_sample=False)",
        "generator = og.Generator(model, settings)",
        "generator.append_tokens(tokenizer.encode(tokenizer.apply_chat_template(turns, add_generation_prompt=True)))",
        "while not generator.is_done():",
        "    generator.generate_next_token()",
        "print(tokenizer.decode(generator.get_sequence(0)))",
    ]
    lines = ["With onnxruntime-genai (`pip install onnxruntime-genai`):", "", *(f"    {line}" for line in code), ""]
    lines += ["`model.onnx` runs in plain ONNX Runtime too; its inputs and outputs stand in `export.json`.", ""]
    return "\n".join([*lines, "Measure it like a run: `studio eval SUITE --model THIS_FOLDER --baseline RUN`."])
