"""Continued pre-training: every token of a document is a target once, with the loss that transformers takes, packed or padded."""

from __future__ import annotations

import subprocess

import pytest
import torch
import yaml

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.models.chat.encoding import encode_examples
from studio.models.chat.templates import NAMED, ChatTemplate
from studio.train.chat.batches import collate_packed, collate_padded
from studio.train.chat.encode import encode_split, mask_report
from tests.conftest import tiny_tokenizer
from tests.train.chat.test_processes import command
from tests.train.chat.test_resume import assert_same, kill_at_step, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import TOPICS, Trainer, chat_rows, write_dataset

PRESET = {
    "kind": "chat", "objective": "text", "method": "lora", "lora": {"rank": 4, "alpha": 8}, "max_length": 48, "batch_size": 4,
    "micro_batch_size": 2, "packing": False, "learning_rate": 0.005, "dtype": "float32", "eval_every": 3,
}  # fmt: skip


def document(number: int, sentences: int) -> ChatRow:
    lines = [f"Rule {number}.{line}: the {TOPICS[(number + line) % 12]} is {line} metres." for line in range(sentences)]
    return ChatRow(f"doc-{number}", [{"role": "text", "content": "\n".join(lines)}], "docs")


@pytest.fixture
def reading(workspace, tiny_base, tmp_path) -> Trainer:
    """Trainer over eight documents of one to eight sentences, and three for validation."""
    write_dataset(workspace, [document(n, n + 1) for n in range(8)], [document(n, 4) for n in range(8, 11)])
    preset = tmp_path / "text.yaml"
    preset.write_text(yaml.safe_dump(PRESET))
    return Trainer(workspace, tiny_base, preset)


def pieces(text: str, max_length: int | None, tokenizer=None):
    tokenizer = tokenizer or tiny_tokenizer()
    row = [{"role": "text", "content": text}]
    return encode_examples(tokenizer, ChatTemplate("plain", NAMED["plain"]), row, max_length=max_length).rows


@pytest.mark.parametrize("length", [2, 3, 7, 50, 500])
@pytest.mark.parametrize("begins", [False, True])
def test_every_token_is_a_target_exactly_once(length, begins):
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    if begins:  # as Llama's and Gemma's do
        special = [("<|im_start|>", tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=special)
    text = document(3, 6).text
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(text, length, tokenizer)
    targets = [token for row in found for token in row.input_ids[1:]]
    # Without a BOS there is nothing to predict the first token of a document from.
    assert targets == [*(plain if begins else plain[1:]), tokenizer.eos_token_id]
    assert all(len(row.input_ids) <= length and all(row.trained[1:]) and not row.cut for row in found)
    assert all(row.input_ids[0] == tokenizer.bos_token_id for row in found) or not begins


def test_the_loss_is_that_of_transformers_on_the_same_batch(reading, tiny_base):
    from transformers import AutoModelForCausalLM

    folder, record = reading.train(learning_rate=1e-12, epochs=1, batch_size=64, micro_batch_size=64, max_length=64)
    rows = [row for n in range(8) for row in pieces(document(n, n + 1).text, 64)]
    batch = collate_padded([(row, False) for row in rows], 0)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    with torch.no_grad():
        expected = float(model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss)
    assert losses(folder)[1] == pytest.approx(expected, abs=1e-5)
    assert record.result["validation_perplexity"] == pytest.approx(float(torch.tensor(record.result["validation_loss"]).exp()))
    assert record.mask_report["texts"] == 8 and record.mask_report["pieces"] == len(rows) and record.mask_report["cut_rows"] == 0


def test_packed_texts_do_not_see_each_other_and_give_the_padded_loss(reading):
    settings = {"epochs": 1, "batch_size": 64, "micro_batch_size": 64}
    padded, _ = reading.train(**settings)
    packed, record = reading.train(packing=True, **settings)
    assert losses(packed)[1] == pytest.approx(losses(padded)[1], rel=1e-5)
    assert record.result["tokens"] == record.mask_report["tokens"]
    rows = pieces(document(1, 9).text, 48)
    places = collate_packed([(row, False) for row in rows])["position_ids"]
    assert int((places == 0).sum()) == len(rows) > 2


def test_the_micro_batch_does_not_change_the_result(reading):
    whole, parts = (reading.train(micro_batch_size=size, epochs=1)[0] for size in (4, 1))
    assert losses(whole) == pytest.approx(losses(parts), abs=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("packing", [False, True])
def test_killed_and_resumed_it_ends_the_same(reading, packing):
    settings = {"lora.dropout": 0.1, "save_every": 3, "epochs": 12 if packing else 6, "packing": packing, "max_steps": 12}
    reference, _ = reading.train(**settings)
    folder = reading.open(**settings)
    kill_at_step(folder, 5)
    assert any("resuming from checkpoint-" in line for line in resume(folder))
    assert_same(folder, reference)


def test_conversations_beside_texts_keep_their_mask_and_sft_refuses_texts(reading, workspace):
    mixed = [document(n, 2) for n in range(4)] + chat_rows(4)
    write_dataset(workspace, mixed, chat_rows(6)[4:], name="both")
    _, record = reading.train(data="both", epochs=1, max_length=128)
    report = record.mask_report
    alone = mask_report(
        encode_split(
            tiny_tokenizer(), ChatTemplate("own", tiny_tokenizer().chat_template), chat_rows(4), train_on="assistant",
            max_length=128, overlong="cut",
        )
    )  # fmt: skip
    texts = sum(len(row.input_ids) - 1 for n in range(4) for row in pieces(document(n, 2).text, 128))
    assert report["trained_tokens"] == alone.trained_tokens + texts and report["turns"] == alone.turns
    with pytest.raises(DataError, match=r"row doc-0 is raw text, .* Train with chat/text"):
        reading.train(data="both", objective="sft")
    write_dataset(workspace, [ChatRow("p", chat_rows(1)[0].messages[:1], "t", chosen="a", rejected="b")], [], name="pairs")
    with pytest.raises(DataError, match="is a preference .* objective: text cannot learn"):
        reading.train(data="pairs")


def test_a_plan_knows_the_pieces_and_an_evaluation_reads_all_of_a_document(reading, workspace, studio):
    folder, record = reading.train(epochs=1)
    name = f"{folder.parent.name}/{folder.name}"
    plan = studio("plan", reading.preset, "--data", "tiny", "--model", reading.base, "--workspace", workspace.root, "--json")
    assert plan.json["steps_per_epoch"] == -(-record.mask_report["pieces"] // 4)
    assert plan.json["tokens_per_epoch"] == record.mask_report["tokens"]
    scored = studio(
        "eval", "text", "--model", name, "--workspace", workspace.root, "--json", "--set", "likelihood.max_length=48",
        "--set", "data.split=validation", "--set", "dtype=float32",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    value = next(score["value"] for score in scored.json["scores"]["tuned"] if score["metric"] == "perplexity")
    assert value == pytest.approx(record.result["validation_perplexity"], rel=1e-4)


@pytest.mark.long
def test_the_preset_on_the_starter(workspace):
    """The whole road in a few steps: documents, chat/text, a perplexity that falls."""
    from studio.core.content import find_content
    from studio.core.errors import StudioError
    from studio.models.bases import resolve_base

    try:
        base = resolve_base("smollm2-135m-instruct")
    except StudioError as error:
        pytest.skip(f"the starter is not in the cache ({error})")
    write_dataset(workspace, [document(n, 6) for n in range(8)], [document(n, 6) for n in range(8, 10)])
    trainer = Trainer(workspace, base.folder, find_content("adapters", "chat/text"))
    _, record = trainer.train(max_length=128, batch_size=2, max_steps=4, eval_every=2, **{"lora.rank": 8, "learning_rate": 3e-4})
    assert record.result["validation_perplexity"] < 0.9 * float(torch.tensor(record.result["first_loss"]).exp())


@pytest.mark.soak
def test_two_processes_equal_one(reading):
    settings = {"epochs": 2, "packing": True, "batch_size": 4, "micro_batch_size": 2}
    one, _ = reading.train(**settings)
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    given = [str(reading.preset), "--data", "tiny", "--model", str(reading.base), "--name", "two", *pairs, "--processes", "2"]
    done = subprocess.run(command(reading, *given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert losses(reading.workspace.find_run("two")) == pytest.approx(losses(one), abs=1e-4)
