"""``python -m studio.search.worker FOLDER``: does the jobs that come on standard input, one line each, and says on standard
output what becomes of them. Whatever else is printed goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from studio.core.errors import InterruptedRunError
from studio.search import record
from studio.search.crew import event_line
from studio.search.journal import Trial, read_trials
from studio.search.pruning import median_rule
from studio.search.training import Job, Worse, run_trial


def main() -> None:
    """Do jobs until no more come."""
    place = Path(sys.argv[1])
    words = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not be read as events
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()

    def tell(trial: Trial) -> None:
        words.write(event_line(trial))
        words.flush()

    try:
        for line in sys.stdin:
            job = Job.of(json.loads(line))
            tell(run_trial(job, started=tell, worse=_rule(place, job), say=_say))
    except (InterruptedRunError, KeyboardInterrupt):
        sys.exit(InterruptedRunError.exit_code)


def _rule(place: Path, job: Job) -> Worse | None:
    """What stops the training, from the trials that have ended."""
    if job.past is None:
        return None
    asked = record.read(place)
    trials, _ = read_trials(place)
    assert asked.metric is not None and asked.better is not None
    return median_rule(asked.whole_space, [trials[number] for number in job.past], asked.metric, asked.better)


def _say(text: str) -> None:
    """What a training tells goes into the log."""
    sys.stderr.write(f"{text}\n")


def _end_with_parent(parent: int) -> None:
    """A search that was killed must not leave trainings behind, which its next sitting would begin again."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
