"""A project: what is wanted, for whom, how it is judged, what could go wrong. Each field is documented once, here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.core.errors import UserError
from studio.schema.loading import Settings
from studio.schema.loop import Improve, WatchRules
from studio.schema.suite import Threshold

Text = Annotated[str, Field(min_length=1)]
TaskKind = Literal["labels", "numbers", "series", "groups", "chat", "pictures"]
Input = Literal["columns", "text", "pictures", "conversations", "texts", "pairs", "thumbs"]


class Risk(Settings):
    """Something that could go wrong, and what is done about it."""

    what: Text
    """What could happen, and to whom."""
    measure: Text
    """What is done against it, or why it is accepted."""


class ProjectData(Settings):
    """The data of the project."""

    recipe: Text
    """Recipe of the corpus: a registry name or a path."""
    rights: Text
    """Why this data may be used: who owns it, under which licence, with whose consent."""
    personal: Literal["none", "scrubbed", "present"]
    """Personal data in the corpus: none, removed by the recipe, or still there (then ``risks`` has to name it)."""


class Need(Settings):
    """The task in terms that can be weighed, for ``studio advise``. What a Dataset is named for is counted there."""

    kind: TaskKind
    """``labels`` or ``numbers`` for rows, a forecast of ``series``, ``groups`` of alike rows, answers in a ``chat``, or new
    ``pictures``."""
    input: Input | None = None
    """What a row is made of: columns of a table, a text, or a picture; of a chat a conversation, raw text (``texts``), a pair of
    answers, or one that was liked or not (``thumbs``). None takes it from the Dataset."""
    dataset: Text | None = None
    """A Dataset that is built: its rows, columns and labels are counted, and each preset is planned on it."""
    target: Text | None = None
    """Column that is predicted; None takes the Dataset's own."""
    rows: Annotated[int, Field(gt=0)] | None = None
    """Rows there are or will be, all splits together."""
    classes: Annotated[int, Field(gt=1)] | None = None
    """Different labels."""
    series: Annotated[int, Field(gt=0)] | None = None
    """Series that are forecast."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes that one training may take."""
    memory: Text | None = None
    """Memory that a training may take, for example 8GiB; None takes what is free."""


class Watch(Settings):
    """How the model is watched after it went into use."""

    owner: Text
    """Who answers for it."""
    every: Text = "month"
    """How often the metrics are measured again."""
    signals: Annotated[list[Text], Field(min_length=1)]
    """What is looked at: feedback, complaints, scores on new questions."""
    stop_when: Text
    """When it is taken out of use."""
    rules: WatchRules = WatchRules()
    """What ``studio watch`` looks at by itself, and whom it tells."""


class Project(Settings):
    """``project.yaml``: the goal of a project and what success means, written down before anything is trained."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the project, also of its recipe."""
    task: Text
    """What the model has to do, in one sentence."""
    audience: Text
    """Who uses it, and in which situation."""
    not_for: list[Text] = []
    """What it must not be used for."""
    success: Annotated[list[Threshold], Field(min_length=1)]
    """Metrics and thresholds, in the form that suites have: they can be copied into a suite's ``thresholds``."""
    data: ProjectData
    """The data of the project."""
    needs: Need | None = None
    """The task in terms that ``studio advise`` weighs."""
    limits: list[Text] = []
    """What is known not to work, or is left out on purpose."""
    risks: list[Risk] = []
    """What could go wrong, and what is done about it."""
    watch: Watch
    """How the model is watched after it went into use."""
    improve: Improve = Improve()
    """The rules of ``studio improve``."""

    @model_validator(mode="after")
    def _personal_data_is_a_risk(self) -> Project:
        """Personal data that stays in the corpus has to be faced as a risk."""
        if self.data.personal == "present" and not self.risks:
            raise ValueError("'data.personal' is 'present', but 'risks' is empty. Name the risk and what is done about it.")
        return self

    @model_validator(mode="after")
    def _nothing_left_to_fill_in(self) -> Project:
        """The starter file's ``FILL IN`` marks are questions, not answers."""
        for place, text in _texts(self.model_dump(), ""):
            if text.startswith("FILL IN"):
                raise ValueError(f"'{place}' is still to be filled in ({text.removeprefix('FILL IN').strip(' :')}).")
        return self


def find_project(reference: str | Path) -> Path:
    """``project.yaml`` of a project's folder, which may also be named from inside it, or the file itself.

    Raises:
        UserError: there is none.
    """
    folder = Path(reference).expanduser()
    file = folder if folder.is_file() else folder / "project.yaml"
    here = Path("project.yaml")
    if not folder.exists() and here.is_file() and Path.cwd().name == folder.name:
        file = here  # called inside the project's folder
    if not file.is_file():
        raise UserError(f"{reference} is not a project: it has no project.yaml. Make one: studio init NAME")
    return file


def _texts(value: object, place: str) -> list[tuple[str, str]]:
    """Every text in a plain value with its place, in order."""
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _texts(inner, f"{place}.{key}" if place else str(key))]
    if isinstance(value, list):
        return [found for index, inner in enumerate(value) for found in _texts(inner, f"{place}.{index}")]
    return []
