"""The loss curve of a chat's training: every step, smoothed, and the validations with the best one named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.train.chat.objectives.base import Panel
from studio.train.curve import loss_curve

_TRAINING, _VALIDATION = ("#2171b5", "#9ecae1"), ("#d94801", "#fdae6b")
# Parts of a validation loss, drawn beside it.
_PARTS = {"eval_divergence": ("divergence from the teacher", "#6a51a3"), "eval_nll": ("own answers", "#31a354")}


def plot_loss(metrics: Path, target: Path, *, unit: str = "nats per target token", panels: Sequence[Panel] = ()) -> None:
    """Draw training and validation loss over steps as a PNG, the training loss also smoothed (mean of the last tenth).

    Args:
        unit: of the loss, as words after "loss". panels: what is drawn below it.
    """
    label = f"loss, {unit}"
    with loss_curve(metrics, target, ylabel=label, window_share=10, linewidth=1) as (axes, lines):
        for key, (name, color) in _PARTS.items():
            if found := [(line["step"], line[key]) for line in lines if key in line]:
                axes.plot(*zip(*found, strict=True), color=color, linestyle="--", linewidth=1, label=name)
        validations = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        if validations:
            axes.plot(*zip(*validations, strict=True), color="#d94801", marker="o", linewidth=2, label="validation")
            best = min(validations, key=lambda pair: pair[1])
            place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": "#d94801"}
            axes.annotate(f"best {best[1]:.3f}", best, **place)
        _draw_panels(axes, lines, panels)


def _draw_panels(axes: Any, lines: Sequence[dict[str, Any]], panels: Sequence[Panel]) -> None:
    """Each panel below the loss, on the same steps: training as a line, validations as points on one."""
    if not panels:
        return
    figure = axes.figure
    figure.set_size_inches(7, 4 + 2 * len(panels))
    grid = figure.add_gridspec(1 + len(panels), 1, height_ratios=[2, *[1] * len(panels)])
    axes.set_subplotspec(grid[0])
    for place, panel in enumerate(panels, start=1):
        below = figure.add_subplot(grid[place], sharex=axes)
        for name, training, validation in zip(panel.figures, _TRAINING, _VALIDATION, strict=False):
            for key, style in ((name, {"color": training}), (f"eval_{name}", {"color": validation, "marker": "o"})):
                points = [(line["step"], line[key]) for line in lines if key in line]
                if points:
                    words = key.replace("eval_", "validation, ").replace("_", " ")
                    below.plot(*zip(*points, strict=True), label=words, linewidth=1, **style)
        below.set(xlabel="optimizer step", ylabel=panel.ylabel)
        below.yaxis.label.set_size(7)
        below.grid(alpha=0.25)
        below.spines[["top", "right"]].set_visible(False)
        if below.lines:
            below.legend(frameon=False, fontsize=7)
