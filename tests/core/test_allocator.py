"""Freed memory stays with the process when asked for."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Page faults of twenty rounds of filling and freeing 64 MB, which glibc hands back to the system each time by default.
ROUNDS = """
import resource, sys
from studio.core.allocator import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
import numpy
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
numpy.ones(8_000_000)
before = faults()
for _ in range(20):
    numpy.ones(8_000_000)
print(kept, faults() - before)
"""


def rounds(word, **environment):
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS, word], capture_output=True, text=True, check=True, env=environment or None
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_the_second_round_needs_nothing_of_the_system():
    _, before = rounds("leave")
    kept, after = rounds("keep")
    assert kept == "True"
    assert after < before / 10


def test_what_the_person_set_stays():
    assert rounds("keep", MALLOC_TRIM_THRESHOLD_="1000000")[0] == "False"
