"""Groups around centres as a graph: prepared columns in, the nearest centre out.

Legend: b rows, f prepared features, d dimensions of the space, k groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studio.exports.graph import Graph, Port
from studio.models.clusters.groups import NONE
from studio.models.clusters.opening import Clusters


class Nearest(nn.Module):
    """Reduction, length 1 where directions are compared, and the nearest centre; in float64, as scikit-learn computes."""

    mean: Tensor | None
    components: Tensor | None
    centres: Tensor

    def __init__(self, clusters: Clusters) -> None:
        super().__init__()
        reduction: Any = clusters.space.reduction
        mean = getattr(reduction, "mean_", None)
        features = None if reduction is None else torch.from_numpy(np.ascontiguousarray(reduction.components_.T, np.float64))
        self.register_buffer("mean", None if mean is None else torch.from_numpy(np.asarray(mean, np.float64)))
        self.register_buffer("components", features)  # [f, d]
        self.register_buffer("centres", torch.from_numpy(np.asarray(clusters.groups.centres(), np.float64)))  # [k, d]
        self.directions = clusters.info.distance == "cosine"

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """float64 [b, f] to group int64 [b], from 1 on, and distance float64 [b]."""
        if self.mean is not None:
            features = features - self.mean
        if self.components is not None:
            features = features @ self.components
        known = (features != 0).any(dim=1)
        if self.directions:
            length = torch.sqrt((features * features).sum(dim=1, keepdim=True))
            features = features / torch.where(length > 0, length, torch.ones_like(length))
        apart = torch.sqrt(((features[:, None] - self.centres[None]) ** 2).sum(dim=2))  # [b, k]
        nearest = apart.argmin(dim=1)
        distance = apart.gather(1, nearest[:, None])[:, 0]
        if not self.directions:
            return nearest + 1, distance
        return torch.where(known, nearest + 1, torch.full_like(nearest, NONE)), distance


def graph_of(clusters: Clusters, features: int) -> Graph:
    """The graph with the number of rows left open.

    Args:
        features: numbers that the preparation makes of a row.
    """
    given = Port("features", "float64", ("batch", features), "columns prepared as preparation.json says")
    group = Port("group", "int64", ("batch",), "number of the group, the largest is 1; 0 for none")
    distance = Port("distance", "float64", ("batch",), "to the centre of the group")
    sample = torch.from_numpy(np.random.default_rng(0).standard_normal((2, features)))
    return Graph((given,), (group, distance), Nearest(clusters).eval(), (sample,))
