"""``python apps/data.py …`` is ``studio app data …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "data", *sys.argv[1:]]))
