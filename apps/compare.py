"""``python apps/compare.py …`` is ``studio app compare …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "compare", *sys.argv[1:]]))
