"""Each loss of pairs against TRL's own trainers, on the same ids and weights in float32; and settings that mean nothing."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from studio.core.errors import ConfigError
from studio.core.workspace import read_run, run_dataset
from studio.models.bases import resolve_base
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import load_value, load_yaml
from studio.train.chat.objectives.preference_losses import PAIR_LOSSES
from studio.train.chat.run import _build_trainer, _load_model, prepare
from studio.train.recording import StopOnSignal
from tests.train.chat.test_preference import pairs
from tests.train.conftest import PRESET, Trainer, write_dataset

CPU = torch.device("cpu")


def ours(trainer: Trainer, folder: Path):
    """The trainer of an opened run whose adapter has moved since the start, and its first batch whole."""
    adapter, record = load_yaml(folder / "config.yaml", ChatAdapter), read_run(folder)
    base = resolve_base(adapter.model)
    prepared = prepare(adapter, base, run_dataset(record, trainer.workspace))
    model = _load_model(adapter, base, folder, None, None, device=CPU, dtype=torch.float32)
    built, _ = _build_trainer(adapter, folder, prepared, model, CPU, torch.float32, StopOnSignal(), None, {})
    generator = torch.Generator().manual_seed(3)
    for parameter in built.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    batch = built._collator([[(prepared.training.rows[row], False) for row in unit] for unit in prepared.sequences[:6]])
    return built, batch


def side(batch: dict, place: int) -> dict[str, torch.Tensor]:
    """Ids, mask and labels of the chosen (0) or rejected (1) rows as TRL has them: labels stand on the answer's own tokens."""
    rows = {name: value[place::2] for name, value in batch["rows"].items()}
    targets = rows["targets"]
    if "answer" in rows:
        targets = torch.where(rows["answer"] > 0, targets, -100)
    labels = torch.cat([torch.full((len(targets), 1), -100), targets[:, :-1]], dim=1)
    return {"input_ids": rows["input_ids"], "attention_mask": rows["attention_mask"], "labels": labels}


def trl_without_reference(objective: str, policy, batch, **settings) -> tuple[float, dict[str, float]]:
    """Loss and figures of TRL's ORPOTrainer or CPOTrainer."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    kind = ORPOTrainer if objective == "orpo" else CPOTrainer
    theirs = object.__new__(kind)
    accelerator = SimpleNamespace(device=CPU, gather_for_metrics=lambda value: value)
    facts = {"is_encoder_decoder": False, "aux_loss_enabled": False, "padding_value": 0, "pad_token_id": 0, "alpha": 0.0}
    for name, value in {**facts, "accelerator": accelerator, **settings}.items():
        setattr(theirs, name, value)
    names = {"chosen": side(batch, 0), "rejected": side(batch, 1)}
    given = {f"{which}_{name}": value for which, part in names.items() for name, value in part.items()}
    with torch.no_grad():
        loss, metrics = theirs.get_batch_loss_metrics(policy, given)
    return float(loss), metrics


def trl_with_reference(loss_type: str, policy, reference, batch, tokenizer, folder: Path, **settings) -> tuple[float, dict]:
    """Loss and figures of TRL's DPOTrainer."""
    from trl import DPOConfig, DPOTrainer

    theirs = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(str(folder), loss_type=loss_type, use_cpu=True, report_to="none", bf16=False, **settings),
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=tokenizer,
    )
    parts = [side(batch, 0), side(batch, 1)]
    given = {name: torch.cat([part[name] for part in parts]) for name in ("input_ids", "attention_mask")}
    given["completion_mask"] = torch.cat([(part["labels"] != -100).long() for part in parts])
    theirs.model.eval()
    with torch.no_grad():
        loss = theirs._compute_loss(theirs.model, given, False)
    return float(loss), {name: values[-1] for name, values in theirs._metrics["eval"].items() if values}


CASES = {
    "ipo": ({"beta": 0.2}, {"loss_type": "ipo", "beta": 0.2}),
    "dpo": ({"beta": 0.3}, {"loss_type": "sigmoid", "beta": 0.3}),
    "orpo": ({"beta": 0.2, "train_on": "all"}, {"beta": 0.2}),
    "simpo": (
        {"beta": 1.5, "margin": 0.6, "label_smoothing": 0.1},
        {"loss_type": "simpo", "beta": 1.5, "simpo_gamma": 0.6, "cpo_alpha": 0.0, "label_smoothing": 0.1},
    ),
    "cpo": (
        {"beta": 0.2, "sft_weight": 0.7, "label_smoothing": 0.05},
        {"loss_type": "sigmoid", "beta": 0.2, "cpo_alpha": 0.7, "label_smoothing": 0.05},
    ),
}


@pytest.mark.parametrize("objective", CASES)
def test_loss_and_figures_are_those_of_trl(objective, workspace, tiny_base, tmp_path):
    given, theirs = CASES[objective][0], dict(CASES[objective][1])
    write_dataset(workspace, pairs(25)[:19], pairs(25)[19:])
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(PRESET))
    trainer = Trainer(workspace, tiny_base, tmp_path / "preset.yaml")
    settings = {name if name == "train_on" else f"preference.{name}": value for name, value in given.items()}
    built, batch = ours(trainer, trainer.open(objective=objective, **{"lora.dropout": 0.0, **settings}))
    built.model.eval()
    with torch.no_grad():
        units = built._get_num_items_in_batch([batch], CPU)
        built.model.eval()
        loss = float(built.compute_loss(built.model, batch, num_items_in_batch=units))
    logs: dict[str, float] = {"loss": loss}
    built.log(logs)

    built.model.save_pretrained(tmp_path / "moved")
    policy = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), tmp_path / "moved").merge_and_unload()
    if PAIR_LOSSES[objective].risen:
        reference = AutoModelForCausalLM.from_pretrained(tiny_base)
        expected, figures = trl_with_reference(
            theirs.pop("loss_type"), policy, reference, batch, built.processing_class, tmp_path / "trl", **theirs
        )
    else:
        expected, figures = trl_without_reference(objective, policy.eval(), batch, **theirs)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert logs["accuracy"] == pytest.approx(figures["rewards/accuracies"])
    if objective != "ipo":  # TRL tells IPO's rewards by sums, its loss being over means
        assert logs["reward_margin"] == pytest.approx(figures["rewards/margins"], abs=1e-4)
    if PAIR_LOSSES[objective].per_token and not PAIR_LOSSES[objective].risen:
        assert logs["chosen_logprob"] == pytest.approx(figures["logps/chosen"], abs=1e-5)
        assert logs["rejected_logprob"] == pytest.approx(figures["logps/rejected"], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"objective": "dpo", "preference": {"margin": 1}},
            "'preference.margin' 1 has no meaning with 'objective: dpo': only simpo",
        ),
        ({"objective": "ipo", "preference": {"label_smoothing": 0.1}}, "only dpo, simpo, cpo read it"),
        ({"objective": "orpo", "preference": {"desirable_weight": 2}}, "'preference.desirable_weight' 2 has no meaning"),
        ({"objective": "kto", "preference": {"sft_weight": 0.5}}, "'preference.sft_weight' 0.5 has no meaning"),
        ({"objective": "sft", "preference": {"beta": 0.3}}, "'preference.beta' 0.3 has no meaning with 'objective: sft'"),
        ({"objective": "cpo", "train_on": "all"}, "'train_on' has no meaning with 'objective: cpo'"),
        ({"objective": "simpo", "packing": True}, "'packing' cannot be used with 'objective: simpo'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_value({"kind": "chat", **settings}, ChatAdapter)


def test_what_older_runs_wrote_is_still_a_preset():
    written = {"beta": 0.1, "sft_weight": 0.0, "desirable_weight": None, "undesirable_weight": None}
    for objective in ("sft", "dpo", "kto"):
        load_value({"kind": "chat", "objective": objective, "preference": written}, ChatAdapter)
