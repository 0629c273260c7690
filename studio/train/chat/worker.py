"""One of several training processes, started by :mod:`studio.train.chat.launch`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from studio.core.errors import InterruptedRunError, StudioError


def _say(text: str) -> None:
    """Remarks go to stderr; stdout is kept for results."""
    sys.stderr.write(text + "\n")


def main(arguments: list[str]) -> int:
    """Train the Run folder that is the first argument; ``--resume`` goes on from its newest whole checkpoint."""
    from studio.train.chat.run import train_run

    try:
        train_run(Path(arguments[0]), resume="--resume" in arguments, say=_say)
    except InterruptedRunError:
        return 0  # the launcher would report another code as a crash; the record says how it ended
    except StudioError as error:
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
