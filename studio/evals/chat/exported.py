"""An exported language model as a subject: asked in the program it was written for, with the tokens of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.core.files import sha256_file
from studio.evals.chat.likelihood import joined, likelihood_of
from studio.evals.chat.subjects import LocalSubject
from studio.evals.chat.text_likelihood import encode_texts
from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message, Tool
from studio.evals.subjects import Advance, Offered, offered
from studio.models.bases import ResolvedBase
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.generation import Written, choose, random_stream
from studio.models.chat.loading import load_tokenizer
from studio.models.chat.runtimes import RUNTIMES, ChatRuntime
from studio.models.chat.templates import ChatTemplate
from studio.models.exported import FILE, read_export


@dataclass
class ExportSubject:
    """A :class:`studio.evals.subjects.Subject` over a runtime.

    words: the tokenizer and the template, without a model: encoding and reading answers are those of a model in this process.
    ends: ids that end an answer.
    """

    label: str
    runtime: ChatRuntime
    words: LocalSubject
    ends: frozenset[int]
    identity: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, label: str, folder: Path) -> ExportSubject:
        """Open a folder that ``studio export`` wrote; every file in it is held against its hash first.

        Raises:
            UserError: it is no export of a chat that can be asked, a file has changed, or the program is not installed.
            StudioError: the program cannot load it.
        """
        record = read_export(folder)
        if record.form not in RUNTIMES:
            raise UserError(
                f"{folder} is an export as {record.form}, which is not asked from here. Forms that are: {', '.join(RUNTIMES)}."
            )
        extra = record.extra
        if missing := [name for name in ("tokenizer", "template", "ends", "train_on") if name not in extra]:
            raise UserError(f"{folder / FILE} does not say {' nor '.join(missing)}, so the export cannot be asked. Export anew.")
        place = folder / str(extra["tokenizer"])
        tokenizer = load_tokenizer(ResolvedBase(str(record.run.get("name")), place, None, "", None, "local"))
        text = (place / "chat_template.jinja").read_bytes().decode("utf-8")
        template = ChatTemplate.from_record(text, extra["template"])
        runtime: ChatRuntime = RUNTIMES.get(record.form)(folder, record)
        about = {
            "kind": "export",
            "name": f"{record.run.get('name')} as {record.form}{f' {record.quant}' if record.quant else ''}",
            "path": str(folder),
            "run": record.run.get("id"),
            "base_sha256": (record.run.get("base") or {}).get("sha256"),
            "template_sha256": template.sha256,
            "quant": record.quant,
            "dtype": f"{record.quant} in {runtime.name}" if record.quant else runtime.name,
            "runtime": runtime.name,
        }
        identity = {
            "export": record.files,
            "runtime": runtime.name,
            "asking": sha256_file(Path(__file__)),
            "template": template.sha256,
            "thinking": template.thinking,
            "train_on": extra["train_on"],
        }
        words = LocalSubject(label, None, tokenizer, template, extra["train_on"])
        return cls(label, runtime, words, frozenset(extra["ends"]), identity, about)

    def close(self) -> None:
        """End the program."""
        self.runtime.close()

    @property
    def tokens_like(self) -> str:
        """See :attr:`studio.evals.subjects.Subject.tokens_like`."""
        return self.words.tokens_like

    @property
    def calls_tools(self) -> bool:
        """See :attr:`studio.evals.subjects.Subject.calls_tools`."""
        return self.words.calls_tools

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text, no special tokens added."""
        return self.words.count_tokens(text)

    def answers(
        self,
        prompts: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        batch_size: int,  # noqa: ARG002 - a runtime answers one prompt after the other
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Answer | None]:
        """See :meth:`studio.evals.subjects.Subject.answers`. Draws are those of a model in this process."""
        found: list[Answer | None] = []
        for index, (prompt, given) in enumerate(zip(prompts, offered(tools, len(prompts)), strict=True)):
            found.append(self._answer(prompt, given, decoding, index))
            if advance:
                advance(1)
        return found

    def _answer(self, prompt: Sequence[Message], tools: Sequence[Tool], decoding: Decoding, index: int) -> Answer | None:
        """One answer; None where the template refuses the prompt or there is no room."""
        encoded = self.words._prompt(prompt, tools)
        limit = min(decoding.max_new_tokens, self.runtime.context - len(encoded))
        if not encoded or limit < 1:
            return None
        ids, end = list(encoded), None
        draws = random_stream(decoding.seed * 1_000_003 + index, decoding.max_new_tokens)
        for step in range(limit):
            logits = _tensor(self.runtime.logits(ids, fresh=step == 0))  # [1, v]
            token = int(choose(logits, decoding, draws[step : step + 1])[0])
            if token in self.ends:
                end = token
                break
            ids.append(token)
        return self.words._answer(Written(ids[len(encoded) :], end is None, end), encoded, tools)

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,  # noqa: ARG002
        max_length: int | None,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """See :meth:`studio.evals.subjects.Subject.likelihoods`."""
        limit = min(max_length or self.runtime.context, self.runtime.context)
        found = []
        for conversation, given in zip(conversations, offered(tools, len(conversations)), strict=True):
            rows = self.words._examples(conversation, given, limit)
            found.append(joined([likelihood_of(row, self._losses(row)) for row in rows]))
            if advance:
                advance(1)
        return found

    def _losses(self, row: EncodedRow) -> list[float]:
        """Negative log-likelihood in nats of each target of a row."""
        places = [place for place, trained in enumerate(row.trained) if trained and place]
        return [] if not places else self._predicted(row.input_ids, places)

    def _predicted(self, ids: Sequence[int], places: Sequence[int]) -> list[float]:
        """Negative log-likelihood in nats of the tokens at some places, in order, each from all before it."""
        first, last = places[0] - 1, places[-1]
        logits = _tensor(self.runtime.logits(ids[:last], last - first, fresh=True))  # [n, v]
        wanted = torch.tensor([ids[place] for place in places])
        rows = logits[torch.tensor([place - 1 - first for place in places])]
        losses: list[float] = torch.nn.functional.cross_entropy(rows, wanted, reduction="none").double().tolist()
        return losses

    def text_logprobs(
        self,
        texts: Sequence[tuple[str, str]],
        *,
        batch_size: int,  # noqa: ARG002
        advance: Advance | None = None,
    ) -> list[LogProb | None]:
        """See :meth:`studio.evals.subjects.Subject.text_logprobs`."""
        found: list[LogProb | None] = []
        for item in encode_texts(self.words.tokenizer, texts):
            if item.start < len(item.ids) <= self.runtime.context:
                losses = self._predicted(item.ids, range(item.start, len(item.ids)))
                found.append(LogProb(-sum(losses), len(losses)))
            else:
                found.append(None)
            if advance:
                advance(1)
        return found


def _tensor(logits: NDArray[np.float32]) -> torch.Tensor:
    """Logits of a runtime as a tensor of their own memory."""
    return torch.from_numpy(np.array(logits, dtype=np.float32))
