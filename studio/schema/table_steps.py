"""The steps of a table's recipe; each field is documented here once.

Whatever a step learns (limits, which categories are rare, which columns are constant, what gives the target away) it learns from
training rows: rows are divided before the first such step.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings
from studio.schema.recipe import Positive, Share, ShingleUnit, Size

Factor = Annotated[float, Field(gt=0)]
Bound = Annotated[float, Field(gt=0.5, le=1)]


class MissingValuesStep(Settings):
    """Drop rows with missing values, or say in a column of its own where a value was missing. Nothing is filled in here: what a
    missing value becomes is learned from training rows, and belongs to the Run.
    """

    step: Literal["missing"]
    """Kind of step."""
    columns: list[str] = []
    """Columns that are looked at; empty means all that are predicted from."""
    action: Literal["flag", "drop"] = "flag"
    """``flag``: a column ``NAME missing`` with yes and no is added for each that lacks values in training rows, for slices;
    it is not predicted from, for a Run makes its own (preparation.indicator). ``drop``: rows with a missing value go, from
    every split."""


class ExactRowsStep(Settings):
    """Drop rows that are equal to an earlier one."""

    step: Literal["exact_duplicates"]
    """Kind of step."""
    columns: list[str] = []
    """Columns that have to be equal; empty means all but the id."""


class NearTextsStep(Settings):
    """Drop rows whose text is nearly that of an earlier row that stays: MinHash finds pairs, the exact Jaccard similarity
    decides.
    """

    step: Literal["near_duplicates"]
    """Kind of step."""
    columns: list[str] = []
    """Columns whose texts, one under the other, are compared; empty means all of type text that are predicted from."""
    threshold: Share = 0.8
    """Jaccard similarity from which a row goes."""
    unit: ShingleUnit = "word"
    """Shingles of words or of characters."""
    size: Positive = 5
    """Words or characters in a shingle."""


class TableOutliersStep(Settings):
    """Values far from the rest of their column, by limits learned from training rows."""

    step: Literal["outliers"]
    """Kind of step."""
    columns: list[str] = []
    """Columns of numbers that are looked at; empty means all that are predicted from."""
    method: Literal["zscore", "boxplot"] = "boxplot"
    """Distance from the mean in standard deviations, or from the quartiles in interquartile ranges (Tukey, Exploratory Data
    Analysis, 1977)."""
    factor: Factor | None = None
    """How far is too far: None means 3 for ``zscore`` and 1.5 for ``boxplot``."""
    action: Literal["flag", "clip", "drop"] = "flag"
    """``flag``: a column ``outlier`` with yes and no is added, for slices; it is not predicted from. ``clip``: values become the
    limit, in every split; rows that are predicted later are not clipped. ``drop``: rows go."""
    drop_from: Literal["train", "all"] = "train"
    """Where ``drop`` takes rows from. Without its odd rows a test says more than life will keep."""


class RareCategoriesStep(Settings):
    """Categories that few training rows have."""

    step: Literal["rare_categories"]
    """Kind of step."""
    columns: list[str] = []
    """Columns of categories that are looked at; empty means all that are predicted from."""
    below: Size = 0.01
    """Rows (a whole number) or share of training rows (below 1) under which a category is rare."""
    action: Literal["fold", "report"] = "fold"
    """``fold``: rare categories, and those that no training row has, become ``other``. ``report``: they are told and stay."""
    other: Annotated[str, Field(min_length=1)] = "other"
    """What they become."""


class ConstantColumnsStep(Settings):
    """Take out columns that say the same in every training row."""

    step: Literal["constant_columns"]
    """Kind of step."""
    share: Bound = 1.0
    """Share of training rows that have the most frequent value (missing is one) from which a column goes."""


class LeaksStep(Settings):
    """Columns that give the target away, values from the future, and what stands in train and test alike."""

    step: Literal["leaks"]
    """Kind of step."""
    auc: Bound = 0.98
    """Area under the ROC curve (mean over the labels, each against the rest) above which a single column gives a label away.
    It is measured on training rows by cross-validation."""
    r2: Bound = 0.98
    """The same of a number: share of its variance that a single column explains."""
    action: Literal["warn", "ignore", "refuse"] = "warn"
    """What is done with columns that give the target away: named, kept out of what is predicted from, or the build stops."""
    known: list[str] = []
    """Columns that are known to tell much and are there before the target is; they are not looked at."""
    shared: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of test rows with a value that training rows have too, from which a column of names (customers, patients, machines)
    is told to tie rows of several splits."""


class SuspiciousNumbersStep(Settings):
    """Notes on numbers that look wrong: skewness, two units in one column, a number that stands for a missing value. Nothing is
    changed.
    """

    step: Literal["suspicious_numbers"]
    """Kind of step."""
    columns: list[str] = []
    """Columns of numbers that are looked at; empty means all that are predicted from, and a target of numbers."""
    skewness: Factor = 2.0
    """Absolute skewness from which a column is told to be skewed. 2 marks a substantial departure from a normal distribution
    (West, Finch and Curran 1995; Kim 2013)."""


TableStep = Annotated[
    MissingValuesStep
    | ExactRowsStep
    | NearTextsStep
    | TableOutliersStep
    | RareCategoriesStep
    | ConstantColumnsStep
    | LeaksStep
    | SuspiciousNumbersStep,
    Field(discriminator="step"),
]
