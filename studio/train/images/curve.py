"""The loss curve of an image training: every step, smoothed, and the held-out losses."""

from __future__ import annotations

from pathlib import Path

from studio.train.curve import loss_curve

_MEASURED = (
    ("train_eval_loss", "#74c476", "training pictures, fixed noise"),
    ("eval_loss", "#d94801", "held-out pictures, fixed noise"),
)


def plot_image_loss(metrics: Path, target: Path) -> None:
    """Draw ``metrics.jsonl``: the loss of each step and its running mean, and at fixed noise the loss on training and held-out
    pictures, which part where the model begins to know its training pictures by heart.
    """
    with loss_curve(metrics, target, ylabel="mean squared error", yscale="log", window_share=20, linewidth=0.6) as (axes, lines):
        for key, colour, label in _MEASURED:
            points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.5, label=label)
