"""The task that measures groups of rows. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.tasks import Positive, SuiteData, TaskSettings, Text

Several = Annotated[int, Field(ge=2)]


class ClusteringTask(TaskSettings):
    """Groups of held-out rows: how tight, how far apart, how stable; and how like a column of labels, where one is named."""

    type: Literal["clustering"]
    """Kind of task."""
    data: SuiteData = SuiteData()
    """The rows that are placed."""
    labels: Text | None = None
    """Column that groups are compared with (ARI, AMI). It was not seen in training unless it is one of the features."""
    rows: Annotated[int, Field(ge=50)] = 2000
    """Most rows that are measured, drawn with the suite's seed: distances of all pairs grow with their square."""
    refits: Several = 10
    """Bootstrap samples of the training rows for stability."""
    picture: Literal["pca", "tsne", "umap"] = "pca"
    """How the picture in two dimensions is made. ``tsne`` and ``umap`` (extra ``umap``) show who lies beside whom; distances
    between their groups mean little."""
    columns_shown: Positive = 6
    """Columns that tell a group apart, for each group."""

    def metric_names(self) -> list[str]:
        """Overall figures; sizes of the groups stand beside them."""
        return [
            "silhouette", "calinski_harabasz", "davies_bouldin", "stability", "in_no_group",
            *(("ari", "ami") if self.labels is not None else ()),
        ]  # fmt: skip
