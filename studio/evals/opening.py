"""Opening the models to be measured: a run with its adapter on, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from studio.adapters.loading import LoadedRun, load_run, saved_settings
from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace
from studio.evals.subjects import LocalSubject
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.encoding import TrainOn
from studio.models.loading import load_causal_lm, load_tokenizer, pick_device, pick_dtype
from studio.models.templates import PLAIN, ChatTemplate, choose_template

OWN_BASE: Literal["base"] = "base"
NO_BASE = "none"
Baseline = Literal["base"] | Path | ResolvedBase


def find_baseline(baseline: str, run: RunRecord, workspace: Workspace) -> Baseline | None:
    """``base`` for the run's own base, a run's folder, a base model, or None when no baseline is wanted."""
    if baseline == NO_BASE:
        return None
    if baseline in {OWN_BASE, run.base.get("name"), run.base.get("path")}:
        return OWN_BASE
    try:
        return workspace.find_run(baseline)
    except UserError:
        pass
    try:
        return resolve_base(baseline)
    except UserError as error:
        raise UserError(f"--baseline {baseline} is no run in {workspace.runs}, and {error}") from error


def open_tuned(run_folder: Path, label: str = "tuned") -> tuple[LoadedRun, LocalSubject]:
    """Load a run, ready to be asked."""
    loaded = load_run(run_folder)
    record = loaded.record
    about: dict[str, Any] = {
        "kind": "run",
        "name": record.name,
        "id": record.id,
        "path": str(run_folder),
        "method": record.method,
        "base": record.base.get("name"),
        "base_sha256": record.base.get("sha256"),
        "template_sha256": loaded.template.sha256,
    }
    return loaded, LocalSubject(label, loaded.model, loaded.tokenizer, loaded.template, _train_on(run_folder), about)


@contextmanager
def open_baseline(chosen: Baseline, loaded: LoadedRun, tuned: LocalSubject) -> Iterator[LocalSubject]:
    """Open what the run is compared with, under the label ``base``.

    Args:
        chosen: from :func:`find_baseline`.
    """
    if chosen == OWN_BASE:
        with loaded.base() as model:
            yield base_of(loaded, model, tuned.train_on)
    elif isinstance(chosen, Path):
        yield open_tuned(chosen, "base")[1]
    else:
        yield _open_base(chosen, tuned)


def base_of(loaded: LoadedRun, model: Any, train_on: TrainOn) -> LocalSubject:
    """The run's own base, asked with the run's tokenizer and template, so that both read the very same tokens."""
    record = loaded.record
    about = {
        "kind": "base",
        "name": record.base.get("name"),
        "path": record.base.get("path"),
        "base_sha256": record.base.get("sha256"),
        "template_sha256": loaded.template.sha256,
    }
    return LocalSubject("base", model, loaded.tokenizer, loaded.template, train_on, about)


def _open_base(base: ResolvedBase, tuned: LocalSubject) -> LocalSubject:
    """Another base model with its own tokenizer, and its own template where it has one."""
    tokenizer = load_tokenizer(base)
    try:
        template = choose_template(tokenizer, None, base.name)
    except UserError:
        same = tokenizer.get_vocab() == tuned.tokenizer.get_vocab()
        template = tuned.template if same else ChatTemplate("plain", PLAIN)
    device = pick_device()
    model = load_causal_lm(base, dtype=pick_dtype("auto", device), device=device)
    about = {
        "kind": "base",
        "name": base.name,
        "path": str(base.folder),
        "base_sha256": base.sha256,
        "template_sha256": template.sha256,
    }
    return LocalSubject("base", model, tokenizer, template, tuned.train_on, about)


def _train_on(run_folder: Path) -> TrainOn:
    """Which assistant turns are scored: those the run trained. Prompts are never scored, even where they were trained."""
    return "last_assistant" if saved_settings(run_folder).get("train_on") == "last_assistant" else "assistant"
