"""How the trial of a round ends: by what the feedback file tells, from an improve or from a watch, whoever looks first."""

from __future__ import annotations

import time
from collections.abc import Callable

from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.loop.canary import Trial, judge_canary
from studio.loop.rounds import Round
from studio.loop.watching import Look
from studio.schema.loop import CanaryRules
from studio.schema.project import Project
from studio.serve.aliases import Canary, end_canary, list_canaries
from studio.serve.state import StatePaths

Say = Callable[[str], None]


def settle_trial(round_: Round, rules: CanaryRules, workspace: Workspace, say: Say, *, now: float | None = None) -> bool:
    """Look at the trial of a round: True where its model is shown to be no worse; else it goes on, or has gone back."""
    record, path = round_.record, StatePaths.of(workspace).aliases
    canary = Canary(**record.begun["trial"]["canary"])
    standing = list_canaries(path).get(record.alias)
    trial = _judged(workspace, canary, record.production, rules, time.time() if now is None else now)
    if standing is None or standing.salt != canary.salt:
        round_.stands("went back", f"the trial of {canary.run} was ended: {trial.sentence}")
        return False
    if trial.state == "no worse":
        round_.done("trial", sentence=trial.sentence, tried=vars(trial.tried), used=vars(trial.used))
        say(f"trial over: {trial.sentence}")
        return True
    if trial.state == "going on":
        round_.stands("trial", trial.sentence)
        return False
    end_canary(path, record.alias)
    round_.stands("went back", trial.sentence)
    return False


def _judged(workspace: Workspace, canary: Canary, used: dict[str, str], rules: CanaryRules, now: float) -> Trial:
    """The trial by the feedback file; without one nothing was answered yet."""
    store = FeedbackStore(workspace.root / FILE_NAME)
    try:
        return judge_canary(store, canary, used, rules, now=now)
    finally:
        store.close()


def follow_trial(project: Project, workspace: Workspace, found: Look, *, say: Say) -> list[str]:
    """Take back a model on trial that a look has found worse; gives back what to tell."""
    alias = project.watch.rules.alias
    if found.trial is None or found.trial.state == "going on":
        return []
    if found.trial.state == "no worse":
        return [f"the trial behind {alias} is over ({found.trial.sentence}): studio improve promotes it"]
    try:
        gone = end_canary(StatePaths.of(workspace).aliases, alias)
    except UserError:
        return []  # somebody else has just ended it
    except StudioError as error:
        return [f"the trial behind {alias} could not be ended: {error}"]
    say(f"{gone.model} is taken back: {found.trial.sentence}")
    return [f"{gone.model} ({gone.run}) was taken back from {alias}"]
