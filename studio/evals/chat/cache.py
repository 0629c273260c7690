"""What models answered and how likely they found texts, kept so that a killed evaluation goes on where it stopped.

One SQLite file per workspace. Nothing but evidence is kept, never a score: scores are computed anew from evidence every
time. The key holds everything an answer depends on (see :func:`identity_key`), so that a changed adapter, template, setting
or version of the code never meets an old answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from studio.core.evidence import EvidenceCache
from studio.core.files import sha256_json
from studio.data.chat.turns import turn_text
from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message
from studio.evals.subjects import Advance, Offered, Subject, offered

E = TypeVar("E", Answer, Likelihood, LogProb)

FILE = "evaluation-cache.sqlite"
# Code and libraries that decide what a model answers; a change in any of them makes every old answer unknown.
_CODE = (
    "models/chat/generation.py", "models/chat/shared_heads.py", "models/decoding.py", "evals/chat/likelihood.py",
    "evals/chat/text_likelihood.py", "evals/chat/subjects.py",
    "evals/chat/exported.py", "models/chat/runtimes/llama_process.py",
    "evals/chat/endpoint.py", "models/openai_client.py", "models/openai_replies.py", "evals/chat/replies.py",
    "evals/chat/opening.py", "models/chat/answers.py", "models/chat/arguments.py", "models/chat/encoding.py",
    "models/chat/templates.py",
    "models/chat/loading.py", "models/chat/marks.py", "models/chat/rendering.py", "models/chat/thoughts.py",
    "models/chat/probing.py", "models/chat/tool_syntax.py", "models/chat/turns.py", "models/device.py",
    "adapters/chat/loading.py",
)  # fmt: skip
_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers")
# Conversations scored, and texts scored, between two writes to the disk.
_BATCHES_AT_ONCE = 8
_TEXTS_AT_ONCE = 512


@cache
def code_version() -> str:
    """Hash of the code that asks models and of the libraries behind it."""
    root = Path(__file__).resolve().parents[2]
    code = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in _CODE}
    return sha256_json({"code": code, "libraries": {name: _version(name) for name in _LIBRARIES}})


def _version(library: str) -> str | None:
    """Version of an installed library."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def identity_key(identity: dict[str, Any]) -> str:
    """Key of a subject: weights (base and adapter bytes), template, tokenizer, number type, device, and the code's version."""
    return sha256_json({"identity": identity, "code": code_version()})


@dataclass
class CachedSubject:
    """A subject that remembers: asks the model only what it was not asked before, and writes down every few batches."""

    inner: Subject
    cache: EvidenceCache
    identity: dict[str, Any]
    reused: int = field(default=0, init=False)
    """How many answers and likelihoods were known already."""

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.inner.label

    @property
    def about(self) -> dict[str, Any]:
        """What it is."""
        return self.inner.about

    @property
    def tokens_like(self) -> str:
        """Identity of the tokenizer."""
        return self.inner.tokens_like

    @property
    def calls_tools(self) -> bool:
        """See :attr:`studio.evals.subjects.Subject.calls_tools`."""
        return self.inner.calls_tools

    @property
    def key(self) -> str:
        """Key of this subject in the cache."""
        return identity_key(self.identity)

    def answers(
        self,
        prompts: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        batch_size: int,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Answer | None]:
        """See :meth:`studio.evals.subjects.Subject.answers`."""
        settings = asdict(decoding)
        drawn = decoding.temperature > 0
        if not drawn:
            settings = {"max_new_tokens": decoding.max_new_tokens, "greedy": True}
        # A drawn answer depends on its place in the list, so drawn answers are known all together or not at all.
        asked = [[list(prompt), list(each)] for prompt, each in zip(prompts, offered(tools, len(prompts)), strict=True)]
        whole = sha256_json(asked) if drawn else None
        keys = [sha256_json(["answer", each, settings, i if drawn else None, whole]) for i, each in enumerate(asked)]

        def ask(places: Sequence[int], step: Advance | None) -> list[Answer | None]:
            chosen = [prompts[place] for place in places]
            given = None if tools is None else [tools[place] for place in places]
            return self.inner.answers(chosen, decoding, batch_size=batch_size, tools=given, advance=step)

        sizes = None if drawn else [sum(len(turn_text(turn)) for turn in prompt) for prompt in prompts]
        return self._remembered(keys, Answer, ask, advance, at_once=len(prompts) if drawn else batch_size, sizes=sizes)

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """See :meth:`studio.evals.subjects.Subject.likelihoods`."""
        pairs = zip(conversations, offered(tools, len(conversations)), strict=True)
        keys = [sha256_json(["likelihood", list(messages), list(each), max_length]) for messages, each in pairs]

        def ask(places: Sequence[int], step: Advance | None) -> list[Likelihood | None]:
            chosen = [conversations[place] for place in places]
            given = None if tools is None else [tools[place] for place in places]
            return self.inner.likelihoods(chosen, batch_size=batch_size, max_length=max_length, tools=given, advance=step)

        sizes = [sum(len(turn_text(turn)) for turn in messages) for messages in conversations]
        return self._remembered(keys, Likelihood, ask, advance, at_once=_BATCHES_AT_ONCE * batch_size, sizes=sizes)

    def text_logprobs(
        self, texts: Sequence[tuple[str, str]], *, batch_size: int, advance: Advance | None = None
    ) -> list[LogProb | None]:
        """See :meth:`studio.evals.subjects.Subject.text_logprobs`."""
        keys = [sha256_json(["text", *text]) for text in texts]

        def ask(places: Sequence[int], step: Advance | None) -> list[LogProb | None]:
            return self.inner.text_logprobs([texts[place] for place in places], batch_size=batch_size, advance=step)

        return self._remembered(keys, LogProb, ask, advance, at_once=max(_TEXTS_AT_ONCE, batch_size))

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text."""
        return self.inner.count_tokens(text)

    def _remembered(
        self,
        keys: Sequence[str],
        kind: type[E],
        ask: Callable[[Sequence[int], Advance | None], list[E | None]],
        advance: Advance | None,
        *,
        at_once: int,
        sizes: Sequence[int] | None = None,
    ) -> list[E | None]:
        """Values by place; what is not known is asked in parts, the longest first, each written down when it is there.

        Args:
            sizes: length of each item; items of similar length go together. None keeps the order, so that neighbours that begin
                alike stay together.
        """
        known = self.cache.get(self.key, list(dict.fromkeys(keys)))
        self.reused += sum(key in known for key in keys)
        if advance and known:
            advance(sum(key in known for key in keys))
        first = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
        missing = sorted(first.values())
        if sizes is not None:
            missing.sort(key=lambda place: -sizes[place])
        for start in range(0, len(missing), max(1, at_once)):
            part = missing[start : start + max(1, at_once)]
            values = ask(part, advance)
            fresh = {keys[place]: None if value is None else asdict(value) for place, value in zip(part, values, strict=True)}
            self.cache.put(self.key, fresh)
            known |= fresh
        return [None if known[key] is None else kind(**known[key]) for key in keys]
