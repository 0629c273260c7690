"""Proof that the server answers as the run does: same prompt tokens, same greedy answers, and not the base's.

PEFT's answers come from :mod:`studio.serve.reference`. Where the top two tokens are nearly as likely (log-probabilities within
0.1, or 0.3 in 16 bits), sums in another order may choose the other one; from there on the server is led along PEFT's answer, so
that everything after it is compared as well.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from studio.core.errors import GateNotMetError, StudioError
from studio.serve.client import Client
from studio.serve.conversations import kinds_of, on_the_wire

# Top two log-probabilities closer than this are a near tie. In 16 bits two right implementations differ by up to 0.2 themselves.
NEAR_TIE = {"float32": 0.1}
NEAR_TIE_16_BITS = 0.3
# The adapter moves some log-probability of its own answer by at least this, or it does nothing.
MOVES = 1e-3
_GREEDY = {"temperature": 0, "top_p": 1.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


@dataclass(frozen=True)
class Parity:
    """What one model's check saw.

    tokens: compared; ties: of those, near ties at which another token was chosen. differing: conversations whose answer the base
    would not have given. logprob_difference: largest difference of a log-probability between the server and PEFT. kinds: how many
    conversations have tools or thoughts, in words; empty where none has.
    """

    model: str
    conversations: int
    tokens: int
    ties: int
    differing: int
    logprob_difference: float
    kinds: str = ""

    def sentence(self) -> str:
        """One line for people."""
        ties = f" ({self.ties} near ties apart)" if self.ties else ""
        return (
            f"parity {self.model}: prompt tokens equal in {self.conversations} of {self.conversations} "
            f"conversations{self.kinds}, "
            f"{self.tokens} greedy tokens as PEFT's{ties}, {self.differing} answers differ from the base's, "
            f"log-probabilities within {self.logprob_difference:.1e}"
        )


@dataclass
class _Row:
    """The comparison of one conversation. limit: log-probabilities closer than this are a near tie."""

    limit: float
    tokens: int = 0
    ties: int = 0
    logprob: float = 0.0
    problem: str | None = None
    seen: list[float] = field(default_factory=list)


def check_parity(
    client: Client, model: str, reference: dict[str, Any], *, tools: bool = True, advance: Callable[[int], None] | None = None
) -> Parity:
    """Compare a served model with its reference.

    Args:
        client: with an operator's key.
        model: name it is served under.
        tools: whether the server takes any; without, conversations with tools are left out.
        advance: called after each conversation.
    Raises:
        GateNotMetError: something differs; the message shows both sides.
        StudioError: the server fails to answer.
    """
    rows = [row for row in reference["rows"] if tools or not row.get("tools")]
    if not rows:
        raise StudioError(f"there is nothing to compare {model} on: its template refuses every conversation.")
    found: list[_Row] = []
    with ThreadPoolExecutor(4) as pool:
        limit = NEAR_TIE.get(reference["dtype"], NEAR_TIE_16_BITS)
        for row in pool.map(lambda one: _compare(client, model, one, limit), rows):
            found.append(row)
            if advance:
                advance(1)
    problem = next((row.problem for row in found if row.problem), None)
    if problem:
        raise GateNotMetError(f"the server does not answer as the run {reference['run']} does. {problem}")
    differing = sum(not all(row["base_agrees"]) for row in rows)
    if not differing:
        _must_move(model, len(rows), found)
    return Parity(
        model,
        len(rows),
        sum(row.tokens for row in found),
        sum(row.ties for row in found),
        differing,
        max(row.logprob for row in found),
        kinds_of(rows),
    )


def _compare(client: Client, model: str, row: dict[str, Any], limit: float) -> _Row:
    """One conversation: its token ids, then its answer."""
    result = _Row(limit)
    talk = on_the_wire(row)
    ids = client.must("/tokenize", {"model": model, "add_generation_prompt": True, **talk})["tokens"]
    if ids != row["prompt"]:
        at = next(
            (i for i, (a, b) in enumerate(zip(ids, row["prompt"], strict=False)) if a != b), min(len(ids), len(row["prompt"]))
        )
        result.problem = (
            f"The prompt tokens differ from position {at} on, in: {row['messages'][-1]['content']!r}\n"
            f"  training: {row['prompt'][max(0, at - 4) : at + 8]} ({len(row['prompt'])} tokens)\n"
            f"  server:   {ids[max(0, at - 4) : at + 8]} ({len(ids)} tokens)"
        )
        return result
    asked = {"model": model, "max_tokens": len(row["answer"]), "return_token_ids": True, **_GREEDY}
    chat = client.must("/v1/chat/completions", {**asked, **talk, "logprobs": True, "top_logprobs": 1})
    choice = chat["choices"][0]
    told = [entry["logprob"] for entry in (choice["logprobs"] or {}).get("content") or []]
    _along(client, asked, row, result, choice["token_ids"], told, choice["message"]["content"] or "")
    return result


def _along(
    client: Client, asked: dict[str, Any], row: dict[str, Any], result: _Row, ids: list[int], logprobs: list[float], text: str
) -> None:
    """Compare an answer token by token; after a near tie, ask for the rest from PEFT's side of it."""
    wanted, start = row["answer"], 0
    while True:
        same = 0
        while start + same < len(wanted) and same < len(ids) and ids[same] == wanted[start + same]:
            if same < len(logprobs):
                result.logprob = max(result.logprob, abs(logprobs[same] - row["logprobs"][start + same]))
                result.seen.append(abs(logprobs[same] - row["base_logprobs"][start + same]))
            same += 1
        result.tokens += same
        at = start + same
        if at >= len(wanted):
            return
        if row["margins"][at] > result.limit:
            result.problem = (
                f"Its greedy answer differs from PEFT's at token {at + 1}, where the top two log-probabilities are "
                f"{row['margins'][at]:.2f} apart, in: {row['messages'][-1]['content']!r}\n"
                f"  PEFT:   {row['text']!r}\n  server: {text!r}"
            )
            return
        result.ties += 1
        start = at + 1
        if start >= len(wanted):
            return
        rest = {**asked, "prompt": row["prompt"] + wanted[:start], "max_tokens": len(wanted) - start, "logprobs": 1}
        choice = client.must("/v1/completions", rest)["choices"][0]
        ids, logprobs = choice["token_ids"], list((choice["logprobs"] or {}).get("token_logprobs") or [])


def _must_move(model: str, count: int, found: list[_Row]) -> None:
    """All greedy answers are the base's too: then the log-probabilities must show that the adapter is there.

    Raises:
        GateNotMetError: they are the base's as well.
    """
    moved = max((value for row in found for value in row.seen), default=0.0)
    nearer = max(row.logprob for row in found)
    if moved < MOVES or moved <= 2 * nearer:
        raise GateNotMetError(
            f"the answers of {model} are the base's, in all {count} conversations and to within {moved:.1e} in "
            "every log-probability: the adapter is not applied, or it has learned nothing. Look at the run's loss curve; "
            "--no-check serves it all the same."
        )
