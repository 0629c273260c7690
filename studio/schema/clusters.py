"""Presets that find groups of rows. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from studio.schema.estimators import Preparation
from studio.schema.loading import Settings
from studio.schema.preset import Preset
from studio.schema.tasks import Count, Positive

Several = Annotated[int, Field(ge=2)]
Criterion = Literal["silhouette", "calinski_harabasz", "davies_bouldin", "gap", "stability", "bic"]


class Counted(Settings):
    """What methods share that are told how many groups to make."""

    k: Literal["auto"] | Several = "auto"
    """How many groups; ``auto`` tries ``k_min`` to ``k_max`` and says what each criterion thinks of them."""
    k_min: Several = 2
    """Fewest groups that are tried. The gap statistic and BIC look at a single group too, which is no structure."""
    k_max: Several = 10
    """Most groups that are tried; fewer than there are different rows."""
    choose_by: Criterion = "silhouette"
    """The criterion that decides where ``k`` is ``auto``. They often disagree; all of their curves are kept and shown."""

    @field_validator("k", mode="before")
    @classmethod
    def _several(cls, k: object) -> object:
        """One group is no grouping."""
        if k != "auto" and (isinstance(k, bool) or not isinstance(k, int) or k < 2):
            raise ValueError(f"it is {k!r}. Give auto, or a whole number from 2 on.")
        return k

    @model_validator(mode="after")
    def _range(self) -> Counted:
        """From the smaller to the larger, and a criterion that exists."""
        if self.k_min > self.k_max:
            raise ValueError(f"k_min is {self.k_min} and k_max {self.k_max}. Give the smaller number as k_min.")
        if self.choose_by == "bic" and not isinstance(self, Gaussian):
            raise ValueError("choose_by bic needs likelihoods, which the estimator gaussian alone has. Take another criterion.")
        return self


class KMeans(Counted):
    """k-means: each row belongs to the nearest of k centres. Fast; finds round groups of similar width."""

    type: Literal["kmeans"] = "kmeans"
    """How groups are found."""
    restarts: Positive = 10
    """Starts from different centres (k-means++); the tightest result is kept."""
    max_iter: Positive = 300
    """Rounds of one start at most."""


class Gaussian(Counted):
    """Mixture of Gaussians: oblong groups of unlike size, and a probability of each group for every row."""

    type: Literal["gaussian"] = "gaussian"
    """How groups are found."""
    choose_by: Criterion = "bic"
    """The criterion that decides where ``k`` is ``auto``: ``bic`` weighs likelihood against the number of parameters."""
    covariance: Literal["full", "tied", "diag", "spherical"] = "full"
    """Shape of the groups: any, the same for all, along the axes, round. ``full`` needs many rows for each column."""
    restarts: Positive = 3
    """Starts from different centres (k-means); the likeliest result is kept."""
    max_iter: Positive = 200
    """Rounds of one start at most."""
    floor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    """Added to every variance, so that no group shrinks to a point."""


class Agglomerative(Counted):
    """Agglomerative: the two nearest groups are joined, from single rows upwards. Memory grows with the square of the rows."""

    type: Literal["agglomerative"] = "agglomerative"
    """How groups are found."""
    linkage: Literal["ward", "average", "complete", "single"] = "ward"
    """Distance of two groups: growth of the variance, mean, largest or smallest distance of their rows."""


class Hdbscan(Settings):
    """HDBSCAN: dense regions of any shape, as many as there are; rows between them belong to none."""

    type: Literal["hdbscan"] = "hdbscan"
    """How groups are found."""
    min_cluster_size: Several = 15
    """Rows that a group has at least."""
    min_samples: Positive | None = None
    """Neighbours that a row in the middle of a group has; more leave more rows out. None takes ``min_cluster_size``."""
    selection: Literal["eom", "leaf"] = "eom"
    """``eom`` takes the groups that persist longest, ``leaf`` the smallest ones."""


ClusterEstimator = Annotated[KMeans | Gaussian | Agglomerative | Hdbscan, Field(discriminator="type")]


class Reduction(Settings):
    """Fewer dimensions before groups are looked for: distances between rows of very many say little."""

    type: Literal["auto", "none", "pca", "svd", "umap"] = "auto"
    """``auto`` takes PCA, or truncated SVD where most numbers are 0 as in texts, from 200 dimensions on. ``pca`` centres; ``svd``
    leaves zeros zeros; ``umap`` bends (extra ``umap``), and makes groups look more separate than they are. t-SNE cannot place new
    rows and is a picture of the report only."""
    dimensions: Positive | None = None
    """How many are kept, at most; None keeps 100, of UMAP 10."""
    variance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """PCA only: keep as many as explain this share of the variance."""
    neighbours: Several = 15
    """UMAP only: neighbours of a row whose distances are kept."""

    @model_validator(mode="after")
    def _fitting(self) -> Reduction:
        """A setting that would do nothing is a mistake."""
        if self.variance is not None and self.type != "pca":
            raise ValueError(f"variance is a setting of type pca, and type is {self.type}. Set type: pca, or take dimensions.")
        if self.variance is not None and self.dimensions is not None:
            raise ValueError("give dimensions or variance, not both.")
        if self.dimensions is not None and self.type in {"auto", "none"}:
            raise ValueError(f"dimensions needs a type, and type is {self.type}. Take pca or svd.")
        return self


class Choosing(Settings):
    """How much is computed to see whether there is structure, and how many groups."""

    references: Annotated[int, Field(ge=5)] = 20
    """Sets of rows without structure for the gap statistic (Tibshirani et al. 2001,
    https://doi.org/10.1111/1467-9868.00293): uniform in the box along the principal axes."""
    refits: Several = 10
    """Bootstrap samples for stability: each is grouped, and all pairs of them are compared on all rows."""
    shuffles: Annotated[int, Field(ge=19)] = 19
    """Sets of rows whose columns were shuffled, whose silhouette that of the rows must beat; 19 make it 1 in 20 by chance."""
    rows: Annotated[int, Field(ge=50)] = 2000
    """Most rows that all of this looks at, drawn with the seed; the groups themselves are made of all rows."""


class Evened(Preparation):
    """How columns become numbers, so that each counts alike: numbers of variance 1, categories as one column of zeros and ones
    for each, texts of length 1. Two unlike categories, or texts without a common word, are as far apart as two rows usually are
    in one number.
    """

    indicator: bool = False
    """A further column says where a number was missing; rows would be grouped by what is missing in them."""


class ClustersPreset(Preset):
    """Groups of rows that are alike: of tables, texts or pictures. No labels are needed or looked at."""

    kind: Literal["clusters"]
    """What is trained."""
    data: str | None = None
    """Default Dataset."""
    model: str | None = None
    """Base that turns texts or pictures into numbers, for ``texts: encoder`` and ``pictures: network``: a starter, a local
    folder or a Hub id; None takes the starter."""
    features: list[str] | None = None
    """Columns that are looked at; None takes all that the Dataset names, its target never."""
    preparation: Evened = Evened()
    """How columns become numbers, learned from the training rows."""
    texts: Literal["tf-idf", "encoder"] = "tf-idf"
    """How texts become numbers: counts of words, or the meaning as a pretrained encoder sees it."""
    pictures: Literal["pixels", "network"] = "pixels"
    """How pictures become numbers: their pixels at 32 x 32 as they are, or what a pretrained network sees in them."""
    reduce: Reduction = Reduction()
    """Fewer dimensions before groups are looked for."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """``cosine`` compares directions only: rows get length 1, so that a long text is like a short one on the same matter."""
    estimator: ClusterEstimator
    """How groups are found."""
    choosing: Choosing = Choosing()
    """How much is computed to see whether there is structure, and how many groups."""
    extra_columns: Literal["ignore", "refuse"] = "ignore"
    """Columns of a file that the Run does not know, when it is asked: left out and named, or refused."""
    missing_columns: Literal["refuse", "fill"] = "refuse"
    """Columns that a file lacks: refused, or filled as missing values are, and named."""
    seed: Count = 0
    """Seed of everything random; the same seed gives the same bits."""
