"""The loss curve of a training of retrieval: every step, the validation loss, and how well validation passages are found."""

from __future__ import annotations

from pathlib import Path

from studio.train.curve import loss_curve
from studio.train.embed.objective import NDCG

_LOSS, _FOUND = "#d94801", "#238b45"


def plot_retrieval_loss(metrics: Path, target: Path) -> None:
    """Draw ``metrics.jsonl``; nDCG@10 has an axis of its own on the right."""
    with loss_curve(metrics, target, ylabel="loss, nats per question or pair", window_share=20, linewidth=0.8) as (axes, lines):
        losses = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        if losses:
            axes.plot(*zip(*losses, strict=True), color=_LOSS, marker="o", markersize=4, label="validation loss")
            best = min(losses, key=lambda point: point[1])
            place = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "color": _LOSS}
            axes.annotate(f"best {best[1]:.3f}", best, **place)
        found = [(line["step"], line[NDCG]) for line in lines if NDCG in line]
        if found:
            right = axes.twinx()
            right.plot(*zip(*found, strict=True), color=_FOUND, marker="s", markersize=4, linewidth=1)
            right.set(ylabel="nDCG@10 of the validation questions", ylim=(0, 1.02))
            right.yaxis.label.set_color(_FOUND)
            right.spines[["top"]].set_visible(False)
