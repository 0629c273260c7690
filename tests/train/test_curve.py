"""The curve shows every step, its running mean, and what the caller adds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.train.curve import loss_curve


@pytest.mark.parametrize(("steps", "names"), [(0, []), (40, ["training, each step", "training, mean of 4 steps"])])
def test_steps_and_their_mean_are_named(steps: int, names: list[str], tmp_path: Path):
    metrics, target = tmp_path / "metrics.jsonl", tmp_path / "loss.png"
    metrics.write_text("".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, steps + 1)))
    with loss_curve(metrics, target, ylabel="nats", yscale="log", window_share=10, linewidth=1) as (axes, lines):
        assert len(lines) == steps and axes.get_legend_handles_labels()[1] == names
    assert target.read_bytes().startswith(b"\x89PNG") and axes.get_ylabel() == "nats" and axes.get_yscale() == "log"
    assert (axes.get_legend() is not None) == bool(steps)
    if steps:
        *_, last = axes.lines[1].get_ydata()
        assert last == pytest.approx(sum(1 / step for step in range(37, 41)) / 4)
