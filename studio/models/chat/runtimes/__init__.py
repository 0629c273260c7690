"""Programs that people use exports of language models with, each behind the same few questions, and one table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from studio.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUNTIMES = Registry(
    "form of an export that can be asked",
    {
        "gguf": "studio.models.chat.runtimes.llama:open_gguf",
        "gguf-lora": "studio.models.chat.runtimes.llama:open_gguf_lora",
        "onnx": "studio.models.chat.runtimes.genai:open_onnx",
        "openvino": "studio.models.chat.runtimes.openvino:open_openvino",
        "vllm": "studio.models.chat.runtimes.vllm:open_vllm",
    },
)
"""Form of an export (``export.json``) to ``open(folder, record) -> ChatRuntime``, a function that raises UserError where the
program is not installed. Another form joins by one line."""


class ChatRuntime(Protocol):
    """An export of a language model, opened in the program it was written for."""

    @property
    def name(self) -> str:
        """The program with its version."""
        ...

    @property
    def words(self) -> int:
        """Entries of the vocabulary, v below."""
        ...

    @property
    def context(self) -> int:
        """Tokens that fit, prompt and answer together."""
        ...

    def tokens(self, text: str) -> list[int]:
        """Ids that the program itself makes of a rendered text, in which marks are read as such and nothing is added."""
        ...

    def logits(self, ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> NDArray[np.float32]:
        """Logits [n, v] at the last n positions.

        Args:
            fresh: read every token anew; otherwise what was read the last time may be kept.
        """
        ...

    def peak_bytes(self) -> int:
        """The most memory that the program has had so far."""
        ...

    def close(self) -> None:
        """End the program."""
        ...


def continued(runtime: ChatRuntime, prompt: Sequence[int], limit: int) -> Iterator[int]:
    """The likeliest next tokens after a prompt, ``limit`` at most, whether they end the answer or not."""
    ids = list(prompt)
    for _ in range(min(limit, runtime.context - len(ids))):
        ids.append(int(runtime.logits(ids)[-1].argmax()))
        yield ids[-1]
