"""Tokens are those of apply_chat_template; loss lies on what the assistant writes, end token too, under any stock template."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from studio.core.errors import DataError, UserError
from studio.models.chat.encoding import IGNORE, encode_conversation, encode_examples, encode_prompt
from studio.models.chat.templates import CHATML, PLAIN, ChatTemplate, choose_template, render

# Written after the shape of the stock templates: Llama 3 trims and opens with a begin token; Gemma knows no system turn and calls
# the assistant "model"; Qwen 3 writes an empty thought before the last answer and strips the thoughts of earlier ones.
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<bos>' }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}"
    "{% endif %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim"
    " + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% set parts = m['content'].split('</think>') %}"
    "{% set answer = parts[-1].lstrip('\\n') %}{{ '<|im_start|>assistant\\n' }}{% if loop.index0 > ns.last %}"
    "{{ '<think>\\n' + (parts[0].split('<think>')[-1].strip('\\n') if parts | length > 1 else '')"
    " + '\\n</think>\\n\\n' + answer.lstrip('\\n') }}"
    "{% else %}{{ answer }}{% endif %}{{ '<|im_end|>\\n' }}{% else %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKS = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<bos>",
    "<start_of_turn>",
    "<end_of_turn>",
]
TEMPLATES = {"own": None, "chatml": CHATML, "plain": PLAIN, "llama3": LLAMA3, "gemma": GEMMA, "qwen3": QWEN3}
END = {
    "own": "<|im_end|>",
    "chatml": "<|im_end|>",
    "plain": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "qwen3": "<|im_end|>",
}

CHAT = [
    {"role": "user", "content": "How wide must a door be?"},
    {"role": "assistant", "content": "At least eighty centimetres – för alla dörrar."},
    {"role": "user", "content": "And the stairs?"},
    {"role": "assistant", "content": "One metre.\n\nSee the rules."},
]


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    # Special, but not among the named special tokens: so it is with <end_of_turn> in Gemma's tokenizer.
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    return tokenizer


def template_of(name: str, tokenizer) -> ChatTemplate:
    return ChatTemplate(name, TEMPLATES[name] or tokenizer.chat_template)


def trained_pieces(tokenizer, row) -> list[str]:
    """The trained stretches as text."""
    pieces: list[list[int]] = []
    for index, trained in enumerate(row.trained):
        if trained and (index == 0 or not row.trained[index - 1]):
            pieces.append([])
        if trained:
            pieces[-1].append(row.input_ids[index])
    return [tokenizer.decode(piece) for piece in pieces]


@pytest.mark.parametrize("name", TEMPLATES)
def test_tokens_are_exactly_those_of_the_template(name: str, tokenizer):
    template = template_of(name, tokenizer)
    row = encode_conversation(tokenizer, template, CHAT)
    expected = tokenizer.apply_chat_template(CHAT, chat_template=template.text)["input_ids"]
    assert row.input_ids == expected and row.cut == 0
    prompt = tokenizer.apply_chat_template(CHAT[:3], chat_template=template.text, add_generation_prompt=True)["input_ids"]
    assert encode_prompt(tokenizer, template, CHAT[:3]) == prompt


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_assistant_turn_is_trained_with_its_end_token_and_nothing_else(name: str, tokenizer):
    row = encode_conversation(tokenizer, template_of(name, tokenizer), CHAT)
    assert [piece.strip() for piece in trained_pieces(tokenizer, row)] == [
        CHAT[1]["content"] + END[name],
        CHAT[3]["content"] + END[name],
    ]
    assert row.turns == 2
    assert [tokenizer.convert_ids_to_tokens(row.input_ids[end]) for end in row.ends] == [END[name]] * 2
    assert all(row.trained[end] for end in row.ends)
    assert [label for label in row.labels if label != IGNORE] == [
        token for token, trained in zip(row.input_ids, row.trained, strict=True) if trained
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_the_model_is_asked_with_is_what_it_was_trained_after(name: str, tokenizer):
    """The prompt at serving time, token by token, is what stood before the trained answer."""
    template = template_of(name, tokenizer)
    for turn in (1, 3):
        row = encode_conversation(tokenizer, template, CHAT[: turn + 1], train_on="last_assistant")
        prompt = encode_prompt(tokenizer, template, CHAT[:turn])
        between = row.input_ids[len(prompt) : row.trained.index(True)]
        assert row.input_ids[: len(prompt)] == prompt
        # Qwen 3's template puts an empty thought before the answer: it is there, without loss.
        assert tokenizer.decode(between) == ("<think>\n\n</think>\n\n" if name == "qwen3" else "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_last_only(name: str, tokenizer):
    row = encode_conversation(tokenizer, template_of(name, tokenizer), CHAT, train_on="last_assistant")
    pieces = trained_pieces(tokenizer, row)
    assert len(pieces) == 1 and pieces[0].strip().endswith(CHAT[3]["content"] + END[name])
    assert row.turns == 1 and len(row.ends) == 1


def test_everything(tokenizer):
    row = encode_conversation(tokenizer, template_of("own", tokenizer), CHAT, train_on="all")
    assert all(row.trained) and len(row.ends) == 2


@pytest.mark.parametrize("length", [1, 20, 40, 60, 10_000])
def test_a_cut_keeps_the_left_and_counts_what_is_lost(length: int, tokenizer):
    template = template_of("own", tokenizer)
    whole = encode_conversation(tokenizer, template, CHAT)
    row = encode_conversation(tokenizer, template, CHAT, max_length=length)
    keep = min(length, len(whole.input_ids))
    assert row.input_ids == whole.input_ids[:keep] and row.trained == whole.trained[:keep]
    assert row.cut == len(whole.input_ids) - keep and row.full_length == len(whole.input_ids)
    assert row.ends == [end for end in whole.ends if end < keep] and row.turns == 2


def test_a_thought_that_is_no_longer_there_once_more_turns_follow_is_trained_where_its_answer_comes_last(tokenizer):
    chat = [
        CHAT[0],
        {"role": "assistant", "content": "<think>\nDoors first.\n</think>\n\nEighty centimetres."},
        CHAT[2],
        {"role": "assistant", "content": "<think>\nNow stairs.\n</think>\n\nOne metre."},
    ]
    found = encode_examples(tokenizer, template_of("qwen3", tokenizer), chat)
    assert found.apart == "history" and found.remarks == {"thought_not_in_history"}
    assert [trained_pieces(tokenizer, row) for row in found.rows] == [
        ["<think>\nDoors first.\n</think>\n\nEighty centimetres.<|im_end|>"],
        ["<think>\nNow stairs.\n</think>\n\nOne metre.<|im_end|>"],
    ]
    assert "Doors first" not in tokenizer.decode(found.rows[1].input_ids)


def test_a_template_that_rewrites_earlier_answers_gives_an_example_for_each(tokenizer):
    shouting = ChatTemplate(
        "shouting",
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + (m['content'] if loop.last else m['content'] | upper) + "
        "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    )
    found = encode_examples(tokenizer, shouting, CHAT)
    assert [trained_pieces(tokenizer, row) for row in found.rows] == [
        [CHAT[1]["content"] + "<|im_end|>"],
        [CHAT[3]["content"] + "<|im_end|>"],
    ]
    for row, turn in zip(found.rows, (1, 3), strict=True):
        prompt = encode_prompt(tokenizer, shouting, CHAT[:turn])
        assert row.input_ids[: len(prompt)] == prompt and row.trained.index(True) == len(prompt)
    with pytest.raises(DataError, match="'shouting' makes 2 examples of the conversation"):
        encode_conversation(tokenizer, shouting, CHAT)


def test_a_system_turn_the_template_refuses_is_one_sentence(tokenizer):
    with pytest.raises(DataError, match="refuses the conversation: System role not supported"):
        encode_conversation(tokenizer, template_of("gemma", tokenizer), [{"role": "system", "content": "Be brief."}, *CHAT])


def test_system_turns_and_default_system_turns_carry_no_loss(tokenizer):
    template = template_of("own", tokenizer)
    for chat in (CHAT, [{"role": "system", "content": "Be brief."}, *CHAT]):
        row = encode_conversation(tokenizer, template, chat)
        assert all("system" not in piece and "brief" not in piece for piece in trained_pieces(tokenizer, row))


def test_no_assistant_turn_means_nothing_trained(tokenizer):
    row = encode_conversation(tokenizer, template_of("own", tokenizer), CHAT[:1])
    assert not any(row.trained) and row.ends == [] and row.turns == 0


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(WORDS.filter(lambda text: text.strip() == text and "<" not in text), min_size=1, max_size=3))
@example(answers=["end", "think", "im_end"])
@pytest.mark.parametrize("name", ["own", "llama3", "qwen3"])
def test_any_text_is_marked_exactly(name: str, answers: list[str], tokenizer):
    chat = [turn for text in answers for turn in ({"role": "user", "content": "?"}, {"role": "assistant", "content": text})]
    row = encode_conversation(tokenizer, template_of(name, tokenizer), chat)
    pieces = trained_pieces(tokenizer, row)
    assert len(pieces) == len(answers) == len(row.ends)
    assert all(piece.endswith(answer + END[name]) for piece, answer in zip(pieces, answers, strict=True))


def test_a_base_without_a_template_names_the_choices(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(UserError, match=r"the base model tiny has no chat template.*chat_template=plain .*chatml"):
        choose_template(tokenizer, None, "tiny")
    assert choose_template(tokenizer, "plain", "tiny").text == PLAIN
    with pytest.raises(UserError, match=r"unknown chat_template 'chatlm'\. Did you mean 'chatml'\?"):
        choose_template(tokenizer, "chatlm", "tiny")


def test_a_template_file_is_taken_byte_for_byte(tokenizer, tmp_path: Path):
    path = tmp_path / "mine.jinja"
    path.write_bytes(CHATML.replace("\\n", "\\r\\n").encode() + b"\r\n")
    template = choose_template(tokenizer, str(path), "tiny")
    assert template.name == "mine.jinja" and template.text.encode() == path.read_bytes()
    assert render(tokenizer, template, CHAT[:1])


def test_chatml_needs_its_marks(tokenizer, monkeypatch):
    unknown = tokenizer.unk_token_id
    monkeypatch.setattr(tokenizer, "convert_tokens_to_ids", lambda _: unknown)
    with pytest.raises(UserError, match=r"new tokens are refused by vLLM\. Use --set chat_template=plain"):
        choose_template(tokenizer, "chatml", "tiny")
