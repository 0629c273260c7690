"""The card of a Dataset (``README.md``) in the form that hubs read, from the facts in ``dataset.json`` alone.

``DatasetCard`` says what can be said of any Dataset. The room of a kind overrides the parts that it knows more of and has a line
in ``DATASET_CARDS``; a kind without one gets the plain card. Nothing stands in it that was not recorded: what nobody measured is
said to be unknown. Form: https://huggingface.co/docs/hub/datasets-cards and the template of huggingface_hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import yaml

from studio.core.markdown import markdown_table
from studio.core.records import DatasetRecord, SourceRecord, StepRecord
from studio.core.registry import Registry
from studio.core.telling import counted
from studio.data.licences import hub_licence
from studio.data.parquet import REMOVED_FILE
from studio.data.sources import READ_STEP

CARD_FILE = "README.md"
DATASET_CARDS = Registry(
    "kind of Dataset",
    {
        "chat": "studio.data.chat.card:ChatCard",
        "image": "studio.data.images.card:ImageCard",
        "table": "studio.data.tables.card:TableCard",
        "series": "studio.data.series.card:SeriesCard",
    },
)
"""Kind of Dataset to what writes its card; a kind that is not here gets a plain ``DatasetCard``."""
# What the Hub calls sizes, by the first number of rows that is too many.
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"), (10**12, "100B<n<1T"),
)  # fmt: skip


def card_text(record: DatasetRecord) -> str:
    """The whole card of a Dataset of any kind, as Markdown with a YAML head."""
    card: type[DatasetCard] = DATASET_CARDS.get(record.kind) if record.kind in DATASET_CARDS else DatasetCard
    return card(record).text()


class DatasetCard:
    """The card of one Dataset. Every part is Markdown and may be empty; :meth:`text` puts them together."""

    rows: ClassVar[str] = "rows"
    """What its rows are called, in the plural."""
    fields: ClassVar[Sequence[tuple[str, str]]] = ()
    """Columns of the parquet files and what they hold."""

    def __init__(self, record: DatasetRecord) -> None:
        """``record``: as it is written into ``dataset.json``."""
        self.record = record
        self.extra: dict[str, Any] = record.model_extra or {}

    def text(self) -> str:
        """The whole card."""
        parts = [
            f"---\n{yaml.safe_dump(self.head(), sort_keys=False, allow_unicode=True)}---",
            f"# Dataset Card for {self.record.name}",
            self.summary(),
            self.structure(),
            self.creation(),
            f"#### Personal and Sensitive Information\n\n{self.personal()}",
            self.limits(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def head(self) -> dict[str, Any]:
        """The YAML head that hubs read. Files outside ``configs`` (what was removed, for one) are not loaded as rows."""
        record = self.record
        head: dict[str, Any] = {"pretty_name": record.name, **hub_licence(source.licence for source in record.sources)}
        if languages := self.languages():
            head["language"] = languages
        if tasks := self.tasks():
            head["task_categories"] = tasks
        head["size_categories"] = [size_category(sum(record.splits.values()))]
        head["tags"] = ["finetuning-studio", record.kind]
        files = [{"split": split, "path": f"{split}.parquet"} for split in record.splits]
        head["configs"] = [{"config_name": "default", "data_files": files}]
        return head

    def languages(self) -> list[str]:
        """ISO 639-1 codes of languages that were measured."""
        return []

    def tasks(self) -> list[str]:
        """Tasks, as hubs name them, that the columns allow."""
        return []

    def summary(self) -> str:
        """What it is, and the facts that a person looks for first."""
        record, recipe = self.record, self.record.recipe
        lines = ["## Dataset Details", "", "### Dataset Description", ""]
        described = (str(recipe.get("description") or "").strip(), str(recipe.get("why") or "").strip())
        lines += [text for one in described if one for text in (one, "")]
        kept = sum(record.splits.values())
        lines += [f"{kept:,} {self.rows} from {record.rows_read:,} that were read.", ""]
        lines += [f"- **Language(s):** {self.told_languages()}"] if self.told_languages() else []
        licences = dict.fromkeys(source.licence or "not stated" for source in record.sources)
        lines += [f"- **License:** {', '.join(licences)}"]
        lines += [f"- **Built:** {record.created[:10]} by studio {record.studio_version}, fingerprint `{record.fingerprint}`"]
        return "\n".join(lines)

    def told_languages(self) -> str:
        """Languages in words, with how they were found; nothing where nobody looked."""
        return ""

    def structure(self) -> str:
        """Splits, columns, how rows were divided."""
        splits = [[name, f"{rows:,}"] for name, rows in self.record.splits.items()]
        lines = ["## Dataset Structure", "", *markdown_table(["split", "rows"], splits)]
        if division := self.division():
            lines += ["", division]
        if columns := self.columns():
            lines += ["", *columns]
        lines += ["", f"`{REMOVED_FILE}` holds the {self.record.rows_removed:,} rows that were taken out, with the reason."]
        return "\n".join(lines)

    def division(self) -> str:
        """How splits were made, in sentences."""
        clusters = self.extra.get("clusters") or {}
        if not clusters.get("tied_rows"):
            return ""
        return (
            f"{clusters['tied_rows']:,} rows resemble others or share a group with them; such rows lie in one split together "
            f"({counted(clusters['count'], 'cluster')}, the largest with {counted(clusters['largest'])})."
        )

    def columns(self) -> list[str]:
        """Lines on what the columns hold."""
        return markdown_table(["column", "holds"], [[f"`{name}`", about] for name, about in self.fields]) if self.fields else []

    def creation(self) -> str:
        """Where rows came from, and what was done to them."""
        lines = ["## Dataset Creation", "", "### Source Data", ""]
        rows = [
            [source.name, place_of(source), source.revision or "–", source.licence or "not stated", f"{source.rows:,}"]
            for source in self.record.sources
        ]
        lines += markdown_table(["source", "where", "revision", "licence", "rows"], rows)
        named = [(source.name, str((source.model_extra or {}).get("attribution") or "")) for source in self.record.sources]
        if any(text for _, text in named):
            lines += ["", *(f"- {name}: {text}" for name, text in named if text)]
        lines += ["", "#### Data Collection and Processing", "", *self.processing()]
        if more := self.annotations():
            lines += ["", "### Annotations", "", more]
        return "\n".join(lines)

    def processing(self) -> list[str]:
        """The steps with their counts."""
        rows = [
            [
                "reading" if step.name == READ_STEP else f"`{step.name}`",
                f"{step.rows_in:,}",
                f"{step.changed:,}",
                f"{max(0, step.rows_in - step.rows_out):,}",
                "; ".join(f"{_as_text(reason)} ({count:,})" for reason, count in step.removed.items()) or "–",
            ]
            for step in self.record.steps
        ]
        lines = markdown_table(["step", "rows in", "changed", "removed", "why"], rows)
        if added := self.extra.get("rows_added"):
            lines += ["", f"{added:,} rows were added to those that were read (copies, or filled places)."]
        return lines

    def annotations(self) -> str:
        """Who or what wrote what people did not; nothing where nothing of the kind is recorded."""
        return ""

    def personal(self) -> str:
        """What was done about personal data."""
        return "No step looked for personal data. Whether rows hold some is not known."

    def limits(self) -> str:
        """What is known to be lopsided, and what nobody measured."""
        lines = ["## Bias, Risks, and Limitations", ""]
        lines += [f"- {_as_text(sentence)}" for sentence in [*self.cautions(), *self.notes()]]
        silent = [source.name for source in self.record.sources if not source.licence]
        if silent:
            lines.append(f"- No licence is stated for {', '.join(silent)}: ask its owner before these rows are shared.")
        lines.append(
            "- This card was written from the record of the build. Whom the rows speak for, whether what they say is right, and "
            "what they must not be used for was not measured; it is for their owner to add."
        )
        return "\n".join(lines)

    def cautions(self) -> list[str]:
        """Sentences on what was measured and is lopsided."""
        return []

    def notes(self) -> list[str]:
        """What the build told people of these rows; folders of the one who built it are left out."""
        told = [str(note) for note in self.extra.get("notes", [])]
        for source in self.record.sources:
            told = [note.replace(source.location, place_of(source)) for note in told]
        return told

    def steps_called(self, *names: str) -> list[StepRecord]:
        """The steps of some names."""
        return [step for step in self.record.steps if step.name in names]


def size_category(rows: int) -> str:
    """How many rows, as hubs sort Datasets."""
    return next((name for limit, name in _SIZES if rows < limit), "n>1T")


def _as_text(words: str) -> str:
    """Words that came of data, on one line and with their angle brackets: Markdown takes ``<video>`` for HTML."""
    return " ".join(words.split()).replace("<", "&lt;")


def place_of(source: SourceRecord) -> str:
    """Where a source is, for strangers: of a file of one's own its name, of an address what is no secret."""
    where = source.location
    if re.match(r"[a-z][a-z0-9+.-]*://", where):
        parts = urlsplit(where)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    return Path(where).name if Path(where).is_absolute() else where
