"""How much a turn trains: its tokens' loss is multiplied, and divided by the weight of all, as a loss written by hand does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studio.core.workspace import read_run
from studio.data.chat.rows import ChatRow
from studio.models.bases import resolve_base
from studio.models.chat.encoding import EncodedRow
from studio.schema.adapter import ChatAdapter
from studio.schema.loading import load_yaml
from studio.train.chat.batches import collate_packed, collate_padded
from studio.train.chat.encode import MaskReport, encode_split, mask_report
from studio.train.chat.run import Prepared, prepare, train_run
from tests.train.chat.test_run import losses
from tests.train.conftest import Trainer, chat_rows, write_dataset

WEIGHTS = (1.0, 0.5, 0.0, 0.125)
SAME = {"learning_rate": 1e-12, "lora.dropout": 0.0, "epochs": 1, "data": "weighted"}


def weighted(row: ChatRow, place: int) -> ChatRow:
    """Every second row as it is, the others with a weight on each answer."""
    if place % 2:
        return row
    turns = [
        {**turn, "weight": WEIGHTS[(place // 2 + index) % 4]} if turn["role"] == "assistant" else turn
        for index, turn in enumerate(row.messages)
    ]
    return replace(row, messages=turns)


@pytest.fixture
def trainer(trainer: Trainer) -> Trainer:
    rows = [weighted(row, place) for place, row in enumerate(chat_rows(51))]
    write_dataset(trainer.workspace, rows[:43], rows[43:], "weighted")
    return trainer


def prepared_of(folder: Path, base: Path) -> Prepared:
    adapter = load_yaml(folder / "config.yaml", ChatAdapter)
    return prepare(adapter, resolve_base(str(base)), Path(read_run(folder).dataset["path"]))


@torch.no_grad()
def by_hand(model, rows: list[EncodedRow]) -> float:
    """Sum of weight times negative log-likelihood over the sum of weights."""
    above = below = 0.0
    for row in rows:
        scores = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for place in range(1, len(row.input_ids)):
            if row.trained[place]:
                weight = row.weights[place] if row.weights else 1.0
                above -= weight * float(scores[place - 1, row.input_ids[place]])
                below += weight
    return above / below


@pytest.mark.parametrize("settings", [{"micro_batch_size": 8}, {"micro_batch_size": 1}, {"packing": True}])
def test_the_loss_is_the_one_written_by_hand(settings, trainer, tiny_base):
    from transformers import AutoModelForCausalLM

    folder, record = trainer.train(**SAME, **settings)
    ready = prepared_of(folder, tiny_base)
    assert any(row.weights for row in ready.training.rows) and any(row.weights is None for row in ready.training.rows)
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    for step, window in enumerate(ready.windows, start=1):
        rows = [ready.training.rows[index] for place in window for index in ready.sequences[place]]
        assert losses(folder)[step] == pytest.approx(by_hand(model, rows), rel=1e-5)
    found = losses(folder, "eval_loss")
    assert list(found.values())[-1] == pytest.approx(by_hand(model, ready.validation.rows), rel=1e-5)
    assert record.mask_report["weighted_tokens"] > 0 and record.mask_report["remarks"]["without_loss"]["rows"] > 0


def test_gradients_follow_the_weights_whatever_the_micro_batch(trainer):
    settings = {**SAME, "learning_rate": 0.01, "batch_size": 64}
    one, _ = trainer.train(**settings, micro_batch_size=64)
    for other in ({"micro_batch_size": 4}, {"micro_batch_size": 64, "packing": True}):
        two, _ = trainer.train(**settings, **other)
        weights = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (one, two)]
        for name, value in weights[0].items():
            assert torch.allclose(value, weights[1][name], atol=2e-4), (other, name)


def test_equal_weights_change_nothing(trainer, tiny_base):
    """A half everywhere is a one everywhere: the normalisation counts weights."""
    rows = chat_rows(51)
    halves = [
        replace(row, messages=[{**turn, "weight": 0.5} if turn["role"] == "assistant" else turn for turn in row.messages])
        for row in rows
    ]
    write_dataset(trainer.workspace, halves[:43], halves[43:], "halves")
    half, _ = trainer.train(**{**SAME, "data": "halves", "learning_rate": 0.005})
    whole, _ = trainer.train(**{**SAME, "data": "tiny", "learning_rate": 0.005})
    assert losses(half) == pytest.approx(losses(whole), rel=1e-5)


def test_rows_without_weights_carry_none():
    row = EncodedRow([1, 2, 3], [False, True, True], [2], 1, 3)
    assert collate_padded([(row, False)], 0).keys() == {"input_ids", "attention_mask", "targets"}
    assert collate_packed([(row, False)]).keys() == {"input_ids", "position_ids", "targets"}
    half = replace(row, weights=[1.0, 0.5, 0.25])
    assert collate_padded([(row, False), (half, False)], 0)["weights"].tolist() == [[1, 1, 1], [0.5, 0.25, 1]]
    assert collate_packed([(half, False), (row, False)])["weights"].tolist() == [[0.5, 0.25, 1, 1, 1, 1]]


def report_of(folder: Path) -> tuple[MaskReport, list[str]]:
    said: list[str] = []
    train_run(folder, resume=False, say=said.append)
    return read_run(folder).mask_report, said


def test_the_report_says_what_trains_less(trainer):
    report, said = report_of(trainer.open(**SAME, max_steps=1))
    lines = "\n".join(said)
    assert f"{report['weighted_tokens']:,} of the tokens with loss stand in answers that weigh less than 1" in lines
    silent = report["remarks"]["without_loss"]
    assert silent["rows"] > 1 and f"it is context, without loss: {silent['rows']} rows (first: {silent['first']})" in lines


def test_thoughts_are_counted(tiny_base):
    from studio.models.chat.loading import load_tokenizer
    from studio.models.chat.templates import choose_template

    tokenizer = load_tokenizer(resolve_base(str(tiny_base)))
    rows = [ChatRow("r/1", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>b</think>\n\nc"}], "r")]
    said = {}
    for thinking in ("keep", "mask", "drop"):
        template = choose_template(tokenizer, None, "tiny", thinking=thinking)
        report = mask_report(encode_split(tokenizer, template, rows, train_on="assistant", max_length=99, overlong="cut"))
        said[thinking] = (report.trained_tokens, report.tokens, [line for line in report.lines() if "thought" in line])
    assert said["keep"][0] > said["mask"][0] == said["drop"][0] and said["keep"][1] == said["mask"][1] > said["drop"][1]
    assert said["mask"][2] == ["thoughts of answers stand in the context, without loss (thinking: mask): 1"]
    assert said["drop"][2] == ["thoughts of answers are taken out of the turns (thinking: drop): 1"]
