"""The template of a run: its arguments reach training, whoever loads the run, and a run that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from studio.adapters.chat.loading import load_run
from studio.core.errors import UserError
from studio.core.workspace import read_run
from studio.models.bases import resolve_base
from studio.models.chat.encoding import encode_prompt
from studio.models.chat.loading import load_tokenizer
from studio.models.chat.templates import choose_template
from studio.schema.adapter import ChatAdapter
from studio.train.chat.objectives.preference_rows import encode_preferences
from studio.train.chat.run import train_run
from tests.train.conftest import chat_rows

SWITCH = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
ASKED = [{"role": "user", "content": "How wide?"}]
QUICK = {"epochs": 1, "max_steps": 3, "save_every": 3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "switch.jinja"
    path.write_text(SWITCH)
    return path


@pytest.mark.parametrize("method", ["lora", "full"])
def test_arguments_reach_training_and_whoever_loads_the_run(method: str, file: Path, trainer) -> None:
    given = {"chat_template": str(file), "template_arguments": {"enable_thinking": False}, "thinking": "mask"}
    folder, record = trainer.train(**QUICK, method=method, client_arguments=["enable_thinking"], **given)
    assert record.template["arguments"] == {"enable_thinking": False} and record.template["thinking"] == "mask"
    assert record.template["client_arguments"] == ["enable_thinking"]
    loaded = load_run(folder)
    prompt = encode_prompt(loaded.tokenizer, loaded.template, ASKED)
    assert loaded.tokenizer.decode(prompt).endswith("<think>\n\n</think>\n\n")
    if method == "full":  # whoever opens the folder without the studio
        own = AutoTokenizer.from_pretrained(folder / "model")
        assert own.apply_chat_template(ASKED, add_generation_prompt=True, tokenize=False) == loaded.tokenizer.decode(prompt)


def test_a_run_that_goes_on_keeps_its_template(file: Path, trainer) -> None:
    folder, record = trainer.train(**QUICK, chat_template=str(file))
    file.write_text(SWITCH.replace("assistant", "helper"))
    train_run(folder, resume=True, say=lambda _text: None)
    assert read_run(folder).template == record.template and (folder / "chat_template.jinja").read_text() == SWITCH


def test_an_argument_that_the_template_does_not_know_ends_before_anything_is_loaded(file: Path, trainer) -> None:
    with pytest.raises(UserError, match="no argument 'enable_thinkin'. Did you mean 'enable_thinking'"):
        trainer.train(chat_template=str(file), template_arguments={"enable_thinkin": False})


def test_preferences_are_asked_with_the_tools_of_their_row(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(resolve_base(str(tiny_base)))
    template = replace(
        choose_template(tokenizer, None, "tiny"),
        text="{% if tools %}{{ tools[0].function.name }}{% endif %}" + tokenizer.chat_template,
    )
    tool = {"type": "function", "function": {"name": "measure"}}
    row = replace(chat_rows(1)[0], messages=ASKED, chosen="Eighty.", rejected="Ten.", tools=[tool])
    split = encode_preferences(tokenizer, template, [row], ChatAdapter(kind="chat", objective="dpo"), 99)
    assert [tokenizer.decode(each.input_ids).startswith("measure") for each in split.rows] == [True, True]
