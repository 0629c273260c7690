"""Writing answers: batched, left-padded, greedy unless asked otherwise. The answers do not depend on the batch.

Legend: b answers being written, s tokens so far (padding included), v vocabulary.

transformers' ``generate`` keeps finished answers in the batch until the longest one ends. Here they leave it, which on held-out
answers of uneven length saves a good part of the time, and every answer draws from a random stream of its own, so that a drawn
answer is the same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from studio.models.chat.probing import turn_ends
from studio.models.chat.shared_heads import share_heads
from studio.models.chat.templates import ChatTemplate
from studio.models.decoding import Decoding

# Finished answers are taken out of the batch once a quarter of it is done: taking them out copies the key-value cache.
_EVICT_BELOW = 0.75


@dataclass(frozen=True)
class Written:
    """Token ids of one answer without its end token; ``truncated`` when no end token came within the limit. end: that token."""

    ids: list[int]
    truncated: bool
    end: int | None = None


def unwrapped(model: Any) -> PreTrainedModel:
    """The transformers model inside a PEFT model (its LoRA layers stay in place), or the model itself."""
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def context_length(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens the model can see at once, prompt and answer together."""
    config = unwrapped(model).config.get_text_config()
    known = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    # Tokenizers without a limit say 1e30.
    return min((int(limit) for limit in known if limit and limit < 1e9), default=1 << 20)


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> frozenset[int]:
    """Ids that end an answer: the generation config's, the tokenizer's, and those the template closes a turn with."""
    configured = getattr(unwrapped(model).generation_config, "eos_token_id", None)
    ids = set(configured if isinstance(configured, list) else [configured])
    ids |= {tokenizer.eos_token_id, *turn_ends(template, tokenizer)}
    return frozenset(token for token in ids if token is not None)


@torch.inference_mode()
def write_answers(
    model: Any,
    prompts: Sequence[list[int]],
    decoding: Decoding,
    *,
    ends: frozenset[int],
    context: int,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
    streams: Sequence[Tensor] | None = None,
) -> list[Written | None]:
    """Continue every prompt until an end token or the limit.

    Args:
        prompts: token ids, each up to where the assistant is to speak.
        ends: ids that end an answer.
        context: tokens that prompt and answer may have together.
        advance: called with how many answers were just finished.
        streams: uniform draws of each answer, [max_new_tokens]; None makes them from the decoding's seed and its place.
    Returns:
        One answer per prompt, in order; None where the prompt leaves no room for a single token.
    """
    written: list[Written | None] = [None] * len(prompts)
    possible = [index for index, prompt in enumerate(prompts) if 0 < len(prompt) < context]
    if advance and len(possible) < len(prompts):
        advance(len(prompts) - len(possible))
    # The longest first: memory runs out in the first batch or never.
    order = sorted(possible, key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        limits = [min(decoding.max_new_tokens, context - len(prompts[index])) for index in batch]
        draws = [streams[index] if streams else _random_stream(decoding, index) for index in batch]
        answers = _write_batch(unwrapped(model), [prompts[index] for index in batch], limits, draws, decoding, ends, advance)
        for index, answer in zip(batch, answers, strict=True):
            written[index] = answer
    return written


@torch.inference_mode()
def stream_tokens(model: Any, prompt: list[int], decoding: Decoding, *, ends: frozenset[int], context: int) -> Iterator[int]:
    """Yield the tokens of one answer as they are written; the end token is not yielded."""
    network = unwrapped(model)
    share_heads(network)
    limit = min(decoding.max_new_tokens, context - len(prompt))
    for token in _continue(network, prompt, limit, _random_stream(decoding, 0), decoding):
        if token in ends:
            return
        yield token


def _continue(model: Any, prompt: list[int], limit: int, draws: Tensor, decoding: Decoding) -> Iterator[int]:
    """The next tokens after a prompt, one by one, whether they end the answer or not.

    A model that keeps what it has read in a form of its own (Mamba, RWKV, RecurrentGemma) reads everything anew for each.
    """
    step: Tensor = torch.tensor([prompt], device=model.device)  # [1, s]
    past: Any = None
    for count in range(limit):
        output = model(input_ids=step, past_key_values=past, use_cache=True, logits_to_keep=1)
        past = getattr(output, "past_key_values", None)
        chosen = choose(output.logits[:, -1].float(), decoding, draws[count : count + 1])[:, None]
        yield int(chosen[0, 0])
        step = chosen if past is not None else torch.cat([step, chosen], dim=-1)


def choose(logits: Tensor, decoding: Decoding, draws: Tensor) -> Tensor:
    """Pick the next tokens.

    Args:
        logits: float32 [b, v].
        draws: uniform numbers in [0, 1), [b]; unused when greedy.
    Returns:
        int64 [b].
    """
    if decoding.temperature == 0:
        return logits.argmax(dim=-1)
    ranked, order = (logits / decoding.temperature).sort(dim=-1, descending=True, stable=True)  # [b, v]
    if decoding.top_k:
        ranked[:, decoding.top_k :] = -torch.inf
    probabilities = ranked.softmax(dim=-1)
    # Nucleus (https://arxiv.org/abs/1904.09751): a token stays while the mass before it is below top_p.
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities.masked_fill(before >= decoding.top_p, 0.0)
    mass = probabilities.cumsum(dim=-1)
    place = (mass < draws.to(mass.device)[:, None] * mass[:, -1:]).sum(dim=-1, keepdim=True)  # [b, 1]
    return order.gather(-1, place.clamp(max=logits.shape[-1] - 1))[:, 0]


def _random_stream(decoding: Decoding, index: int) -> Tensor:
    """Uniform draws of one answer, one per step: [max_new_tokens]. They depend on the seed and the answer's place only."""
    return random_stream(decoding.seed * 1_000_003 + index, decoding.max_new_tokens)


def random_stream(seed: int, length: int) -> Tensor:
    """Uniform draws in [0, 1) of an answer of at most so many tokens, float32 [length]."""
    return torch.rand(length, generator=torch.Generator().manual_seed(seed))


def _write_batch(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    limits: Sequence[int],
    streams: Sequence[Tensor],
    decoding: Decoding,
    ends: frozenset[int],
    advance: Callable[[int], None] | None,
) -> list[Written]:
    """Write one batch side by side; finished answers leave it."""
    share_heads(model)
    device = model.device
    tokens, mask = left_pad(prompts, device)  # [b, s]
    answers: list[list[int]] = [[] for _ in prompts]
    ended: list[int | None] = [None] * len(prompts)  # the token that ended each
    alive = list(range(len(prompts)))  # place in the batch -> answer
    draws = torch.stack(list(streams))  # [b, max_new_tokens]
    past: Any = None
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)  # [b, s]
    # A finished answer that is still in the batch must not run past the last position the model knows.
    last = torch.tensor([[len(prompt) + limit - 1] for prompt, limit in zip(prompts, limits, strict=True)], device=device)
    for count in range(max(limits)):
        output = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            logits_to_keep=1,
        )
        past = getattr(output, "past_key_values", None)
        if past is None:
            rows = zip(prompts, limits, streams, strict=True)
            return [_write_alone(model, prompt, limit, draw, decoding, ends, advance) for prompt, limit, draw in rows]
        chosen = choose(output.logits[:, -1].float(), decoding, draws[alive, count])  # [b]
        finished = set()
        for answer, token in zip(alive, chosen.tolist(), strict=True):
            if ended[answer] is not None or len(answers[answer]) >= limits[answer]:
                continue
            if token in ends:
                ended[answer] = token
                finished.add(answer)
                continue
            answers[answer].append(token)
            if len(answers[answer]) >= limits[answer]:
                finished.add(answer)
        if advance and finished:
            advance(len(finished))
        waiting = [place for place, answer in enumerate(alive) if ended[answer] is None and len(answers[answer]) < limits[answer]]
        if not waiting:
            break
        tokens, positions = chosen[:, None], torch.minimum(positions[:, -1:] + 1, last)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=-1)
        if len(waiting) <= _EVICT_BELOW * len(alive) and _evict(past, waiting, device):
            tokens, positions, mask, last = tokens[waiting], positions[waiting], mask[waiting], last[waiting]
            alive = [alive[place] for place in waiting]
    return [Written(ids, end is None, end) for ids, end in zip(answers, ended, strict=True)]


def _write_alone(
    model: PreTrainedModel,
    prompt: list[int],
    limit: int,
    draws: Tensor,
    decoding: Decoding,
    ends: frozenset[int],
    advance: Callable[[int], None] | None,
) -> Written:
    """Write one answer by itself, for models that have no memory which rows can share."""
    ids: list[int] = []
    ended = None
    for token in _continue(model, prompt, limit, draws, decoding):
        if token in ends:
            ended = token
            break
        ids.append(token)
    if advance:
        advance(1)
    return Written(ids, ended is None, ended)


def left_pad(rows: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, padding on the left: int64 [b, s], int64 [b, s]. What stands in the padding is never seen."""
    width = max(len(row) for row in rows)
    tokens = torch.tensor([[row[0]] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens, mask


def _evict(past: Any, keep: list[int], device: torch.device) -> bool:
    """Keep only some rows of the key-value cache; False when this kind of cache cannot."""
    layers = getattr(past, "layers", [])
    if not layers or not all(hasattr(layer, "batch_select_indices") for layer in layers):
        return False
    past.batch_select_indices(torch.tensor(keep, device=device))
    return True
