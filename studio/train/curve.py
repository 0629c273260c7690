"""The loss curve of a training as a PNG: every step and its running mean; what else there is to see is drawn by the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.train.recording import read_metrics


@contextmanager
def loss_curve(
    metrics: Path, target: Path, *, ylabel: str, yscale: str = "linear", window_share: int, linewidth: float
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Draw ``metrics.jsonl``; yields matplotlib's axes and the lines of the file, to draw more on top before it is saved.

    Args:
        ylabel: what the loss is measured in.
        window_share: the running mean is over one step in so many.
        linewidth: of the single steps, in points.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_metrics(metrics)
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=130, layout="constrained")
    _draw_steps(axes, [(line["step"], line["loss"]) for line in lines if "loss" in line], window_share, linewidth)
    yield axes, lines
    axes.set(xlabel="optimizer step", ylabel=ylabel, yscale=yscale)
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, format="png")
    pyplot.close(figure)
    temporary.replace(target)


def _draw_steps(axes: Any, steps: list[tuple[int, float]], window_share: int, linewidth: float) -> None:
    """Each step's loss, and the mean of the steps before it."""
    if not steps:
        return
    axes.plot(*zip(*steps, strict=True), color="#9ecae1", linewidth=linewidth, label="training, each step")
    window = max(1, len(steps) // window_share)
    smooth = [
        (steps[end][0], sum(loss for _, loss in steps[max(0, end - window + 1) : end + 1]) / min(window, end + 1))
        for end in range(len(steps))
    ]
    axes.plot(*zip(*smooth, strict=True), color="#2171b5", linewidth=2, label=f"training, mean of {window} steps")
