"""A base beside a run is asked with the run's arguments, as far as its own template knows them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import AutoTokenizer

from studio.evals.chat.opening import _own_template
from studio.models.chat.rendering import ChatTemplate


def test_a_base_is_asked_with_the_arguments_that_it_knows(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = "{% if not enable_thinking %}{{ 'at once' }}{% endif %}" + tokenizer.chat_template
    arguments = {"enable_thinking": False, "reasoning_effort": "low"}
    tuned: Any = SimpleNamespace(template=ChatTemplate("run", "x", arguments=arguments, thinking="drop"))
    base: Any = SimpleNamespace(name="tiny")
    own = _own_template(tokenizer, base, tuned)
    assert own.arguments == {"enable_thinking": False} and own.thinking == "drop"
    assert _own_template(tokenizer, base, None).arguments == {}
