"""Training for real, on the tiny base: every method, the record, the order, the loss."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from studio.core.errors import DataError, UserError
from studio.core.workspace import read_run
from studio.data.chat.rows import ChatRow
from tests.train.conftest import chat_rows, write_dataset


def losses(folder, key="loss"):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[key] for line in lines if key in line}


def test_lora_run_is_whole(trainer):
    folder, record = trainer.train()
    assert record.status == "finished"
    assert record.result["steps"] == 12  # 43 rows in batches of 8: 6 steps an epoch, the last one of 3 rows
    assert record.result["final_loss"] < record.result["first_loss"]
    assert sorted(losses(folder)) == list(range(1, 13))
    assert sorted(losses(folder, "eval_loss")) == [3, 6, 9, 12]
    for name in ("adapter/adapter_model.safetensors", "loss.png", "README.md", "chat_template.jinja", "config.yaml"):
        assert (folder / name).is_file(), name
    assert record.files["adapter/adapter_model.safetensors"]
    assert record.mask_report["ends_share"] == 1.0
    assert 0 < record.mask_report["trained_share"] < 1


def test_config_of_a_run_is_a_preset_and_gives_the_same_losses(trainer):
    first, _ = trainer.train(max_steps=3)
    trainer.preset = first / "config.yaml"
    again, _ = trainer.train()
    assert losses(first) == losses(again)


def test_loss_does_not_depend_on_the_micro_batch(trainer):
    settings = {"lora.dropout": 0.0, "epochs": 1}
    whole, _ = trainer.train(micro_batch_size=8, **settings)
    for size in (4, 1):
        parts, _ = trainer.train(micro_batch_size=size, **settings)
        for step, loss in losses(whole).items():
            assert losses(parts)[step] == pytest.approx(loss, abs=1e-5), f"step {step} at micro batch {size}"


def test_first_loss_and_validation_loss_equal_a_plain_computation(trainer, tiny_base):
    from transformers import AutoModelForCausalLM

    from studio.models.bases import resolve_base
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml
    from studio.train.chat.run import prepare

    # With a learning rate of (nearly) nothing the first losses are those of the base itself.
    folder, record = trainer.train(learning_rate=1e-12, **{"lora.dropout": 0.0, "epochs": 1})
    adapter = load_yaml(folder / "config.yaml", ChatAdapter)
    from pathlib import Path

    prepared = prepare(adapter, resolve_base(str(tiny_base)), Path(record.dataset["path"]))
    model = AutoModelForCausalLM.from_pretrained(tiny_base)

    @torch.no_grad()
    def nll(row):
        logits = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        kept = [index for index, trained in enumerate(row.trained) if trained and index > 0]
        return -sum(float(logits[index - 1, row.input_ids[index]]) for index in kept), len(kept)

    def mean(rows):
        pairs = [nll(row) for row in rows]
        return sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs)

    for step, window in enumerate(prepared.windows, start=1):
        assert losses(folder)[step] == pytest.approx(mean([prepared.training.rows[i] for i in window]), rel=1e-5)
    assert losses(folder, "eval_loss")[3] == pytest.approx(mean(prepared.validation.rows), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("full", {"method": "full", "learning_rate": 0.001}),
        ("qlora", {"quantization": "nf4"}),
        ("lora-dora", {"lora.dora": True}),
        ("lora-rslora", {"lora.rslora": True}),
        ("lora-pissa", {"lora.init": "pissa", "lora.dropout": 0.0}),
        ("lora-lora+", {"loraplus_ratio": 4.0}),
        ("lora", {"gradient_checkpointing": True, "train_on": "last_assistant", "schedule": "linear", "weight_decay": 0.01}),
    ],
)
def test_methods_learn_and_load_with_plain_libraries(trainer, tiny_base, method, settings):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, record = trainer.train(epochs=1, **settings)
    assert record.method == method
    assert record.result["validation_loss"] < losses(folder)[1]
    if method == "full":
        model = AutoModelForCausalLM.from_pretrained(folder / "model")
        AutoTokenizer.from_pretrained(folder / "model")
    else:
        base = AutoModelForCausalLM.from_pretrained(tiny_base)
        untouched = base(torch.arange(10)[None]).logits.detach().clone()
        model = PeftModel.from_pretrained(base, folder / "adapter")
        with model.disable_adapter():
            assert torch.equal(model(torch.arange(10)[None]).logits, untouched)
        assert (model(torch.arange(10)[None]).logits - untouched).abs().max() > 1e-3


def test_pissa_saved_plainly_gives_the_trained_models_validation_loss(trainer, tiny_base):
    from pathlib import Path

    from studio.adapters.chat.loading import load_run
    from studio.data.chat.rows import read_split
    from studio.train.chat.batches import collate_padded
    from studio.train.chat.encode import encode_split

    folder, record = trainer.train(epochs=1, **{"lora.init": "pissa", "lora.dropout": 0.0})
    loaded = load_run(folder)
    rows = read_split(Path(record.dataset["path"]), "validation")
    split = encode_split(loaded.tokenizer, loaded.template, rows, train_on="assistant", max_length=256, overlong="cut")
    total = count = 0.0
    for row in split.rows:
        batch = collate_padded([(row, False)], 0)
        logits = loaded.model(input_ids=batch["input_ids"]).logits[0]
        total += float(torch.nn.functional.cross_entropy(logits, batch["targets"][0], reduction="sum"))
        count += float((batch["targets"] != -100).sum())
    assert total / count == pytest.approx(record.result["validation_loss"], abs=1e-4)


def test_packing_is_proven_and_sees_every_row_once(trainer):
    said = []
    from studio.train.chat.run import train_run

    folder = trainer.open(packing=True, epochs=1, batch_size=2, micro_batch_size=1)
    train_run(folder, resume=False, say=said.append)
    assert any("isolation proven" in line for line in said)
    record = read_run(folder)
    assert record.result["tokens"] == record.mask_report["tokens"]


def test_packed_and_padded_gradients_agree(trainer, tiny_base):
    settings = {"lora.dropout": 0.0, "epochs": 1, "batch_size": 64, "micro_batch_size": 64, "learning_rate": 0.01}
    padded, _ = trainer.train(**settings)
    packed, _ = trainer.train(packing=True, **settings)
    assert losses(packed)[1] == pytest.approx(losses(padded)[1], rel=1e-5)
    one, two = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (padded, packed))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=2e-4), name


def test_packing_is_refused_on_a_model_that_leaks(tiny_base):
    from transformers import MambaConfig, MambaForCausalLM

    from studio.models.chat.encoding import EncodedRow
    from studio.train.chat.packing import prove_isolation

    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8))
    rows = [EncodedRow(list(range(start, start + 9)), [True] * 9, [], 1, 9) for start in (1, 12, 25)]
    with pytest.raises(UserError, match=r"packing is refused"):
        prove_isolation(model, rows, 0)


def test_early_stopping_keeps_the_best_checkpoint(trainer):
    folder, record = trainer.train(epochs=40, learning_rate=0.2, early_stopping=2, eval_every=2, schedule="constant")
    validations = losses(folder, "eval_loss")
    assert record.result["steps"] < 240
    best = min(validations, key=validations.get)
    assert record.result["best_step"] == best
    assert record.result["validation_loss"] == pytest.approx(min(validations.values()))
    assert (folder / "checkpoints" / f"checkpoint-{best}").is_dir()
    kept = load_file(folder / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors")
    final = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(final[name], value) for name, value in kept.items())


def test_long_row_is_cut_dropped_or_refused_and_always_named(trainer):
    rows = chat_rows(20, long=7)
    write_dataset(trainer.workspace, rows, [], name="tiny")
    folder, record = trainer.train(epochs=1)
    assert record.mask_report["cut_ids"] == ["row-7"]
    assert record.mask_report["cut_tokens"] > 0
    folder, record = trainer.train(epochs=1, overlong="drop")
    assert record.mask_report["left_out_rows"] == 1
    assert json.loads((folder / "left_out.jsonl").read_text())["id"] == "row-7"
    with pytest.raises(DataError, match=r"row row-7 has \d+ tokens, more than max_length 256"):
        trainer.train(overlong="refuse")


def test_refuses_when_nothing_or_no_end_is_trained(trainer):
    with pytest.raises(DataError, match=r"nothing in the training split carries loss .* no target left after the cut at 16"):
        trainer.train(max_length=16)
    with pytest.raises(DataError, match="no end-of-turn token is trained"):
        trainer.train(max_length=46)


def test_a_row_without_an_answer_to_train_on_says_why(trainer):
    talk = [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "How wide?"}]
    quiet = [{"role": "user", "content": "How wide?"}, {"role": "assistant", "content": "Eighty.", "weight": 0}]
    for name, messages, why in (
        ("opens", talk, "its only answer to train on stands before any question"),
        ("quiet", quiet, "all its answers have the weight 0"),
    ):
        write_dataset(trainer.workspace, [ChatRow(f"{name}/1", messages, "t")], [], name=name)
        with pytest.raises(DataError, match=f"carries loss .*the first of 1 rows left out: {why}"):
            trainer.train(data=name, max_steps=1)


def test_tracker_by_name(trainer):
    pytest.importorskip("tensorboard")
    folder, _ = trainer.train(epochs=1, report_to=["tensorboard"])
    assert list(folder.rglob("events.out.tfevents.*"))


def test_batch_that_cannot_be_split_is_refused(trainer):
    with pytest.raises(UserError, match="micro_batch_size 3 does not divide"):
        trainer.open(micro_batch_size=3)
