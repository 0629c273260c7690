"""What numbers are off by, drawn: against the prediction, and against the normal distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from studio.evals.numbers import number
from studio.evals.pieces import Floats
from studio.evals.statistics import SIGNIFICANCE
from studio.evals.task import Panel

# Points of a drawing; more are one blot.
_POINTS = 800
_FEWEST = 10
_WIDE, _HIGH = 300, 200


def residual_panels(truth: Sequence[float], predicted: Sequence[float | None]) -> list[Panel]:
    """Two drawings of the tuned model's residuals (true minus predicted) and what they show; nothing for a handful of rows."""
    known = [(true, said) for true, said in zip(truth, predicted, strict=True) if said is not None]
    true, said = np.array([pair[0] for pair in known]), np.array([pair[1] for pair in known])
    residuals = true - said
    if len(known) < _FEWEST or np.ptp(residuals) == 0 or np.ptp(said) == 0:
        return []
    drawn = [
        _figure("Residuals", "predicted", "true minus predicted", said, residuals, ((said.min(), 0.0), (said.max(), 0.0))),
        _figure("Are they normal?", "normal distribution", "residual", *_quantiles(residuals), _normal_line(residuals)),
    ]
    intro = Markup('<p class="soft">{}</p>').format(" ".join(_told(said, residuals)))
    return [Panel("Residuals (tuned)", intro + Markup('<div class="curves">{}</div>').format(Markup("").join(drawn)))]


def _told(said: Floats, residuals: Floats) -> list[str]:
    """What the drawings show, in words."""
    from scipy.stats import skew, spearmanr, ttest_1samp

    bias = ttest_1samp(residuals, 0.0)
    sentences = ["A dot is a row; a good model leaves a band around the dashed line that shows no form."]
    if bias.pvalue < SIGNIFICANCE:
        side = "too low" if residuals.mean() > 0 else "too high"
        sentences.append(f"Predictions are {side} on average, by {number(abs(float(residuals.mean())))}.")
    growing = spearmanr(np.abs(residuals), said)
    if growing.pvalue < SIGNIFICANCE and abs(growing.statistic) > 0.2:
        way = "grow" if growing.statistic > 0 else "shrink"
        sentences.append(
            f"Errors {way} with the prediction (rank correlation {growing.statistic:.2f}): one error or one width of interval "
            "for all rows says too little."
        )
    if abs(float(skew(residuals))) > 1:
        side = "low" if skew(residuals) > 0 else "high"
        sentences.append(f"The large errors lie on one side: some predictions are far too {side}.")
    return sentences


def _quantiles(residuals: Floats) -> tuple[Floats, Floats]:
    """Residuals in order, and where a normal distribution of their mean and spread would have them."""
    from scipy.stats import norm

    ranked = np.sort(residuals)
    places = (np.arange(len(ranked)) + 0.5) / len(ranked)
    return np.asarray(norm.ppf(places, ranked.mean(), ranked.std())), ranked


def _normal_line(residuals: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the dots lie if the residuals are normal."""
    expected, _ = _quantiles(residuals)
    low, high = float(expected[0]), float(expected[-1])
    return (low, low), (high, high)


def _figure(
    title: str, across: str, up: str, x: Floats, y: Floats, line: tuple[tuple[float, float], tuple[float, float]]
) -> Markup:
    """Dots with a dashed line, each axis on a scale of its own; the ends are written."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(_POINTS, len(x))).astype(int))
    ends = [point[1] for point in line]
    left, right = float(x.min()), float(x.max())
    low, high = float(min(y.min(), *ends)), float(max(y.max(), *ends))

    def place(first: float, second: float) -> tuple[float, float]:
        return 50 + (_WIDE - 60) * (first - left) / (right - left or 1.0), 10 + _HIGH * (high - second) / (high - low or 1.0)

    dots = Markup("").join(
        Markup('<circle class="dot tuned faint" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(*place(float(x[p]), float(y[p])))
        for p in kept
    )
    (x1, y1), (x2, y2) = place(*line[0]), place(*line[1])
    return Markup(
        '<figure><svg viewBox="0 0 300 246" role="img" aria-label="{told}"><rect class="frame" x="50" y="10" width="{w}" '
        'height="{h}"/>{dots}<line class="ideal" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        '<text x="46" y="20" text-anchor="end">{high}</text><text x="46" y="{b}" text-anchor="end">{low}</text>'
        '<text x="50" y="224">{left}</text><text x="290" y="224" text-anchor="end">{right}</text>'
        '<text x="170" y="240" text-anchor="middle">{across}</text></svg>'
        "<figcaption>{title} <small>{up} upwards</small></figcaption></figure>"
    ).format(
        told=f"{title}: {up} against {across}", w=_WIDE - 60, h=_HIGH, dots=dots, x1=x1, y1=y1, x2=x2, y2=y2, b=_HIGH + 10,
        high=number(high), low=number(low), left=number(left), right=number(right), across=across, title=title, up=up,
    )  # fmt: skip
