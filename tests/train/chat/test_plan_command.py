"""``studio plan`` as a person calls it."""

from __future__ import annotations

import json

import pytest

from studio.cli import output
from studio.cli.main import run
from studio.cli.plan import parse_size
from studio.core.errors import UserError


@pytest.fixture(autouse=True)
def known_baseline(monkeypatch):
    monkeypatch.setattr("studio.train.chat.plan.baseline_bytes", lambda device, trainer: 700_000_000)
    yield
    output.set_json(False)
    output.set_workspace(None)


@pytest.fixture
def preset(tmp_path, tiny_base):
    path = tmp_path / "tiny.yaml"
    path.write_text(f"kind: chat\nmodel: {tiny_base}\nmax_length: 64\nlora:\n  rank: 8\n", encoding="utf-8")
    return str(path)


def test_a_plan_that_fits(preset, capsys):
    assert run(["plan", preset, "--device", "cpu", "--memory", "8GiB"]) == 0
    text = capsys.readouterr().out
    for word in ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "peak", "fits", "stock vLLM", "disk"):
        assert word in text


def test_a_plan_that_does_not_fit_ends_with_3_and_one_sentence(preset, capsys):
    assert run(["plan", preset, "--device", "cpu", "--memory", "0.1GB"]) == 3
    captured = capsys.readouterr()
    assert "does not fit" in captured.out
    assert captured.err.strip().startswith("error: this training needs")
    assert "Traceback" not in captured.err


def test_json_is_one_document_also_when_it_does_not_fit(preset, capsys):
    assert run(["plan", preset, "--device", "cuda", "--memory", "100MB", "--json"]) == 3
    value = json.loads(capsys.readouterr().out)
    assert value["fits"] is False
    assert value["peak"] == sum(value["parts"].values())


def test_the_sweep_proposes_a_setting(preset, capsys):
    assert run(["plan", preset, "--device", "cpu", "--memory", "8GiB", "--sweep"]) == 0
    assert "--set micro_batch_size=8" in capsys.readouterr().out


def test_the_vllm_verdict_is_shown(preset, capsys):
    assert run(["plan", preset, "--device", "cpu", "--memory", "8GiB", "--set", "lora.dora=true"]) == 0
    assert "will not load" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("template_arguments.enable_thinkin=true", "knows no argument 'enable_thinkin'"),
        ("chat_template=nowhere.jinja", "unknown chat_template 'nowhere.jinja'"),
    ],
)
def test_a_slip_in_the_template_is_told_without_a_dataset_too(preset, capsys, setting, said):
    assert run(["plan", preset, "--device", "cpu", "--set", setting]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_preset_offers_the_nearest_name(capsys):
    assert run(["plan", "chat/lorra"]) == 2
    assert "Did you mean 'chat/lora'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--device", "cudda"], "Did you mean 'cuda'?"), (["--memory", "much"], "8GiB")]
)
def test_bad_options_are_one_sentence(preset, arguments, words, capsys):
    assert run(["plan", preset, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 8 * 2**30), ("24 GB", 24 * 10**9), ("1.5g", 1_500_000_000), ("512MiB", 2**29)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-3GB", "8 parsecs", "0"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError, match="not a size"):
        parse_size(text)


@pytest.mark.long
def test_the_probe_trains_and_compares(preset, capsys):
    assert run(["plan", preset, "--device", "cpu", "--probe", "--json"]) == 0
    probed = json.loads(capsys.readouterr().out)["probe"]
    assert len(probed["losses"]) == 6
    assert probed["peak"] > 300_000_000
    assert probed["step_seconds"] > 0 and probed["usual_seconds"] > 0
    assert not probed["writing_seconds"]


@pytest.mark.long
def test_the_probe_of_rewards_times_what_is_written_too(preset, capsys):
    own = {"objective": "grpo", "batch_size": 4, "grpo.group_size": 2, "grpo.max_new_tokens": 32}
    settings = [part for name, value in own.items() for part in ("--set", f"{name}={value}")]
    settings += ["--set", "grpo.rewards=[{reward: length, max: 9}]"]
    assert run(["plan", preset, "--device", "cpu", "--probe", "--json", *settings]) == 0
    probed = json.loads(capsys.readouterr().out)["probe"]
    assert probed["writing_seconds"] > 0
    assert probed["usual_tokens"] == 4 * 64, "a step learns from batch_size answers, of max_length without a Dataset"


def test_a_probe_does_not_time_another_programs_answers(preset, capsys):
    own = {"objective": "grpo", "grpo.rewards": "[{reward: length, max: 9}]", "grpo.writer": "vllm", "grpo.max_new_tokens": 9}
    settings = [part for name, value in own.items() for part in ("--set", f"{name}={value}")]
    assert run(["plan", preset, "--device", "cpu", "--memory", "99GB", "--probe", *settings]) == 2
    assert "--probe writes answers with transformers" in capsys.readouterr().err
