"""The studio's parser of thoughts as a plug-in of vLLM (``--reasoning-parser-plugin``): copied beside the guard, loaded there.

vLLM keeps the interface of ``ReasoningParser`` for plug-ins (``vllm/reasoning/AGENTS.md`` of 0.32). One object reads one answer;
another in the engine tells when a grammar (``response_format``, a forced call) begins to hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from studio.serve.requests import prompt_opens
from studio.serve.thought_stream import ThoughtReader

# Tokens of an end of a prompt, or of an answer, in which a mark is looked for: marks are at most ten in any vocabulary.
_TAIL = 24
_SPEECH: dict[str, Any] = json.loads(Path(os.environ["STUDIO_GUARD"]).read_text(encoding="utf-8"))["speech"]


@ReasoningParserManager.register_module("studio_thoughts")
class StudioThoughts(ReasoningParser):  # type: ignore[misc]
    """Tells a thought from what is said, by the marks of the served template."""

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        """One for each answer; vLLM gives the arguments of the template."""
        super().__init__(tokenizer, *args, **kwargs)
        opened = prompt_opens(_SPEECH, kwargs.get("chat_template_kwargs") or {})
        self._reader = ThoughtReader(_SPEECH["mark"], opened=opened)
        self._reading = False

    @property
    def reasoning_start_str(self) -> str:
        """The opening mark."""
        return self._reader.mark

    @property
    def reasoning_end_str(self) -> str:
        """The closing mark."""
        return self._reader.end

    def adjust_request(self, request: Any) -> Any:
        """Keep marks that are control tokens in the text."""
        if {self._reader.mark, self._reader.end} & set(self.model_tokenizer.all_special_tokens):
            request.skip_special_tokens = False
        return request

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Of a prompt: whether it ends behind a closed thought. It is also where the prompt is seen."""
        end = self._text(input_ids[-_TAIL:]).rstrip()
        self._reader.opened = end.endswith(self._reader.mark)
        return end.endswith(self._reader.end)

    def is_reasoning_end_streaming(self, input_ids: Sequence[int], delta_ids: Iterable[int]) -> bool:
        """Whether the thought has ended by now."""
        if self._reading:
            return self._reader.settled
        tail = self._text(input_ids[-(_TAIL // 2 + len(list(delta_ids))) :])
        return self._reader.end in tail.rpartition(self._reader.mark)[2]

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """Ids of the words; what vLLM does with them is only to hand them on, and the text decides."""
        return input_ids

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:  # noqa: ARG002
        """Thought and words of a whole answer."""
        return self._reader.whole(model_output)

    def extract_reasoning_streaming(
        self,
        previous_text: str,  # noqa: ARG002
        current_text: str,
        delta_text: str,  # noqa: ARG002
        previous_token_ids: Sequence[int],  # noqa: ARG002
        current_token_ids: Sequence[int],  # noqa: ARG002
        delta_token_ids: Sequence[int],  # noqa: ARG002
    ) -> Any:
        """What a piece adds to the thought and to the words."""
        self._reading = True
        thought, said = self._reader.grown(current_text)
        return DeltaMessage(reasoning=thought or None, content=said or None) if thought or said else None

    def get_streaming_fallback_content(self, text: str, request: Any) -> str:  # noqa: ARG002
        """Words that were held back when the answer ended."""
        return self._reader.undecided(text)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.model_tokenizer.decode(list(ids), skip_special_tokens=False))
