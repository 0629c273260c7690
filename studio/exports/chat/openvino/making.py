"""Making a model of a run for openvino-genai, and its proof there."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.exports.chat.proving import asking, check_run, limits_of, prove, written_by
from studio.exports.writing import described, finish_export, new_export, told
from studio.models.chat.runtimes.openvino import need_openvino, open_openvino
from studio.models.exported import ExportRecord

SCRIPT = Path(__file__).with_name("build.py")
BITS = {"float32": 32, "int8": 8}
ARCHITECTURES = (
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)
"""Those whose logits OpenVINO was seen to give as transformers does (tests/exports/chat/openvino)."""


def check(run_folder: Path) -> None:
    """Look at a run before any work.

    Raises:
        UserError: a package is missing, the run has no weights yet, or its architecture is not proven there.
        StudioError: a file is not the one that the run wrote down.
    """
    need_openvino("--to openvino of a chat", "nncf")
    folder, base = check_run(run_folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = (config.get("architectures") or ["unknown"])[0]
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"--to openvino cannot hold {base}: {architecture} has not been proven in openvino-genai. Allowed: "
            f"{', '.join(ARCHITECTURES)}. Take --to merged, which studio serve and transformers read."
        )


def export_openvino(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run as a folder for openvino-genai, run there before it is put in its place.

    Raises:
        UserError: the run has nothing to export.
        StudioError: what was written is not the same model, or cannot be loaded; nothing is left behind.
    """
    form = f"openvino ({quant})"
    with new_export(target) as partial:
        work = partial / "work"
        work.mkdir()
        export_merged(run_folder, work / "merged")
        question = {"source": str(work / "merged"), "target": str(partial), "bits": BITS[quant]}
        made = written_by(Path(sys.executable), SCRIPT, question, work)
        run = load_run(run_folder, dtype=torch.float32, quantization="none")
        shutil.rmtree(work)
        with open_openvino(partial) as runtime:
            proof = prove(run, runtime, form)
        record = ExportRecord(
            form="openvino",
            quant=quant,
            kind="chat",
            run=described(run_folder),
            runtime=proof.runtime,
            proof={"openvino-genai": proof.figures},
            limits=limits_of(form, quant, proof.measured),
            inputs=made["inputs"],
            outputs=made["outputs"],
            versions=made["versions"],
            extra=asking(run),
        )
        finish_export(partial, record, proof.words, _use())
    code = f"import openvino_genai as og; print(og.LLMPipeline('{target}', 'CPU').generate('Hello', max_new_tokens=50))"
    use = f'python -c "{code}"'
    return told(run_folder, target, record, proof.words, folder_size(target), use)


def _use() -> str:
    """How the folder is used, in Markdown."""
    code = [
        "import openvino_genai as og",
        "",
        "talk = og.LLMPipeline('THIS_FOLDER', 'CPU')",
        "print(talk.generate('Hello', max_new_tokens=100, do_sample=False))",
    ]
    lines = ["With openvino-genai (`pip install openvino-genai`):", "", *(f"    {line}" for line in code), ""]
    lines += [
        "It was proven computing in float32. On processors that have instructions for bfloat16 OpenVINO computes in these, "
        "faster and rounded, unless it is told `INFERENCE_PRECISION_HINT='f32'`.",
        "",
    ]
    return "\n".join([*lines, "Measure it like a run: `studio eval SUITE --model THIS_FOLDER --baseline RUN`."])
