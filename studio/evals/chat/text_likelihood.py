"""Log-likelihood of plain text: the number behind the bias benchmarks. No chat template, exactly one BOS or EOS before the text.

Legend: b rows of a batch, s padded length, n nodes of a row, m positions whose logits are computed, v vocabulary.

Benchmarks ask for many texts that begin alike: the twins of a pair, the options of a question. Texts with a common beginning are
laid into one row as a tree: every shared token stands there once, each token sees its own ancestors only, and its position is its
depth. So the beginning is computed once, and so are its logits. The output layer runs only where a token is scored.

A model that cannot be given such a mask (flash attention, recurrent layers) is asked text by text; whether it can is not only
read from its configuration but tried on the first row, against the plain way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.core.errors import UserError
from studio.evals.evidence import LogProb
from studio.models.chat.generation import context_length, unwrapped

# Bytes of float32 logits at once; a vocabulary of 128,000 fills it with 524 positions.
_LOGIT_BYTES = 256 << 20
# Positions whose log-softmax is taken at once: 64 of 49,152 entries stay in a processor's cache.
_CHUNK = 64
# A text joins a row when at least this many of its tokens, and this share of them, stand there already.
_SHARED_TOKENS = 4
_SHARED_PART = 0.2
# Longest row made by sharing: the attention of a row grows with its square.
_ROW_NODES = 512
# Shared against plain, nats per token: float32 differs by 1e-5, a wrong mask by more than 0.1.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_TOLERANCE_HALF = 5e-2


@dataclass(frozen=True)
class TextIds:
    """Token ids of prefix and continuation after one BOS or EOS; tokens from ``start`` on are scored."""

    ids: list[int]
    start: int


@dataclass
class Row:
    """Texts laid into one row as a tree.

    tokens, depths: per node, in the order they were added. places: text -> its nodes from the root on.
    shared: how many of each text's nodes stood there before it.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)

    def add(self, index: int, ids: Sequence[int], common: int) -> None:
        """Add a text whose first ``common`` tokens are those of the text added last."""
        first = self.places[-1][:common] if self.places else []
        nodes = list(range(len(self.tokens), len(self.tokens) + len(ids) - common))
        self.tokens += ids[common:]
        self.depths += range(common, len(ids))
        self.texts.append(index)
        self.places.append([*first, *nodes])
        self.shared.append(common)

    @property
    def branches(self) -> bool:
        """True when the row holds more than one text."""
        return len(self.texts) > 1


def text_logprobs(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[str, str]],
    *,
    batch_size: int,
    share: bool = True,
    advance: Callable[[int], None] | None = None,
) -> list[LogProb | None]:
    """Summed log-probability of every continuation given its prefix.

    Args:
        texts: prefix and continuation; an empty prefix scores the whole text after the BOS or EOS token.
        batch_size: texts per forward pass; it changes speed and memory, not the numbers.
        share: compute common beginnings once.
        advance: called with how many texts were just scored.
    Returns:
        One per text, in order: nats and tokens. None where there is nothing to score or the text is longer than the context.
    Raises:
        UserError: the tokenizer has neither a BOS nor an EOS token.
    """
    encoded = encode_texts(tokenizer, texts)
    context = context_length(model, tokenizer)
    usable = [index for index, item in enumerate(encoded) if item.start < len(item.ids) <= context]
    if advance and len(usable) < len(texts):
        advance(len(texts) - len(usable))
    scored: list[LogProb | None] = [None] * len(texts)
    for index, value in _score(unwrapped(model), encoded, usable, batch_size, share, advance):
        scored[index] = value
    return scored


def prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token a text is scored after: BOS, or EOS where there is no BOS, as lm-evaluation-harness chooses it.

    Raises:
        UserError: there is neither.
    """
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise UserError(
            "the tokenizer has neither a BOS nor an EOS token, so the first word of a text has nothing to be predicted from. "
            "Set bos_token in its tokenizer_config.json."
        )
    return int(token)


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]]) -> list[TextIds]:
    """Token ids of every prefix and continuation, written as one text; white space at the seam belongs to the continuation.

    A token that covers the seam is scored. The BOS or EOS stands there once, also where the text brings its own.
    """
    first = prefix_token(tokenizer)
    if not texts:
        return []
    whole = tokenizer([a + b for a, b in texts], add_special_tokens=False, return_offsets_mapping=True)
    found = []
    for (prefix, _), ids, offsets in zip(texts, whole["input_ids"], whole["offset_mapping"], strict=True):
        seam = len(prefix.rstrip())
        start = next((place for place, (_, end) in enumerate(offsets) if end > seam), len(ids)) if seam else 0
        if ids and ids[0] == first:
            found.append(TextIds(list(ids), max(1, start)))
        else:
            found.append(TextIds([first, *ids], start + 1))
    return found


def lay_rows(encoded: Sequence[TextIds], usable: Sequence[int], *, texts_per_row: int, longest: int) -> list[Row]:
    """Lay texts with a common beginning side by side into rows of at most ``texts_per_row`` texts and ``longest`` nodes.

    Sorted by their tokens, the texts with the longest common beginnings are neighbours.
    """
    rows: list[Row] = []
    before: list[int] = []
    for index in sorted(usable, key=lambda place: encoded[place].ids):
        ids = encoded[index].ids
        common = _common(before, ids)
        row = rows[-1] if rows else None
        joins = (
            row is not None
            and len(row.texts) < texts_per_row
            and common >= max(_SHARED_TOKENS, _SHARED_PART * len(ids))
            and len(row.tokens) + len(ids) - common <= longest
        )
        if row is None or not joins:
            row, common = Row(), 0
            rows.append(row)
        row.add(index, ids, common)
        before = ids
    return rows


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts have in common from the beginning."""
    for place, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return place
    return min(len(first), len(second))


def _score(
    network: Any,
    encoded: Sequence[TextIds],
    usable: Sequence[int],
    batch_size: int,
    share: bool,
    advance: Callable[[int], None] | None,
) -> Iterator[tuple[int, LogProb]]:
    """Index and score of every usable text, the longest rows first: memory runs out in the first batch or never."""
    longest = _longest_shared(network) if share and batch_size > 1 else 0
    rows = lay_rows(encoded, usable, texts_per_row=batch_size if longest else 1, longest=longest)
    branching = [row for row in rows if row.branches]
    if branching and not _sharing_holds(network, encoded, min(branching, key=lambda row: len(row.tokens))):
        rows = lay_rows(encoded, usable, texts_per_row=1, longest=0)
    rows.sort(key=lambda row: -len(row.tokens))
    head = network.get_output_embeddings()
    positions = max(1, _LOGIT_BYTES // (4 * (int(head.weight.shape[0]) if head is not None else 1 << 15)))
    for batch in _batches(rows, batch_size, positions):
        yield from _score_batch(network, encoded, batch)
        if advance:
            advance(sum(len(row.texts) for row in batch))


def _batches(rows: Sequence[Row], batch_size: int, positions: int) -> Iterator[list[Row]]:
    """Rows in order, at most ``batch_size`` texts and about ``positions`` scored tokens per batch."""
    batch: list[Row] = []
    texts = tokens = 0
    for row in rows:
        if batch and (texts + len(row.texts) > batch_size or tokens + len(row.tokens) > positions):
            yield batch
            batch, texts, tokens = [], 0, 0
        batch.append(row)
        texts, tokens = texts + len(row.texts), tokens + len(row.tokens)
    if batch:
        yield batch


def _longest_shared(network: Any) -> int:
    """Longest row of texts that share a beginning, 0 when the model's attention takes no mask of ours."""
    config = network.config.get_text_config()
    if getattr(network.config, "_attn_implementation", None) not in {"sdpa", "eager"}:
        return 0
    # Inside the window a sliding layer sees as much as a full one, so one mask serves both.
    window = getattr(config, "sliding_window", None)
    return min(_ROW_NODES, int(window)) if window else _ROW_NODES


@torch.inference_mode()
def _sharing_holds(network: Any, encoded: Sequence[TextIds], row: Row) -> bool:
    """True when one branching row gives the numbers of its texts scored one by one; False also when the model refuses it."""
    try:
        shared = [value.sum / value.tokens for _, value in _score_batch(network, encoded, [row])]
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    alone = []
    for index in row.texts:
        single = Row()
        single.add(index, encoded[index].ids, 0)
        alone += [value.sum / value.tokens for _, value in _score_batch(network, encoded, [single])]
    tolerance = _TOLERANCE.get(network.dtype, _TOLERANCE_HALF)
    return all(abs(first - second) <= tolerance for first, second in zip(shared, alone, strict=True))


@torch.inference_mode()
def _score_batch(network: Any, encoded: Sequence[TextIds], batch: Sequence[Row]) -> list[tuple[int, LogProb]]:
    """Index and score of the texts of some rows."""
    width = max(len(row.tokens) for row in batch)
    tokens = torch.tensor([row.tokens + [row.tokens[0]] * (width - len(row.tokens)) for row in batch], device=network.device)
    arguments: dict[str, Any] = {"input_ids": tokens, "use_cache": False}  # padding on the right is never seen
    if any(row.branches for row in batch):
        depths = [row.depths + [0] * (width - len(row.depths)) for row in batch]
        arguments["position_ids"] = torch.tensor(depths, device=network.device)
        arguments["attention_mask"] = _tree_mask(network, batch, width)
    scored: dict[tuple[int, int], int] = {}  # (row, node) -> row and node it is predicted from
    for number, row in enumerate(batch):
        for index, places in zip(row.texts, row.places, strict=True):
            start = encoded[index].start
            scored |= {(number, node): before for before, node in zip(places[start - 1 :], places[start:], strict=False)}
    sources = sorted({(number, before) for (number, _), before in scored.items()})
    logits = _logits_at(network, arguments, sources)  # [m, v]
    place_of = {source: place for place, source in enumerate(sources)}
    chosen = [place_of[number, before] for (number, _), before in scored.items()]
    targets = [batch[number].tokens[node] for number, node in scored]
    values = dict(zip(scored, _log_probabilities(logits, chosen, targets), strict=True))
    return [
        (index, _summed([values[number, node] for node in places[encoded[index].start :]]))
        for number, row in enumerate(batch)
        for index, places in zip(row.texts, row.places, strict=True)
    ]


def _summed(values: Sequence[float]) -> LogProb:
    """Sum in float64 of the log-probabilities of a text's tokens."""
    return LogProb(sum(values), len(values))


def _tree_mask(network: Any, batch: Sequence[Row], width: int) -> Tensor:
    """Which node sees which: [b, 1, s, s]; True where seen, or 0 and the most negative number for eager attention."""
    seen = torch.eye(width, dtype=torch.bool).repeat(len(batch), 1, 1)  # padding sees itself: a row without any gives nan
    for number, row in enumerate(batch):
        for places, shared in zip(row.places, row.shared, strict=True):
            nodes = torch.tensor(places)
            own = torch.ones(len(places), len(places), dtype=torch.bool).tril()[shared:]
            seen[number, nodes[shared:, None], nodes[None, :]] = own
    seen = seen[:, None].to(network.device)
    if network.config._attn_implementation == "sdpa":
        return seen
    return torch.zeros_like(seen, dtype=network.dtype).masked_fill(~seen, torch.finfo(network.dtype).min)


def _logits_at(network: Any, arguments: dict[str, Any], sources: Sequence[tuple[int, int]]) -> Tensor:
    """Logits at the given (row, place): [m, v]. The hidden states of all others are dropped before the output layer.

    They are dropped in the layer's own input, so that what a model does after it (scaling, soft capping) stays.
    """
    rows = torch.tensor([number for number, _ in sources], device=network.device)
    places = torch.tensor([place for _, place in sources], device=network.device)
    head = network.get_output_embeddings()
    if head is None:
        every: Tensor = network(**arguments).logits
        return every[rows, places]

    def keep(_module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, places][None], *inputs[1:])  # [1, m, hidden]

    hook = head.register_forward_pre_hook(keep)
    try:
        logits: Tensor = network(**arguments).logits
    finally:
        hook.remove()
    return logits[0]


def _log_probabilities(logits: Tensor, chosen: Sequence[int], targets: Sequence[int]) -> list[float]:
    """Log-softmax of the targets: [m, v], places and ids of the targets -> one number each, taken in float32."""
    picked = logits[torch.tensor(chosen, device=logits.device), torch.tensor(targets, device=logits.device)].float()
    totals = torch.cat([part.float().logsumexp(dim=-1) for part in logits.split(_CHUNK)])  # [m]
    values: list[float] = (picked - totals[torch.tensor(chosen, device=logits.device)]).double().tolist()
    return values
