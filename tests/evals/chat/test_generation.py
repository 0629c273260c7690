"""Answers: the same alone, in any batch, and as transformers' own greedy search gives them."""

from __future__ import annotations

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from studio.evals.chat.subjects import LocalSubject
from studio.evals.evidence import Decoding
from studio.models.chat.encoding import encode_prompt
from studio.models.chat.generation import (
    Written,
    choose,
    context_length,
    end_tokens,
    stream_tokens,
    unwrapped,
    write_answers,
)
from studio.models.chat.shared_heads import NAME, shared_heads_attention
from studio.models.chat.templates import ChatTemplate

QUESTIONS = [
    "door",
    "How wide must a door be?",
    "Where is the rule about ventilation written, and what does it say about windows and walls?",
    "roof fire exit",
    "The capital of France is",
]


def prompts(subject: LocalSubject) -> list[list[int]]:
    return [encode_prompt(subject.tokenizer, subject.template, [{"role": "user", "content": text}]) for text in QUESTIONS]


def write(subject: LocalSubject, decoding: Decoding, batch_size: int, ends: frozenset[int]) -> list[Written | None]:
    return write_answers(subject.model, prompts(subject), decoding, ends=ends, context=512, batch_size=batch_size)


def frequent_ends(subject: LocalSubject) -> frozenset[int]:
    """Tokens the random model writes at different times, so that some answers end early and others do not."""
    free = write(subject, Decoding(24), 1, frozenset())
    return frozenset({free[0].ids[5], free[2].ids[11]})


def test_left_padded_greedy_equals_transformers_unpadded_generate(subject: LocalSubject) -> None:
    ends = frequent_ends(subject)
    ours = write(subject, Decoding(24), 5, ends)
    lengths = set()
    unwrapped(subject.model).set_attn_implementation("sdpa")  # transformers' own, not what our answers were written with
    for prompt, answer in zip(prompts(subject), ours, strict=True):
        tokens = torch.tensor([prompt])
        peer = subject.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=sorted(ends),
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert answer.ids == [token for token in peer if token not in ends]
        assert answer.truncated == (peer[-1] not in ends)
        lengths.add(len(answer.ids))
    # Without answers of different length, eviction of finished ones was not tried.
    assert len(lengths) > 1 and min(lengths) < 24


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shared_heads_give_what_repeated_keys_give(dtype: torch.dtype) -> None:
    draws = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, heads, size, 16, generator=draws).to(dtype) for heads, size in ((6, 1), (2, 9), (2, 9)))
    mask = torch.ones(3, 1, 1, 9, dtype=torch.bool)
    mask[1, ..., :4] = False
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 3, True
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    for seen in (mask, None):
        drawn, _ = shared_heads_attention(module, query, key, value, seen, scaling=0.3)
        expected, _ = sdpa_attention_forward(module, query, key, value, seen, scaling=0.3)
        torch.testing.assert_close(drawn, expected, rtol=0, atol=tolerance)


def test_answers_on_a_cpu_share_the_keys(subject: LocalSubject) -> None:
    write(subject, Decoding(2), 5, frozenset())
    assert unwrapped(subject.model).config._attn_implementation == NAME


@pytest.mark.parametrize("decoding", [Decoding(24), Decoding(24, temperature=1.0, top_p=0.9, top_k=40, seed=7)])
def test_answers_do_not_depend_on_the_batch(subject: LocalSubject, decoding: Decoding) -> None:
    ends = frequent_ends(subject)
    alone = write(subject, decoding, 1, ends)
    assert write(subject, decoding, 2, ends) == alone
    assert write(subject, decoding, 5, ends) == alone


def test_drawing_depends_on_the_seed_only(subject: LocalSubject) -> None:
    first = write(subject, Decoding(24, temperature=1.0, seed=1), 5, frozenset())
    assert write(subject, Decoding(24, temperature=1.0, seed=1), 5, frozenset()) == first
    assert write(subject, Decoding(24, temperature=1.0, seed=2), 5, frozenset()) != first


def test_a_streamed_answer_is_the_batched_one(subject: LocalSubject) -> None:
    ends = frequent_ends(subject)
    batched = write(subject, Decoding(24), 5, ends)
    for prompt, answer in zip(prompts(subject), batched, strict=True):
        assert list(stream_tokens(subject.model, prompt, Decoding(24), ends=ends, context=512)) == answer.ids


def test_drawing_follows_the_probabilities_and_its_limits() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(10_000, 1)
    draws = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(choose(logits, Decoding(temperature=1.0), draws), minlength=4) / 10_000
    assert torch.allclose(counts, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.015)
    nucleus = torch.bincount(choose(logits, Decoding(temperature=1.0, top_p=0.7), draws), minlength=4) / 10_000
    assert torch.allclose(nucleus, torch.tensor([0.625, 0.375, 0, 0]), atol=0.015)
    assert set(choose(logits, Decoding(temperature=1.0, top_k=1), draws).tolist()) == {0}


def test_the_context_bounds_the_answer_and_a_prompt_that_fills_it_has_none(subject: LocalSubject) -> None:
    short, long = prompts(subject)[0], prompts(subject)[2]
    context = len(long)
    answers = write_answers(
        subject.model, [short, long, []], Decoding(200), ends=frozenset(), context=context, batch_size=3, advance=None
    )
    assert len(answers[0].ids) == context - len(short) and answers[0].truncated
    assert answers[1] is None and answers[2] is None


def test_progress_counts_every_prompt_once(subject: LocalSubject) -> None:
    seen: list[int] = []
    write_answers(
        subject.model,
        [*prompts(subject), []],
        Decoding(24),
        ends=frequent_ends(subject),
        context=512,
        batch_size=2,
        advance=seen.append,
    )
    assert sum(seen) == len(QUESTIONS) + 1


def test_end_tokens_come_from_all_three_places(subject: LocalSubject) -> None:
    tokenizer = subject.tokenizer
    own = tokenizer.convert_tokens_to_ids("<|im_end|>")
    other = ChatTemplate(
        "other",
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '<|endoftext|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    )
    before = subject.model.generation_config.eos_token_id
    try:
        subject.model.generation_config.eos_token_id = [own, 9]
        assert end_tokens(subject.model, tokenizer, other) == {own, 9, tokenizer.convert_tokens_to_ids("<|endoftext|>")}
    finally:
        subject.model.generation_config.eos_token_id = before


def test_answers_through_the_template_flag_truncation_and_count_tokens(subject: LocalSubject) -> None:
    asked = [[{"role": "user", "content": text}] for text in QUESTIONS] + [[]]
    answers = subject.answers(asked, Decoding(6), batch_size=4)
    assert answers[-1] is None
    assert all(answer.truncated and answer.tokens == 6 for answer in answers[:-1])
    assert context_length(subject.model, subject.tokenizer) == 512
