"""The whole loop on a tiny base through the command line: what each command leaves behind, its JSON, its exit code."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from studio.core.records import DatasetRecord, RunRecord
from tests.conftest import Project, Result

Studio = Callable[..., Result]
FAST = ["--limit", 3, "--set", "generation.max_new_tokens=8", "--set", "resamples=100"]


def test_the_run_holds_what_the_contract_says(project: Project) -> None:
    record = RunRecord.model_validate_json((project.run / "run.json").read_text())
    dataset = DatasetRecord.model_validate_json((project.dataset / "dataset.json").read_text())
    assert record.status == "finished" and record.method == "lora"
    assert record.dataset["fingerprint"] == dataset.fingerprint
    assert record.result["final_loss"] < record.result["first_loss"]
    wanted = ["config.yaml", "chat_template.jinja", "metrics.jsonl", "loss.png", "README.md", "checkpoints"]
    assert all((project.run / name).exists() for name in wanted)
    assert "adapter/adapter_model.safetensors" in record.files
    lines = [json.loads(line) for line in (project.run / "metrics.jsonl").read_text().splitlines()]
    assert sum("loss" in line for line in lines) == record.result["steps"] == 8


def test_build_train_eval_chat_export_and_compare(
    studio: Studio, project: Project, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's afternoon; each command with --json gives one document on stdout."""
    again = studio("data", "build", project.recipe, "--json").json
    assert again["cached"] is True
    trained = studio("train", project.run, "--set", "learning_rate=0.02", "--name", "faster", "--json")
    assert trained.code == 0, trained.err
    assert trained.json["status"] == "finished" and "carry loss" in trained.err
    plan = studio("plan", project.run, "--data", "doors", "--model", tiny_base, "--json").json
    assert plan["peak"] > 0
    measured = studio("eval", "chatbot", "--model", "faster", "--baseline", "doors", *FAST, "--json")
    assert measured.code == 0, measured.err
    assert {"tuned", "base"} <= set(measured.json["scores"])
    monkeypatch.setattr("sys.stdin", io.StringIO("How wide must door 1 be?\n"))
    assert studio("chat", "faster", "--max-new-tokens", 4, "--json").json
    exported = studio("export", "faster", "--to", "merged", "--json").json
    compared = studio("runs", "compare", "faster", "doors", "--json").json
    assert "learning_rate" in json.dumps(compared)

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from studio.adapters.chat.loading import load_run

    merged_folder = exported["path"]
    merged = AutoModelForCausalLM.from_pretrained(merged_folder)
    tokenizer = AutoTokenizer.from_pretrained(merged_folder)
    loaded = load_run(Path(trained.json["run"]))
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How wide?"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        assert torch.allclose(merged(**chat).logits, loaded.model(**chat).logits, atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "list"], ["data", "show", "doors"], ["data", "show", "doors", "--tokens", "--model", "BASE"],
        ["data", "show", "doors", "--removed"], ["models", "list"], ["models", "pull", "BASE"], ["runs", "list"],
        ["runs", "show", "doors"], ["runs", "prune"], ["doctor"], ["init", "NEW"], ["plan", "RUN", "--data", "doors"],
        ["plan", "RUN", "--sweep"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_json_is_one_document(arguments: list[str], studio: Studio, project: Project, tiny_base: Path) -> None:
    places = {"RUN": str(project.run), "BASE": str(tiny_base), "NEW": str(project.folder / "new-bot")}
    result = studio(*[places.get(argument, argument) for argument in arguments], "--json")
    assert result.code == 0, result.err
    assert isinstance(result.json, dict | list)


def test_a_plan_that_cannot_fit_exits_with_3(studio: Studio, project: Project) -> None:
    result = studio("plan", project.run, "--data", "doors", "--memory", "1MiB")
    assert result.code == 3 and result.err.strip().splitlines()[-1].startswith("error: ")


def test_ctrl_c_saves_exits_130_and_resume_finishes(
    studio: Studio, project: Project, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.train.chat.recorder import Recorder

    step_end = Recorder.on_step_end

    def stop_after_three(self: Recorder, arguments: object, state: object, control: object, **more: object) -> None:
        step_end(self, arguments, state, control, **more)
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Recorder, "on_step_end", stop_after_three)
    stopped = studio("train", project.run, "--set", "epochs=3", "--name", "stopped")
    assert stopped.code == 130, stopped.err
    assert "stopped and saved. Go on with: studio train --resume stopped/" in stopped.err
    monkeypatch.setattr(Recorder, "on_step_end", step_end)
    shown = studio("runs", "show", "stopped", "--json")
    assert shown.json["status"] == "interrupted" or shown.json.get("record", {}).get("status") == "interrupted"
    done = studio("train", "--resume", "stopped", "--json")
    assert done.code == 0, done.err
    assert done.json["status"] == "finished" and done.json["result"]["steps"] == 12
    refused = studio("train", "--resume", "stopped")
    assert refused.code == 2 and "is finished" in refused.err


def test_resume_refuses_other_settings(studio: Studio, project: Project) -> None:
    result = studio("train", "--resume", "doors", "--set", "epochs=3")
    assert result.code == 2 and "exactly as it was" in result.err


def test_tokens_show_what_the_run_was_trained_on(studio: Studio, project: Project, tiny_base: Path) -> None:
    shown = studio("data", "show", "doors", "--tokens", "--model", tiny_base, "--row", 1)
    assert "[It must be " in shown.out and "[<|im_end|>]" in shown.out and "[How wide" not in shown.out
