"""Which cases of a parametrised test run every time, and which take turns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def taking_turns(values: Iterable[Any], always: Collection[Any]) -> list[Any]:
    """The values as parameters of a test; those that are not in ``always`` are marked ``soak`` (`make test-soak`)."""
    return [value if value in always else pytest.param(value, marks=pytest.mark.soak) for value in values]
