"""Which kinds of Runs there are. A kind is one object in its own room with the verbs that a Run's road has.

A new kind is a room beside ``chat`` and ``images``, and one line here; ``docs/kinds.md`` shows it done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from studio.core.content import list_content
from studio.core.errors import ConfigError, StudioError, UserError, nearest
from studio.core.registry import Registry
from studio.core.telling import Pairs, Told, duration_text

# Nothing heavy is imported here: the help of commands is made from this table.
if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from studio.core.records import RunRecord
    from studio.core.workspace import Workspace
    from studio.data.examples import Examples
    from studio.schema.loading import Settings
    from studio.train.measuring import Measured
    from studio.train.opening import Asked, Say

RUN_KINDS = Registry(
    "kind of preset",
    {
        "chat": "studio.train.chat.kind:CHAT",
        "diffusion": "studio.train.images.kind:DIFFUSION",
        "vae": "studio.train.images.labelled_kind:VAE",
        "gan": "studio.train.images.labelled_kind:GAN",
        "classifier": "studio.train.predictors.kind:CLASSIFIER",
        "regressor": "studio.train.predictors.kind:REGRESSOR",
        "forecast": "studio.train.forecast.kind:FORECAST",
        "clusters": "studio.train.clusters.kind:CLUSTERS",
        "embedding": "studio.train.embed.kind:EMBEDDING",
        "reranker": "studio.train.embed.kind:RERANKER",
    },
)
EXAMPLE_PRESET = "chat/lora"
"""The preset that helps and messages show to those who have none yet."""
PURPOSE = "Tune a base model on a Dataset, or train a small image model from scratch."
"""What the command that trains says of itself."""
_UNSAID = "chat"
"""What a preset is that does not say its kind, for there was only one once."""


@dataclass(frozen=True)
class PlanWish:
    """How a training is to be planned.

    device: ``cpu`` or ``cuda``, None for this machine's. memory: bytes there are, None for what is free here. probe: measure a
    few real steps. sweep: find the largest micro batch.
    """

    device: str | None = None
    memory: int | None = None
    probe: bool = False
    sweep: bool = False


@dataclass(frozen=True)
class Planned:
    """A plan put into words. check: raises GateNotMetError when the training cannot be; called once the plan was told."""

    told: Told
    check: Callable[[], None]


@dataclass(frozen=True)
class Answers:
    """What a Run says about rows.

    table: columns to add or to write, in order, one value per row. rows: the table they belong beside, None where ``table`` is
    all. notes: what people have to know of it.
    """

    table: pd.DataFrame
    rows: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


class RunKind(ABC):
    """One kind of Run."""

    name: ClassVar[str]
    """What stands under ``kind`` in presets and in ``run.json``."""
    title: ClassVar[str]
    """Heading of its presets in the reference."""
    about: ClassVar[str]
    """What its presets are and where they lie, for the reference."""
    suite: ClassVar[str]
    """The suite that measures it when nothing else is asked for; told as the next step where there is one of that name."""
    app: ClassVar[str | None]
    """The app in which it is tried, None where there is none."""
    datasets: ClassVar[tuple[str, ...]] = ()
    """Kinds of Datasets whose rows it can learn from; none named: whoever trains has to see."""
    rehearses: ClassVar[bool] = False
    """True where a training forecasts parts of its own rows that it has not seen yet: presets are then compared on those parts,
    and the ``validation`` of :meth:`measure` is what came of them. Rows that can be exchanged are compared on folds instead."""

    @property
    @abstractmethod
    def schema(self) -> type[Settings]:
        """The shape of its presets."""

    @abstractmethod
    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """Check everything that can be checked without loading weights, and open the Run; gives back its folder.

        Raises:
            UserError: preset, Dataset, base or setting is wrong.
        """

    @abstractmethod
    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:
        """What a training takes of memory, disk and time, before it starts.

        Raises:
            UserError: it cannot be planned as asked.
        """

    @abstractmethod
    def train(self, folder: Path, *, resume: bool, processes: int, accelerate_config: Path | None, say: Say) -> RunRecord:
        """Train an opened Run, here or in the processes that are asked for.

        Raises:
            InterruptedRunError: a signal came; a checkpoint was saved.
            UserError, StudioError: what is wrong; the record says ``failed``.
        """

    @abstractmethod
    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:
        """What is told at the end of a training after run, steps and loss."""

    @abstractmethod
    def loss_unit(self, record: RunRecord) -> str:
        """What the loss of a run is measured in, as words after the figure."""

    def predict(self, folder: Path, source: str | None, *, options: dict[str, str], say: Say) -> Answers:  # noqa: ARG002 - refused
        """What a Run says about the rows of a file.

        Args:
            source: a file, ``-`` for standard input, None for what the Run knows by itself.
            options: settings of this kind, by name.
        Raises:
            UserError: Runs of this kind say nothing about rows, or the file is not what they take.
        """
        raise UserError(
            f"{folder.parent.name}/{folder.name} is of kind {self.name}, which says nothing about the rows of a file. "
            f"Try it: {f'studio app {self.app} RUN' if self.app else f'studio eval {self.suite} --model RUN'}"
        )

    def measure(self, folder: Path, record: RunRecord, split: str) -> Measured:  # noqa: ARG002 - some kinds open the model
        """How good a finished Run is on the rows of a split of its Dataset, for searches and comparisons of presets.

        Without a word of its own a kind has the ``validation_loss`` of its result, and no value for single rows.

        Raises:
            UserError: nothing is known about these rows.
        """
        from studio.train.measuring import recorded

        return recorded(record, split)

    def examples(self, preset: Settings, dataset: Path, split: str) -> Examples:  # noqa: ARG002 - for kinds that have them
        """The rows of a split as a preset learns from them, where they can be exchanged between training and test.

        Raises:
            UserError: they cannot; or the Dataset and the preset do not fit.
        """
        raise UserError(
            f"runs of kind {self.name} cannot be compared on folds: they say nothing of single rows that were held out. Train "
            f"each preset, and measure the runs with one suite: studio eval {self.suite} --model RUN --baseline OTHER"
        )

    def next_steps(self, folder: Path, record: RunRecord) -> list[str]:  # noqa: ARG002 - some kinds ask how it was trained
        """Commands that make sense after a training."""
        run = f"{folder.parent.name}/{folder.name}"
        shown = [f"studio app {self.app} {run}"] if self.app else []
        return [*([f"studio eval {self.suite} --model {run}"] if self.suite in list_content("evals") else []), *shown]

    def told(self, folder: Path, record: RunRecord) -> Told:
        """The end of a training: figures and what to do next."""
        result: dict[str, Any] = record.result
        rows: list[tuple[str, object]] = [("run", folder)]
        # What fits in one go counts no steps.
        taken = [str(result["steps"])] if result.get("steps") is not None else []
        taken += [duration_text(result["training_seconds"])] if result.get("training_seconds") is not None else []
        if taken:
            rows.append(("steps" if result.get("steps") is not None else "time", " in ".join(taken)))
        # A resume of the very last step takes none.
        if result.get("first_loss") is not None and result.get("final_loss") is not None:
            rows.append(("loss", f"{result['first_loss']:.3f} -> {result['final_loss']:.3f} {self.loss_unit(record)}"))
        rows += self.figures(folder, record)
        steps = self.next_steps(folder, record)
        following = ("\nNext: " + "\n      ".join(steps),) if steps else ()
        return Told((Pairs(rows), *following), {"run": str(folder), **record.model_dump(mode="json")})


def kind_of(path: Path) -> str:
    """The ``kind`` a preset's file says; that of unsaid ones where the file cannot be read, for its reader will say why.

    Raises:
        ConfigError: another kind than those that can be trained.
    """
    import yaml

    try:
        value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return _UNSAID
    kind = value.get("kind", _UNSAID) if isinstance(value, dict) else _UNSAID
    if not isinstance(kind, str) or kind not in RUN_KINDS:
        known = ", ".join(RUN_KINDS)
        raise ConfigError(f"{path}: 'kind' is {kind!r}.{nearest(str(kind), RUN_KINDS)} Allowed: {known}.")
    return kind


def preset_kind(path: Path) -> RunKind:
    """The kind of a preset's file; raises as :func:`kind_of`."""
    found: RunKind = RUN_KINDS.get(kind_of(path))
    return found


def run_kind(record: RunRecord) -> RunKind:
    """The kind of a Run on disk.

    Raises:
        StudioError: it was made by a studio that knows more kinds, or with a kind that is not registered here.
    """
    return kind_named(record.kind, f"the run {record.name}")


def kind_named(name: str, owner: str) -> RunKind:
    """A kind by its name.

    Args:
        owner: what is of this kind, for the message.
    Raises:
        StudioError: there is no such kind.
    """
    if name not in RUN_KINDS:
        known = ", ".join(RUN_KINDS)
        raise StudioError(
            f"{owner} is of kind {name!r}, and this studio knows {known}. Update it, "
            "or register the kind before it is called (docs/kinds.md)."
        )
    found: RunKind = RUN_KINDS.get(name)
    return found


def all_run_kinds() -> list[RunKind]:
    """Every kind, in the order of the table."""
    return [RUN_KINDS.get(name) for name in RUN_KINDS.in_order()]


def load_preset(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a preset of any kind.

    Raises:
        ConfigError: as :func:`studio.schema.loading.load_yaml`.
    """
    from studio.schema.loading import load_yaml

    return load_yaml(path, preset_kind(path).schema, overrides)
