"""onnxruntime-genai at work in a process of its own: ``python genai_process.py``, questions as ``answering.py`` reads them.

Imports nothing of the studio. Legend: s tokens, n positions asked for, v vocabulary.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from answering import WrongQuestionError, answer, common, refuse_odd

del sys.path[0]  # this script's folder, where modules have names of packages


class GenAI:
    """A graph of one folder, and its memory of the last tokens."""

    generator: Any = None
    seen: list[int]

    def open(self, folder: str, context: int, threads: int) -> dict[str, Any]:
        """Load a folder."""
        import onnxruntime_genai as og

        self.og = og
        self.settings = json.loads((Path(folder) / "genai_config.json").read_text(encoding="utf-8"))
        config = og.Config(folder)
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        try:
            self.model = og.Model(config)
            self.tokenizer = og.Tokenizer(self.model)
        except Exception as error:  # the library raises plain exceptions with its own words
            raise WrongQuestionError(f"onnxruntime-genai cannot load {Path(folder).name}: {_last(error)}") from error
        self.context, self.words, self.seen = context, int(self.settings["model"]["vocab_size"]), []
        name = f"onnxruntime-genai {version('onnxruntime-genai')} (onnxruntime {version('onnxruntime')})"
        return {"name": name, "words": self.words, "context": context}

    def tokens(self, text: str) -> list[int]:
        """Ids of a rendered text, nothing added."""
        return [int(token) for token in self.tokenizer.encode(text)]

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Ids of a conversation as the folder's template and tokenizer give them."""
        try:
            return self.tokens(self.tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True))
        except Exception as error:
            raise WrongQuestionError(f"onnxruntime-genai cannot read the chat template: {_last(error)}") from error

    def write(self, ids: list[int], limit: int) -> list[int]:
        """A greedy answer, ended by the folder's own settings; the token that ended it is its last."""
        generator = self._generator(min(self.context, len(ids) + limit))
        generator.append_tokens(ids)
        found: list[int] = []
        while not generator.is_done() and len(found) < limit:
            generator.generate_next_token()
            found.append(int(generator.get_next_tokens()[0]))
        return found

    def logits(self, ids: list[int], last: int, fresh: bool) -> bytes:
        """Float32 logits [n, v] at the last ``n`` positions.

        Args:
            fresh: read every token anew; otherwise tokens that were read last time are not read again.
        """
        refuse_odd(ids, last, self.context)
        import numpy as np

        kept = 0 if fresh or self.generator is None else common(self.seen, ids[: len(ids) - last])
        if kept < len(self.seen) and "sliding_window" in self.settings["model"]["decoder"]:
            kept = 0  # what has left the window cannot be had back
        if kept and kept < len(self.seen):
            self.generator.rewind_to(kept)
        if not kept:
            self.generator = self._generator(self.context)
        try:
            self.generator.append_tokens(ids[kept:])
        except Exception as error:
            self.generator = None
            raise WrongQuestionError(f"onnxruntime-genai cannot read {len(ids)} tokens: {_last(error)}") from error
        self.seen = list(ids)
        found = np.asarray(self.generator.get_output("logits"), dtype=np.float32)  # [1, s or 1, v]
        if found.shape[1] < last:
            raise WrongQuestionError(f"the graph gives logits of {found.shape[1]} positions, and {last} were asked for.")
        return found[0, -last:].tobytes()

    def _generator(self, length: int) -> Any:
        """An empty memory for so many tokens."""
        settings = self.og.GeneratorParams(self.model)
        settings.set_search_options(max_length=length, do_sample=False)
        return self.og.Generator(self.model, settings)


def _last(error: Exception) -> str:
    """The last line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


if __name__ == "__main__":
    answer(GenAI())
