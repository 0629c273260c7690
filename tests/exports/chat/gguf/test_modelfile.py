"""The TEMPLATE of a Modelfile writes what the run's chat template writes, for the families people tune, or is not written."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import Environment

from studio.core.errors import DataError
from studio.exports.chat.gguf.modelfile import go_template, modelfile, read_talk
from tests.exports.chat.gguf.go_templates import run as run_go

CHATML = (
    "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set s = messages[0]['content'] %}{% else %}"
    "{% set rest = messages %}{% set s = false %}{% endif %}{% for m in rest %}{% if loop.index0 == 0 and s != false %}"
    "{% set c = '<<SYS>>\n' + s + '\n<</SYS>>\n\n' + m['content'] %}{% else %}{% set c = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '<s>[INST] ' + c + ' [/INST]' }}{% else %}{{ ' ' + c + ' </s>' }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set c = '<s>' + c %}{% endif %}{{ c }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<s>' }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim }}"
    "{{ '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
THINKING = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
MISTRAL = (
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + '</s>' }}{% else %}{{ raise_exception('roles') }}{% endif %}"
    "{% endfor %}"
)
TALKS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Hi, 100% sure?"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c\nd"}],
]
SYSTEM = {"role": "system", "content": "Be brief."}


def renderer(template: str) -> Any:
    def refuse(text: str) -> None:
        raise DataError(text)

    compiled = Environment().from_string(template)

    def render(messages: Any, prompt: bool) -> str:
        return compiled.render(messages=messages, add_generation_prompt=prompt, raise_exception=refuse)

    return render


@pytest.mark.parametrize(
    ("template", "begin", "system"),
    [
        (CHATML, None, True),
        (LLAMA2, None, True),
        (LLAMA3, "<s>", True),
        (LLAMA3, None, True),
        (GEMMA, "<s>", False),
        (ZEPHYR, None, True),
        (MISTRAL, "<s>", False),
    ],
)
def test_ollama_writes_the_same_prompt(template: str, begin: str | None, system: bool):
    render = renderer(template)
    talk = read_talk(render, begin)
    assert talk is not None and (talk.behind_system is not None) is system
    written = go_template(talk)
    assert written is not None
    for messages in [*TALKS, *([[SYSTEM, *turns] for turns in TALKS] if system else [])]:
        assert (begin or "") + run_go(written, messages) == render(messages, True)


@pytest.mark.parametrize("template", [THINKING, "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"])
def test_a_template_that_does_more_is_not_said(template: str):
    assert read_talk(renderer(template), None) is None


def test_braces_of_its_own_are_not_said():
    talk = read_talk(renderer(ZEPHYR.replace("</s>", "{{ '{{x}}' }}")), None)
    assert talk is not None and go_template(talk) is None


def test_the_file_has_every_stop_word():
    text = modelfile("a.gguf", "{{ .System }}", ["<|im_end|>", 'a"b'], adapter="l.gguf")
    assert text.splitlines() == [
        "FROM ./a.gguf",
        "ADAPTER ./l.gguf",
        'TEMPLATE """{{ .System }}"""',
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop "a\\"b"',
    ]
    assert "raw: true" in modelfile("a.gguf", None, [])
