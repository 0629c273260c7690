"""Who does the jobs: this process, one after the other, or processes of their own, several at once.

With several, each has a log file, gets a share of the threads, and a GPU of its own where there are several. A process that dies
(out of memory, a crash of a library) takes its trial with it and no other.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from studio.search.journal import Trial
from studio.search.pruning import rule_of
from studio.search.training import Job, run_trial
from studio.train.opening import Say

# A training saves before it ends; after this it is ended.
_PATIENCE_SECONDS = 120.0


class Crew(ABC):
    """Takes jobs and says what becomes of them."""

    @property
    @abstractmethod
    def free(self) -> bool:
        """True when one more job can be taken."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """True while something is to come."""

    @abstractmethod
    def take(self, job: Job) -> None:
        """Begin a job, or remember it."""

    @abstractmethod
    def next(self, started: Callable[[Trial], None]) -> Trial:
        """Wait for the next trial that ends.

        Args:
            started: told of every Run that is opened meanwhile.
        Raises:
            InterruptedRunError, KeyboardInterrupt: a signal came.
        """

    def __enter__(self) -> Crew:
        """Nothing to do."""
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let everybody go."""


class Alone(Crew):
    """This process."""

    def __init__(self, say: Say) -> None:
        """``say`` hears what the first training tells; what the others tell goes into a log file."""
        self._say = say
        self._job: Job | None = None

    @property
    def free(self) -> bool:
        """See :class:`Crew`."""
        return self._job is None

    @property
    def busy(self) -> bool:
        """See :class:`Crew`."""
        return self._job is not None

    def take(self, job: Job) -> None:
        """See :class:`Crew`."""
        self._job = job

    def next(self, started: Callable[[Trial], None]) -> Trial:
        """See :class:`Crew`."""
        job, self._job = self._job, None
        assert job is not None
        worse = rule_of(Path(job.place), job.past)
        return run_trial(job, started=started, worse=worse, say=self._say if job.number == 0 else partial(_log, job))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """See :class:`Crew`."""


def _log(job: Job, text: str) -> None:
    """What a training tells that is much like another one before it."""
    with (Path(job.place) / "trainings.log").open("a", encoding="utf-8") as stream:
        stream.write(f"{job.number}: {text}\n")


class Several(Crew):
    """Processes that do one job after the other; see :mod:`studio.search.worker`."""

    def __init__(self, place: Path, processes: int) -> None:
        """Start them; ``place`` is the folder of the search, which holds their logs."""
        self._events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        gpus = visible_gpus()
        self._place, self._gpus, self._processes = place, gpus, processes
        self._workers = [self._hire(number) for number in range(processes)]

    def _hire(self, number: int) -> _Worker:
        """A new process."""
        return _Worker(number, self._place, environment(number, self._processes, self._gpus), self._events)

    @property
    def free(self) -> bool:
        """See :class:`Crew`."""
        return any(worker.job is None for worker in self._workers)

    @property
    def busy(self) -> bool:
        """See :class:`Crew`."""
        return any(worker.job is not None for worker in self._workers)

    def take(self, job: Job) -> None:
        """See :class:`Crew`."""
        next(worker for worker in self._workers if worker.job is None).begin(job)

    def next(self, started: Callable[[Trial], None]) -> Trial:
        """See :class:`Crew`."""
        while True:
            worker, event = self._events.get()
            if event is None:
                trial = worker.lost()
                self._workers[self._workers.index(worker)] = self._hire(worker.number)
                if trial is not None:
                    return trial
                continue
            trial = Trial(**event)
            worker.trial = trial
            if trial.ended:
                worker.job = None
                return trial
            started(trial)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """See :class:`Crew`; trainings under way save and end first."""
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.gone()


class _Worker:
    """One process and what it is doing."""

    def __init__(
        self, number: int, place: Path, environment: dict[str, str], events: queue.Queue[tuple[_Worker, dict[str, Any] | None]]
    ) -> None:
        self.number = number
        self.job: Job | None = None
        self.trial: Trial | None = None
        self._log = (place / f"process-{number + 1}.log").open("ab")
        # A session of its own: Ctrl-C reaches the search alone, which then asks each training to save.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "studio.search.worker", str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self._reader.start()

    def _read(self, events: queue.Queue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        """Hand on what the process says, and that it is gone."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, None))

    def begin(self, job: Job) -> None:
        """Give it a job; a process that is gone is noticed by its reader."""
        assert self._process.stdin is not None
        self.job, self.trial = job, job.begun()
        with suppress(BrokenPipeError):
            self._process.stdin.write((json.dumps(job.record(), ensure_ascii=False) + "\n").encode())
            self._process.stdin.flush()

    def lost(self) -> Trial | None:
        """What became of its job when the process ended by itself; None where it had none."""
        code = self._process.wait()
        self._close()
        if self.job is None or self.trial is None:
            return None
        killed = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        reason = f"its process ended ({killed}); too little memory is the usual cause. See {Path(self._log.name).name}"
        return self.trial.changed(state="failed", reason=reason)

    def dismiss(self) -> None:
        """Ask it to save and to end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if self.job is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def gone(self) -> None:
        """Wait for it; after a while it is ended."""
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        """Close what was open to a process that has ended."""
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()


def environment(number: int, processes: int, gpus: list[str]) -> dict[str, str]:
    """What a process finds in its environment: a share of the threads, and one of several GPUs."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    found = {"OMP_NUM_THREADS": str(threads), **os.environ}
    if len(gpus) > 1:
        found["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return found


def visible_gpus() -> list[str]:
    """Names of the GPUs as CUDA_VISIBLE_DEVICES has them; empty without any."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(number) for number, line in enumerate(line for line in done.stdout.splitlines() if line.startswith("GPU "))]


def event_line(trial: Trial) -> str:
    """A trial as a process says it."""
    return json.dumps(asdict(trial), ensure_ascii=False) + "\n"
