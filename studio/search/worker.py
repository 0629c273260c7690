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
from studio.search.crew import event_line
from studio.search.journal import Trial
from studio.search.pruning import rule_of
from studio.search.training import Job, run_trial


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
            tell(run_trial(job, started=tell, worse=rule_of(place, job.past), say=_say))
    except (InterruptedRunError, KeyboardInterrupt):
        sys.exit(InterruptedRunError.exit_code)


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
