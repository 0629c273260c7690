"""The loss curve of a chat's training: every step, smoothed, and the validations with the best one named."""

from __future__ import annotations

from pathlib import Path

from studio.train.curve import loss_curve

_PARTS = {"eval_divergence": ("divergence from the teacher", "#6a51a3"), "eval_nll": ("own answers", "#31a354")}


def plot_loss(metrics: Path, target: Path, unit: str = "target token") -> None:
    """Draw training and validation loss over steps as a PNG, the training loss also smoothed (mean of the last tenth).

    Args:
        unit: what the loss is a mean over.
    """
    with loss_curve(metrics, target, ylabel=f"loss, nats per {unit}", window_share=10, linewidth=1) as (axes, lines):
        for key, (label, color) in _PARTS.items():
            if found := [(line["step"], line[key]) for line in lines if key in line]:
                axes.plot(*zip(*found, strict=True), color=color, linestyle="--", linewidth=1, label=label)
        validations = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        if validations:
            axes.plot(*zip(*validations, strict=True), color="#d94801", marker="o", linewidth=2, label="validation")
            best = min(validations, key=lambda pair: pair[1])
            place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": "#d94801"}
            axes.annotate(f"best {best[1]:.3f}", best, **place)
