"""The scorer against a plain loop, on models whose attention differs, whatever the batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from studio.core.errors import UserError
from studio.evals.chat import text_likelihood
from studio.evals.chat.text_likelihood import TextIds, encode_texts, lay_rows, text_logprobs

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject

PAIRS = [
    ("", "The guard rail of a balcony must be at least one metre high."),
    ("", "The guard rail of a window must be at least one metre high."),
    ("", "How wide must a door be? A door must be at least eighty centimetres wide."),
    ("", "How wide must a roof be? A roof must be at least eighty centimetres wide."),
    ("", "Short."),
    ("The capital of France", " is Paris."),
    ("The capital of France", " is a window."),
    ("The capital of France ", "is the wall of the fire exit."),
    ("", "The guard rail"),
    ("", "Ünïcode 東京 and emoji 🙂 stay whole"),
]


def plain(model: Any, tokenizer: Any, texts: list[tuple[str, str]]) -> list[float]:
    """One text at a time: the whole forward pass, log-softmax over everything, the scored tokens picked out."""
    sums = []
    for item in encode_texts(tokenizer, texts):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([item.ids]), use_cache=False).logits[0].double()
        values = logits.log_softmax(-1)
        sums.append(sum(float(values[place - 1, item.ids[place]]) for place in range(item.start, len(item.ids))))
    return sums


def sums(found: list[Any]) -> list[float]:
    return [item.sum for item in found]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_equals_a_plain_loop_at_any_batch_size(subject: LocalSubject, batch_size: int, share: bool) -> None:
    found = text_logprobs(subject.model, subject.tokenizer, PAIRS, batch_size=batch_size, share=share)
    assert sums(found) == pytest.approx(plain(subject.model, subject.tokenizer, PAIRS), abs=1e-4)


def test_batch_of_one_and_of_sixteen_agree(subject: LocalSubject) -> None:
    one = subject.text_logprobs(PAIRS, batch_size=1)
    sixteen = subject.text_logprobs(PAIRS, batch_size=16)
    assert [item.sum for item in one if item] == pytest.approx([item.sum for item in sixteen if item], abs=1e-4)
    assert [item.tokens for item in one if item] == [item.tokens for item in sixteen if item]


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def other_models(vocabulary: int) -> dict[str, Any]:
    """Learned positions, soft-capped logits, sliding windows wide and narrow, ALiBi, no attention at all."""
    rope = {**SIZES, "vocab_size": vocabulary, "intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 256}
    return {
        "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, n_positions=256)),
        "gemma2": Gemma2ForCausalLM(Gemma2Config(**rope, head_dim=8, sliding_window=64, final_logit_softcapping=2.0)),
        "mistral": MistralForCausalLM(MistralConfig(**rope, sliding_window=6)),
        "bloom": BloomForCausalLM(BloomConfig(vocab_size=vocabulary, hidden_size=32, n_layer=2, n_head=4)),
        "mamba": MambaForCausalLM(MambaConfig(vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, state_size=4)),
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "mistral", "bloom", "mamba"])
def test_other_architectures_equal_a_plain_loop(subject: LocalSubject, kind: str, attention: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = other_models(len(subject.tokenizer))[kind].eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    try:
        model.set_attn_implementation(attention)
    except ValueError:
        pytest.skip(f"{kind} has no {attention} attention")
    found = text_logprobs(model, subject.tokenizer, PAIRS, batch_size=8)
    assert sums(found) == pytest.approx(plain(model, subject.tokenizer, PAIRS), abs=2e-4, rel=1e-5)


def test_common_beginnings_are_computed_once(subject: LocalSubject) -> None:
    encoded = encode_texts(subject.tokenizer, PAIRS)
    rows = lay_rows(encoded, range(len(PAIRS)), texts_per_row=16, longest=512)
    pair = next(row for row in rows if 0 in row.texts)
    assert 1 in pair.texts
    assert len(pair.tokens) < len(encoded[0].ids) + len(encoded[1].ids)
    assert sorted(index for row in rows for index in row.texts) == list(range(len(PAIRS)))
    for row in rows:
        for index, places in zip(row.texts, row.places, strict=True):
            assert [row.tokens[place] for place in places] == encoded[index].ids


def test_a_wrong_mask_is_found_out(subject: LocalSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial on the first row: a model that would ignore the tree is asked text by text."""
    monkeypatch.setattr(
        text_likelihood,
        "_tree_mask",
        lambda network, batch, width: torch.ones(len(batch), 1, width, width, dtype=torch.bool).tril(),
    )
    found = text_logprobs(subject.model, subject.tokenizer, PAIRS, batch_size=16)
    assert sums(found) == pytest.approx(plain(subject.model, subject.tokenizer, PAIRS), abs=1e-4)


def test_exactly_one_start_token(subject: LocalSubject) -> None:
    tokenizer = subject.tokenizer
    own = tokenizer.bos_token + "The door."
    plain_text, with_own = encode_texts(tokenizer, [("", "The door."), ("", own)])
    assert plain_text == with_own
    assert plain_text.ids.count(tokenizer.bos_token_id) == 1
    assert plain_text.start == 1


def test_a_tokenizer_that_adds_its_own_start_token_adds_none(subject: LocalSubject) -> None:
    from copy import deepcopy

    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(subject.tokenizer)
    start, number = tokenizer.bos_token, tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{start} $A", special_tokens=[(start, number)])
    assert tokenizer("door")["input_ids"][0] == number
    assert encode_texts(tokenizer, [("", "The door.")])[0].ids.count(number) == 1


def test_the_end_token_stands_in_for_a_missing_start_token(subject: LocalSubject) -> None:
    from copy import deepcopy

    tokenizer = deepcopy(subject.tokenizer)
    tokenizer.bos_token = None
    assert encode_texts(tokenizer, [("", "door")])[0].ids[0] == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="neither a BOS nor an EOS"):
        encode_texts(tokenizer, [("", "door")])


def test_white_space_at_the_seam_belongs_to_the_continuation(subject: LocalSubject) -> None:
    first, second = encode_texts(subject.tokenizer, [("The door", " is wide."), ("The door ", "is wide.")])
    assert first == second
    assert subject.tokenizer.decode(first.ids[first.start :]) == " is wide."


def test_nothing_to_score_and_no_room(subject: LocalSubject) -> None:
    seen: list[int] = []
    texts = [("The door", ""), ("", ""), ("", "door " * 600), ("", "The door")]
    found = subject.text_logprobs(texts, batch_size=4, advance=seen.append)
    assert [item is None for item in found] == [True, True, True, False]
    assert sum(seen) == len(texts)
    assert subject.text_logprobs([], batch_size=4) == []


def test_every_continuation_of_one_token_sums_to_one(subject: LocalSubject) -> None:
    """Probabilities of all single tokens after a prefix are a distribution."""
    import math

    tokenizer = subject.tokenizer
    start = tokenizer("The door must be", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = subject.model(input_ids=torch.tensor([[tokenizer.bos_token_id, *start]])).logits[0, -1].double()
    words = [" wide", " at", " high"]
    singles = [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1]
    assert singles
    found = subject.text_logprobs([("The door must be", word) for word in singles], batch_size=8)
    for word, item in zip(singles, found, strict=True):
        number = tokenizer(word, add_special_tokens=False)["input_ids"][0]
        assert item is not None
        assert math.exp(item.sum) == pytest.approx(float(logits.softmax(-1)[number]), rel=1e-4)


@pytest.mark.starter
def test_starter_model_batch_one_and_sixteen(published: Path) -> None:
    """On the model the studio ships with, in float32, with real pairs."""
    from studio.evals.chat.bias.crows_pairs import read_crows_pairs
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_causal_lm, load_tokenizer

    base = resolve_base("smollm2-135m-instruct")
    tokenizer = load_tokenizer(base)
    model = load_causal_lm(base, dtype=torch.float32, device=torch.device("cpu"))
    texts = [("", text) for pair in read_crows_pairs(published / "crows_pairs")[:6] for text in (pair.more, pair.less)]
    one = text_logprobs(model, tokenizer, texts, batch_size=1)
    sixteen = text_logprobs(model, tokenizer, texts, batch_size=16)
    assert sums(one) == pytest.approx(plain(model, tokenizer, texts), abs=2e-4)
    assert sums(one) == pytest.approx(sums(sixteen), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(4, 30),
)
def test_rows_hold_every_text_whole(texts: list[list[int]], per_row: int, longest: int) -> None:
    """Whatever the texts: each lies in one row, its nodes spell it, its depths count up, and it sees its own ancestors only."""
    encoded = [TextIds([9, *ids], 1) for ids in texts]
    rows = lay_rows(encoded, range(len(texts)), texts_per_row=per_row, longest=longest)
    assert sorted(index for row in rows for index in row.texts) == list(range(len(texts)))
    for row in rows:
        assert len(row.texts) <= per_row
        assert not row.branches or len(row.tokens) <= longest
        parents: dict[int, int | None] = {}
        for index, places in zip(row.texts, row.places, strict=True):
            assert [row.tokens[place] for place in places] == encoded[index].ids
            assert [row.depths[place] for place in places] == list(range(len(places)))
            for before, place in zip([None, *places], places, strict=False):
                assert parents.setdefault(place, before) == before
        assert len(parents) == len(row.tokens)
