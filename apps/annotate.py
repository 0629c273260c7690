"""``python apps/annotate.py …`` is ``studio app annotate …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "annotate", *sys.argv[1:]]))
