"""The progress bar tells rate and time left, and speaks plain lines when piped."""

from __future__ import annotations

import io

import pytest

from studio.core import progress
from studio.core.progress import Progress, clock_text, track


class Clock:
    """Time that moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_rate_time_left_and_figures(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    stream = io.StringIO()
    with Progress("train", 40, "steps", stream) as bar:
        clock.now += 5
        bar.advance(10, loss=1.23456)
        assert bar.line() == "train  10/40 steps  25%  2 steps/s  00:15 left  loss 1.235"
        clock.now += 15
        bar.advance(30)
    assert stream.getvalue().splitlines()[-1] == "train  40/40 steps  100%  2 steps/s  in 00:20  loss 1.235"


def test_resumed_work_does_not_count_into_the_rate(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    bar = Progress("train", 100, "steps", io.StringIO())
    bar.start_at(90)
    clock.now += 10
    bar.advance(5)
    assert bar.line() == "train  95/100 steps  95%  2 s/step  00:10 left"


def test_a_log_gets_few_plain_lines(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    stream = io.StringIO()
    with Progress("read", None, "rows", stream) as bar:
        for _ in range(100):
            clock.now += 0.25
            bar.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert not any("\r" in line or "\x1b" in line for line in lines)
    assert lines[-1] == "read  100 rows  4 rows/s  in 00:25"


def test_track_counts_and_survives_a_closed_stream(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    items = track([1, 2, 3], "count")
    assert next(items) == 1
    stream.close()
    assert list(items) == [2, 3]


def test_clock():
    assert [clock_text(seconds) for seconds in (0, 59.6, 3599, 3725)] == ["00:00", "01:00", "59:59", "1:02:05"]


def test_a_rate_near_one_keeps_its_unit(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    bar = Progress("train", 100, "steps", io.StringIO())
    lines = []
    for seconds in (1.1, 0.8, 1.2, 1.3, 0.7, 1.2):
        clock.now += seconds
        bar.advance()
        lines.append(bar.line())
    assert all("steps/s" in line for line in lines)
