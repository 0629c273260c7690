"""A GGUF file with smaller numbers, by llama.cpp itself: ``python llama_quantise.py QUESTION.json ANSWER.json``.

Imports nothing of the studio. The question has ``source``, ``target``, ``to`` (a key of ``FILE_TYPES``) and ``threads``.
The package cyllama has the function that xllamacpp leaves out.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, disable_logging, model_quantize

FILE_TYPES = {"q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}  # llama_ftype, llama.h


def main() -> None:
    """Read the question, write the file, say which version did it."""
    asked, answered = (Path(name) for name in sys.argv[1:])
    question = json.loads(asked.read_text(encoding="utf-8"))
    wanted = LlamaModelQuantizeParams()
    wanted.ftype, wanted.nthread = FILE_TYPES[question["to"]], question["threads"]
    disable_logging()
    model_quantize(question["source"], question["target"], wanted)
    answered.write_text(json.dumps({"by": f"cyllama {version('cyllama')}"}), encoding="utf-8")


if __name__ == "__main__":
    main()
