"""Making a model of a run for openvino-genai, and its proof there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from studio.core.files import folder_size
from studio.core.telling import Told
from studio.exports.chat.merged_graph import check_architecture, write_graph
from studio.exports.chat.proving import written_by
from studio.exports.writing import told
from studio.models.chat.runtimes.openvino import need_openvino, open_openvino

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
    check_architecture(run_folder, "openvino", "openvino-genai", ARCHITECTURES)


def export_openvino(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run as a folder for openvino-genai, run there before it is put in its place.

    Raises:
        UserError: the run has nothing to export.
        StudioError: what was written is not the same model, or cannot be loaded; nothing is left behind.
    """

    def build(work: Path, partial: Path) -> dict[str, Any]:
        question = {"source": str(work / "merged"), "target": str(partial), "bits": BITS[quant]}
        return written_by(Path(sys.executable), SCRIPT, question, work)

    record, proof = write_graph(
        run_folder, target, "openvino", quant, program="openvino-genai", build=build, read=open_openvino, use=_use()
    )
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
