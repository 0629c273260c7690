"""What can be chosen for a training: presets that fit a Dataset's rows, and bases that a preset can start from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from studio.core.content import list_content
from studio.core.errors import StudioError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.pages.choosing import Rows, Shape
from studio.schema.preference import PAIRED
from studio.train.kinds import RUN_KINDS, preset_kind

# What each shape of rows can be learnt by, the first one proposed.
_OBJECTIVES: dict[Shape, tuple[str, ...]] = {
    "conversations": ("sft", "text", "distill", "grpo"),
    "pairs": (*PAIRED, "reward", "kto"),
    "thumbs": ("kto",),
    "texts": ("text",),
}
_FIRST: dict[str, str] = {
    "conversations": "chat/lora", "pairs": "chat/dpo", "thumbs": "chat/kto", "texts": "chat/text", "image": "diffusion/pixel",
    "category": "classify/logistic", "number": "regress/boosting", "table": "cluster/kmeans", "series": "forecast/theta",
}  # fmt: skip
_NEWEST_RUNS = 50


@dataclass(frozen=True)
class Listed:
    """A preset as lists show it."""

    name: str
    path: Path
    kind: str
    description: str
    why: str
    objective: str


@dataclass(frozen=True)
class Bases:
    """What can be tuned. runs: adapters to go on from, or whole tuned models; folders: those that runs have used."""

    starters: tuple[tuple[str, str], ...] = ()
    runs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*(name for name, _ in self.starters), *self.runs, *self.folders]


def presets_for(rows: Rows) -> tuple[list[Listed], list[Listed]]:
    """Presets that learn from such rows, the proposed one first; and those that learn from rows of this kind in another shape."""
    fitting: list[Listed] = []
    others: list[Listed] = []
    for name, path in list_content("adapters").items():
        listed = _listed(name, str(path), path.stat().st_mtime_ns)
        if listed is None:
            continue
        wanted = RUN_KINDS.get(listed.kind).datasets
        if wanted and rows.record.kind not in wanted:
            continue
        fits = not rows.shape or not listed.objective or listed.objective in _OBJECTIVES[rows.shape]
        if listed.kind in {"classifier", "regressor"} and rows.record.kind == "table":
            fits = listed.kind == {"category": "classifier", "number": "regressor"}.get(rows.target)
        (fitting if fits else others).append(listed)
    first = _FIRST.get(rows.shape or rows.target or rows.record.kind, "")
    own = _FIRST.get(rows.record.kind, "")
    return sorted(fitting, key=lambda each: (each.name != first, each.name != own, _room(each, first), each.name)), others


def _room(listed: Listed, first: str) -> bool:
    """False for presets beside the proposed one, which stand before all others."""
    return listed.name.partition("/")[0] != first.partition("/")[0]


@functools.lru_cache(maxsize=512)
def _listed(name: str, path: str, changed: int) -> Listed | None:
    """A preset's lines for lists; None for a file that is none."""
    try:
        said: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        kind = preset_kind(Path(path)).name
    except (OSError, ValueError, yaml.YAMLError, StudioError):
        return None
    if not isinstance(said, dict):
        return None
    objective = str(said.get("objective", "sft")) if kind == "chat" else ""
    return Listed(name, Path(path), kind, str(said.get("description", "")), str(said.get("why", "")), objective)


def bases_for(kind: str, workspace: Workspace) -> Bases:
    """What presets of a kind can start from."""
    from studio.models.starters import ALL_STARTERS

    uses = {"chat": ("language model",), "embedding": ("text encoder",), "reranker": ("text encoder",)}
    wanted = uses.get(kind, ("text encoder", "picture network") if kind in {"classifier", "clusters"} else ())
    starters = tuple((starter.name, starter.title) for starter in ALL_STARTERS.values() if starter.use in wanted)
    runs, folders = [], []
    for folder, record in _finished(workspace):
        if record.base.get("source") == "local" and record.kind == kind and record.base.get("path"):
            folders.append(str(record.base["path"]))
        tuned = "adapter" if kind == "chat" and (folder / "adapter").is_dir() and record.method == "lora" else "model"
        if record.kind == kind and kind in {"chat", "diffusion"} and (folder / tuned).is_dir() and _goes_on(record):
            runs.append(f"{folder.parent.name}/{folder.name}")
    return Bases(starters, tuple(runs), tuple(dict.fromkeys(folders)))


def _goes_on(record: RunRecord) -> bool:
    """False for runs whose result is no model that answers, but a score."""
    return record.method != "reward"


def _finished(workspace: Workspace) -> list[tuple[Path, RunRecord]]:
    """The newest finished runs."""
    found = []
    for folder in workspace.list_runs()[:_NEWEST_RUNS]:
        try:
            record = read_run(folder)
        except StudioError:
            continue
        if record.status == "finished":
            found.append((folder, record))
    return found
