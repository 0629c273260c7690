"""A reward model on the tiny base: its loss against TRL's, its validation computed the plain way, what it is good for later."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from studio.adapters.chat.loading import load_run
from studio.adapters.chat.scoring import load_scoring_run
from studio.core.errors import UserError
from studio.core.shares import wilson_interval
from studio.data.chat.rows import ChatRow, read_split
from studio.schema.adapter import ChatAdapter
from studio.serve.checks import check_run
from studio.train.chat.objectives.reward import pair_losses
from tests.train.chat.test_preference import pairs
from tests.train.chat.test_processes import assert_two_processes_equal
from tests.train.chat.test_resume import assert_same, kill_at_step, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, Trainer, write_dataset

SETTINGS = {"lora.dropout": 0.0, "epochs": 3, "learning_rate": 0.01}


@pytest.fixture
def rewarding(workspace, tiny_base, tmp_path) -> Trainer:
    """Trainer over 19 pairs (a last window of 3) and 6 for validation."""
    rows = pairs(25)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = tmp_path / "reward.yaml"
    preset.write_text(yaml.safe_dump({**PRESET, "objective": "reward", "reward": {"center": 0.01}}))
    return Trainer(workspace, tiny_base, preset)


@pytest.fixture
def scored(rewarding):
    """A finished reward model with its record."""
    return rewarding.train(**SETTINGS)


@pytest.mark.parametrize("center", [0.0, 0.05])
def test_the_loss_is_that_of_trl(center):
    from trl import RewardTrainer

    torch.manual_seed(0)
    scores = torch.randn(8, 1)
    plain = SimpleNamespace(
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(center_rewards_coefficient=center or None),
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {"attention_mask": torch.ones(8, 3)}
    expected = RewardTrainer.compute_loss(plain, lambda **_: SimpleNamespace(logits=scores), inputs)  # chosen, then rejected
    ours = pair_losses(torch.stack([scores[:4, 0], scores[4:, 0]], dim=1).reshape(-1), center).mean()
    assert float(ours) == pytest.approx(float(expected), abs=1e-5)


def plain_scores(folder: Path, base: Path, rows: list[ChatRow]) -> torch.Tensor:
    """Scores of chosen and rejected answers [n, 2], one row at a time, with transformers and PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "adapter")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model = PeftModel.from_pretrained(model, folder / "adapter").eval()
    found = []
    for row in rows:
        for answer in (row.chosen, row.rejected):
            chat = [*row.messages, {"role": "assistant", "content": answer}]
            ids = tokenizer.apply_chat_template(chat, return_dict=False)
            with torch.no_grad():
                found.append(float(model(torch.tensor([ids])).logits))
    return torch.tensor(found).view(-1, 2)


def test_it_learns_and_plain_peft_gives_its_scores(scored, tiny_base):
    folder, record = scored
    rows = read_split(Path(record.dataset["path"]), "validation")
    plain = plain_scores(folder, tiny_base, rows)
    accuracy, best = losses(folder, "eval_accuracy"), record.result["best_step"]
    assert accuracy[best] > 0.8
    assert accuracy[best] == float((plain[:, 0] > plain[:, 1]).float().mean())
    assert losses(folder, "eval_loss")[best] == pytest.approx(float(pair_losses(plain.view(-1), 0.01).mean()), rel=2e-3)
    low, high = losses(folder, "eval_accuracy_low")[best], losses(folder, "eval_accuracy_high")[best]
    assert low < accuracy[best] <= high <= 1
    assert record.result["validation_accuracy"] == [accuracy[best], low, high]

    scorer = load_scoring_run(folder)
    ids = [scorer.encode(row.messages, answer) for row in rows for answer in (row.chosen, row.rejected)]
    assert scorer.scores(ids, batch_size=5) == pytest.approx(plain.view(-1).tolist(), abs=1e-4)


def test_the_interval_is_wilsons():
    from statsmodels.stats.proportion import proportion_confint

    assert wilson_interval(7, 10) == pytest.approx(proportion_confint(7, 10, method="wilson"), abs=1e-9)


def test_the_micro_batch_does_not_change_the_result(rewarding):
    whole, _ = rewarding.train(**{**SETTINGS, "epochs": 1}, micro_batch_size=8)
    parts, _ = rewarding.train(**{**SETTINGS, "epochs": 1}, micro_batch_size=1)
    assert losses(whole) == pytest.approx(losses(parts), abs=1e-4)


def test_a_fully_tuned_one_is_a_plain_folder(rewarding):
    from transformers import AutoModelForSequenceClassification

    folder, record = rewarding.train(**{**SETTINGS, "epochs": 1, "learning_rate": 1e-3}, method="full")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    assert model.config.num_labels == 1
    scorer = load_scoring_run(folder)
    row = read_split(Path(record.dataset["path"]), "validation")[0]
    ids = scorer.encode(row.messages, row.chosen)
    assert scorer.scores([ids], batch_size=1)[0] == pytest.approx(float(model(torch.tensor([ids])).logits.detach()), abs=1e-5)


@pytest.mark.long
def test_killed_and_resumed_it_ends_the_same(rewarding):
    settings = {**SETTINGS, "lora.dropout": 0.1, "save_every": 3}
    reference, _ = rewarding.train(**settings)
    folder = rewarding.open(**settings)
    kill_at_step(folder, 5)
    assert any("resuming from checkpoint-3" in line for line in resume(folder))
    assert_same(folder, reference)


def test_what_writes_nothing_is_not_chatted_with(scored, studio, workspace):
    folder, record = scored
    with pytest.raises(UserError, match="is a reward model: it scores answers and writes none"):
        load_run(folder)
    with pytest.raises(UserError, match="is a reward model"):
        check_run(folder, name="judge")
    for command in (["chat", record.name], ["export", record.name, "--to", "merged"]):
        result = studio("--workspace", workspace.root, *command)
        assert result.code == 2 and "is a reward model" in result.err, (command, result.err)


def test_conversations_are_left_out_and_named(rewarding, workspace):
    rows = pairs(12)
    write_dataset(workspace, [*rows[:8], ChatRow("lone", rows[8].messages, "t", chosen="Yes.")], rows[9:])
    _, record = rewarding.train(**{**SETTINGS, "epochs": 1})
    assert record.mask_report["left_out"] == [["lone", "not a pair: a reward model needs a chosen and a rejected answer"]]


def test_the_plan_knows_a_score_has_no_vocabulary(rewarding):
    from studio.schema.loading import load_yaml
    from studio.train.chat.plan import plan

    adapter = load_yaml(rewarding.preset, ChatAdapter, [f"model={rewarding.base}"])
    given = {"lengths": [60] * 16, "supervised": [20] * 16}
    score = plan(adapter, **given)
    dpo = plan(adapter.model_copy(update={"objective": "dpo"}), **given)
    assert score.parts["logits"] == 0 < dpo.parts["logits"]
    assert score.trained_parameters == dpo.trained_parameters + 64, "the score of 64 numbers trains whole"
    assert "scores answers" in score.vllm[0]


@pytest.mark.soak
def test_two_processes_equal_one(rewarding):
    settings = {"lora.dropout": 0.0, "epochs": 2, "micro_batch_size": 2}
    one, _ = rewarding.train(**settings)
    assert_two_processes_equal(rewarding, one, settings)


def test_scores_are_told_apart_in_float32_whatever_the_arithmetic(rewarding):
    folder, record = rewarding.train(**{**SETTINGS, "epochs": 1, "dtype": "bfloat16"})
    scorer = load_scoring_run(folder)
    assert scorer.model.dtype == torch.bfloat16
    rows = read_split(Path(record.dataset["path"]), "validation")
    found = scorer.scores([scorer.encode(row.messages, row.chosen) for row in rows], batch_size=4)
    assert any(torch.tensor(value).bfloat16().item() != value for value in found)


def test_a_quantised_base_learns_to_score(rewarding):
    folder, record = rewarding.train(**{**SETTINGS, "epochs": 1}, quantization="nf4")
    assert record.result["validation_accuracy"][1] >= 0
    scorer = load_scoring_run(folder)
    row = read_split(Path(record.dataset["path"]), "validation")[0]
    assert scorer.scores([scorer.encode(row.messages, row.chosen)], batch_size=1)[0] is not None
