"""The curves of a training by rewards, as a PNG: rewards, and beside them what goes wrong first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.train.recording import read_metrics

_BELOW = (
    ("rollout/length", "tokens per answer"),
    ("rollout/entropy", "entropy, nats"),
    ("rollout/kl", "KL to the start, nats"),
    ("shares", "share"),
)
_SHARES = {
    "rollout/no_signal": "groups without a difference",
    "rollout/truncated": "answers cut off",
    "rollout/clipped": "tokens clipped",
}


def plot_rewards(metrics: Path, target: Path) -> None:
    """Draw the reward, each of its parts and its validations over the steps; below them length, entropy, KL and shares."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_metrics(metrics)
    below = [(key, label) for key, label in _BELOW if key == "shares" or any(key in line for line in lines)]
    figure, axes = pyplot.subplots(
        1 + len(below), figsize=(7, 4 + 1.6 * len(below)), dpi=130, layout="constrained", sharex=True,
        height_ratios=[3, *[1] * len(below)],
    )  # fmt: skip
    _draw_rewards(axes[0], lines)
    for place, (key, label) in zip(axes[1:], below, strict=True):
        for name, title in _SHARES.items() if key == "shares" else {key: None}.items():
            place.plot(*_series(lines, name), linewidth=1, label=title)
        place.set(ylabel=label)
    axes[-1].legend(frameon=False, fontsize=8)
    axes[-1].set(xlabel="optimizer step")
    for place in axes:
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, format="png")
    pyplot.close(figure)
    temporary.replace(target)


def _draw_rewards(axes: Any, lines: Sequence[dict[str, Any]]) -> None:
    """The sum, its parts, and the validations with the best one named."""
    parts = list(dict.fromkeys(key for line in lines for key in line if key.startswith("reward/")))
    for part in parts if len(parts) > 1 else []:
        axes.plot(*_series(lines, part), linewidth=1, alpha=0.7, label=part.removeprefix("reward/"))
    axes.plot(*_series(lines, "reward"), color="#2171b5", linewidth=2, label="reward, training")
    steps, values = _series(lines, "eval_reward")
    if steps:
        axes.plot(steps, values, color="#d94801", marker="o", linewidth=2, label="reward, validation")
        best = max(range(len(values)), key=lambda place: values[place])
        place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": "#d94801"}
        axes.annotate(f"best {values[best]:.3f}", (steps[best], values[best]), **place)
    axes.set(ylabel="mean reward")
    axes.legend(frameon=False, fontsize=8)


def _series(lines: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of a figure."""
    found = [(line["step"], float(line[key])) for line in lines if key in line]
    return [step for step, _ in found], [value for _, value in found]
