"""What is known of groups beside their arrays: ``clusters.json``, with the curves by which their number was chosen."""

from __future__ import annotations

from typing import Any, Literal

from studio.core.records import Record
from studio.models.predictors.base import Filling
from studio.schema.columns import Column

DESCRIPTION = "clusters.json"


class Curve(Record):
    """One criterion for several numbers of groups.

    criterion: as in ``choose_by``. title: for people. better: which way. counts: numbers of groups. values: one for each, None
    where it has none. errors: standard errors, None where there are none. best: the number it says, None where it says nothing.
    """

    criterion: str
    title: str
    better: Literal["higher", "lower"]
    counts: list[int]
    values: list[float | None]
    errors: list[float] | None = None
    best: int | None = None


class Structure(Record):
    """Whether there is anything to be found.

    found: False where it is not shown. reasons: why not, a sentence each. silhouette: of the groups. shuffled: of the groups that
    are found in the same way in rows whose columns were shuffled, None for a set of rows in which none were. compared: False
    where shuffling says nothing (a single dimension).
    """

    found: bool
    reasons: list[str] = []
    silhouette: float | None = None
    shuffled: list[float | None] = []
    compared: bool = True


class Choice(Record):
    """How the number of groups came about.

    k: how many. by: ``auto`` with the criterion after a colon, ``given``, or ``found`` by the method. rows: rows that were
    looked at. curves: of all criteria, none where the number was given or found. told: sentences for people.
    """

    k: int
    by: str
    rows: int
    curves: list[Curve] = []
    structure: Structure
    told: list[str] = []


class ClustersInfo(Record):
    """``model/clusters.json``: what saved groups need to be opened and asked.

    form: of the arrays (:data:`studio.models.clusters.groups.FORMS`). estimator: its settings. columns, fillings: as of
    :class:`studio.models.predictors.base.PredictorInfo`. distance: ``euclidean`` or ``cosine``. texts, pictures: how they become
    numbers. dimensions: of the space. sizes: training rows of each group, the largest first. in_no_group: training rows of none.
    without_direction: of these, rows that are all zero under cosine. placed_again: share of the training rows that are placed
    where the training put them. explained: share of variance that is left after the reduction, None without one. choice: how
    their number came about. extra: how files are read, as of :class:`studio.models.predictors.base.PredictorInfo`.
    """

    form: str
    estimator: dict[str, Any]
    columns: list[Column]
    fillings: dict[str, Filling] = {}
    distance: Literal["euclidean", "cosine"]
    texts: str
    pictures: str
    dimensions: int
    sizes: list[int]
    in_no_group: int = 0
    without_direction: int = 0
    placed_again: float
    explained: float | None = None
    choice: Choice
    extra: dict[str, Any] = {}
