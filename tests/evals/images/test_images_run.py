"""``studio eval images`` on real runs: a tiny diffusion model from scratch, and a LoRA on it against its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from studio.adapters.images.loading import load_image_run
from studio.core.workspace import Workspace

SMALL = ["samples=24", "kid_subset_size=12", "kid_subsets=10", "classifier.side=16", "classifier.epochs=4", "slow_resamples=100"]
SETTINGS = [part for item in SMALL for part in ("--set", f"tasks.0.{item}")] + ["--set", "resamples=100"]


def test_a_lora_against_its_base_from_the_command_line(shape_runs: tuple[Path, Path], studio: Callable[..., Any]) -> None:
    scratch, tuned = shape_runs
    result = studio("eval", "images", "--model", tuned, "--json", *SETTINGS)
    assert result.code == 0, result.err
    record = result.json
    by_label = {label: {score["metric"]: score for score in scores} for label, scores in record["scores"].items()}
    assert set(by_label) == {"tuned", "base"} and "images.inception_score" not in by_label["tuned"]
    assert by_label["tuned"]["images.fid_own"]["value"] != by_label["base"]["images.fid_own"]["value"]
    assert {item["metric"] for item in record["differences"]} >= {"images.fid_own", "images.copied"}
    assert record["models"]["base"]["name"] == f"{scratch.parent.name}/{scratch.name}"
    report = Path(record["report"])
    lines = pd.read_parquet(report / "examples" / "images.parquet")
    # The pictures beside the page are those that the run paints for the same prompt and seed, with the adapter on and off.
    loaded = load_image_run(tuned)
    prompt, seed = [lines["prompt"][3]], [int(lines["seed"][3])]
    with Image.open(report / lines["tuned_picture"][3]) as picture:
        assert picture.tobytes() == loaded.sample(prompt, seed)[0].tobytes()
    with loaded.base(), Image.open(report / lines["base_picture"][3]) as picture:
        assert picture.tobytes() == loaded.sample(prompt, seed)[0].tobytes()
    assert "Before and after" in (report / "report.html").read_text(encoding="utf-8")
    assert "IS (studio classifier" in (tuned / "README.md").read_text(encoding="utf-8") or (tuned / "README.md").is_file()


def test_several_runs_stand_side_by_side_and_scratch_has_no_base(
    shape_runs: tuple[Path, Path], studio: Callable[..., Any]
) -> None:
    scratch, tuned = shape_runs
    result = studio("eval", "images", "--model", scratch, "--model", tuned, "--baseline", "none", *SETTINGS)
    assert result.code == 0, result.err
    table = result.out[result.out.index("side by side") :]
    assert "images.fid_own" in table and f"scratch/{scratch.name}" in table and f"tuned/{tuned.name}" in table
    alone = studio("eval", "images", "--model", scratch, "--json", *SETTINGS)
    assert alone.code == 0 and alone.json["scores"].get("base", []) == []
    assert any("trained from scratch" in warning for warning in alone.json["settings"]["warnings"])


def test_the_three_generative_families_stand_in_one_table(
    shape_runs: tuple[Path, Path], shapes_workspace: Workspace, studio: Callable[..., Any]
) -> None:
    runs = {"diffusion": shape_runs[0]}
    for kind in ("vae", "gan"):
        small = [part for item in ("steps=6", "batch_size=8", "width=8", "sample.count=2") for part in ("--set", item)]
        trained = studio("train", f"image/{kind}", "--data", "shapes", "--name", kind, *small)
        assert trained.code == 0, trained.err
        runs[kind] = shapes_workspace.find_run(kind)
    models = [part for run in runs.values() for part in ("--model", run)]
    result = studio("eval", "images", *models, "--json", *SETTINGS)
    assert result.code == 0, result.err
    reports = result.json["reports"]
    fids = [
        next(score["value"] for score in report["scores"]["tuned"] if score["metric"] == "images.fid_own") for report in reports
    ]
    assert len(set(fids)) == 3 and [report["models"]["tuned"]["family"] for report in reports] == list(runs)
    # All three were measured by the same network on the same prompts.
    assert len({score["made_with"] for report in reports for score in report["scores"]["tuned"] if "fid" in score["metric"]}) == 1
    # A VAE and a GAN know of captions only those of their training, so they are told the labels of the held-out ones.
    told = ["told the label of each prompt" in " ".join(report["settings"]["warnings"]) for report in reports]
    assert told == [False, True, True]
    compared = studio("runs", "compare", *runs.values())
    assert compared.code == 0 and "images images.fid_own" in compared.out


def test_another_run_as_baseline(shape_runs: tuple[Path, Path], studio: Callable[..., Any]) -> None:
    scratch, tuned = shape_runs
    result = studio("eval", "images", "--model", tuned, "--baseline", scratch, "--json", *SETTINGS)
    assert result.code == 0, result.err
    own = studio("eval", "images", "--model", tuned, "--json", *SETTINGS)
    # The run from scratch is the LoRA's base: the same pictures, the same scores, found by another way.
    scores = [{item["metric"]: item["value"] for item in answer.json["scores"]["base"]} for answer in (result, own)]
    assert scores[0]["images.fid_own"] == pytest.approx(scores[1]["images.fid_own"], rel=1e-6)


def test_features_of_real_pictures_are_kept_and_a_damaged_cache_is_only_slower(
    shape_runs: tuple[Path, Path], shapes_workspace: Workspace, studio: Callable[..., Any]
) -> None:
    call = ("eval", "images", "--model", shape_runs[1], "--baseline", "none", "--json", *SETTINGS)
    # What other evaluations kept is not asked for here.
    kept = shapes_workspace.root / "cache" / "image-features"
    shutil.rmtree(kept, ignore_errors=True)
    first = studio(*call)
    files = list(kept.glob("*.safetensors"))
    assert files
    for file in files:
        file.write_bytes(b"cut")
    again = studio(*call)
    assert again.code == 0 and json.dumps(first.json["scores"]) == json.dumps(again.json["scores"])
    assert all(file.stat().st_size > 100 for file in files), "a damaged file is written anew"


def test_mistakes_are_one_sentence(shape_runs: tuple[Path, Path], studio: Callable[..., Any]) -> None:
    run = shape_runs[1]
    for arguments, words in (
        (["--inception-weights", "gone.pth"], "--inception-weights names gone.pth, which is no file"),
        (["--limit", "11"], "--limit 11 makes 11 pictures, and KID subsets of 12 cannot be drawn"),
        (["--set", "tasks.0.clip=/nowhere"], "no CLIP could be read from '/nowhere'"),
    ):
        result = studio("eval", "images", "--model", run, *SETTINGS, *arguments)
        assert result.code == 2 and words in result.err and "Traceback" not in result.err, result.err
    result = studio("eval", "chatbot", "--model", run, "--inception-weights", "x.pth")
    assert result.code == 2 and "the suite chatbot scores none" in result.err
