"""Whether texts say the target outright: a row's label or number stands in its own text far oftener than another row's does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.language.scripts import words_of

LEAST_GAP = 0.5
"""Share of rows whose text holds their own target, beyond the share that holds that of another row, from which it is told."""


def told_in_text(texts: Sequence[str | None], target: Sequence[str]) -> tuple[float, float]:
    """How often a text holds the target of its row, as whole words whatever their case, and how often that of another row.

    Args:
        texts, target: of the same rows [n].
    Returns:
        the two shares. The other row is the next one with another target.
    """
    held = [f" {' '.join(words_of(text or ''))} " for text in texts]
    wanted = [f" {' '.join(words_of(value))} " for value in target]
    own = np.mean([value.strip() != "" and value in text for text, value in zip(held, wanted, strict=True)])
    shifted = _others(wanted)
    other = np.mean([value.strip() != "" and value in text for text, value in zip(held, shifted, strict=True)])
    return float(own), float(other)


def _others(values: Sequence[str]) -> list[str]:
    """For each place the next value that differs, round the end; an empty text where all are equal."""
    found = [""] * len(values)
    later = ""
    for place in reversed(range(2 * len(values))):
        at, following = place % len(values), values[(place + 1) % len(values)]
        later = following if following != values[at] else later
        found[at] = later if later != values[at] else ""
    return found
