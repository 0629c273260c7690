"""The steps of a table's recipe; each field is documented here once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings


class MissingValuesStep(Settings):
    """Drop rows with missing values, or say in a column of its own where a value was missing. Nothing is filled in here: what a
    missing value becomes is learned from training rows, and belongs to the Run.
    """

    step: Literal["missing"]
    """Kind of step."""
    columns: list[str] = []
    """Columns that are looked at; empty means all that are predicted from."""
    action: Literal["flag", "drop"] = "flag"
    """``flag``: a column ``NAME missing`` with yes and no is added for each that has missing values in training rows. ``drop``: rows
    with a missing value go."""


class ExactRowsStep(Settings):
    """Drop rows that are equal to an earlier one."""

    step: Literal["exact_duplicates"]
    """Kind of step."""
    columns: list[str] = []
    """Columns that have to be equal; empty means all but the id."""


TableStep = Annotated[MissingValuesStep | ExactRowsStep, Field(discriminator="step")]
