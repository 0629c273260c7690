"""Thresholds: met where the interval carries them, missed, not shown on so few examples, not computable."""

from __future__ import annotations

from typing import Any

import pytest

from studio.core.errors import GateNotMetError
from studio.core.records import Difference, ReportRecord, Score
from studio.evals.gate import Judged, check_gate, judge, judged
from studio.evals.intervals import ALIKE, share_interval
from studio.schema.suite import Threshold

SHARE = {"lowest": 0.0, "highest": 1.0}


def report(score: dict[str, Any], difference: dict[str, Any] | None = None, base: float | None = None) -> ReportRecord:
    """A report of one metric, with its base and its paired difference where they are given."""
    given = {"unit": "", "better": "higher", "n": 90, "made_with": "hand", "interval": "symmetric", **score}
    tuned = Score(metric="t.m", task="t", **given)
    scores = {"tuned": [tuned]} | ({"base": [tuned.model_copy(update={"value": base})]} if base is not None else {})
    found = {"verdict": "no difference shown", "method": "by hand", "n": 90, **(difference or {})}
    differences = [Difference(metric="t.m", task="t", **found)] if difference is not None else []
    return ReportRecord(suite="s", created="", dataset={}, models={}, scores=scores, differences=differences, studio_version="0")


def share(hits: int, count: int) -> dict[str, Any]:
    """A share with the interval that the studio gives it."""
    low, high = share_interval(hits, count)
    how = "exact interval of a share, mid-P"
    return {"value": hits / count, "low": low, "high": high, "n": count, "interval": how, "better": "lower", **SHARE}


def one(record: ReportRecord, **bound: Any) -> Judged:
    """The verdict on one threshold; the bare name means the same."""
    found = [judged(record, [Threshold(metric=name, **bound)])[0] for name in ("t.m", "m")]
    assert found[0].verdict == found[1].verdict
    return found[0]


BETWEEN = {"value": 5.0, "low": 4.0, "high": 6.0}


@pytest.mark.parametrize(
    ("score", "bound", "verdict", "sentence"),
    [
        (BETWEEN, {"at_least": 4}, "met", ""),
        (BETWEEN, {"at_most": 6}, "met", ""),
        (BETWEEN, {"at_least": 5.5}, "missed", "t.m is 5, required at least 5.5"),
        (BETWEEN, {"at_most": 4.5}, "missed", "t.m is 5, required at most 4.5"),
        # An interval shrinks with the root of the examples: half the way to the limit takes four times as many.
        (BETWEEN, {"at_least": 4.5}, "not shown", "t.m is 5 on 90 rows, but 4.00 cannot be ruled out, required at least 4.5; "
         "about 360 rows would be needed"),
        (BETWEEN, {"at_most": 5}, "not shown", "t.m is 5 on 90 rows, but 6.00 cannot be ruled out, required at most 5; with this "
         "value no number of rows would show it"),
        (BETWEEN | {"clusters": 20}, {"at_least": 4.5}, "not shown", "t.m is 5 on 90 rows made from 20 independent examples, but "
         "4.00 cannot be ruled out, required at least 4.5; about 80 independent examples would be needed"),
        ({"value": 5.0, "n": 2, "interval": "no interval from 2 examples; 10 are needed"}, {"at_least": 4}, "not shown",
         "t.m is 5 on 2 rows, required at least 4: no interval from 2 examples; 10 are needed"),
        ({"value": None, "reason": "no data here"}, {"at_most": 1}, "missed", "t.m could not be computed: no data here"),
        # None of 46 is no proof of less than 1 in 200: 1 - 0.05^(1/n) first falls to 0.005 at 598.
        (share(0, 46), {"at_most": 0.005}, "not shown", "t.m is 0 on 46 rows, but 0.063 cannot be ruled out, required at most "
         "0.005; about 600 rows would be needed"),
        ({"value": 0.0, "low": 0.0, "high": 0.095, "clusters": 30, "interval": ALIKE, "better": "lower", **SHARE},
         {"at_most": 0.05}, "not shown", "t.m is 0 on 90 rows made from 30 independent examples, but 0.095 cannot be ruled out, "
         "required at most 0.05; about 63 independent examples would be needed"),
        (share(0, 66), {"at_most": 0.05}, "met", ""),
        (share(3, 66), {"at_most": 0.04}, "missed", "t.m is 0.04545, required at most 0.04"),
    ],
)  # fmt: skip
def test_a_value_against_a_number(score: dict, bound: dict, verdict: str, sentence: str) -> None:
    found = one(report(score), **bound)
    assert (found.verdict, found.sentence) == (verdict, sentence)


LOSS = {"value": -0.01, "low": -0.03, "high": 0.01}
FURTHER = {"better": "neither", "ideal": 0.5, **SHARE}


@pytest.mark.parametrize(
    ("score", "base", "difference", "bound", "verdict", "sentence"),
    [
        ({"value": 3.0}, 3.0, {"value": 0.2, "low": 0.1, "high": 0.3}, {"at_least_of_base": 1}, "met", ""),
        ({"value": 3.1}, 3.0, {"value": 0.1, "low": -0.1, "high": 0.3}, {"at_least_of_base": 1}, "not shown",
         "t.m is 3.1 on 90 rows, but 2.90 cannot be ruled out, required at least 3 (the base); about 360 rows"),
        ({"value": 2.9}, 3.0, LOSS, {"at_least_of_base": 1}, "missed", "t.m is 2.9, required at least 3 (the base)"),
        ({"value": 4.6}, 3.0, LOSS, {"at_most_of_base": 1.5}, "missed", "t.m is 4.6, required at most 4.5 (1.5 times the base)"),
        ({"value": 1.0}, None, None, {"at_least_of_base": 1}, "missed", "t.m could not be compared with a base (no base was"),
        ({"value": 1.0, **SHARE}, 1.0, LOSS, {"not_worse_than_base_by": 0.05}, "met", ""),
        ({"value": 1.0, **SHARE}, 1.0, LOSS, {"not_worse_than_base_by": 0.02}, "not shown",
         "t.m is not shown to be within 0.020 of the base on 90 rows: it may be worse by up to 0.030"),
        ({"value": 1.0, **SHARE}, 1.0, {"value": -0.2, "low": -0.3, "high": -0.1}, {"not_worse_than_base_by": 0.05}, "missed",
         "t.m is worse than the base by 0.200, tolerated 0.050"),
        ({"value": 1.0, "better": "lower", **SHARE}, 1.0, LOSS, {"not_worse_than_base_by": 0.02}, "met", ""),
        # Not shown to be worse is not enough: a tenth of the range must be ruled out, or of the base's value where it has none.
        ({"value": 0.5, **SHARE}, 0.5, LOSS, {"not_worse_than_base": True}, "met", ""),
        ({"value": 0.5, **SHARE}, 0.5, {"value": -0.01, "low": -0.4, "high": 0.38}, {"not_worse_than_base": True}, "not shown",
         "t.m is not shown to be within 0.100 of the base on 90 rows: it may be worse by up to 0.400"),
        ({"value": 20.0, "better": "lower"}, 20.0, {"value": 1.0, "low": -0.5, "high": 1.9}, {"not_worse_than_base": True}, "met",
         ""),
        ({"value": 20.0, "better": "lower"}, 20.0, {"value": 1.0, "low": -2.0, "high": 4.0}, {"not_worse_than_base": True},
         "not shown", "t.m is not shown to be within 2.00 of the base"),
        # Holm's correction hides it on the page; a gate must not be passed by adding metrics.
        ({"value": 0.5, **SHARE}, 0.6, {"value": -0.03, "low": -0.05, "high": -0.01, "p": 0.03}, {"not_worse_than_base": True},
         "missed", "t.m is worse than the base by -0.03 (95% interval -0.05 to -0.01)"),
        ({"value": 0.5, **SHARE}, 0.6, {"value": -0.03, "low": -0.05, "high": -0.01, "p": 0.2}, {"not_worse_than_base": True},
         "met", ""),
        # Bias: nearer to the ideal is better, whichever side it is on; a tenth of the way from it to the end is tolerated.
        (FURTHER | {"value": 0.4}, 0.7, {"value": -0.3, "distance": -0.1, "distance_low": -0.2, "distance_high": 0.04},
         {"not_worse_than_base": True}, "met", ""),
        (FURTHER | {"value": 0.4}, 0.7, {"value": -0.3, "distance": -0.1, "distance_low": -0.3, "distance_high": 0.1},
         {"not_worse_than_base": True}, "not shown", "t.m is not shown to be within 0.050 of the base"),
        (FURTHER | {"value": 0.8}, 0.6,
         {"value": 0.2, "distance": 0.2, "distance_low": 0.1, "distance_high": 0.3, "verdict": "worse"},
         {"not_worse_than_base": True}, "missed", "t.m is further from its ideal by 0.2 (95% interval 0.1 to 0.3)"),
        ({"value": 1.0, "better": "neither"}, 1.0, LOSS, {"not_worse_than_base": True}, "missed", "t.m could not be compared"),
        ({"value": 1.0}, 1.0, {"value": 0.1, "verdict": "not computed", "method": "no interval from 2 examples"},
         {"not_worse_than_base": True}, "not shown", "t.m is not shown to be no worse than the base on 90 rows: no interval"),
        ({"value": 1.0}, 1.0, {"value": 0.0, "p": 1.0}, {"not_worse_than_base": True}, "met", ""),
        ({"value": 1.0}, 1.0, {"value": 0.0, "p": 1.0, "n": 20}, {"not_worse_than_base": True}, "not shown", "t.m is not shown"),
        ({"value": None, "reason": "no data here"}, None, None, {"not_worse_than_base": True}, "missed",
         "t.m could not be compared with a base (no data here)"),
    ],
)  # fmt: skip
def test_against_the_base(
    score: dict, base: float | None, difference: dict | None, bound: dict, verdict: str, sentence: str
) -> None:
    found = one(report(score, difference, base), **bound)
    assert (found.verdict, found.sentence[: len(sentence)]) == (verdict, sentence), found


def test_the_gate_names_every_threshold_that_failed() -> None:
    thresholds = [Threshold(metric="m", at_least=3), Threshold(metric="m", at_most=9), Threshold(metric="m", at_least=4.5)]
    record = report(BETWEEN)
    assert judge(record, thresholds)["met"] == 2 and judge(record, []) == {}
    with pytest.raises(
        GateNotMetError, match=r"1 of 3 thresholds not shown on so few examples: m is 5 on 90 rows.*needed\.$"
    ) as caught:
        check_gate(record, thresholds)
    assert caught.value.exit_code == 3
    with pytest.raises(GateNotMetError, match=r"1 of 2 thresholds not met: m is 5, required at least 7\. 1 of 2 .* not shown"):
        check_gate(record, [Threshold(metric="m", at_least=7), Threshold(metric="m", at_least=4.5)])
    check_gate(record, thresholds[:2])
