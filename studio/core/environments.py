"""Environments of their own, for packages that pin what training needs otherwise: made once, found again, made anew when broken.

A folder lies in the studio's cache under the name and version of what it is for, and is whole only when its stamp says so: an
installation that was killed half way has none. What runs in one is a script of the studio's own that imports nothing of the
studio; it takes one JSON document and gives one back.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline
from studio.core.files import disk_errors, write_json
from studio.core.workspace import cache_folder

Say = Callable[[str], None]

STAMP = "studio-environment.json"
LOG = "studio-pip.log"
_BIG_DOWNLOAD = re.compile(r"Downloading (?:\S*/)?(\S+) \((\d{2,}(?:\.\d+)? MB|[\d.]+ GB)\)")
_SHOWN_LINES = 6


@dataclass(frozen=True)
class OwnEnvironment:
    """What an environment holds.

    name: folder in the cache, and what ``--install`` takes. version: another one lies in another folder. installs: arguments of
    ``pip install``, one tuple after the other. proof: Python that imports what is needed. needs: bytes on disk while it is made.
    command: the line that installs it, for messages. feature: what it is for, in the person's words.
    """

    name: str
    version: str
    installs: tuple[tuple[str, ...], ...]
    proof: str
    needs: int
    command: str
    feature: str

    @property
    def variable(self) -> str:
        """The variable that names a Python of the person's own instead."""
        return f"STUDIO_{self.name.upper()}"

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return cache_folder() / self.name / self.version


def find_python(wanted: OwnEnvironment) -> Path:
    """The Python of an environment that is whole, or the one that its variable names.

    Raises:
        UserError: there is none, or it was not installed to the end; the remedy is one command.
    """
    chosen = os.environ.get(wanted.variable)
    if chosen:
        place = Path(chosen).expanduser()
        python = place / "bin" / "python" if place.is_dir() else place
        if not python.is_file():
            raise UserError(f"{wanted.variable}={chosen} is no Python and no virtual environment. Unset it, or: {wanted.command}")
        return python
    if (found := _whole(wanted)) is not None:
        return found
    how = "was not installed to the end" if wanted.folder.is_dir() else "is not installed yet"
    raise UserError(
        f"{wanted.feature} needs an environment of its own, which {how} ({wanted.folder}). Install it: {wanted.command}"
    )


def install(wanted: OwnEnvironment, *, say: Say, anew: bool = False) -> Path:
    """Make an environment unless it is whole, and give back its Python.

    Raises:
        StudioError: no network, no room, or pip fails (the end of what it said is in the message).
    """
    folder = wanted.folder
    with disk_errors(f"the environment {wanted.name}", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, say):
            found = _whole(wanted)
            if found is not None and not anew:
                return found
            if offline():
                raise StudioError(
                    f"the environment {wanted.name} cannot be installed into {folder}: the network is switched off "
                    "(HF_HUB_OFFLINE or STUDIO_OFFLINE). Install it once with the network on."
                )
            check_room(folder.parent, wanted.needs, f"the environment {wanted.name}")
            clear(folder, say, anew=anew)
            make_venv(folder, say)
            for arguments in wanted.installs:
                say(f"installing {', '.join(each for each in arguments if not each.startswith('-'))}")
                pip(folder, ["install", *arguments], say, what=f"the environment {wanted.name}")
            say("importing it once")
            prove(folder, wanted.proof, f"the environment {wanted.name}")
            write_json(folder / STAMP, {"format": 1, "name": wanted.name, "version": wanted.version})
            return folder / "bin" / "python"


def run_script(python: Path, script: Path, question: Any, *, folder: Path, say: Say = lambda _line: None) -> Any:
    """Run a script in an environment: it reads the JSON file that is its only argument's ``question``, writes ``answer``.

    The script is called as ``python script QUESTION.json ANSWER.json``. It runs in a process of its own, so that a crash of a
    native library is a sentence and not the end of this one.

    Args:
        folder: an existing folder for both files; they stay there.
        say: takes each line that the script writes to standard output.
    Raises:
        StudioError: it failed or crashed; the message ends with its last lines.
    """
    asked, answered = folder / f"{script.stem}-question.json", folder / f"{script.stem}-answer.json"
    write_json(asked, question)
    command = [str(python), "-u", str(script), str(asked), str(answered)]
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=quiet_environment()
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                say(lines[-1])
        except BaseException:
            process.terminate()
            raise
    if process.returncode or not answered.is_file():
        how = f"was ended by signal {-process.returncode}" if process.returncode < 0 else f"failed ({process.returncode})"
        told = "\n".join([line for line in lines if line.strip()][-_SHOWN_LINES:])
        raise StudioError(f"{script.name} {how} under {python}. The end of what it said:\n{told}")
    return json.loads(answered.read_text(encoding="utf-8"))


def clear(folder: Path, say: Say, *, anew: bool) -> None:
    """Remove an environment that is not whole or not wanted any more."""
    if folder.exists():
        how = "an earlier installation is removed and made anew" if anew else "an earlier installation was cut off; made anew"
        say(how)
        for stamp in folder.glob("studio-*.json"):
            stamp.unlink()
        shutil.rmtree(folder)


def make_venv(folder: Path, say: Say) -> None:
    """An empty virtual environment with pip; where this Python has no ensurepip, pip comes from beside it."""
    say(f"making {folder}")
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = str(base if base.exists() else sys.executable)
    done = subprocess.run([python, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        bare = [python, "-m", "venv", "--without-pip", str(folder)]
        done = subprocess.run(bare, capture_output=True, text=True, check=False)
        if not done.returncode:
            fill = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "pip"]
            done = subprocess.run(fill, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise StudioError(
            f"{python} could not make a virtual environment in {folder} ({''.join(reason)}). "
            "On Debian or Ubuntu: apt install python3-venv"
        )


def pip(folder: Path, arguments: Sequence[str], say: Say, *, what: str) -> None:
    """Run the environment's own pip; large downloads are told, everything goes to a log.

    Raises:
        StudioError: pip failed; the message ends with its last lines.
    """
    command = [str(folder / "bin" / "python"), "-m", "pip", *arguments[:1], "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", *arguments[1:]]
    lines: list[str] = []
    with (
        (folder / LOG).open("a", encoding="utf-8") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                lines.append(line.rstrip())
                if big := _BIG_DOWNLOAD.search(line):
                    say(f"downloading {big[1]} ({big[2]})")
                elif line.startswith("Installing collected packages:"):
                    say(f"unpacking {line.count(',') + 1} packages")
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        told = [line for line in lines if line.strip()][-_SHOWN_LINES:]
        raise StudioError(f"pip could not install {what}; everything it said is in {folder / LOG}. The end:\n" + "\n".join(told))


def prove(folder: Path, code: str, what: str) -> str:
    """Run Python code in an environment once, so that a broken one is known now; gives back what it printed.

    Raises:
        StudioError: it failed.
    """
    command = [str(folder / "bin" / "python"), "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet_environment())
    if done.returncode:
        told = "\n".join(done.stderr.strip().splitlines()[-_SHOWN_LINES:])
        raise StudioError(f"{what} was installed into {folder} but cannot be imported. The end of what it said:\n{told}")
    return done.stdout


def quiet_environment() -> dict[str, str]:
    """This process's environment without what would bring other packages into another Python."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}


def threads() -> int:
    """Threads to compute with: those the person's OMP_NUM_THREADS allows, else one per processor of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else len(os.sched_getaffinity(0))


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudioError(
            f"{folder} has {free / 1e9:.1f} GB free, and {what} needs about {needed / 1e9:.0f} GB. "
            "Make room, or choose another disk with STUDIO_CACHE."
        )


@contextmanager
def alone(folder: Path, say: Say) -> Iterator[None]:
    """Hold the lock of a folder: two installations at once wait for each other."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another installation is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _whole(wanted: OwnEnvironment) -> Path | None:
    """The Python of an environment, None when it is missing, half made, or its Python is gone."""
    python = wanted.folder / "bin" / "python"
    try:
        json.loads((wanted.folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return python if python.exists() else None
