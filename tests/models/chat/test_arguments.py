"""Arguments of a template: known ones only, the same for every reader, and back again from the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from studio.adapters.chat.loading import read_template
from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.models.chat.arguments import as_client, known_arguments, read_arguments, switches
from studio.models.chat.templates import ChatTemplate, choose_template, render

ASKED = [{"role": "user", "content": "How wide?"}]
SWITCH = (
    "{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}"
    "{% macro head(role) %}<|im_start|>{{ role }}{{ '!' if enable_thinking }}\n{% endmacro %}"
    "{{ bos_token or '' }}{% for m in messages %}{{ head(m.role) + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ head('assistant') }}{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{{ note | default('') }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "switch.jinja"
    path.write_text(SWITCH)
    return str(path)


def prompt(tokenizer, template: ChatTemplate, **arguments) -> str:
    return render(tokenizer, template, ASKED, add_generation_prompt=True, arguments=arguments)


def test_what_a_template_asks_for_is_known():
    assert known_arguments(SWITCH) == {"enable_thinking", "tools_in_user_message", "note"}


def test_what_a_template_sets_before_it_reads_it_is_no_argument():
    """Qwen3's way: one branch or the other sets it, so that Jinja takes it for undeclared."""
    branches = (
        "{% for m in messages %}{% if m.content %}{% set content = m.content %}{% else %}{% set content = '' %}{% endif %}"
        "{{ content }}{% endfor %}{% if not day is defined %}{% set day = 'Monday' %}{% endif %}{{ day }}"
    )
    assert known_arguments(branches) == {"day"}


def test_arguments_of_which_only_the_truth_counts_are_switches():
    text = SWITCH + (
        "{% set kept = kept if kept is defined else True %}{% if first is true and (second or not third) %}{% endif %}"
        "{{ 'x' if fourth | default(false) else note }}{% if effort == 'low' or effort %}{% endif %}"
        "{% if tools_in_user_message %}{% endif %}"
    )
    assert switches(text) == {"enable_thinking", "tools_in_user_message", "kept", "first", "second", "third", "fourth"}


def test_an_argument_holds_for_every_reader(tokenizer, file):
    template = choose_template(tokenizer, file, "base", arguments={"enable_thinking": False, "note": 'a "b" {% \\ é 🙂\n'})
    text = prompt(tokenizer, template)
    assert text.endswith('assistant\n<think>\n\n</think>\n\na "b" {% \\ é 🙂\n')
    stock = {"chat_template": template.text, "tokenize": False, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template(ASKED, **stock) == text, "the text alone, as a server or an export renders it"
    other = tokenizer.apply_chat_template(ASKED, **stock, enable_thinking=True)
    assert other == prompt(tokenizer, template, enable_thinking=True) and "assistant!" in other and "<think>" not in other
    assert template.changes[0] == "enable_thinking is false"


def test_without_arguments_the_text_is_untouched(tokenizer, file):
    assert choose_template(tokenizer, file, "base").text == SWITCH


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"arguments": {"enable_thinkin": True}},
            "template_arguments: .* no argument 'enable_thinkin'. Did you mean 'enable_thinking'",
        ),
        ({"arguments": {"messages": "x"}}, "no argument 'messages'"),
        (
            {"arguments": {"enable_thinking": "false"}},
            "template_arguments: 'enable_thinking' is 'false'. Allowed by the chat template: true, false.",
        ),
        ({"client_arguments": ["tempo"]}, "client_arguments: .* no argument 'tempo'. It knows: enable_thinking, note, tools"),
    ],
)
def test_an_argument_that_the_template_cannot_take_is_refused(given, message, tokenizer, file):
    with pytest.raises(UserError, match=message):
        choose_template(tokenizer, file, "base", **given)


def test_a_template_without_arguments_says_so(tokenizer):
    with pytest.raises(UserError, match="'plain' knows no argument 'enable_thinking'. It knows none; remove template_arguments."):
        choose_template(tokenizer, "plain", "base", arguments={"enable_thinking": True})


def test_a_client_sets_what_the_run_leaves_to_it(tokenizer, file):
    template = choose_template(tokenizer, file, "base", arguments={"note": "a"}, client_arguments=["enable_thinking"])
    given = read_arguments(["enable_thinking=no"], "--template-argument")
    assert as_client(template, given, "--template-argument").arguments == {"note": "a", "enable_thinking": False}
    with pytest.raises(UserError, match="--template-argument note: the run keeps .* leaves to clients: enable_thinking"):
        as_client(template, {"note": "b"}, "--template-argument")
    for wrong in ("note", "note=[1]", "=x", "note={"):
        with pytest.raises(UserError, match="give NAME=VALUE with true, false, a number or a text"):
            read_arguments([wrong], "--template-argument")


def test_a_run_gives_its_template_back(tokenizer, file, tmp_path):
    given = {"arguments": {"enable_thinking": False}, "client_arguments": ["enable_thinking"], "thinking": "mask"}
    template = choose_template(tokenizer, file, "base", **given)
    (tmp_path / "chat_template.jinja").write_text(template.text)
    known = {"kind": "chat", "name": "r", "id": "1", "status": "finished", "created": "", "method": "lora"}
    record = RunRecord(**known, base={}, dataset={}, seed=0, template=template.record())
    assert read_template(tmp_path, record) == template
    old = record.model_copy(update={"template": {"name": "switch.jinja", "sha256": template.sha256}})
    read = read_template(tmp_path, old)
    assert (read.arguments, read.client_arguments, read.thinking) == ({}, (), "keep")
