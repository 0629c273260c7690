"""Whether a stock vLLM loads a preset's adapter is known from the preset."""

from __future__ import annotations

from typing import Any

import pytest

from studio.adapters.chat.vllm import needed_max_lora_rank, served_rank, serving_notes, stock_vllm_verdict
from studio.schema.adapter import ChatAdapter


def preset(method: str = "lora", quantization: str = "none", **lora: Any) -> ChatAdapter:
    return ChatAdapter.model_validate({"kind": "chat", "method": method, "quantization": quantization, "lora": lora})


@pytest.mark.parametrize(
    "adapter",
    [
        preset(),
        preset(rslora=True, rank=256),
        preset(init="pissa", rank=256),
        preset(quantization="nf4"),
        preset(target_modules=["q_proj"]),
        preset(method="full"),
        preset(method="full", dora=True, bias="all"),
    ],
    ids=lambda adapter: str(adapter.model_dump(exclude_defaults=True)),
)
def test_loads(adapter: ChatAdapter):
    assert stock_vllm_verdict(adapter) == []


@pytest.mark.parametrize(
    ("lora", "reason", "change"),
    [
        ({"rank": 513}, "rank 513 is above 512", "lower lora.rank to 512"),
        ({"rank": 300, "init": "pissa"}, r"rank 600 \(lora.rank 300, doubled", "lower lora.rank to 256"),
        ({"dora": True}, "refuses DoRA", "lora.dora=false"),
        ({"bias": "all"}, "refuses trained biases", "lora.bias=none"),
        ({"modules_to_save": ["lm_head"]}, "refuses layers saved whole", "empty the list"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embeddings and head for few architectures", "leave them out"),
    ],
)
def test_refused_with_what_to_change(lora: dict, reason: str, change: str):
    import re

    (verdict,) = stock_vllm_verdict(preset(**lora))
    assert re.search(reason, verdict) and change in verdict
    assert "export RUN --to merged" in serving_notes(preset(**lora))[0]


def test_every_reason_is_given_at_once():
    assert len(stock_vllm_verdict(preset(rank=1024, dora=True, bias="all", modules_to_save=["lm_head"]))) == 4


@pytest.mark.parametrize(
    ("lora", "served", "limit"),
    [({"rank": 1}, 1, 1), ({"rank": 4}, 4, 8), ({"rank": 17}, 17, 32), ({"rank": 320}, 320, 320), ({"rank": 600}, 600, None)],
)
def test_the_server_flag_covers_the_rank(lora: dict, served: int, limit: int | None):
    assert served_rank(preset(**lora)) == served and needed_max_lora_rank(preset(**lora)) == limit


def test_notes_name_the_flag_only_where_the_default_does_not_do():
    assert "--max-lora-rank" not in serving_notes(preset(rank=16))[0]
    assert "--max-lora-rank 32 (rank 32, twice lora.rank" in serving_notes(preset(rank=16, init="pissa"))[0]
    assert any("unquantised" in note for note in serving_notes(preset(quantization="nf4")))
