"""openvino-genai at work in a process of its own: ``python openvino_process.py``, questions as ``answering.py`` reads them.

Imports nothing of the studio. It computes in float32 whatever the processor is fast in. Legend: s tokens, n positions asked for,
v vocabulary.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from answering import WrongQuestionError, answer, common, refuse_odd

del sys.path[0]  # this script's folder, where modules have names of packages


class OpenVino:
    """A folder, and its memory of the last tokens. Logits come from the model; the pipeline is loaded for the first answer."""

    request: Any = None
    pipeline: Any = None
    seen: list[int]

    def open(self, folder: str, context: int, threads: int) -> dict[str, Any]:
        """Load a folder."""
        import openvino
        import openvino_genai

        self.openvino, self.genai, self.folder = openvino, openvino_genai, folder
        self.settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        try:
            model = openvino.Core().compile_model(str(Path(folder) / "openvino_model.xml"), "CPU", self.settings)
            self.tokenizer = openvino_genai.Tokenizer(folder)
        except Exception as error:  # the library raises plain exceptions with its own words
            raise WrongQuestionError(f"OpenVINO cannot load {Path(folder).name}: {_last(error)}") from error
        self.request = model.create_infer_request()
        self.inputs = {port.any_name for port in model.inputs}
        self.context, self.seen = context, []
        words = model.output("logits").get_partial_shape()[2].get_length()
        name = f"openvino-genai {version('openvino-genai')} (openvino {version('openvino')})"
        return {"name": name, "words": words, "context": context}

    def tokens(self, text: str) -> list[int]:
        """Ids of a rendered text, nothing added."""
        return [int(token) for token in self.tokenizer.encode(text, add_special_tokens=False).input_ids.data[0]]

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Ids of a conversation as the folder's template and tokenizer give them."""
        try:
            return self.tokens(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True))
        except Exception as error:
            raise WrongQuestionError(f"openvino-genai cannot read the chat template: {_last(error)}") from error

    def write(self, ids: list[int], limit: int) -> list[int]:
        """A greedy answer, ended by the folder's own settings; the token that ended it is its last."""
        import numpy as np

        if self.pipeline is None:
            self.pipeline = self.genai.LLMPipeline(self.folder, "CPU", **self.settings)
        config = self.pipeline.get_generation_config()
        config.do_sample, config.max_new_tokens = False, limit
        given = np.array([ids], dtype=np.int64)
        tensors = (self.openvino.Tensor(given), self.openvino.Tensor(np.ones_like(given)))
        return [int(token) for token in self.pipeline.generate(self.genai.TokenizedInputs(*tensors), config).tokens[0]]

    def logits(self, ids: list[int], last: int, fresh: bool) -> bytes:
        """Float32 logits [n, v] at the last ``n`` positions.

        Args:
            fresh: read every token anew; otherwise tokens that were read last time are not read again, where all of them still
                stand at the beginning: the model cannot go back.
        """
        refuse_odd(ids, last, self.context)
        import numpy as np

        kept = 0 if fresh else common(self.seen, ids[: len(ids) - last])
        if kept < len(self.seen) or not kept:
            kept = 0
            self.request.reset_state()
        given = np.array([ids[kept:]], dtype=np.int64)  # [1, s]
        arrays = {
            "input_ids": given,
            "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
            "position_ids": np.arange(kept, len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        self.seen = []
        try:
            self.request.infer({name: value for name, value in arrays.items() if name in self.inputs})
        except Exception as error:
            raise WrongQuestionError(f"OpenVINO cannot read {len(ids)} tokens: {_last(error)}") from error
        self.seen = list(ids)
        found = np.asarray(self.request.get_tensor("logits").data, dtype=np.float32)  # [1, s, v]
        return found[0, -last:].tobytes()


def _last(error: Exception) -> str:
    """The last line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


if __name__ == "__main__":
    answer(OpenVino())
