"""Distillation on tiny bases: the losses against TRL's, the teacher kept on disk, answers that the student writes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from studio.core.errors import DataError, StudioError, UserError
from studio.schema.adapter import ChatAdapter
from studio.train.chat.objectives.divergence import Taught, divergence, own_loss, taught
from studio.train.chat.objectives.teacher_rows import Words
from studio.train.chat.run import train_run
from tests.conftest import build_tiny_base, tiny_tokenizer
from tests.train.chat.test_processes import assert_two_processes_equal
from tests.train.chat.test_resume import assert_same, kill_at_step, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, Trainer, chat_rows, write_dataset

SETTINGS = {"lora.dropout": 0.0, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def teacher_base(tmp_path_factory) -> Path:
    """Another tiny base with the same words, and surer of them."""
    from transformers import LlamaForCausalLM

    folder = build_tiny_base(tmp_path_factory.mktemp("teacher") / "teacher", seed=5)
    model = LlamaForCausalLM.from_pretrained(folder)
    model.get_input_embeddings().weight.data *= 4
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def distilling(workspace, tiny_base, teacher_base, tmp_path) -> Trainer:
    """Trainer over 19 rows (a last window of 3) and 6 for validation."""
    rows = chat_rows(25)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = tmp_path / "distill.yaml"
    distill = {"teacher": str(teacher_base), "top_k": 32}
    preset.write_text(yaml.safe_dump({**PRESET, "objective": "distill", "distill": distill}))
    return Trainer(workspace, tiny_base, preset)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_divergence_is_that_of_trl(beta, temperature, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.gkd import GKDTrainer

    torch.manual_seed(0)
    student, teacher = torch.randn(3, 5, 40, requires_grad=True), 2 * torch.randn(3, 5, 40)
    labels = torch.randint(0, 40, (3, 5))
    labels[1, 2:] = -100
    expected = GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta=beta, temperature=temperature)
    (gradient,) = torch.autograd.grad(expected, student)

    kept = labels != -100
    for top_k in (None, 40):
        said = taught(teacher[kept], temperature=temperature, top_k=top_k, words=40)
        loss = divergence(student[kept], said, beta=beta, temperature=temperature).sum() / kept.sum()
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        assert torch.allclose(torch.autograd.grad(loss, student)[0], gradient, atol=1e-5)


def test_the_top_k_and_all_others_as_one_say_less_than_all():
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 40), 2 * torch.randn(6, 40)
    whole = divergence(student, Taught((teacher / 1.0).log_softmax(-1)), beta=0, temperature=1)
    found = [divergence(student, taught(teacher, temperature=1, top_k=k, words=40), beta=0, temperature=1) for k in (4, 16, 40)]
    assert (found[0] <= found[1] + 1e-6).all() and (found[1] <= found[2] + 1e-6).all()
    assert torch.allclose(found[2], whole, atol=1e-4)
    # A head with padding rows on either side compares the words that both have.
    wider = torch.cat([teacher, torch.full((6, 8), 3.0)], dim=-1)
    narrowed, whole_of_it = (taught(each, temperature=1, top_k=None, words=48) for each in (teacher, wider))
    assert torch.allclose(divergence(wider, narrowed, beta=0, temperature=1), torch.zeros(6), atol=1e-6)
    cut = taught(wider, temperature=1, top_k=None, words=40)
    assert torch.allclose(divergence(student, cut, beta=0, temperature=1), whole, atol=1e-6)
    assert whole_of_it.logprobs.shape == (6, 48)


def plain_losses(folder: Path, base: Path, teacher: Path, rows, *, share: float) -> tuple[float, float, float]:
    """Mean loss, divergence (all words) and own loss over the targets, one row at a time, with transformers and PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    student = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "adapter").eval()
    wise = AutoModelForCausalLM.from_pretrained(teacher).eval()
    apart, own = [], []
    for row in rows:
        ids = torch.tensor([row.input_ids])
        places = [place for place, trained in enumerate(row.trained[1:]) if trained]
        with torch.no_grad():
            logits, wanted = student(ids).logits[0, places], wise(ids).logits[0, places]
        left = wanted.log_softmax(-1)
        apart.append((left.exp() * (left - logits.log_softmax(-1))).sum(-1))
        own.append(own_loss(logits, ids[0, 1:][places]))
    mean, nll = float(torch.cat(apart).mean()), float(torch.cat(own).mean())
    return (1 - share) * mean + share * nll, mean, nll


def encoded(folder: Path, split: str):
    """The rows as the run saw them."""
    from studio.core.workspace import read_run
    from studio.models.bases import resolve_base
    from studio.schema.loading import load_yaml
    from studio.train.chat.run import prepare

    adapter = load_yaml(folder / "config.yaml", ChatAdapter)
    prepared = prepare(adapter, resolve_base(adapter.model), Path(read_run(folder).dataset["path"]))
    return getattr(prepared, split).rows


def test_it_comes_closer_to_the_teacher_and_its_validation_is_what_plain_code_says(distilling, tiny_base, teacher_base):
    folder, record = distilling.train(**SETTINGS, **{"distill.top_k": 384, "distill.answer_share": 0.1, "epochs": 4})
    divergences, own = losses(folder, "eval_divergence"), losses(folder, "eval_nll")
    assert divergences[max(divergences)] < divergences[min(divergences)]
    expected = plain_losses(folder, tiny_base, teacher_base, encoded(folder, "validation"), share=0.1)
    best = record.result["best_step"]
    assert (losses(folder, "eval_loss")[best], divergences[best], own[best]) == pytest.approx(expected, rel=2e-3)


WAYS = {
    "cached": {},
    "packed": {"packing": True, "attention": "sdpa"},
    "whole": {"distill.top_k": None, "distill.beta": 0.5},
    "on_policy": {"distill.on_policy": 0.5, "distill.max_new_tokens": 12},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
def test_the_micro_batch_does_not_change_the_result(distilling, settings):
    parts = 8 if settings.get("packing") else 1
    whole, _ = distilling.train(**{**SETTINGS, **settings, "epochs": 1, "micro_batch_size": 8})
    cut, _ = distilling.train(**{**SETTINGS, **settings, "epochs": 1, "micro_batch_size": max(1, parts // 8)})
    assert losses(whole) == pytest.approx(losses(cut), abs=1e-4)


def test_the_cached_losses_are_those_of_a_teacher_in_memory(distilling):
    cached, _ = distilling.train(**{**SETTINGS, "epochs": 1, "distill.top_k": 384})
    live, _ = distilling.train(**{**SETTINGS, "epochs": 1, "distill.top_k": None})
    assert losses(cached) == pytest.approx(losses(live), abs=1e-4)


def test_an_adapter_teaches_too(distilling):
    first, record = distilling.train(objective="sft", **{"distill.teacher": None, "distill.top_k": 64, "epochs": 1})
    folder, _ = distilling.train(**{**SETTINGS, "distill.teacher": record.name, "epochs": 1})
    teacher = yaml.safe_load((folder / "config.yaml").read_text())["distill"]["teacher"]
    assert Path(teacher) == first, "the name is settled when the run opens: it will be the student's own later"


@pytest.mark.long
@pytest.mark.parametrize("on_policy", [0.0, 0.5])
def test_killed_and_resumed_it_ends_the_same(distilling, teacher_base, tmp_path, on_policy):
    moved = shutil.copytree(teacher_base, tmp_path / "moved")
    settings = {**SETTINGS, "lora.dropout": 0.1, "save_every": 3, "epochs": 4, "distill.teacher": str(moved)}
    settings |= {"distill.on_policy": on_policy, "distill.max_new_tokens": 10}
    reference, _ = distilling.train(**settings)
    folder = distilling.open(**settings)
    kill_at_step(folder, 5)
    if not on_policy:
        shutil.rmtree(moved)  # what it said is on disk
    assert any("resuming from checkpoint-3" in line for line in resume(folder))
    assert_same(folder, reference)


def trained(distilling, data, **settings):
    """A finished run on another Dataset."""
    folder = distilling.open(data, **settings)
    return folder, train_run(folder, resume=False, say=lambda _text: None)


def test_what_a_server_said_in_the_rows_is_followed(distilling, teacher_base, workspace):
    """Rows as a recipe of answers leaves them: where all tokens are given, the losses are those of the teacher itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, wise = AutoTokenizer.from_pretrained(teacher_base), AutoModelForCausalLM.from_pretrained(teacher_base).eval()

    def named(index):
        text = tokenizer.decode([index])
        if "\ufffd" not in text:
            return text
        return "\0" + Words(tokenizer).of(index).hex()

    names = [named(index) for index in range(len(tokenizer))]

    def told(row):
        prompt = tokenizer.apply_chat_template(row.messages[:-1], add_generation_prompt=True, return_dict=False)
        answer = [*tokenizer(row.messages[-1]["content"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = wise(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        tops = [[[names[index], float(value)] for index, value in enumerate(line)] for line in logits]
        said = [[names[token], top[token][1], top] for token, top in zip(answer, tops, strict=True)]
        return replace(row, meta={"teacher_logprobs": said})

    rows = [told(row) for row in chat_rows(20) if len(row.messages) == 2]
    other = replace(rows[0], id="other", messages=[rows[0].messages[0], {"role": "assistant", "content": "Not what was said."}])
    write_dataset(workspace, rows[:12], rows[12:], name="said")
    write_dataset(workspace, [*rows[:12], other], rows[12:], name="mixed")
    settings = {**SETTINGS, "epochs": 1, "distill.top_k": 384}
    from_rows, _ = trained(distilling, "said", **settings, **{"distill.teacher": "rows"})
    itself, _ = trained(distilling, "said", **settings)
    assert losses(from_rows) == pytest.approx(losses(itself), abs=1e-3)
    remarks = []
    folder = distilling.open("mixed", **settings, **{"distill.teacher": "rows"})
    train_run(folder, resume=False, say=remarks.append)
    count = len(rows)
    assert any(f"{count} of {count + 1} rows hold log-probabilities" in line for line in remarks), remarks
    with pytest.raises(DataError, match="no row holds log-probabilities of a teacher"):
        distilling.train(**{"distill.teacher": "rows"})


def test_a_teacher_that_cannot_teach_is_told_before_there_is_a_run(distilling, tmp_path, workspace):
    from transformers import LlamaForCausalLM

    from tests.conftest import write_base

    with pytest.raises(UserError, match="which teacher"):
        distilling.open(**{"distill.teacher": None})
    with pytest.raises(UserError, match="distill.teacher nobody is no run in .*, and there is no base model 'nobody'"):
        distilling.open(**{"distill.teacher": "nobody"})
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["balcony"])
    model = LlamaForCausalLM.from_pretrained(distilling.base)
    model.resize_token_embeddings(len(tokenizer))
    other = write_base(tmp_path / "other", model, tokenizer)
    with pytest.raises(UserError, match="1 tokens differ, the first 'balcony'"):
        distilling.open(**{"distill.teacher": str(other)})
    assert not workspace.list_runs()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": "sft", "distill": {"teacher": "x"}}, "'distill' has no meaning with 'objective: sft'"),
        ({"objective": "distill", "packing": True, "distill": {"on_policy": 0.5}}, "cannot be used with 'packing'"),
        ({"objective": "distill", "train_on": "all", "distill": {"on_policy": 0.5}}, "'train_on: all' knows none"),
        ({"objective": "distill", "distill": {"teacher": "rows", "on_policy": 0.5}}, "can answer nothing anew"),
        ({"objective": "sft", "reward": {"center": 0.1}}, "'reward' has no meaning with 'objective: sft'"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ChatAdapter(kind="chat", **settings)


def test_the_plan_counts_the_teacher(distilling, teacher_base):
    from studio.schema.loading import load_yaml
    from studio.train.chat.objectives.teacher_cache import BYTES
    from studio.train.chat.plan import plan

    adapter = load_yaml(distilling.preset, ChatAdapter, [f"model={distilling.base}"])
    given = {"lengths": [60] * 16, "supervised": [20] * 16}
    cached = plan(adapter, **given)
    assert cached.disk["teacher"] == 16 * 20 * 32 * BYTES
    live = plan(adapter.model_copy(update={"distill": adapter.distill.model_copy(update={"top_k": None})}), **given)
    weights = (teacher_base / "model.safetensors").stat().st_size
    assert live.parts["teacher"] > weights > cached.parts["teacher"] - cached.peak
    assert any("asked once" in line for line in cached.assumptions)


@pytest.mark.soak
def test_two_processes_equal_one(distilling):
    settings = {"lora.dropout": 0.0, "epochs": 2, "micro_batch_size": 2}
    one, _ = distilling.train(**settings)
    assert_two_processes_equal(distilling, one, settings)


def test_base_and_teacher_may_be_quantised(distilling):
    folder, record = distilling.train(quantization="nf4", max_steps=3, **{"distill.teacher_quantization": "nf4"})
    assert record.result["validation_loss"] > 0
    about = json.loads((folder / "checkpoints" / "teacher" / "teacher.json").read_text())
    assert about["quantization"] == "nf4" and about["top_k"] == 32


def test_a_teacher_that_does_not_fit_on_the_disk_is_said_and_leaves_nothing(small_disk):
    from types import SimpleNamespace

    from studio.train.chat.objectives.teacher_cache import new_cache

    # A mapped file that has no room is no error when it is made: the process is killed where it writes to it.
    rows = [SimpleNamespace(trained=[True] * 40)] * 40
    with (
        pytest.raises(StudioError, match="the disk is full"),
        new_cache(small_disk / "teacher", rows, {"top_k": 32}) as (ids, _, _),
    ):
        ids[:] = 1
    assert not list(small_disk.iterdir())
