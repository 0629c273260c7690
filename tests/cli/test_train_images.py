"""``studio train`` and ``studio plan`` for image models on the command line: the whole way, and every mistake in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from tests.conftest import call_studio
from tests.train.images.made import DOORS, make_dataset

TINY = [
    "network.width=32", "network.depth=1", "network.heads=2", "network.channels=8", "steps=4", "batch_size=4", "dtype=float32",
    "resolution=16", "sample.count=2", "sample.steps=2", "eval_every=2", "save_every=2", "sample_every=4",
]  # fmt: skip


def sets(values):
    return [part for value in values for part in ("--set", value)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images-cli")
    workspace = Workspace.open(folder)
    make_dataset(workspace.datasets / "doors" / "0123456789abcdef", [*DOORS, ("green", "a green wall")], validation=1)
    code = call_studio("train", "diffusion/pixel", "--data", "doors", "--name", "base", "--workspace", folder, *sets(TINY))
    assert code == 0
    return folder


def test_a_run_is_the_base_of_another_by_its_name_and_id(studio, place):
    for name in ("base", Workspace.open(place).find_run("base").name.rpartition("-")[2]):
        result = studio(
            "train", "diffusion/pixel-lora", "--data", "doors", "--model", name, "--workspace", place, "--json",
            *sets(["steps=2", "batch_size=2", "sample.count=2", "sample.steps=2"]),
        )  # fmt: skip
        assert result.code == 0, result.err
        assert result.json["method"] == "lora"
        assert result.json["base"]["path"].endswith("/model")
        folder = Path(result.json["run"])
        assert (folder / "adapter" / "pytorch_lora_weights.safetensors").is_file()
        card = (folder / "README.md").read_text()
        assert "load_image_run" in card
        assert "library_name: diffusers" in card


def test_the_report_says_what_next(studio, place):
    result = studio("train", "diffusion/pixel", "--data", "doors", "--workspace", place, *sets(TINY))
    assert result.code == 0
    assert "mean squared error" in result.out
    assert "studio eval images --model made-pixel/" in result.out
    assert "studio train diffusion/pixel-lora --data DATASET --model made-pixel/" in result.out


def test_the_resolved_preset_of_a_run_trains_again(studio, place):
    run = Workspace.open(place).find_run("base")
    result = studio("train", run, "--workspace", place, "--json", "--name", "again")
    assert result.code == 0, result.err
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (folder / "metrics.jsonl").open()
        ]
        for folder in (run, Path(result.json["run"]))
    ]
    assert lines[0] == lines[1], "the same seed trains the same"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["diffusion/pixel"], "which Dataset? Add --data NAME"),
        (["diffusion/pixel-lora", "--data", "doors"], "which base? Add --model"),
        (["diffusion/pixel-lora", "--data", "doors", "--model", "nowhere"], "there is no base model 'nowhere'"),
        (["diffusion/pixel", "--data", "doors", "--model", "base"], "'method: scratch' starts without a base"),
        (["diffusion/pixel", "--data", "doors", "--set", "network.patch=5"], "does not divide resolution 32"),
        (["diffusion/pixel", "--data", "doors", "--set", "network.heads=3"], "not a multiple of twice the 3 heads"),
        (["diffusion/pixel", "--data", "doors", "--set", "micro_batch_size=5"], "does not divide batch_size 32"),
        (["diffusion/pixel", "--data", "doors", "--set", "learning_rat=1"], "Did you mean 'learning_rate'?"),
        (["diffusion/pixel", "--data", "doors", "--set", "quantization=nf4"], "cannot train quantised weights"),
        (["diffusion/pixel", "--data", "doors", "--set", "noise.prediction=epsilon"], "Set it to auto"),
        (["diffusion/pixel", "--data", "doors", "--processes", "2"], "train in one process"),
        (["diffusion/pixel-lora", "--data", "doors", "--model", "base", "--set", "resolution=64"], "knows 16 pixels only"),
        (["diffusion/pixel-lora", "--data", "doors", "--model", "base", "--set", "family=sdxl"], "Set family to pixel"),
        (
            ["diffusion/pixel-lora", "--data", "doors", "--model", "base", "--set", "lora.target_modules=[nothing]"],
            "cannot be used on the transformer",
        ),
    ],
)
def test_mistakes_are_one_sentence(studio, place, arguments, sentence):
    result = studio("train", *arguments, "--workspace", place)
    assert result.code == 2, result.err
    assert sentence in result.err
    last = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(last) == 1
    assert "Traceback" not in result.err


def test_a_lora_run_is_no_base(studio, place):
    studio(
        "train", "diffusion/pixel-lora", "--data", "doors", "--model", "base", "--name", "tuned", "--workspace", place,
        *sets(["steps=1", "batch_size=2", "sample.count=1", "sample.steps=1"]),
    )  # fmt: skip
    result = studio("train", "diffusion/pixel-lora", "--data", "doors", "--model", "tuned", "--workspace", place)
    assert result.code == 2
    assert "is a run without a whole model (it holds an adapter)" in result.err


def test_chat_rows_are_refused(studio, project):
    result = studio("train", "diffusion/pixel", "--data", "doors")
    assert result.code == 2
    assert "the dataset doors holds conversations, and this preset trains on pictures" in result.err


@pytest.mark.long
def test_plan_counts_and_the_probe_agrees(studio, place):
    settings = [value for value in TINY if not value.startswith(("network", "batch_size"))]
    bigger = [*settings, "network.width=128", "network.depth=4", "batch_size=64"]
    result = studio("plan", "diffusion/pixel", "--data", "doors", "--workspace", place, "--json", "--probe", *sets(bigger))
    assert result.code == 0, result.err
    planned = result.json
    assert planned["trained_parameters"] > 1_000_000
    assert sum(planned["parts"].values()) == planned["peak"]
    assert planned["parts"]["activations"] > 20_000_000
    # The runtime is that of this test process, which holds more than a fresh one: what the model adds is compared.
    assert planned["probe"]["step_seconds"] > 0
    assert planned["probe"]["peak"] < planned["peak"] * 1.15
    doubled = studio("plan", "diffusion/pixel", "--workspace", place, "--json", *sets([*bigger, "batch_size=128"])).json
    assert doubled["parts"]["activations"] == pytest.approx(2 * planned["parts"]["activations"], rel=0.02)
    recomputed = studio(
        "plan", "diffusion/pixel", "--workspace", place, "--json", *sets([*bigger, "gradient_checkpointing=true"])
    ).json
    assert recomputed["peak"] < planned["peak"]


def test_a_plan_that_does_not_fit_exits_3(studio, place):
    result = studio("plan", "diffusion/pixel", "--workspace", place, "--memory", "100MB")
    assert result.code == 3
    assert "Set micro_batch_size lower" in result.err
