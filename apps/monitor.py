"""``python apps/monitor.py …`` is ``studio app monitor …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "monitor", *sys.argv[1:]]))
