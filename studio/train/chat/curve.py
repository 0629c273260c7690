"""The loss curve of a chat's training: every step, smoothed, and the validations with the best one named."""

from __future__ import annotations

from pathlib import Path

from studio.train.curve import loss_curve


def plot_loss(metrics: Path, target: Path) -> None:
    """Draw training and validation loss over steps as a PNG, the training loss also smoothed (mean of the last tenth)."""
    with loss_curve(metrics, target, ylabel="loss, nats per target token", window_share=10, linewidth=1) as (axes, lines):
        validations = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        if validations:
            axes.plot(*zip(*validations, strict=True), color="#d94801", marker="o", linewidth=2, label="validation")
            best = min(validations, key=lambda pair: pair[1])
            place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": "#d94801"}
            axes.annotate(f"best {best[1]:.3f}", best, **place)
