"""By how much an exported language model differs from its run, asked through any runtime.

Legend: s tokens of a prompt, n positions compared, v vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from studio.adapters.chat.held_out import held_out_rows
from studio.adapters.chat.loading import LoadedRun
from studio.adapters.chat.merge import POSITIONS, comparison_conversations, comparison_prompts, prompt_logits
from studio.core.errors import DataError
from studio.core.progress import Progress
from studio.evals.comparisons import Comparison, compare
from studio.evals.evidence import Evidence, Likelihood, Question
from studio.evals.metrics.perplexity import PERPLEXITY
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.rendering import render

# What 8 bits lose on SmolLM2-135M is a divergence of 0.007 to 0.015 and 1 to 6% of the likeliest tokens; 4 bits lose ten times
# that (docs/exports.md).
DIVERGENCE, AGREEMENT = 0.02, 0.93
_RESAMPLES = 2000
# Kinds of text on which ways of cutting it into tokens differ: digits, blanks, line ends, contractions, scripts, pictures.
ODD_TEXT = (
    "It's 3 o'clock,  we'll   pay 12345.67 €\n\n\t- naïve façade: ÄÖÜ ß\r\n  中文字符 日本語 한국어 العربية हिन्दी ไทย 🙂👩‍👩‍👧 "
    'x²+y_1="ok"; if(a<=b){return !c;} HTTPServer2 DON\'T   '
)


class Ask(Protocol):
    """Logits of a runtime: :meth:`studio.models.chat.runtimes.ChatRuntime.logits`."""

    def __call__(self, ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> NDArray[np.float32]:
        """Logits [n, v] at the last n positions."""
        ...


@dataclass
class Measured:
    """What was compared, all in float32 against base plus adapter.

    largest: absolute difference of a logit. divergence: mean Kullback-Leibler divergence of the next token, run to export, in
    nats. agreement: share of positions with the same likeliest token. change: perplexity of ``rows`` held-out answers, export
    minus run, paired; None without such rows.
    """

    prompts: int
    prompts_from: str
    positions: int
    largest: float
    divergence: float
    agreement: float
    rows: int
    perplexity: float | None
    perplexity_before: float | None
    change: Comparison | None

    def figures(self) -> dict[str, Any]:
        """For ``export.json``."""
        change = self.change
        return {
            "prompts": self.prompts,
            "prompts_from": self.prompts_from,
            "positions": self.positions,
            "max_logit_difference": self.largest,
            "divergence": self.divergence,
            "agreement": self.agreement,
            "held_out_rows": self.rows,
            "perplexity": self.perplexity,
            "perplexity_of_run": self.perplexity_before,
            "perplexity_change": change.value if change else None,
            "perplexity_change_interval": list(change.bounds) if change and change.bounds else None,
        }

    def words(self) -> list[tuple[str, str]]:
        """For people."""
        found = [
            (
                "compared",
                f"{self.positions:,} positions: {self.prompts} prompts ({self.prompts_from}), {self.rows} held-out rows",
            ),
            ("largest logit difference to the run", f"{self.largest:.1e}"),
            ("Kullback-Leibler divergence", f"{self.divergence:.1e} nats per token"),
            ("same likeliest token as the run", f"{self.agreement:.1%} of positions"),
        ]
        if self.perplexity is not None and self.change is not None:
            bounds = self.change.bounds
            between = f"95% interval {bounds[0]:+.3f} to {bounds[1]:+.3f}" if bounds else self.change.interval.how
            change = f"{self.perplexity:.3f}, the run {self.perplexity_before:.3f}; {self.change.value:+.3f} ({between})"
            found.append(("perplexity of held-out answers", change))
        return found


@dataclass
class _Sums:
    """What is added up while rows go by."""

    positions: int = 0
    largest: float = 0.0
    divergence: float = 0.0
    same: int = 0
    pairs: list[tuple[Likelihood, Likelihood]] = field(default_factory=list)

    def add(self, reference: Tensor, found: Tensor) -> None:
        """Compare logits [n, v]; not-a-number makes every sum so."""
        size = float((reference - found).abs().max())
        self.largest = size if math.isnan(size) else max(self.largest, size)
        apart = torch.nn.functional.kl_div(
            found.double().log_softmax(-1), reference.double().log_softmax(-1), reduction="sum", log_target=True
        )
        self.divergence += float(apart)
        self.same += int((reference.argmax(-1) == found.argmax(-1)).sum())
        self.positions += len(reference)


def measure(run: LoadedRun, ask: Ask, *, who: str, held_out: bool = True) -> Measured:
    """Hold what a runtime answers against the run, on prompts and on held-out answers.

    Args:
        run: loaded in float32, unquantised.
        who: the program that is asked, for the progress line.
        held_out: False compares on the prompts only.
    """
    prompts, source = comparison_prompts(run)
    rows = held_out_rows(run) if held_out else []
    sums = _Sums()
    with Progress(f"compare with {who}", len(prompts) + len(rows), "texts") as progress:
        for ids in prompts:
            count = min(POSITIONS, len(ids))
            sums.add(prompt_logits(run.model, [ids])[0], _tensor(ask(ids, count, fresh=True)))
            progress.advance()
        for row in rows:
            _add_row(sums, run.model, row, ask)
            progress.advance()
    before, after = ([pair[place] for pair in sums.pairs] for place in (0, 1))
    return Measured(
        prompts=len(prompts),
        prompts_from=source,
        positions=sums.positions,
        largest=sums.largest,
        divergence=sums.divergence / sums.positions,
        agreement=sums.same / sums.positions,
        rows=len(rows),
        perplexity=_perplexity(after),
        perplexity_before=_perplexity(before),
        change=_change(before, after) if rows else None,
    )


@torch.inference_mode()
def _add_row(sums: _Sums, model: Any, row: EncodedRow, ask: Ask) -> None:
    """Compare at the places from which the answers of a held-out row are predicted."""
    tokens = torch.tensor([row.input_ids], device=model.device)  # [1, s]
    wanted = torch.tensor(row.trained[1:])  # [s - 1]
    reference = model(input_ids=tokens, use_cache=False).logits[0, :-1].float().cpu()[wanted]  # [n, v]
    first = int(wanted.nonzero()[0])
    count = len(row.input_ids) - 1 - first
    found = _tensor(ask(row.input_ids[:-1], count, fresh=True))[wanted[first:]]  # [n, v]
    sums.add(reference, found)
    targets = tokens[0, 1:].cpu()[wanted]
    one, other = (
        Likelihood(float(torch.nn.functional.cross_entropy(each.double(), targets, reduction="sum")), len(targets))
        for each in (reference, found)
    )
    sums.pairs.append((one, other))


def _tensor(logits: NDArray[np.float32]) -> Tensor:
    """Logits of a runtime as a tensor of their own memory."""
    return torch.from_numpy(np.array(logits, dtype=np.float32))


def _perplexity(rows: Sequence[Likelihood]) -> float | None:
    """Perplexity: exp of nats per token over all rows; None without one."""
    return math.exp(sum(row.nll for row in rows) / sum(row.tokens for row in rows)) if rows else None


def _change(before: Sequence[Likelihood], after: Sequence[Likelihood]) -> Comparison:
    """Perplexity of the export minus that of the run, row by row on the same rows, as ``studio eval`` compares two models."""
    question = Question("", [], [], None)
    first, second = (PERPLEXITY.measure([Evidence(question, likelihood=row) for row in rows]) for rows in (after, before))
    return compare(first, second, resamples=_RESAMPLES, seed=0, scale=PERPLEXITY.scale)


def proof_texts(run: LoadedRun) -> list[str]:
    """Rendered prompts on which a runtime has to make the same tokens as the run, and one with all kinds of text."""
    conversations, _ = comparison_conversations(run)
    conversations = [*conversations, [{"role": "user", "content": ODD_TEXT}]]
    texts = []
    for messages in conversations:
        try:
            texts.append(render(run.tokenizer, run.template, messages, add_generation_prompt=True))
        except DataError:
            continue
    return texts


def other_tokens(run: LoadedRun, texts: Sequence[str], tokens: Any) -> str | None:
    """The first place where a runtime cuts a text into other tokens than the run, in words; None where there is none.

    Args:
        tokens: from a text to ids.
    """
    for text in texts:
        wanted, found = list(run.tokenizer(text, add_special_tokens=False)["input_ids"]), list(tokens(text))
        if wanted != found:
            place = next(
                (at for at, both in enumerate(zip(wanted, found, strict=False)) if both[0] != both[1]),
                min(len(wanted), len(found)),
            )
            around = run.tokenizer.decode(wanted[max(0, place - 3) : place + 3])
            return f"token {place + 1} of {text[:40]!r}… is another one (around {around!r})"
    return None
