"""``python apps/chat.py …`` is ``studio app chat …``; --help says more."""

import sys

from studio.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["app", "chat", *sys.argv[1:]]))
