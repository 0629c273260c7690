"""The loss curve of an image training as a PNG: every step, smoothed, and the held-out losses."""

from __future__ import annotations

from pathlib import Path

from studio.train.recording import read_metrics


def plot_image_loss(metrics: Path, target: Path) -> None:
    """Draw ``metrics.jsonl``: the loss of each step and its running mean, and at fixed noise the loss on training and held-out
    pictures, which part where the model begins to know its training pictures by heart.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_metrics(metrics)
    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=130, layout="constrained")
    if steps:
        axes.plot(*zip(*steps, strict=True), color="#9ecae1", linewidth=0.6, label="training, each step")
        window = max(1, len(steps) // 20)
        smooth = [
            (steps[end][0], sum(loss for _, loss in steps[max(0, end - window + 1) : end + 1]) / min(window, end + 1))
            for end in range(len(steps))
        ]
        axes.plot(*zip(*smooth, strict=True), color="#2171b5", linewidth=2, label=f"training, mean of {window} steps")
    for key, colour, label in (
        ("train_eval_loss", "#74c476", "training pictures, fixed noise"),
        ("eval_loss", "#d94801", "held-out pictures, fixed noise"),
    ):
        points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.5, label=label)
    axes.set(xlabel="optimizer step", ylabel="mean squared error", yscale="log")
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    if steps:
        axes.legend(frameon=False)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, format="png")
    pyplot.close(figure)
    temporary.replace(target)
