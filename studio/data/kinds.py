"""Which kinds of Datasets there are. A kind is one object in its own room with the verbs that a Dataset's road has.

A new kind is a room beside ``chat`` and ``images``, and one line here; ``docs/kinds.md`` shows it done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from studio.core.errors import StudioError, UserError
from studio.core.registry import Registry

# Nothing heavy is imported here: the help of commands is made from this table.
if TYPE_CHECKING:
    from pathlib import Path

    from studio.core.options import Option
    from studio.core.records import DatasetRecord
    from studio.core.telling import Told
    from studio.core.workspace import Workspace
    from studio.data.build import BuildOutcome
    from studio.data.entries import Entry
    from studio.data.proposals import Proposal, Refusal
    from studio.data.stages import Tell
    from studio.data.workers import Hire
    from studio.schema.loading import Settings

DATASET_KINDS = Registry(
    "kind of Dataset",
    {
        "chat": "studio.data.chat.kind:CHAT",
        "image": "studio.data.images.kind:IMAGE",
        "table": "studio.data.tables.kind:TABLE",
        "series": "studio.data.series.kind:SERIES",
    },
)
EXAMPLE_RECIPE = "chat/construction-faq-en"
"""The recipe that helps and messages show to those who have none yet."""
STARTER_KIND = "chat"
"""The kind of Dataset that a new project begins with."""


@dataclass(frozen=True)
class Wanted:
    """Which rows a person wants to see: a split or what was removed; a row by number (from 1) or id, or a page (from 1)."""

    split: str = "train"
    removed: bool = False
    row: int | None = None
    identity: str | None = None
    page: int = 1


class DatasetKind(ABC):
    """One kind of Dataset."""

    name: ClassVar[str]
    """What stands under ``kind`` in recipes and in ``dataset.json``."""
    rows: ClassVar[str]
    """What its rows are called, in the plural: ``conversations``."""
    title: ClassVar[str]
    """Heading of its recipes in the reference."""
    about: ClassVar[str]
    """What its recipes are and where they lie, for the reference."""
    options: ClassVar[tuple[Option, ...]] = ()
    """Options of ``studio data show`` that only this kind understands."""

    @property
    @abstractmethod
    def schema(self) -> type[Settings]:
        """The shape of its recipes."""

    @abstractmethod
    def build(self, recipe: Any, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        """Build a Dataset from a recipe of this kind, or find it; see :func:`studio.data.build.build_dataset`."""

    def build_with(
        self,
        recipe: Any,  # noqa: ARG002 - for kinds whose builds are helped
        workspace: Workspace,  # noqa: ARG002
        *,
        name: str,  # noqa: ARG002
        beside: Path,  # noqa: ARG002
        tell: Tell,  # noqa: ARG002
        hire: Hire,  # noqa: ARG002
    ) -> BuildOutcome:
        """As :meth:`build`, with helpers other than one process per processor.

        Raises:
            UserError: Datasets of this kind are built in one process.
        """
        raise UserError(f"{self.rows} are built in one process: leave --engine, --ray-address and --processes out.")

    @abstractmethod
    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        """Rows of a split, or those that were removed, as pages show them."""

    @abstractmethod
    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:
        """Rows as a terminal shows them; ``options`` are this kind's own.

        Raises:
            UserError: there is no such split, row, id or page.
        """

    def propose(self, path: Path) -> Proposal | Refusal | None:  # noqa: ARG002 - a kind need not propose anything
        """A recipe of this kind that reads a file or folder, tried on its first rows; None where it holds nothing of this kind.

        Called by ``studio data look`` (:mod:`studio.data.looking`).
        """
        return None


def dataset_kind(record: DatasetRecord) -> DatasetKind:
    """The kind of a Dataset on disk.

    Raises:
        StudioError: it was built by a studio that knows more kinds, or with a kind that is not registered here.
    """
    if record.kind not in DATASET_KINDS:
        known = ", ".join(DATASET_KINDS)
        raise StudioError(
            f"the dataset {record.name} is of kind {record.kind!r}, and this studio knows {known}. Update it, "
            "or register the kind before it is called (docs/kinds.md)."
        )
    found: DatasetKind = DATASET_KINDS.get(record.kind)
    return found


def rows_of(record: DatasetRecord) -> str:
    """What the rows of a Dataset are called, also where its kind is not known here."""
    return DATASET_KINDS.get(record.kind).rows if record.kind in DATASET_KINDS else f"rows of kind {record.kind!r}"


def all_dataset_kinds() -> list[DatasetKind]:
    """Every kind, in the order of the table."""
    return [DATASET_KINDS.get(name) for name in DATASET_KINDS.in_order()]


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> tuple[DatasetKind, Any]:
    """Read a recipe of any kind, and say of which it is.

    Raises:
        ConfigError: see :func:`studio.schema.loading.load_yaml`.
    """
    from pydantic import ConfigDict, create_model

    from studio.schema.loading import Settings, load_yaml

    class AnyRecipe(Settings):
        """The one line by which recipes differ."""

        model_config = ConfigDict(extra="ignore")

    known: Any = Literal[tuple(DATASET_KINDS)]
    only_kind = create_model("Recipe", __base__=AnyRecipe, kind=(known, ...))
    said = load_yaml(path, only_kind, [override for override in overrides if override.partition("=")[0].strip() == "kind"])
    kind: DatasetKind = DATASET_KINDS.get(said.model_dump()["kind"])
    return kind, load_yaml(path, kind.schema, overrides)
