"""The whole task on a Dataset of shapes.

The painters stand in for runs whose faults must be known beforehand: one draws fresh pictures, one gives training pictures back,
one draws a single picture over and over. test_images_run.py does it with a real run.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studio.core.errors import ConfigError, UserError
from studio.core.files import write_json
from studio.core.records import ReportRecord, RunRecord
from studio.core.workspace import Workspace
from studio.data.images.rows import open_image, read_image_split
from studio.evals.runner import evaluate_run
from studio.evals.suites import load_suite
from tests.evals.images.shapes import draw, write_shapes

NUMBERS = itertools.count()
Paint = Callable[[str, int], Image.Image]


def fresh(prompt: str, seed: int) -> Image.Image:
    """A new picture of what was asked for."""
    _, colour, label = prompt.split()
    return draw(label, colour, 50_000 + seed, side=32)


def smudge(_: str, seed: int) -> Image.Image:
    """What an untrained model makes: blotches."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


@dataclass
class Painter:
    """Takes the place of a loaded run."""

    record: RunRecord
    paint: Paint
    base_paint: Paint
    steps: int = 10
    guidance: float = 2.0
    asked: list[tuple[str, int]] = field(default_factory=list)
    base_on: bool = False
    labels: list[str] = field(default_factory=list)

    @contextmanager
    def base(self) -> Iterator[Painter]:
        self.base_on = True
        try:
            yield self
        finally:
            self.base_on = False

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        return [word for word in ("zebra",) if any(word in prompt for prompt in prompts)]

    def sample(self, prompts: Sequence[str], seeds: Sequence[int], **_: Any) -> list[Image.Image]:
        self.asked += list(zip(prompts, seeds, strict=True))
        paint = self.base_paint if self.base_on else self.paint
        return [paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]


@pytest.fixture
def evaluate(shapes: Path, shapes_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Evaluate a painter with the shipped suite, made small."""
    monkeypatch.setenv("STUDIO_CACHE", str(shapes_workspace.root / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(shapes_workspace.root / "no-weights"))
    for name in ("STUDIO_INCEPTION_WEIGHTS", "STUDIO_CLIP"):
        monkeypatch.delenv(name, raising=False)

    def call(
        paint: Paint, *overrides: str, base_paint: Paint = smudge, dataset: Path = shapes, scratch: bool = False, **options: Any
    ) -> tuple[Path, ReportRecord, Painter]:
        folder = shapes_workspace.runs / "painter" / f"20260101-000000-{next(NUMBERS)}"
        folder.mkdir(parents=True)
        record = RunRecord(
            kind="diffusion", name="painter", id="abc", status="finished", created="2026-01-01T00:00:00+00:00", method="lora",
            base={"source": "scratch"} if scratch else {"name": "tiny", "source": "local", "path": "/x", "sha256": "ab" * 32},
            dataset={"path": str(dataset), "name": dataset.parent.name, "fingerprint": dataset.name}, seed=0,
        )  # fmt: skip
        write_json(folder / "run.json", record.model_dump(mode="json"))
        painter = Painter(record, paint, base_paint)
        monkeypatch.setattr("studio.adapters.images.loading.load_image_run", lambda _: painter)
        small = ["samples=60", "kid_subset_size=20", "kid_subsets=20", "classifier.side=24", "classifier.epochs=12"]
        small += ["classifier.batch_size=16", "slow_resamples=100"]
        suite = load_suite("images", ["resamples=100", *(f"tasks.0.{item}" for item in [*small, *overrides])])
        report, written = evaluate_run(folder, suite, **options)
        return report, written, painter

    return call


def values(record: ReportRecord, label: str) -> dict[str, float | None]:
    """Metric to value, the task's name taken off."""
    return {score.metric.removeprefix("images."): score.value for score in record.scores[label]}


def test_a_good_model_lies_between_noise_and_real_pictures_and_above_its_base(evaluate: Callable[..., Any]) -> None:
    report, record, painter = evaluate(fresh)
    tuned, base = values(record, "tuned"), values(record, "base")
    marks = {label: {score.metric: score.value for score in scores} for label, scores in record.tasks[0].marks.items()}
    assert set(marks) == {"real", "noise"}
    for name, better in (("inception_score_own", 1), ("fid_own", -1), ("kid_own", -1), ("label_accuracy", 1), ("precision", 1)):
        assert better * tuned[name] > better * base[name], name
        assert better * marks["real"][name] > better * marks["noise"][name], name
    assert marks["real"]["nearness"] == pytest.approx(0.5) and marks["real"]["copied"] == pytest.approx(0.05, abs=0.04)
    assert tuned["coverage"] == 1 and tuned["copied"] < 0.25 and tuned["diversity"] == pytest.approx(1, abs=0.3)
    # Scores of another network never carry the plain names.
    assert not {"inception_score", "fid", "kid"} & set(tuned)
    by_metric = {score.metric.removeprefix("images."): score for score in record.scores["tuned"]}
    score = by_metric["inception_score_own"]
    assert re.fullmatch(r"IS \(studio classifier [0-9a-f]{8}\)", score.title) and "held-out accuracy" in score.made_with
    assert score.low < score.value < score.high and score.n == 60
    assert by_metric["clip_score"].value is None and "no CLIP was given" in by_metric["clip_score"].reason
    differences = {item.metric.removeprefix("images."): item for item in record.differences}
    assert differences["label_accuracy"].verdict == "better" and "equal prompt and seed" in differences["label_accuracy"].method
    assert differences["fid_own"].verdict == "better" and "100 resamples" in differences["fid_own"].method
    # Both models were asked the very same, with another noise for every picture.
    assert painter.asked[:60] == painter.asked[60:] and len({seed for _, seed in painter.asked}) == 60
    assert any("reference Inception weights are not on this machine" in note for note in record.tasks[0].notes)
    assert record.models["tuned"]["steps"] == 10 and record.models["base"]["name"] == "tiny"
    check_files(report)


def check_files(report: Path) -> None:
    """The page fetches nothing, the pictures lie beside it, one line per picture says what is known."""
    page = (report / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<(?:img|script|link|iframe)[^>]*(?:src|href)="(?!data:image/png;base64,)', page) == []
    for heading in ("Between noise and real pictures", "Before and after", "Samples", "Nearest training pictures"):
        assert f"<h3>{heading}</h3>" in page
    assert "Noise" in page and "Real" in page and "a red disc" in page and len(page) < 3_000_000
    lines = pd.read_parquet(report / "examples" / "images.parquet")
    assert len(lines) == 60 and {"prompt", "seed", "tuned_seen_as", "tuned_nearest_features", "base_copied"} <= set(lines.columns)
    for label in ("tuned", "base"):
        picture = Image.open(report / lines[f"{label}_picture"][7])
        assert picture.size == (32, 32)
    assert len(list((report / "samples" / "images" / "tuned").iterdir())) == 60
    assert json.loads((report / "scores.json").read_text())["tasks"][0]["marks"]["real"]


def test_a_model_that_gives_training_pictures_back_is_found_out(evaluate: Callable[..., Any], shapes: Path) -> None:
    rows = read_image_split(shapes, "train")
    report, record, _ = evaluate(lambda _, seed: open_image(shapes, rows[seed % len(rows)]), base_paint=fresh)
    tuned = values(record, "tuned")
    assert tuned["copied"] == tuned["copied_pixels"] == 1 and tuned["nearness"] == 1
    assert any("the model gives training pictures back" in note for note in record.tasks[0].notes)
    differences = {item.metric.removeprefix("images."): item.verdict for item in record.differences}
    assert differences["copied"] == "worse"
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "nearly a training picture" in page and "60 of 60 pictures lie nearer" in page
    lines = pd.read_parquet(report / "examples" / "images.parquet")
    expected = [rows[seed % len(rows)].id for seed in lines["seed"]]
    assert lines["tuned_nearest_pixels"].tolist() == expected and (lines["tuned_distance_pixels"] == 0).all()


def test_mode_collapse_is_seen(evaluate: Callable[..., Any]) -> None:
    _, record, _ = evaluate(lambda *_: fresh("a red disc", 3), baseline="none")
    tuned = values(record, "tuned")
    assert (
        tuned["diversity"] < 0.05
        and tuned["coverage"] == pytest.approx(1 / 3)
        and tuned["inception_score_own"] == pytest.approx(1)
    )
    assert tuned["recall"] == 0
    assert any("mode collapse" in note for note in record.tasks[0].notes) and record.differences == []


def test_a_run_from_scratch_has_no_base_and_says_so(evaluate: Callable[..., Any]) -> None:
    _, record, _ = evaluate(fresh, "metrics=[precision, copied_pixels, copied]", scratch=True)
    assert record.scores["base"] == [] and record.differences == []
    assert any("trained from scratch and has no base" in note for note in record.tasks[0].notes)
    assert values(record, "tuned")["precision"] > 0.3


def test_own_prompts_have_no_labels_and_unknown_words_are_named(evaluate: Callable[..., Any]) -> None:
    _, record, painter = evaluate(
        lambda prompt, seed: fresh("a red disc", seed),
        "prompts.texts=[a zebra]",
        "metrics=[label_accuracy, copied]",
        baseline="none",
    )
    scores = {score.metric.removeprefix("images."): score for score in record.scores["tuned"]}
    assert scores["label_accuracy"].value is None and scores["label_accuracy"].reason == "the prompts have no labels"
    assert any("1 words of the prompts stood in no caption" in note and "zebra" in note for note in record.tasks[0].notes)
    assert {prompt for prompt, _ in painter.asked} == {"a zebra"}


def test_a_small_corpus_gets_its_upper_mark_from_two_halves(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    folder = write_shapes(Workspace.open(tmp_path), {"train": 90, "test": 9})
    report, record, _ = evaluate(fresh, dataset=folder, baseline="none")
    real = {score.metric: score for score in record.tasks[0].marks["real"]}
    noise = {score.metric: score.value for score in record.tasks[0].marks["noise"]}
    tuned = values(record, "tuned")
    # Nine held-out pictures in ten splits would score 1, below noise; a half of the training pictures against itself would be 0.
    assert real["inception_score_own"].n == 99 and real["inception_score_own"].value > tuned["inception_score_own"] * 0.9
    assert real["fid_own"].n == 49 and 0 < real["fid_own"].value < tuned["fid_own"] < noise["fid_own"]
    assert real["copied"].n == real["label_accuracy"].n == 9 and real["nearness"].value == pytest.approx(0.5)
    assert any("49 real pictures against 50 others, because only 9 were held out" in note for note in record.tasks[0].notes)
    assert "9 to 99 pictures" in (report / "report.html").read_text(encoding="utf-8")


def test_without_labels_only_pixels_are_compared(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    folder = write_shapes(Workspace.open(tmp_path), {"train": 30, "test": 12}, labelled=False)
    _, record, _ = evaluate(fresh, dataset=folder, baseline="none")
    tuned = values(record, "tuned")
    assert tuned["copied_pixels"] is not None and tuned["fid_own"] is None
    reasons = {score.metric.removeprefix("images."): score.reason for score in record.scores["tuned"]}
    assert "no Inception weights, and the corpus has no labels" in reasons["inception_score_own"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["samples=8"], "8 samples cannot be cut into 10 splits"),
        (["kid_subset_size=61"], "KID subsets of 61 cannot be drawn from 60 samples"),
        (["metrics=[fid, fid]"], "'fid' is named twice"),
        (["metrics=[fdi]"], "fid"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(
    evaluate: Callable[..., Any], overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(fresh, *overrides)


def test_a_reference_too_small_for_kid_leaves_that_score_out_and_says_why(evaluate: Callable[..., Any]) -> None:
    _, record, _ = evaluate(fresh, "reference=validation", baseline="none")
    scores = {score.metric.removeprefix("images."): score for score in record.scores["tuned"]}
    assert scores["kid_own"].value is None and scores["fid_own"].value is not None
    assert "KID subsets of 20 pictures cannot be drawn from 60 made and 18 reference pictures" in scores["kid_own"].reason


def test_too_small_a_limit_is_refused_before_anything_is_made(evaluate: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="--limit 12 makes 12 pictures, and KID subsets of 20 cannot be drawn from 12 samples"):
        evaluate(fresh, limit=12)
    with pytest.raises(UserError, match=r"--inception-weights names gone\.pth, which is no file"):
        evaluate(fresh, "inception_weights=gone.pth")
