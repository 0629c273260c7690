"""Trained on from a LoRA run without a merged copy: the same as on the merged model, saved as one plain adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from studio.adapters.chat.merge import export_merged
from studio.adapters.chat.start import start_of
from studio.cli.train import new_run
from studio.core.errors import ConfigError, UserError
from studio.core.workspace import Workspace, read_run
from studio.train.record import change_record
from tests.soak import taking_turns
from tests.train.chat.test_preference import pairs, thumbs
from tests.train.chat.test_resume import assert_same, kill_at_step, resume, start
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, Trainer, chat_rows, write_dataset

TOKENS = torch.arange(3, 43).reshape(2, 20)
TWENTY = {"max_steps": 20, "epochs": 40, "learning_rate": 0.01, "lora.dropout": 0.0}


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=TOKENS).logits


def plain(base: Path, run: Path) -> torch.Tensor:
    """What transformers and PEFT make of a run, without the studio."""
    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "adapter"))


@pytest.fixture(scope="module")
def roads(tmp_path_factory, tiny_base) -> SimpleNamespace:
    """A finished SFT run, its merged copy, and Datasets of pairs and thumbs."""
    folder = tmp_path_factory.mktemp("from-run")
    workspace = Workspace.open(folder / "workspace")
    rows = chat_rows(24)
    write_dataset(workspace, rows[:16], rows[16:], "talk")
    write_dataset(workspace, pairs(25)[:19], pairs(25)[19:], "pairs")
    write_dataset(workspace, thumbs(25)[:19], thumbs(25)[19:], "thumbs")
    (folder / "preset.yaml").write_text(yaml.safe_dump(PRESET))
    trainer = Trainer(workspace, tiny_base, folder / "preset.yaml")
    sft = trainer.train(data="talk", **{"lora.rank": 3, "lora.rslora": True, "max_steps": 4, "learning_rate": 0.02})[0]
    merged = export_merged(sft, folder / "merged").folder
    return SimpleNamespace(trainer=trainer, workspace=workspace, sft=sft, merged=merged, base=tiny_base)


def trained(roads, model: object, objective: str, **settings) -> Path:
    """A finished run of an objective on a base or a run."""
    data = {"sft": "talk", "kto": "thumbs"}.get(objective, "pairs")
    trainer = Trainer(roads.workspace, model, roads.trainer.preset)
    return trainer.train(data=data, objective=objective, **{**TWENTY, **settings})[0]


@pytest.mark.parametrize("objective", taking_turns(["dpo", "kto", "sft"], {"dpo"}))
def test_it_is_the_same_as_on_the_merged_model(roads, objective):
    on_top, on_merged = (trained(roads, model, objective) for model in (roads.sft, roads.merged))
    assert len(losses(on_top)) == 20
    assert losses(on_top) == pytest.approx(losses(on_merged), abs=1e-4)
    assert losses(on_top, "eval_loss") == pytest.approx(losses(on_merged, "eval_loss"), abs=1e-4)
    joined = plain(roads.base, on_top)
    assert torch.allclose(joined, plain(roads.merged, on_merged), atol=1e-4)
    assert (joined - plain(roads.base, roads.sft)).abs().max() > 1e-2, "nothing was learnt on top"

    record = read_run(on_top)
    assert record.start["run"] == f"{roads.sft.parent.name}/{roads.sft.name}" and record.start["rank"] == 3
    assert record.base["path"] == str(roads.base), "the base is that of the run"
    assert record.template == read_run(roads.sft).template
    assert (on_top / "chat_template.jinja").read_bytes() == (roads.sft / "chat_template.jinja").read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_killed_and_resumed_it_ends_the_same(roads, objective):
    data = {"dpo": "pairs", "kto": "thumbs"}[objective]
    trainer = Trainer(roads.workspace, roads.sft, roads.trainer.preset)
    settings = {**TWENTY, "max_steps": 9, "lora.dropout": 0.1, "save_every": 3}
    reference, _ = trainer.train(data=data, objective=objective, **settings)
    folder = trainer.open(data=data, objective=objective, **settings)
    kill_at_step(folder, 5)
    held = sorted(path.name for path in (folder / "checkpoints" / "checkpoint-3").iterdir())
    assert "start" not in held and "adapter_model.safetensors" in held, "the frozen adapter is copied into every checkpoint"
    assert any("resuming from checkpoint-3" in line for line in resume(folder))
    assert_same(folder, reference)


@pytest.mark.long
def test_the_run_it_started_from_must_be_there_and_the_same(roads, tmp_path):
    before = roads.workspace.runs / "copied" / roads.sft.name
    shutil.copytree(roads.sft, before)
    trainer = Trainer(roads.workspace, before, roads.trainer.preset)
    folder = trainer.open(data="pairs", objective="dpo", **TWENTY | {"max_steps": 2})
    process = start(folder)
    process.wait()
    path = before / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: value + 1 for name, value in weights.items()}, path)
    with pytest.raises(UserError, match=r"the adapter of copied/.* has changed since this run was started from it"):
        resume(folder)
    shutil.rmtree(before)
    with pytest.raises(UserError, match=r"the run copied/.*, whose adapter this one started from, is no longer at"):
        resume(folder)


@pytest.mark.parametrize(
    "lora",
    [
        {"lora.target_modules": ["q_proj", "gate_proj"], "lora.rank": 6, "lora.alpha": 5},
        {"lora.target_modules": "attention", "lora.rslora": True},
    ],
)
def test_other_layers_ranks_and_scales_are_joined(roads, lora):
    """The start has all layers, rank 3 and rsLoRA; a second round goes on from the first."""
    first = trained(roads, roads.sft, "dpo", **lora | {"max_steps": 3})
    second = trained(roads, first, "dpo", **lora | {"max_steps": 3, "lora.rank": 2, "lora.target_modules": ["up_proj", "o_proj"]})
    on_merged = trained(roads, roads.merged, "dpo", **lora | {"max_steps": 3})
    assert torch.allclose(plain(roads.base, first), plain(roads.merged, on_merged), atol=1e-4)
    assert read_run(second).start["rank"] == 3 + (lora.get("lora.rank") or 4)
    config = yaml.safe_load((second / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == read_run(second).start["rank"] + 2 and not config["rank_pattern"]
    assert (plain(roads.base, second) - plain(roads.base, first)).abs().max() > 1e-3


def test_the_start_alone_is_the_reference(roads):
    """Before the first step nothing is preferred: each answer is as likely as the run it starts from finds it."""
    folder = trained(roads, roads.sft, "dpo", max_steps=1)
    assert losses(folder)[1] == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"lora.dora": True}, "'lora.dora' cannot be used on top of a run's adapter"),
        ({"lora.init": "pissa"}, "'lora.init: pissa' cannot be used on top"),
        ({"lora.modules_to_save": ["lm_head"]}, "'lora.modules_to_save' cannot be used on top"),
        ({"lora.bias": "all"}, "'lora.bias' cannot be used on top"),
        ({"method": "full"}, "'method: full' cannot go on with the adapter of a run"),
        ({"thinking": "drop"}, "thinking 'drop' cannot be written into the chat template of the run"),
    ],
)
def test_what_cannot_be_joined_is_refused(roads, settings, sentence):
    trainer = Trainer(roads.workspace, roads.sft, roads.trainer.preset)
    with pytest.raises((ConfigError, UserError), match=sentence):
        trainer.open(data="pairs", objective="dpo", **settings)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"use_dora": True}, "DoRA's magnitudes"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "layers that were trained whole"),
        ({"target_parameters": ["experts.down_proj"]}, "adapters on stacked experts"),
        ({"peft_type": "LOKR"}, r"an adapter of another kind \(LOKR\)"),
    ],
)
def test_a_run_that_is_no_plain_lora_is_refused(roads, tmp_path, config, what):
    other = tmp_path / "runs" / "other" / roads.sft.name
    shutil.copytree(roads.sft, other)
    path = other / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    change_record(other, files={})
    with pytest.raises(UserError, match=f"the run other/.* holds {what}, which cannot be joined .* export other/.* --to merged"):
        start_of(other)


def test_runs_and_bases_are_told_apart_by_name(roads):
    name = roads.sft.parent.name
    by_name = Trainer(roads.workspace, name, roads.trainer.preset).open(data="pairs", objective="dpo")
    config = yaml.safe_load((by_name / "config.yaml").read_text())
    newest = roads.workspace.find_run(name)  # others train under that name too, in one order or another
    below = yaml.safe_load((newest / "config.yaml").read_text())["model"]
    assert config["start"] == f"{name}/{newest.name}" and config["model"] == below
    # The same again from its config.yaml, and with a base in place of the run.
    same = new_run(roads.workspace, str(by_name / "config.yaml"), data=None, model=None, settings=[])
    assert read_run(same).start == read_run(by_name).start
    other = new_run(roads.workspace, str(by_name / "config.yaml"), data=None, model=str(roads.base), settings=[])
    assert read_run(other).start == {}
    with pytest.raises(UserError, match=r"no base model and no run 'tiny-presett'. Did you mean"):
        Trainer(roads.workspace, "tiny-presett", roads.trainer.preset).open(data="pairs", objective="dpo")


def test_on_a_quantised_base_the_start_is_the_reference_too(roads):
    folder = trained(roads, roads.sft, "dpo", max_steps=3, quantization="nf4")
    assert losses(folder)[1] == pytest.approx(0.6931, abs=1e-4)
    assert read_run(folder).result["validation_loss"] < 0.6931
    assert plain(roads.base, folder).isfinite().all()


def test_the_plan_counts_the_frozen_adapter(roads):
    from studio.schema.adapter import ChatAdapter
    from studio.train.chat.plan import plan

    preset = ChatAdapter(kind="chat", objective="dpo", model=str(roads.base), dtype="float32", lora={"rank": 4}, max_length=64)
    without, on_top = plan(preset), plan(preset, start=roads.sft / "adapter")
    frozen = sum(value.nbytes for value in load_file(roads.sft / "adapter" / "adapter_model.safetensors").values())
    assert on_top.sizes["weights"] - without.sizes["weights"] == frozen
    assert on_top.disk["final"] - without.disk["final"] == frozen
    assert on_top.trained_parameters == without.trained_parameters
    assert "rank 7, lora.rank and rank 3 of the run it starts from" in on_top.serving[0]
    assert [each.adapted for each in on_top.coverage] == [each.adapted for each in without.coverage]


def test_what_was_trained_is_off_and_the_start_is_on(roads):
    """``as_it_started`` gives the answers of the run, and leaves the model as it was."""
    from studio.adapters.chat.attach import attach_lora
    from studio.adapters.chat.reference import as_it_started
    from studio.schema.adapter import LoraSettings
    from tests.adapters.conftest import nudge

    base = AutoModelForCausalLM.from_pretrained(roads.base)
    model = attach_lora(base, LoraSettings(rank=2), quantized=False, gradient_checkpointing=False, start=roads.sft / "adapter")
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trains and all(".default." in name for name in trains)
    nudge(model)
    moved, run = logits(model), plain(roads.base, roads.sft)
    with as_it_started(model):
        assert torch.equal(logits(model), run)
    assert torch.equal(logits(model), moved) and not torch.allclose(moved, run, atol=1e-3)
    assert trains == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.soak
def test_two_processes_equal_one(roads):
    import subprocess
    import sys

    options = {**TWENTY, "max_steps": 4, "micro_batch_size": 2, "eval_every": 2, "objective": "dpo"}
    one = trained(roads, roads.sft, "dpo", **{name: value for name, value in options.items() if name != "objective"})
    given = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "studio.cli.main", "train", str(roads.trainer.preset), "--data", "pairs", "--name", "two"]
    space = ["--workspace", str(roads.workspace.root), "--model", str(roads.sft), "--processes", "2"]
    done = subprocess.run([*command, *space, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two = roads.workspace.find_run("two")
    for name in ("loss", "reward_margin", "eval_loss", "eval_accuracy"):
        assert losses(two, name) == pytest.approx(losses(one, name), abs=1e-4), name
