"""Where the published benchmark files are, and small models of several kinds."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studio.core.workspace import Workspace
from studio.evals.task import TaskContext
from studio.schema.tasks import TaskSettings

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject

# As for `studio eval`: the folder that the variable names, else the one beside the checkout.
PUBLISHED = Path(os.environ.get("STUDIO_BENCHMARKS") or Path(__file__).resolve().parents[4].parent / "shared" / "data")


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of the published files, one folder per benchmark."""
    if not PUBLISHED.is_dir():
        pytest.skip(f"the published benchmark files are not beside this checkout ({PUBLISHED})")
    return PUBLISHED


@pytest.fixture
def context(subject: LocalSubject, workspace: Workspace) -> Callable[..., TaskContext[Any]]:
    """Make a task's context with the lively model as ``tuned`` and a model with other weights as ``base``."""
    import torch

    from studio.evals.chat.subjects import LocalSubject

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        other = copy.deepcopy(subject.model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    base = LocalSubject("base", other, subject.tokenizer, subject.template)
    subjects = {"tuned": subject, "base": base}

    @contextmanager
    def opened(label: str) -> Iterator[LocalSubject]:
        yield subjects[label]

    def make(task: TaskSettings, *, labels: tuple[str, ...] = ("tuned", "base"), seed: int = 0) -> TaskContext[Any]:
        return TaskContext(labels=labels, task=task, seed=seed, resamples=100, workspace=workspace, open_subject=opened)

    return make
