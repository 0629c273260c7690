"""Has the model learnt, or does it give its training pictures back? Distances to the nearest training picture, beside those that
held-out pictures have.

Legend: n made pictures, t training pictures, h held-out pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.evals.images.neighbours import nearest
from studio.evals.pieces import Floats

# A held-out picture lies this near by chance with this probability.
NEAR_QUANTILE = 0.05


@dataclass(frozen=True)
class Memorisation:
    """How near each made picture is to the training pictures.

    distances, places: distance to, and place of, the nearest training picture, each [n].
    held_out: the same distances of held-out pictures, sorted, [h].
    """

    distances: Floats
    places: NDArray[np.intp]
    held_out: Floats

    @property
    def threshold(self) -> float:
        """The distance that only 5% of held-out pictures are below."""
        return float(np.quantile(self.held_out, NEAR_QUANTILE))

    @property
    def copied(self) -> NDArray[np.bool_]:
        """Which made pictures are nearer to a training picture than 95% of held-out pictures are: [n].

        Fresh pictures of the same kind give a share of 0.05; an exact copy always counts.
        """
        near: NDArray[np.bool_] = (self.distances < self.threshold) | (self.distances == 0)
        return near

    @property
    def nearness(self) -> Floats:
        """For each made picture, the share of held-out pictures that are farther from the training pictures than it is: [n].

        Its mean is the probability that a made picture is nearer than a held-out one (ties count half), 0.5 for fresh pictures.
        Source: the statistic of Meehan, Chaudhuri, Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying".
        """
        above = len(self.held_out) - np.searchsorted(self.held_out, self.distances, side="right")
        equal = np.searchsorted(self.held_out, self.distances, side="right") - np.searchsorted(
            self.held_out, self.distances, side="left"
        )
        shares: Floats = (above + 0.5 * equal) / len(self.held_out)
        return shares


def memorisation(made: NDArray[np.floating], training: NDArray[np.floating], held_out: NDArray[np.floating]) -> Memorisation:
    """Compare distances in any space: features, or pixels as numbers.

    Args:
        made: [n, d]; training: [t, d]; held_out: [h, d].
    Raises:
        UserError: a side is empty.
    """
    for name, values in (("made", made), ("training", training), ("held-out", held_out)):
        if not len(values):
            raise UserError(f"memorisation compares made, training and held-out pictures; there are no {name} pictures.")
    distances, places = nearest(made, training)
    return Memorisation(distances, places, np.sort(nearest(held_out, training)[0]))
