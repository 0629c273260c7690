"""``python apps/image.py …`` is ``studio app image …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "image", *sys.argv[1:]]))
