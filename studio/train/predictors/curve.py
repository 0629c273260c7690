"""The loss curve of a network: every step, smoothed, and the validations with the best one named."""

from __future__ import annotations

from pathlib import Path

from studio.train.curve import loss_curve
from studio.train.predictors.objective import Objective


def plot_network_loss(metrics: Path, target: Path, objective: Objective) -> None:
    """Draw ``metrics.jsonl``."""
    unit = "cross-entropy, nats per row" if objective.labels else "mean squared error, in variances of the target"
    with loss_curve(metrics, target, ylabel=unit, window_share=20, linewidth=0.8) as (axes, lines):
        points = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        if points:
            axes.plot(
                *zip(*points, strict=True), color="#d94801", marker="o", markersize=4, linewidth=1.5, label="validation rows"
            )
            best = min(points, key=lambda point: point[1])
            place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": "#d94801"}
            axes.annotate(f"best {best[1]:.3f}", best, **place)
