"""Settings of a trial depend on the seed, its number and what it may look back on, and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from studio.search.journal import Trial
from studio.search.space import Choices, Range, Space
from studio.search.suggest import settings_of

SPACE = Space((Range("C", 0.01, 100.0, log=True), Choices("penalty", ("l1", "l2"))))


def loss(values: dict[str, Any]) -> float:
    return float(abs(values["C"] - 8) + (values["penalty"] == "l1"))


def tried(count: int, by: Any, *, seed: int = 0, space: Space = SPACE, after: list[Trial] | None = None) -> list[Trial]:
    """A search of so many trials, or the rest of one."""
    past = after or [Trial(0, "finished", settings={"C": 1.0, "penalty": "l2"}, measures={"loss": 7.0})]
    for number in range(len(past), count + 1):
        known = [trial.settings for trial in past]
        values = settings_of(number, space, by, seed, past=past, tried=known, metric="loss", better="lower")
        if values is None:
            break
        past.append(Trial(number, "finished", settings=values, measures={"loss": loss(values)}))
    return past


@pytest.mark.parametrize("by", ["random", "tpe"])
def test_a_search_that_goes_on_tries_what_it_would_have_tried(by: str) -> None:
    whole = tried(25, by)
    for cut in (1, 7, 13, 20):
        assert tried(25, by, after=whole[:cut]) == whole
    assert len({str(trial.settings) for trial in whole}) == 26
    assert tried(25, by, seed=1)[1:] != whole[1:]


def test_tpe_finds_the_better_corner() -> None:
    ends = tried(40, "tpe")[-15:]
    assert sum(trial.settings["penalty"] == "l2" for trial in ends) >= 10
    assert min(loss(trial.settings) for trial in tried(40, "tpe")) < min(loss(trial.settings) for trial in tried(12, "tpe")[:11])


def test_a_small_space_ends_when_all_of_it_was_tried() -> None:
    small = Space((Choices("penalty", ("l1", "l2")), Choices("C", (0.1, 1.0, 10.0))))
    found = tried(50, "random", space=small)
    assert len(found) == 6  # the preset's own settings are one of them
    assert len({str(sorted(trial.settings.items())) for trial in found}) == 6
    assert [trial.settings for trial in tried(50, "grid", space=small)[1:]] == [
        values for values in small.grid() if values != {"penalty": "l2", "C": 1.0}
    ]


def test_drawn_numbers_can_be_read_and_lie_in_the_range() -> None:
    for trial in tried(30, "random"):
        assert 0.01 <= trial.settings["C"] <= 100 and len(f"{trial.settings['C']:.10g}".replace(".", "").lstrip("0")) <= 4
