"""However a training ends, the record says so and the person gets one sentence."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from studio.core.errors import InterruptedRunError, StudioError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.record import mark_running, save_record


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An opened Run of a kind that the studio does not know."""
    folder = tmp_path / "runs" / "toy" / "20260101-000000-abc123"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("kind: toy\n")
    record = RunRecord(
        kind="toy", name="toy", id="abc123", status="running", created="2026-01-01T00:00:00+00:00", method="scratch",
        base={"source": "scratch"}, dataset={"name": "numbers", "fingerprint": "f00d", "path": str(tmp_path / "numbers")}, seed=0,
        versions={}, git_commit=None, machine={"host": "here"},
    )  # fmt: skip
    save_record(folder, record)
    return folder


def test_a_story_that_ends_well_leaves_figures_hashes_and_a_card(run: Path):
    def story(_stop) -> None:
        mark_running(run, template={"name": "none"})
        close_well(run, {"steps": 3}, "config.yaml")

    record = to_the_end(run, story)
    assert record.status == "finished" and record.result == {"steps": 3} and record.finished
    assert record.machine["host"] == "here" and record.machine["pid"] and record.template == {"name": "none"}
    assert list(record.files) == ["config.yaml"] and (run / "README.md").is_file()


def test_a_signal_is_told_with_the_way_to_go_on(run: Path):
    def story(stop) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert stop.received == signal.SIGTERM
        stop.stopped = True

    with pytest.raises(
        InterruptedRunError, match=r"^stopped and saved. Go on with: studio train --resume toy/20260101-000000-abc123$"
    ):
        to_the_end(run, story)
    assert read_run(run).status == "interrupted" and read_run(run).error is None


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (StudioError("the loss is not a number."), "failed", "the loss is not a number."),
        (ValueError("three is not four"), "failed", "ValueError: three is not four"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
    ids=repr,
)
def test_what_went_wrong_is_written_down_and_raised(error: BaseException, status: str, words: str, run: Path):
    def story(_stop) -> None:
        raise error

    with pytest.raises(type(error)):
        to_the_end(run, story)
    assert (read_run(run).status, read_run(run).error) == (status, words)


def test_only_the_first_process_writes(run: Path):
    before = (run / "run.json").read_bytes()

    def story(stop) -> None:
        stop.stopped = True

    assert to_the_end(run, story, main=False).status == "running"
    with pytest.raises(ZeroDivisionError):
        to_the_end(run, lambda _stop: 1 / 0, main=False)
    assert (run / "run.json").read_bytes() == before


def test_full_memory_and_full_disks_are_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch):
    def ended(error: Exception, **options: bool) -> None:
        with plain_words(run, lambda: "the weights could not be written to there", **options):
            raise error

    with pytest.raises(StudioError, match=r"^the GPU ran out of memory. Set micro_batch_size to half"):
        ended(torch.OutOfMemoryError())
    sentence = (
        r"^the disk is full: the weights could not be written to there; no checkpoint had been saved yet. "
        r"Make room, then: studio train toy/20260101-000000-abc123$"
    )
    with pytest.raises(StudioError, match=sentence):
        ended(OSError(28, "No space left on device"))
    with pytest.raises(ValueError, match="anything else"):
        ended(ValueError("anything else"), check_disk=True)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(ValueError, match="anything else"):
        ended(ValueError("anything else"))
    with pytest.raises(StudioError, match=sentence):
        ended(ValueError("anything else"), check_disk=True)


def test_what_does_not_fit_after_the_steps_is_told_once_and_with_the_way_on(run: Path):
    again = "no checkpoint had been saved yet. Make room, then: studio train toy/20260101-000000-abc123"

    def plot(_stop) -> None:
        raise OSError(28, "No space left on device", str(run / "loss.png"))

    with pytest.raises(StudioError, match=f"^the disk is full: what the training made could not be written; {again}$"):
        to_the_end(run, plot)
    assert read_run(run).error == f"the disk is full: what the training made could not be written; {again}"

    def guarded(_stop) -> None:
        with plain_words(run, lambda: "the groups could not be written"):
            raise StudioError("groups cannot be written: the disk is full.")

    with pytest.raises(StudioError, match=f"^the disk is full: the groups could not be written; {again}$"):
        to_the_end(run, guarded)
