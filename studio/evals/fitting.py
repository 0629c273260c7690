"""Which suites can measure a Run, so that nobody starts one that ends with nothing measured."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from studio.evals.suites import load_suite
from studio.evals.tasks import ASKED
from studio.schema.suite import Suite

# Kinds of Runs that a task can measure; one that is not here (added from outside the studio) may measure any.
_WRITERS = dict.fromkeys(ASKED, frozenset({"chat"}))
_MEASURES: dict[str, frozenset[str]] = _WRITERS | {
    "classification": frozenset({"chat", "classifier"}),
    "regression": frozenset({"chat", "regressor"}),
    "fairness": frozenset({"chat", "classifier", "regressor"}),
    "pairs": frozenset({"chat"}),
    "images": frozenset({"diffusion", "vae", "gan"}),
    "forecast": frozenset({"forecast"}),
    "clustering": frozenset({"clusters"}),
    "retrieval": frozenset({"embedding", "reranker"}),
}
# A model that gives points to answers writes none itself, and only it can be asked for points.
_SCORING, _SCORES = "reward", "pairs"


def fits(suite: Suite, kind: str, objective: str | None = None) -> bool:
    """True when every task of a suite can measure Runs of a kind.

    Args:
        kind: as in ``run.json``. objective: of the training, where its kind has several.
    """
    types = {task.type for task in suite.all_tasks()}
    if kind == "chat" and (types == {_SCORES}) != (objective == _SCORING):
        return False
    return all(kind in _MEASURES.get(each, {kind}) for each in types)


def suite_of_file(path: Path) -> Suite:
    """The suite of a file; read again only once the file has changed.

    Raises:
        ConfigError: a mistake in it.
    """
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=128)
def _read(path: Path, _changed: int) -> Suite:
    """Read a suite."""
    return load_suite(path)
