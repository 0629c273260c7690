"""What other thresholds would do: of one label against the rest, how many rows would be given it, and how many rightly."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from studio.evals.labelled import Labelled
from studio.evals.task import Panel

_STEPS = tuple(step / 10 for step in range(1, 10))


def threshold_panel(found: Labelled, positive: str | None) -> list[Panel]:
    """A table of the tuned model's thresholds, the one that is used among them; nothing without probabilities of one label."""
    scores = found.scores.get("tuned")
    if positive is None or scores is None:
        return []
    pairs = [(true == positive, value) for true, value in zip(found.truth, scores, strict=True) if value is not None]
    truth, values = np.array([true for true, _ in pairs]), np.array([value for _, value in pairs])
    if not 0 < truth.sum() < len(truth):
        return []
    used = found.threshold if found.threshold is not None else 0.5
    steps = sorted({*(step for step in _STEPS if abs(step - used) > 1e-9), used})
    rows = Markup("").join(_row(step, truth, values, step == used) for step in steps)
    how = "chosen on the validation rows by F1" if found.threshold is not None else "so that the likelier label is given"
    intro = Markup(
        '<p class="soft">A row is called “{}” from this probability on. The bold line is what the model does: {}, {}. Whoever '
        "picks "
        "another line of this table has used these rows for choosing, and its figures flatter: choose on the validation split "
        "(<code>--set data.split=validation</code>) and read here what comes of it.</p>"
    ).format(positive, f"{used:.3g}", how)
    head = Markup("").join(
        Markup('<th class="n">{}</th>').format(name)
        for name in (
            "threshold",
            "rows called so",
            "of them right (precision)",
            "of all found (recall)",
            "F1",
            "balanced accuracy",
        )
    )
    table = Markup('<div class="wide"><table class="thresholds"><tr>{}</tr>{}</table></div>').format(head, rows)
    return [Panel(f"What other thresholds for “{positive}” would do", intro + table)]


def _row(step: float, truth: np.ndarray, values: np.ndarray, used: bool) -> Markup:
    """One threshold."""
    said = values >= step
    hits, given, there = int((said & truth).sum()), int(said.sum()), int(truth.sum())
    spared = int((~said & ~truth).sum()) / int((~truth).sum())
    cells = (
        f"{step:.3g}",
        f"{given} of {len(truth)}",
        f"{100 * hits / given:.1f}%" if given else "–",
        f"{100 * hits / there:.1f}%",
        f"{2 * hits / (given + there):.3f}",
        f"{(hits / there + spared) / 2:.3f}",
    )
    told = Markup("").join(Markup('<td class="n{}">{}</td>').format(" right" if used else "", cell) for cell in cells)
    return Markup("<tr>{}</tr>").format(told)
