"""``python apps/predict.py …`` is ``studio app predict …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "predict", *sys.argv[1:]]))
