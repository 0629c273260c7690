"""A studio for tuning, measuring, showing and serving language and image models.

The rooms of the house, and which may import which, are described in ``docs/architecture.md``.
"""

import os

__version__ = "0.1.0"

# GNU OpenMP's threads wait for each other by spinning, for seconds. When another program wants a core, the one that spins keeps
# it from the one it waits for, and a training step takes many times as long (benchmarks/busy_machine.py). A short spin costs
# nothing on a quiet machine. It has to be said before torch is loaded; who has said otherwise is left alone.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
