"""What is written step by step can be read again, and written on, after a kill."""

from __future__ import annotations

import json
from pathlib import Path

from studio.train.recording import MetricsFile, read_metrics


def test_metrics_survive_a_line_cut_off_by_a_kill(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n" + json.dumps({"step": 2, "loss": 0.9}) + '\n{"step": 3, "lo')
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    MetricsFile(path, resumed_at=1).append({"step": 2, "loss": 0.8})
    assert [line["loss"] for line in read_metrics(path)] == [1.0, 0.8]
