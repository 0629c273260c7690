"""What a training is asked for on a page: Dataset, preset, base and settings, and the commands that come of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from studio.core.content import content_roots, list_content
from studio.core.errors import ConfigError, StudioError, UserError, nearest
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace, read_dataset
from studio.schema.loading import Settings, read_value
from studio.train.kinds import load_preset

Shape = Literal["conversations", "pairs", "thumbs", "texts", ""]

# Settings that may name a folder or a file of this machine.
_PLACES = ("model", "start", "chat_template", "distill.teacher")


@dataclass(frozen=True)
class Choice:
    """What a person chose. data: ``name`` or ``name/fingerprint``; preset: a name, or a run. settings: ``key=value``. model and
    name empty for the preset's own and for Dataset and preset.
    """

    data: str
    preset: str
    model: str = ""
    name: str = ""
    settings: tuple[str, ...] = ()

    def train(self) -> list[str]:
        """The command that trains."""
        return [*self._begun("train"), *(["--name", self.name] if self.name else [])]

    def plan(self) -> list[str]:
        """The command that says what it takes."""
        return [*self._begun("plan"), "--json"]

    def search(self, trials: str) -> list[str]:
        """The command that tries other settings around these."""
        return [*self._begun("search"), "--trials", trials]

    def compare(self, presets: Sequence[str]) -> list[str]:
        """The command that holds presets against each other on the same rows; settings of one do not go with the others."""
        model = ["--model", self.model] if self.model else []
        return ["compare", *presets, "--data", self.data, *model]

    def address(self, path: str = "/train") -> str:
        """The page of this choice."""
        pairs = [("data", self.data), ("preset", self.preset), ("model", self.model), ("name", self.name)]
        return f"{path}?{urlencode([(key, value) for key, value in pairs if value] + [('set', each) for each in self.settings])}"

    @property
    def overrides(self) -> list[str]:
        """All of it as settings of the preset."""
        given = {"data": self.data, "model": self.model}
        return [*self.settings, *(f"{key}={json.dumps(value)}" for key, value in given.items() if value)]

    def about(self, workspace: Workspace) -> list[str]:
        """Contents on which an answer rests beside its arguments: the preset's text and the Dataset's fingerprint."""
        rows = find_rows(workspace, self.data)
        return [find_preset_here(self.preset, workspace).read_text(encoding="utf-8"), rows.record.fingerprint]

    def _begun(self, command: str) -> list[str]:
        """Command, preset, Dataset, base and settings."""
        model = ["--model", self.model] if self.model else []
        return [command, self.preset, "--data", self.data, *model, *(part for each in self.settings for part in ("--set", each))]


@dataclass(frozen=True)
class Rows:
    """A Dataset to train on. shape: of conversations, what can be learnt from them; target: type of the target of a table."""

    reference: str
    folder: Path
    record: DatasetRecord
    shape: Shape = ""
    target: str = ""


@dataclass(frozen=True)
class Wrong:
    """A mistake: its sentence and the field it belongs to, ``""`` for the whole."""

    sentence: str
    field: str = ""


class FieldError(UserError):
    """A mistake that belongs to a field of a form."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(wrong.sentence)
        self.wrong = wrong


def rows_choices(workspace: Workspace) -> list[tuple[str, DatasetRecord]]:
    """The newest build of each Dataset, newest first, by its name."""
    found: dict[str, DatasetRecord] = {}
    for folder in workspace.list_datasets():
        if folder.parent.name not in found:
            try:
                found[folder.parent.name] = read_dataset(folder)
            except StudioError:
                continue
    return list(found.items())


def find_rows(workspace: Workspace, reference: str) -> Rows:
    """The Dataset of a reference; those of other folders than the workspace's are not looked at.

    Raises:
        UserError: there is none.
    """
    folders = workspace.list_datasets()
    for folder in folders:
        if reference in {folder.parent.name, folder.name, f"{folder.parent.name}/{folder.name}"}:
            record = read_dataset(folder)
            newest = next(other for other in folders if other.parent.name == folder.parent.name) == folder
            name = folder.parent.name if newest else f"{folder.parent.name}/{folder.name}"
            return Rows(name, folder, record, _shape(folder, record), _target(record))
    names = [folder.parent.name for folder in folders]
    raise UserError(
        f"there is no dataset {reference!r} in {workspace.datasets}.{nearest(reference, names)} "
        f"Built: {workspace.built_names() or 'none'}. Build one: studio data build RECIPE"
    )


def _shape(folder: Path, record: DatasetRecord) -> Shape:
    """What the rows of a chat Dataset hold, by its columns and its first rows."""
    if record.kind != "chat":
        return ""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / "train.parquet") as file:
            names = set(file.schema_arrow.names)
            judged = [name for name in ("chosen", "rejected") if name in names]
            if judged:
                rows = next(file.iter_batches(256, columns=judged), None)
                columns = rows.columns if rows is not None else []
                return "pairs" if len(judged) == 2 and not any(column.null_count for column in columns) else "thumbs"
            if "text" in names:
                texts = next(file.iter_batches(256, columns=["text"]), None)
                return "texts" if texts is not None and not texts.column(0).null_count else "conversations"
    except (OSError, ValueError):
        return "conversations"
    return "conversations"


def _target(record: DatasetRecord) -> str:
    """``category``, ``number`` or nothing: what the target of a table is."""
    target = (record.model_extra or {}).get("target")
    kind = target.get("type") if isinstance(target, dict) else None
    return kind if kind in {"category", "number"} else ""


def find_preset_here(name: str, workspace: Workspace) -> Path:
    """The file of a preset's name, or of a run of this workspace; paths are not looked at.

    Raises:
        UserError: there is none.
    """
    parts = name.split("/")
    if not any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts):
        found = (root.joinpath(*parts[:-1], f"{parts[-1]}.yaml") for root in content_roots("adapters"))
        if (file := next((path for path in found if path.is_file()), None)) is not None:
            return file
    for folder in workspace.list_runs():
        if name in {folder.name, f"{folder.parent.name}/{folder.name}"}:
            return folder / "config.yaml"
    known = list_content("adapters")
    raise UserError(f"unknown preset {name!r}.{nearest(name, known)} Known: {', '.join(known) or 'none'}")


def read_preset(choice: Choice, workspace: Workspace, names: Sequence[str]) -> Settings:
    """The preset as chosen, with all that was changed.

    Args:
        names: of the fields there are, to find the one that a sentence means.
    Raises:
        FieldError: a mistake, with its field.
    """
    try:
        return load_preset(find_preset_here(choice.preset, workspace), choice.overrides)
    except ConfigError as error:
        raise FieldError(Wrong(str(error), _field_of(error, names))) from None


def _field_of(error: ConfigError, names: Sequence[str]) -> str:
    """The field that a sentence means: by where the mistake stands, else the first setting that it names."""
    parts = [str(part) for part in error.location]
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in names:
            return ".".join(parts[:end])
    prefix = "".join(f"{part}." for part in parts)
    for word in str(error).replace("'", " ").replace(":", " ").replace(",", " ").split():
        found = next((each for each in (word.strip("."), f"{prefix}{word.strip('.')}") if each in names), None)
        if found:
            return found
    return ""


def refuse_places(choice: Choice, bases: Sequence[str]) -> None:
    """Refuse a folder or file of the server that no run here has used; for those who may train, but do not own the machine.

    Raises:
        FieldError: names the setting.
    """
    said = {key: text for key, _, text in (each.partition("=") for each in choice.settings)} | {"model": choice.model}
    for key in _PLACES:
        text = said.get(key, "")
        try:
            value = read_value(text, key) if key != "model" else text
        except ConfigError:
            value = text
        if not isinstance(value, str) or value in bases or not Path(value).expanduser().exists():
            continue
        raise FieldError(
            Wrong(
                f"{value!r} is a file or folder of the server, which only an administrator may name here. Choose a starter, a "
                "run or a Hub id.",
                key,
            )
        )
