"""Stopping a training that does worse than the others did: the median rule on the validation losses in ``metrics.jsonl``.

Source: Golovin et al. 2017, https://doi.org/10.1145/3097983.3098043, median stopping rule, as Optuna's MedianPruner has it. A
training is asked to stop by the signal that a person's Ctrl-C or a batch system would send; it saves and ends as it would then.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from studio.search import record
from studio.search.journal import Trial, read_trials
from studio.search.space import Space
from studio.search.suggest import Better, as_reported, study_of
from studio.train.recording import read_metrics

LOSS = "eval_loss"
"""What a line of ``metrics.jsonl`` calls the loss on validation rows."""
FEWEST = 5
"""Finished trials before any is stopped."""
WARM_UP = 0.25
"""Share of the usual number of validation losses that a training has before it is judged."""
_SECONDS = 0.5


@dataclass
class Watch:
    """A training under watch. stopped: it was asked to stop, after so many validation losses; None while it was not."""

    file: Path
    worse: Callable[[list[float]], bool]
    stopped: int | None = None
    _seen: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def losses(self) -> list[float]:
        """Validation losses so far, in order."""
        with suppress(OSError, KeyError, TypeError):
            return [float(line[LOSS]) for line in read_metrics(self.file) if line.get(LOSS) is not None]
        return []

    def look(self) -> bool:
        """Judge what was not judged yet, in order, so that the same losses always lead to the same place; True to stop."""
        found = self.losses()
        while self._seen < len(found):
            self._seen += 1
            if self.worse(found[: self._seen]):
                self.stopped = self._seen
                return True
        return False

    def follow(self) -> None:
        """Look again and again until the training ends; then ask it to stop, once."""
        while not self._done.wait(_SECONDS):
            if self.look():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def end(self) -> None:
        """The training has ended."""
        self._done.set()


def median_rule(space: Space, past: Sequence[Trial], metric: str, better: Better) -> Callable[[list[float]], bool]:
    """True once the best loss so far is worse than the median of what earlier trials had at the same place.

    The first quarter of a training is never judged: what learns slowly at first often ends well.
    """
    import optuna

    lengths = [len(trial.curve) for trial in past if trial.state == "finished" and trial.curve]
    first = max(2, math.ceil(WARM_UP * median(lengths))) if lengths else 2
    pruner = optuna.pruners.MedianPruner(n_startup_trials=FEWEST, n_warmup_steps=first)
    trial = study_of(space, past, metric, better, pruner=pruner).ask()

    def worse(losses: list[float]) -> bool:
        trial.report(as_reported(losses[-1], better), len(losses))
        return bool(trial.should_prune())

    return worse


def rule_of(place: Path, past: Sequence[int] | None) -> Callable[[list[float]], bool] | None:
    """The rule of a trial, from the search on disk; None where no training is stopped.

    Args:
        past: numbers of the ended trials that it looks back on.
    """
    if past is None:
        return None
    asked, (trials, _) = record.read(place), read_trials(place)
    assert asked.metric is not None and asked.better is not None
    return median_rule(asked.whole_space, [trials[number] for number in past], asked.metric, asked.better)


@contextmanager
def watched(file: Path, worse: Callable[[list[float]], bool] | None) -> Iterator[Watch | None]:
    """Watch the training inside the block; a signal that comes when it has just ended does no harm.

    Args:
        worse: judges the losses so far; None watches nothing.
    """
    if worse is None:
        yield None
        return
    watch = Watch(file, worse)

    def too_late(number: int, _frame: Any) -> None:
        if watch.stopped is None:
            raise KeyboardInterrupt(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, too_late)
    thread = threading.Thread(target=watch.follow, name="pruning", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
        signal.signal(signal.SIGTERM, before)
