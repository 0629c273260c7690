"""GRPO on the tiny base: what is drawn, judged and learnt, and that nothing of it depends on how it was computed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import ChatRow
from tests.train.chat.test_resume import assert_same, kill_at_step, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, TOPICS, Trainer, write_dataset

GRPO = {"rewards": [{"reward": "regex", "pattern": "[0-9]"}], "group_size": 8, "max_new_tokens": 8}


def prompts(count: int) -> list[ChatRow]:
    """Questions with a number as their answer."""
    rows = []
    for index in range(count):
        asked = {"role": "user", "content": f"How wide must {TOPICS[index % len(TOPICS)]} {index} be?"}
        rows.append(ChatRow(f"row-{index}", [asked, {"role": "assistant", "content": f"It must be {index} wide."}], "test"))
    return rows


@pytest.fixture
def rewarded(workspace, tiny_base, tmp_path) -> Trainer:
    """Trainer over 19 prompts (a last step of one) and 4 for validation; two prompts a step."""
    rows = prompts(23)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = tmp_path / "grpo.yaml"
    plain = {**PRESET, "objective": "grpo", "grpo": GRPO, "batch_size": 16, "micro_batch_size": 8}
    preset.write_text(yaml.safe_dump({**plain, "lora": {"rank": 4, "alpha": 8}, "learning_rate": 0.02, "eval_every": 5}))
    return Trainer(workspace, tiny_base, preset)


def told(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]


def prepared_trainer(folder: Path):
    """The trainer of a run that was opened, before its first step."""
    from studio.models.bases import resolve_base
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml
    from studio.train.chat.run import _build_trainer, _load_model, prepare
    from studio.train.recording import StopOnSignal

    adapter = load_yaml(folder / "config.yaml", ChatAdapter)
    base, device = resolve_base(adapter.model), torch.device("cpu")
    prepared = prepare(adapter, base, run_dataset(read_run(folder), Workspace.around(folder)))
    model = _load_model(adapter, base, folder, None, None, device=device, dtype=torch.float32)
    trainer, _ = _build_trainer(adapter, folder, prepared, model, device, torch.float32, StopOnSignal(), None, {})
    return trainer


def micro_batches(trainer) -> list[dict]:
    """Those of the first step."""
    slots = iter(trainer.get_train_dataloader())
    batches, _ = trainer.get_batch_samples(slots, trainer.args.gradient_accumulation_steps, torch.device("cpu"))
    return batches


def test_a_reward_rises(rewarded):
    settings = {"method": "full", "learning_rate": 0.01, "schedule": "constant", "max_steps": 20, "epochs": 4, "eval_every": 10}
    folder, record = rewarded.train(**settings)
    rewards = losses(folder, "reward")
    first, last = (sum(rewards[step] for step in steps) / 4 for steps in (range(1, 5), range(17, 21)))
    assert first < 0.5 and last > 0.85
    result = record.result
    assert result["first_reward"] == rewards[1] and result["final_reward"] == rewards[20]
    assert result["validation_reward"] == max(losses(folder, "eval_reward").values())
    assert losses(folder, "rollout/entropy")[20] < losses(folder, "rollout/entropy")[1]
    assert (folder / "rewards.png").stat().st_size > 10_000

    groups = told(folder)
    per_step = [sum(group["step"] == step for group in groups) for step in range(1, 21)]
    assert sorted(per_step) == [1, 1, *[2] * 18], "19 prompts: one step of each pass has one"
    for group in groups:
        points = [answer["reward"] for answer in group["answers"]]
        assert points == [float(any(sign.isdigit() for sign in answer["text"])) for answer in group["answers"]]
        gains = torch.tensor([answer["advantage"] for answer in group["answers"]])
        expected = (torch.tensor(points) - sum(points) / 8) / (torch.tensor(points).std() + 1e-4)
        assert torch.allclose(gains, expected, atol=1e-4)
    for step, reward in rewards.items():
        points = [answer["reward"] for group in groups if group["step"] == step for answer in group["answers"]]
        assert reward == pytest.approx(sum(points) / len(points))


@pytest.mark.parametrize(("loss", "writer"), [("dapo", "model"), ("grpo", "model"), ("dr_grpo", "model"), ("dapo", "vllm")])
def test_the_loss_is_that_of_trl(rewarded, tiny_base, tmp_path, loss, writer):
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    shape = {"grpo.loss": loss, "grpo.temperature": 0.7, "grpo.epsilon_high": 0.28}
    trainer = prepared_trainer(rewarded.open(**shape, **{"grpo.beta": 0.05, "grpo.updates": 2, "micro_batch_size": 4}))
    batches = micro_batches(trainer)
    noise = torch.Generator().manual_seed(0)
    for batch in batches:  # as after some steps, so that ratios are clipped and there is a distance to the start
        for name in ("before", "reference"):
            batch[name] += 0.3 * torch.randn(len(batch[name]), generator=noise)
        batch["advantages"] = torch.randn(len(batch["advantages"]), generator=noise)
        if writer == "vllm":
            batch["written"] = batch["before"] + 0.6 * torch.randn(len(batch["before"]), generator=noise)
    trainer.model.train()
    ours = sum(trainer.compute_loss(trainer.model, batch).item() for batch in batches)

    args = GRPOConfig(
        str(tmp_path / "trl"), loss_type=loss, beta=0.05, temperature=0.7, epsilon=0.2, epsilon_high=0.28, num_generations=8,
        per_device_train_batch_size=16, max_completion_length=8, use_cpu=True, bf16=False, report_to="none",
    )  # fmt: skip
    theirs = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny_base),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["a"] * 16}),
        processing_class=AutoTokenizer.from_pretrained(tiny_base),
    )
    theirs.current_gradient_accumulation_steps = 1
    theirs.model.train()
    inputs = as_trl(batches, trainer)
    if writer == "vllm":  # what TRL makes of vLLM's log-probabilities with token_truncate at 2
        theirs.use_vllm = True
        apart = inputs["old_per_token_logps"] - inputs["sampling_per_token_logps"]
        inputs["importance_sampling_ratio"] = apart.exp().clamp(max=2.0)
        assert (apart > 0.7).any(), "some ratios are capped"
    expected = theirs._compute_loss(theirs.model, inputs)
    assert ours == pytest.approx(expected.item(), abs=1e-5)
    assert abs(ours) > 1e-3


def as_trl(batches, trainer) -> dict[str, torch.Tensor]:
    """The answers of all micro batches as TRL pads them: prompts on the left, answers on the right."""
    rows = [
        (batch["input_ids"][place], batch["targets"][place], batch, place)
        for batch in batches
        for place in range(len(batch["input_ids"]))
    ]
    names = ["before", "reference", *(["written"] if "written" in batches[0] else [])]
    pairs, values = [], {name: [] for name in names}
    for batch in batches:
        owners = (batch["targets"].reshape(-1) != -100).nonzero().squeeze(-1) // batch["targets"].shape[1]
        for place in range(len(batch["input_ids"])):
            for name, found in values.items():
                found.append(batch[name][owners == place])
    for ids, targets, _, _ in rows:
        first = int((targets != -100).nonzero()[0]) + 1
        length = int((targets != -100).sum())
        pairs.append((ids[:first], ids[first : first + length]))
    wide, long = max(len(prompt) for prompt, _ in pairs), max(len(answer) for _, answer in pairs)
    inputs = {
        name: torch.zeros(len(pairs), width, dtype=torch.long)
        for name, width in (("prompt_ids", wide), ("prompt_mask", wide), ("completion_ids", long), ("completion_mask", long))
    }
    theirs = {"before": "old_per_token_logps", "reference": "ref_per_token_logps", "written": "sampling_per_token_logps"}
    inputs |= {theirs[name]: torch.zeros(len(pairs), long) for name in names}
    for place, (prompt, answer) in enumerate(pairs):
        inputs["prompt_ids"][place, wide - len(prompt) :] = prompt
        inputs["prompt_mask"][place, wide - len(prompt) :] = 1
        inputs["completion_ids"][place, : len(answer)] = answer
        inputs["completion_mask"][place, : len(answer)] = 1
        for name in names:
            inputs[theirs[name]][place, : len(answer)] = values[name][place]
    inputs["advantages"] = torch.cat([batch["advantages"] for batch in batches])
    inputs["num_items_in_batch"] = inputs["completion_mask"].sum()
    return inputs


def test_the_micro_batch_does_not_change_the_result(rewarded):
    settings = {"max_steps": 6, "grpo.truncated": "mask", "grpo.max_new_tokens": 12, "eval_every": 3}
    whole, _ = rewarded.train(micro_batch_size=16, **settings)
    parts, _ = rewarded.train(micro_batch_size=2, **settings)
    assert (whole / "rollouts.jsonl").read_text() == (parts / "rollouts.jsonl").read_text()
    assert losses(whole) == pytest.approx(losses(parts), abs=1e-5)
    assert losses(whole, "grad_norm") == pytest.approx(losses(parts, "grad_norm"), rel=1e-3)


@pytest.mark.long
def test_killed_while_writing_and_resumed_it_ends_the_same(rewarded):
    # Two updates on the same answers: a checkpoint at an odd step lies between them.
    settings = {"lora.dropout": 0.1, "save_every": 5, "grpo.updates": 2, "grpo.beta": 0.1, "grpo.max_new_tokens": 24}
    reference, _ = rewarded.train(**settings)
    folder = rewarded.open(**settings)
    kill_at_step(folder, 7)
    assert any("resuming from checkpoint-5" in line for line in resume(folder))
    assert_same(folder, reference)
    assert (folder / "rollouts.jsonl").read_text() == (reference / "rollouts.jsonl").read_text()
    assert losses(folder, "eval_reward") == losses(reference, "eval_reward")
    assert losses(folder, "rollout/kl") == losses(reference, "rollout/kl")


def test_the_divergence_is_that_from_the_start(rewarded):
    folder, _ = rewarded.train(max_steps=3, **{"grpo.beta": 0.1})
    divergence = losses(folder, "rollout/kl")
    assert divergence[1] == pytest.approx(0, abs=1e-6) and divergence[3] > 1e-5
    assert losses(folder, "rollout/clipped")[3] == 0, "one update on each answer never leaves the bounds"


def test_rows_that_cannot_be_judged_are_left_out_and_named(rewarded, workspace):
    asked = {"role": "user", "content": "How wide must a door be?"}
    answer = {"role": "assistant", "content": "Wide."}
    rows = [
        *prompts(8),
        ChatRow("no-number", [asked, answer], "test"),
        ChatRow("two-answers", [asked, answer, answer], "test"),
        ChatRow("long", [{**asked, "content": "How wide? " * 60}, {**answer, "content": "5"}], "test"),
        ChatRow("open", [asked], "test"),
        ChatRow("by-column", [asked], "test", meta={"due": "80"}),
    ]
    write_dataset(workspace, rows, [], name="odd")
    folder, record = rewarded.train(data="odd", max_steps=1, **{"grpo.rewards": [{"reward": "number"}]})
    left = {line["id"]: line["reason"] for line in map(json.loads, (folder / "left_out.jsonl").read_text().splitlines())}
    assert "no single number in its right answer 'Wide.'" in left["no-number"]
    assert left["two-answers"] == "no user turn before the answer"
    assert "leaves no room for grpo.max_new_tokens 8 in 256" in left["long"]
    assert "no assistant turn at its end" in left["open"] and "no assistant turn" in left["by-column"]
    assert record.mask_report["rows"] == 8 and record.mask_report["left_out_rows"] == 5
    with pytest.raises(DataError, match=r"can be judged .* 12 rows left out: reward number: no value in the column 'due'"):
        write_dataset(workspace, rows[:12], [], name="without")
        rewarded.train(data="without", **{"grpo.rewards": [{"reward": "number", "column": "due"}]})


def test_it_is_told_when_nothing_was_learnt(rewarded):
    from studio.train.chat.run import train_run

    folder = rewarded.open(max_steps=2, **{"grpo.rewards": [{"reward": "thought"}]})
    said = []
    train_run(folder, resume=False, say=said.append)
    assert any("in no group did the answers differ" in line for line in said)
    assert any(
        line.startswith("a step writes 8 answers of at most 8 tokens to each of 2 prompts; rewards: thought x 1") for line in said
    )
    assert read_run(folder).result["groups_without_difference"] == 1.0
    assert losses(folder, "rollout/no_signal") == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "sft"}, "'grpo' has no meaning with 'objective: sft'"),
        ({"grpo.rewards": []}, "'grpo.rewards' is empty"),
        ({"grpo.rewards": [{"reward": "thought", "weight": 0}]}, "every reward has 'weight: 0'"),
        ({"batch_size": 8, "micro_batch_size": 6}, "set micro_batch_size=4 too"),
        ({"batch_size": 12, "micro_batch_size": 4}, "group_size 8 does not divide batch_size 12"),
        ({"grpo.max_new_tokens": 256}, "leaves no room for a prompt in max_length 256"),
        ({"thinking": "mask"}, "'thinking: mask' has no meaning"),
        ({"grpo.beta": 0.1, "method": "full"}, "'grpo.beta' compares with the model as it started"),
        ({"packing": True}, "'packing' cannot be used with 'objective: grpo'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(rewarded, settings, words):
    with pytest.raises(ConfigError, match=words):
        rewarded.open(**settings)


def test_a_schema_that_is_none_is_told_before_there_is_a_run(rewarded, workspace):
    with pytest.raises(UserError, match="json_schema that is none .*'number' is not|json_schema that is none"):
        rewarded.open(**{"grpo.rewards": [{"reward": "json_schema", "json_schema": {"type": 5}}]})
    assert not list(workspace.runs.glob("*/*"))


def test_the_plan_counts_writing(rewarded):
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml
    from studio.train.chat.plan import plan

    adapter = load_yaml(rewarded.open(micro_batch_size=1) / "config.yaml", ChatAdapter)
    short = plan(adapter, lengths=[40] * 19, supervised=[8] * 19)
    assert short.steps == 20 and short.steps_per_epoch == 10  # two prompts a step, the last step of each pass has one
    assert short.longest.rows == 1 and short.longest.targets == 8
    wide = adapter.model_copy(update={"grpo": adapter.grpo.model_copy(update={"group_size": 512}), "batch_size": 512})
    long = plan(wide, lengths=[250] * 19, supervised=[200] * 19)
    assert long.parts["rollouts"] > 512 * 250 * 2 * 2 * 2 * 16 * 4 and long.parts["activations"] == 0
    assert sum(long.parts.values()) == long.peak
    smaller = wide.model_copy(update={"grpo": wide.grpo.model_copy(update={"rollout_batch_size": 8})})
    assert plan(smaller, lengths=[250] * 19, supervised=[200] * 19).sizes["rollouts"] * 60 < long.sizes["rollouts"]


def test_the_reference_is_the_base_and_leaves_everything_as_it_was(rewarded, tiny_base):
    from transformers import AutoModelForCausalLM

    from studio.adapters.chat.reference import as_it_started

    trainer = prepared_trainer(rewarded.open())
    model = trainer.model.eval()
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(tiny_base)(ids).logits
        tuned = model(input_ids=ids).logits
        with as_it_started(model):
            assert torch.allclose(model(input_ids=ids).logits, plain, atol=1e-6)
        assert torch.equal(model(input_ids=ids).logits, tuned) and not torch.allclose(tuned, plain, atol=1e-2)
    assert all(("lora" in name) == weights.requires_grad for name, weights in model.named_parameters())


@pytest.mark.long
def test_two_processes_equal_one(rewarded):
    import subprocess

    from tests.train.chat.test_processes import command

    settings = {"max_steps": 4, "eval_every": 2, "micro_batch_size": 4, "grpo.updates": 2, "grpo.beta": 0.1}
    one, _ = rewarded.train(**settings)
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arguments = [str(rewarded.preset), "--data", "tiny", "--model", str(rewarded.base), "--name", "two", *pairs]
    done = subprocess.run([*command(rewarded, *arguments), "--processes", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two = rewarded.workspace.find_run("two")
    assert [(group["row"], [each["text"] for each in group["answers"]]) for group in told(two)] == [
        (group["row"], [each["text"] for each in group["answers"]]) for group in told(one)
    ]
    for key in ("loss", "reward", "eval_reward", "rollout/kl", "rollout/entropy"):
        assert losses(two, key) == pytest.approx(losses(one, key), abs=1e-4), key


@pytest.mark.long
def test_a_quantised_base_writes_and_learns(rewarded):
    folder, record = rewarded.train(max_steps=2, quantization="nf4", **{"grpo.beta": 0.1})
    assert record.status == "finished" and len(losses(folder, "reward")) == 2
    assert losses(folder, "rollout/kl")[1] == pytest.approx(0, abs=1e-5)


@pytest.mark.long
@pytest.mark.starter
def test_the_whole_road_on_the_starter(studio, workspace):
    turns = [
        [{"role": "user", "content": f"What is {number} + 2?"}, {"role": "assistant", "content": f"{number + 2}"}]
        for number in range(1, 13)
    ]
    rows = [ChatRow(f"sum-{place}", messages, "test") for place, messages in enumerate(turns)]
    write_dataset(workspace, rows[:10], rows[10:], name="sums")
    rewards = '[{reward: number, after: "="}, {reward: length, max: 8, slack: 8}]'
    settings = ["max_steps=2", "batch_size=8", "eval_every=2", "grpo.max_new_tokens=16", f"grpo.rewards={rewards}"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    place = ("--workspace", workspace.root)
    planned = studio("plan", "chat/grpo", "--data", "sums", *pairs, *place, "--json").json
    assert planned["fits"] and planned["steps"] == 2 and planned["sizes"]["rollouts"] > 0
    trained = studio("train", "chat/grpo", "--data", "sums", "--name", "sums", *pairs, *place)
    assert trained.code == 0, trained.err
    assert "in the first step" in trained.out
    folder = workspace.find_run("sums")
    assert len(told(folder)) == 2 and read_run(folder).result["validation_reward"] is not None
    assert (folder / "rewards.png").is_file() and (folder / "adapter" / "adapter_model.safetensors").is_file()


def test_vllm_as_the_writer_is_refused_where_it_cannot_be(rewarded, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("STUDIO_VLLM", raising=False)
    with pytest.raises(UserError, match=r"vLLM is not installed yet for this machine.* studio serve --install$"):
        rewarded.open(**{"grpo.writer": "vllm"})
    with pytest.raises(UserError, match=r"and method full trains others\. Set method: lora, or grpo\.writer: transformers\.$"):
        rewarded.open(method="full", **{"grpo.writer": "vllm"})
    with pytest.raises(UserError, match=r"vLLM refuses DoRA.* Or set grpo\.writer: transformers\.$"):
        rewarded.open(**{"grpo.writer": "vllm", "lora.dora": True})
    with pytest.raises(ConfigError, match=r"'grpo\.vllm' has no meaning with 'grpo\.writer: transformers'"):
        rewarded.open(**{"grpo.vllm.memory": 0.5})
    with pytest.raises(ConfigError, match=r"'grpo\.rollout_batch_size' has no meaning with 'grpo\.writer: vllm'"):
        rewarded.open(**{"grpo.writer": "vllm", "grpo.rollout_batch_size": 4})
    assert not rewarded.workspace.list_runs()


@pytest.mark.parametrize("launched", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_parts_of_a_model_cannot_write_answers(rewarded, monkeypatch, launched):
    monkeypatch.setenv(launched, "true")
    with pytest.raises(UserError, match="every process needs the whole model: FSDP and DeepSpeed cannot be used with it"):
        rewarded.train(max_steps=1)
