"""What a checkpoint holds is all of what trains, whatever names transformers saves a family's tensors under."""

from __future__ import annotations

import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from studio.core.errors import StudioError
from studio.core.files import sha256_file, write_json
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import ChatRow
from studio.models.bases import resolve_base
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import load_yaml
from studio.train.chat.run import prepare, train_run
from studio.train.checkpoints import MANIFEST
from tests.families import build_family
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, Trainer, chat_rows, write_dataset

FULL = {"method": "full", "epochs": 3, "save_every": 3, "keep_checkpoints": 9}
# Families whose saved names differ from those of their modules.
RENAMED = ["gemma3_mm", "mixtral", "qwen3_moe"]


def cut_off_after(run, step):
    """A copy of a finished run, as a kill right after a checkpoint leaves it."""
    copy = shutil.copytree(run, run.with_name(f"{run.name}-cut"))
    for checkpoint in (copy / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) > step:
            shutil.rmtree(checkpoint)
    shutil.rmtree(copy / "model", ignore_errors=True)
    return copy


def resume(run):
    train_run(run, resume=True, say=lambda text: None)


def validation_loss(run):
    """Nats per target of the saved model, by a plain forward pass."""
    adapter = load_yaml(run / "config.yaml", ChatAdapter)
    prepared = prepare(adapter, resolve_base(adapter.model), run_dataset(read_run(run), Workspace.around(run)))
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32).eval()
    total, count = 0.0, 0
    for row in prepared.validation.rows:
        ids, trained = torch.tensor([row.input_ids]), torch.tensor(row.trained[1:])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1][trained]
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:][trained], reduction="sum"))
        count += int(trained.sum())
    return total / count


@pytest.fixture
def family_trainer(workspace, tmp_path):
    """The trainer on another base, with validation rows that get worse once the training rows are learnt by heart."""
    strange = [
        ChatRow(f"strange-{index}", [{"role": "user", "content": "How?"}, {"role": "assistant", "content": text}], "test")
        for index, text in enumerate(("ZQ XJ KV WY 77", "Xylophone quartz", "@@ ## %% !!", "VWXYZ qjxz 99"))
    ]
    write_dataset(workspace, chat_rows(43), strange)
    preset = tmp_path / "preset.yaml"
    preset.write_text(yaml.safe_dump(PRESET))

    def of(family, **changes):
        return Trainer(workspace, build_family(tmp_path / family, family, **changes), preset)

    return of


@pytest.mark.parametrize("family", RENAMED)
def test_full_tuning_resumes_exactly_and_keeps_the_best_weights(family_trainer, family):
    run, record = family_trainer(family).train(**FULL | {"learning_rate": 0.02, "schedule": "constant", "max_steps": 9})
    best = record.result["best_step"]
    assert best < 9, "the last step must not be the best one, or nothing is loaded"
    assert validation_loss(run) == pytest.approx(record.result["validation_loss"], abs=2e-5)
    copy = cut_off_after(run, 3)
    resume(copy)
    assert losses(copy) == losses(run) and losses(copy, "eval_loss") == losses(run, "eval_loss")
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (run, copy))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_tied_weights_are_written_once_and_read_back(trainer):
    run, _ = trainer.train(**FULL | {"max_steps": 6})
    held = load_file(run / "checkpoints" / "checkpoint-3" / "model.safetensors")
    assert ("lm_head.weight" in held) != ("model.embed_tokens.weight" in held)
    copy = cut_off_after(run, 3)
    resume(copy)
    assert losses(copy) == losses(run)


def rewrite(checkpoint, change):
    """Change the weights of a checkpoint and list them anew, as another version would have written them."""
    file = checkpoint / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    listed = {path.name: path for path in checkpoint.iterdir() if path.name != MANIFEST}
    files = {name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for name, path in listed.items()}
    write_json(checkpoint / MANIFEST, {"step": 3, "files": files})


@pytest.mark.parametrize(
    "change",
    [
        lambda held: {name: value for name, value in held.items() if "norm" not in name},
        lambda held: {**held, "model.layers.7.mlp.up_proj.weight": torch.zeros(2)},
        lambda held: {name: value[:-1] if name == "model.norm.weight" else value for name, value in held.items()},
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(trainer, change):
    run, _ = trainer.train(**FULL | {"max_steps": 4})
    copy = cut_off_after(run, 3)
    rewrite(copy / "checkpoints" / "checkpoint-3", change)
    with pytest.raises(StudioError, match="checkpoint-3 does not fit the model"):
        resume(copy)


def test_checkpoints_in_the_old_form_are_taken_where_they_fit(family_trainer):
    for family, fits in (("llama", True), ("mixtral", False)):
        run, record = family_trainer(family).train(**FULL | {"max_steps": 6})
        copy = cut_off_after(run, 3)
        model = AutoModelForCausalLM.from_pretrained(record.base["path"], dtype=torch.float32)
        checkpoint = copy / "checkpoints" / "checkpoint-3"
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        model.save_pretrained(checkpoint)  # as it was done before
        rewrite(checkpoint, lambda held: held)
        if fits:
            resume(copy)
            assert losses(copy) == losses(run)
        else:
            with pytest.raises(StudioError, match=r"does not fit the model: it holds .* too few .* older version"):
                resume(copy)


def test_an_adapter_that_does_not_fit_is_refused(trainer):
    run, _ = trainer.train(max_steps=4, save_every=3, keep_checkpoints=9)
    copy = cut_off_after(run, 3)
    file = copy / "checkpoints" / "checkpoint-3" / "adapter_model.safetensors"
    held = load_file(file)
    held.pop(sorted(held)[0])
    save_file(held, file, metadata={"format": "pt"})
    write_json(file.with_name(MANIFEST), {"step": 3, "files": {}})
    with pytest.raises(StudioError, match="checkpoint-3 does not fit the model"):
        resume(copy)
