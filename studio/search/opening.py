"""Opening a search: what a person asked for, checked before anything trains, and written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio import __version__
from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.core.runs import flatten
from studio.core.workspace import Workspace, read_dataset
from studio.schema.loading import load_yaml
from studio.search import record as records
from studio.search.known import known_space
from studio.search.record import SearchRecord
from studio.search.space import Space, read_space
from studio.train.kinds import preset_kind
from studio.train.opening import Asked, find_preset, named_dataset

TRIALS = 20
"""Trials when neither their number nor minutes are said."""


@dataclass(frozen=True)
class Wish:
    """A search as a person asks for it. file: of the space. Others: as in :class:`studio.schema.search.SearchFile`, None where
    they were not given. memory: bytes for each trial.
    """

    preset: str
    data: str | None = None
    model: str | None = None
    settings: tuple[str, ...] = ()
    file: Path | None = None
    by: str | None = None
    trials: int | None = None
    minutes: float | None = None
    metric: str | None = None
    prune: bool | None = None
    seed: int | None = None
    memory: int | None = None
    processes: int = 1
    name: str | None = None
    suite: str | None = None
    engine: Literal["here", "ray"] = "here"


def open_search(wish: Wish, workspace: Workspace) -> Path:
    """Check everything that can be checked before anything trains, and make the folder.

    Raises:
        UserError: preset, Dataset, space or budget is wrong; ConfigError for a slip in a setting.
    """
    from studio.schema.search import SearchFile
    from studio.train.capacity import memory_of

    path = find_preset(wish.preset, workspace)
    kind = preset_kind(path)
    written = load_yaml(wish.file, SearchFile) if wish.file is not None else None
    model = [f"model={wish.model}"] if wish.model else []
    space = read_space(path, kind.schema, wish.settings, written.space if written else None, str(wish.file))
    preset = load_yaml(path, kind.schema, [*space.fixed, *model])
    resolved = flatten(preset.model_dump(mode="json", exclude={"search"}))
    if not space.dimensions:
        own: Mapping[str, Any] | None = getattr(preset, "search", None)
        space = known_space(path, kind.schema, space.fixed, resolved, wish.preset, own)
    given = wish.data or resolved.get("data")
    folder = workspace.find_dataset(named_dataset(given, workspace))
    dataset = _with_validation(folder)
    by = wish.by or (written.by if written else "tpe")
    trials, minutes = _budget(wish, written, by, space)
    workspace.check_writable()
    name = Asked(path, wish.preset, name=wish.name).run_name(dataset)
    place, identity, created = records.new_place(workspace.root / "searches", name)
    share = memory_of("cpu") if wish.processes > 1 and wish.memory is None else None
    records.save(
        place,
        SearchRecord(
            kind=kind.name,
            name=name,
            id=identity,
            status="running",
            created=created,
            preset=str(path.resolve()),
            called=wish.preset,
            data=str(folder),
            dataset={"name": dataset.name, "fingerprint": dataset.fingerprint},
            model=wish.model,
            fixed=list(space.fixed),
            space={item.key: item.text for item in space.dimensions},
            ranges=space.record(),
            by=by,
            trials=trials,
            minutes=minutes,
            metric=wish.metric or (written.metric if written else None),
            prune=wish.prune if wish.prune is not None else written.prune if written else True,
            seed=wish.seed if wish.seed is not None else written.seed if written else 0,
            memory=wish.memory or (share // wish.processes if share is not None else None),
            lag=wish.processes,
            engine=wish.engine,
            suite=wish.suite or kind.suite,
            studio_version=__version__,
        ),
    )
    return place


def _with_validation(folder: Path) -> DatasetRecord:
    """The Dataset's record.

    Raises:
        UserError: it has no validation rows to judge trials on.
    """
    dataset = read_dataset(folder)
    if not dataset.splits.get("validation"):
        raise UserError(
            f"a search judges its trials on validation rows, and {dataset.name} has none. Build it with more: "
            f"studio data build RECIPE --set split.validation=0.2"
        )
    return dataset


def _budget(wish: Wish, written: Any, by: str, space: Space) -> tuple[int | None, float | None]:
    """Trials and minutes, as the command line or the file says.

    Raises:
        UserError: there is none, or a grid holds more.
    """
    given = wish.trials is not None or wish.minutes is not None
    trials = wish.trials if given else written.trials if written else None
    minutes = wish.minutes if given else written.minutes if written else None
    if trials is not None and trials < 1:
        raise UserError(f"--trials {trials}: a search needs at least one trial beside the preset's own settings.")
    if minutes is not None and minutes <= 0:
        raise UserError(f"--minutes {minutes:g}: a search needs some time. Give a number above 0.")
    if by == "grid":
        size = len(space.grid())
        if trials is not None and trials < size:
            raise UserError(
                f"the grid has {size:,} combinations and --trials is {trials:,}: a grid that is cut off covers a corner only. "
                "Leave --trials out, take fewer values (low..high:points=3), or draw: --by random"
            )
        return (None if minutes is not None else size), minutes
    return (TRIALS if trials is None and minutes is None else trials), minutes
