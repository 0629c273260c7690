"""DPO and KTO on the tiny base, held against the papers' formulas computed the plain way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow, read_split
from studio.train.chat.objectives.preferences import PreferenceTrainer
from studio.train.record import change_record
from tests.soak import taking_turns
from tests.train.chat.test_resume import assert_same, kill_at_step, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, TOPICS, Trainer, write_dataset

WITHOUT_FORMULA = ("ipo", "orpo", "simpo", "cpo")  # test_preference_losses.py has theirs from TRL
SETTINGS = {"lora.dropout": 0.0, "epochs": 4, "learning_rate": 0.01}


def pairs(count: int) -> list[ChatRow]:
    """A short answer is preferred to a rambling one, of many lengths."""
    rows = []
    for index in range(count):
        topic = TOPICS[index % len(TOPICS)]
        prompt = [{"role": "user", "content": f"How wide must {topic} {index} be?"}]
        chosen = f"The {topic} must be {index} centimetres wide."
        rejected = " ".join(["I am not sure about that at all."] * (1 + index % 4))
        rows.append(ChatRow(f"pair-{index}", prompt, "test", chosen=chosen, rejected=rejected))
    return rows


def thumbs(count: int) -> list[ChatRow]:
    """The same answers without a partner: one in three was disliked."""
    return [
        ChatRow(row.id, row.messages, "test", rejected=row.rejected)
        if index % 3 == 0
        else ChatRow(row.id, row.messages, "test", chosen=row.chosen)
        for index, row in enumerate(pairs(count))
    ]


def trainer_of(objective: str, workspace, tiny_base, tmp_path) -> Trainer:
    """Trainer over 19 units of preference (a last window of 3) and 6 for validation."""
    rows = thumbs(25) if objective == "kto" else pairs(25)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = tmp_path / f"{objective}.yaml"
    preset.write_text(yaml.safe_dump({**PRESET, "objective": objective}))
    trainer = Trainer(workspace, tiny_base, preset)
    trainer.objective = objective
    return trainer


@pytest.fixture(params=["dpo", "kto"])
def preferring(request, workspace, tiny_base, tmp_path) -> Trainer:
    """Those that hold the model against its start by a formula that is written out here."""
    return trainer_of(request.param, workspace, tiny_base, tmp_path)


@pytest.fixture(params=taking_turns(["dpo", "kto", *WITHOUT_FORMULA], {"dpo", "kto", "orpo"}))
def judging(request, workspace, tiny_base, tmp_path) -> Trainer:
    """Every objective of preferences."""
    return trainer_of(request.param, workspace, tiny_base, tmp_path)


def plain_rewards(folder: Path, base: Path, rows: list[tuple[list, str]]) -> torch.Tensor:
    """How far each answer's log-likelihood rose from base to run, one row at a time, with transformers and PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "adapter").eval()

    @torch.no_grad()
    def score(prompt, answer):
        before = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
        ids = [*before, *tokenizer(answer + "<|im_end|>", add_special_tokens=False)["input_ids"]]
        logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logits[place - 1, ids[place]]) for place in range(len(before), len(ids)))

    tuned = [score(*row) for row in rows]
    with model.disable_adapter():
        return torch.tensor(tuned) - torch.tensor([score(*row) for row in rows])


def test_it_learns_and_its_validation_loss_is_the_papers(preferring, tiny_base):
    folder, record = preferring.train(**SETTINGS)
    first = losses(folder)[1]
    if preferring.objective == "dpo":
        assert first == pytest.approx(0.6931, abs=1e-3), "nothing is preferred before the first step"
    assert record.result["final_loss"] < 0.9 * first
    accuracy = losses(folder, "eval_accuracy")
    assert accuracy[max(accuracy)] > 0.8

    validation = losses(folder, "eval_loss")
    rows = read_split(Path(record.dataset["path"]), "validation")
    beta = 0.1
    if preferring.objective == "dpo":
        up = plain_rewards(folder, tiny_base, [(row.messages, row.chosen) for row in rows])
        down = plain_rewards(folder, tiny_base, [(row.messages, row.rejected) for row in rows])
        expected = -torch.nn.functional.logsigmoid(beta * (up - down)).mean()
    else:
        answers = [row.chosen or row.rejected for row in rows]
        own = plain_rewards(folder, tiny_base, list(zip([row.messages for row in rows], answers, strict=True)))
        others = [*answers[1:], answers[0]]
        drift = (
            plain_rewards(folder, tiny_base, list(zip([row.messages for row in rows], others, strict=True))).mean().clamp(min=0)
        )
        sign = torch.tensor([1.0 if row.chosen else -1.0 for row in rows])
        training = read_split(Path(record.dataset["path"]), "train")
        liked = sum(row.chosen is not None for row in training)
        weight = torch.where(sign > 0, (len(training) - liked) / liked, 1.0)
        expected = (weight * (1 - torch.sigmoid(beta * sign * (own - drift)))).mean()
    assert validation[record.result["best_step"]] == pytest.approx(float(expected), rel=2e-3)


def test_the_micro_batch_does_not_change_the_result_nor_the_figures(judging):
    settings = {**SETTINGS, "epochs": 2}
    whole, record = judging.train(micro_batch_size=8, **settings)
    parts, _ = judging.train(micro_batch_size=1, **settings)
    told = ("loss", "accuracy", "reward_margin", "chosen_logprob", "rejected_logprob")
    for name in (*told, *(f"eval_{name}" for name in told)):
        found = losses(whole, name)
        assert found, name
        assert found == pytest.approx(losses(parts, name), abs=2e-4), name
    validation = losses(whole, "eval_loss")
    assert validation[max(validation)] < validation[min(validation)], "nothing is learnt"
    assert record.result["loss_unit"] == ("per answer" if judging.objective == "kto" else "per pair")


@pytest.mark.parametrize("objective", WITHOUT_FORMULA)
def test_only_what_is_held_against_the_start_reads_the_rows_before_the_first_step(
    objective, workspace, tiny_base, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(PreferenceTrainer, "_score_all", lambda self, rows: asked.append(len(rows)) or torch.zeros(len(rows)))
    trainer_of(objective, workspace, tiny_base, tmp_path).train(max_steps=1, **{"lora.dropout": 0.0})
    assert asked == ([2 * 25] if objective == "ipo" else [])


@pytest.mark.parametrize("objective", taking_turns(WITHOUT_FORMULA, {"orpo"}))
def test_gone_on_with_from_a_checkpoint_it_ends_the_same(objective, workspace, tiny_base, tmp_path):
    """As after a kill between the checkpoints of steps 3 and 6; processes are killed in the test below, and in test_resume.py."""
    trainer = trainer_of(objective, workspace, tiny_base, tmp_path)
    settings = {"epochs": 2, "save_every": 3, "keep_checkpoints": 5, "lora.dropout": 0.1}
    reference, _ = trainer.train(**{**SETTINGS, **settings})
    folder = reference.with_name(f"{reference.name}-again")
    shutil.copytree(reference, folder)
    shutil.rmtree(folder / "checkpoints" / "checkpoint-6")
    shutil.rmtree(folder / "adapter")
    change_record(folder, status="running")
    assert any("resuming from checkpoint-3" in line for line in resume(folder))
    assert_same(folder, reference)


@pytest.mark.long
def test_killed_and_resumed_it_ends_the_same(preferring):
    settings = {**SETTINGS, "lora.dropout": 0.1, "save_every": 3}
    reference, _ = preferring.train(**settings)
    folder = preferring.open(**settings)
    kill_at_step(folder, 5)
    assert any("resuming from checkpoint-3" in line for line in resume(folder))
    assert_same(folder, reference)


def test_what_does_not_fit_the_objective_is_said(preferring, workspace):
    with pytest.raises(DataError, match="is a preference .* objective: sft cannot learn"):
        preferring.train(objective="sft")
    if preferring.objective == "dpo":
        with pytest.raises(DataError, match="20 liked and 0 disliked"):
            write_dataset(workspace, [ChatRow(row.id, row.messages, "t", chosen=row.chosen) for row in pairs(20)], [])
            preferring.train(objective="kto")
    else:
        with pytest.raises(DataError, match="DPO needs a chosen and a rejected answer"):
            preferring.train(objective="dpo")
