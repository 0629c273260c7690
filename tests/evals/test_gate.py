"""Thresholds: met, missed, and not computable."""

from __future__ import annotations

import pytest

from studio.core.errors import GateNotMetError
from studio.core.records import Difference, ReportRecord, Score
from studio.evals.gate import check_gate, missed_thresholds
from studio.schema.suite import Threshold


def record(value: float | None, verdict: str | None) -> ReportRecord:
    score = Score(metric="bleu", value=value, unit="points", better="higher", n=9, made_with="hand")
    difference = Difference(metric="bleu", value=-1.5, low=-2.0, high=-1.0, n=9, method="by hand", verdict=verdict or "")
    return ReportRecord(
        suite="s",
        created="",
        dataset={},
        models={},
        scores={"tuned": [score]},
        differences=[difference] if verdict else [],
        studio_version="0",
    )


@pytest.mark.parametrize(
    ("threshold", "value", "verdict", "expected"),
    [
        ({"at_least": 3}, 3.0, "better", None),
        ({"at_least": 3}, 2.9, "better", "bleu is 2.9, required at least 3"),
        ({"at_most": 3}, 3.0, "better", None),
        ({"at_most": 3}, 3.1, "better", "bleu is 3.1, required at most 3"),
        ({"at_most": 3}, None, "better", "bleu could not be computed"),
        ({"not_worse_than_base": True}, 1.0, "better", None),
        ({"not_worse_than_base": True}, 1.0, "no difference shown", None),
        ({"not_worse_than_base": True}, 1.0, "worse", "bleu is worse than the base by -1.5"),
        ({"not_worse_than_base": True}, 1.0, "not computed", "bleu could not be compared with a base (by hand)"),
        ({"not_worse_than_base": True}, 1.0, None, "bleu could not be compared with a base (no base was measured)"),
    ],
)
def test_thresholds(threshold: dict, value: float | None, verdict: str | None, expected: str | None) -> None:
    missed = missed_thresholds(record(value, verdict), [Threshold(metric="bleu", **threshold)])
    assert (not missed) if expected is None else missed[0].startswith(expected)


def test_the_gate_names_every_threshold_that_failed() -> None:
    thresholds = [Threshold(metric="bleu", at_least=3), Threshold(metric="bleu", at_most=9), Threshold(metric="bleu", at_least=5)]
    with pytest.raises(GateNotMetError, match=r"2 of 3 .* at least 3; bleu is 2, required at least 5\.") as caught:
        check_gate(record(2.0, "worse"), thresholds)
    assert caught.value.exit_code == 3
    check_gate(record(7.0, "better"), thresholds)


def against(tuned: float | None, base: float | None, *, better: str = "higher", **difference: object) -> ReportRecord:
    """A report of one metric, with its paired difference."""
    score = Score(metric="t.m", task="t", value=tuned, unit="", better=better, n=9, made_with="hand", reason="no data here")
    found = {"value": -0.01, "low": -0.03, "high": 0.01, "verdict": "no difference shown", **difference}
    return ReportRecord(
        suite="s",
        created="",
        dataset={},
        models={},
        scores={"tuned": [score], "base": [score.model_copy(update={"value": base})]},
        differences=[Difference(metric="t.m", task="t", n=9, method="by hand", **found)],
        studio_version="0",
    )


@pytest.mark.parametrize(
    ("threshold", "report", "expected"),
    [
        ({"at_least_of_base": 1}, against(3.0, 3.0), None),
        ({"at_least_of_base": 1}, against(2.9, 3.0), "t.m is 2.9, required at least 3 (the base)"),
        ({"at_most_of_base": 1.5}, against(4.6, 3.0), "t.m is 4.6, required at most 4.5 (1.5 times the base)"),
        ({"at_least_of_base": 1}, against(2.9, None), "t.m could not be compared with a base (the base has no value)"),
        ({"at_most": 1}, against(None, 1.0), "t.m could not be computed: no data here"),
        ({"not_worse_than_base_by": 0.05}, against(1.0, 1.0), None),
        ({"not_worse_than_base_by": 0.02}, against(1.0, 1.0), "t.m is not shown to be within 0.02 of the base"),
        ({"not_worse_than_base_by": 0.02}, against(1.0, 1.0, better="lower"), None),
        # Holm's correction hides it on the page; a gate must not be passed by adding metrics.
        ({"not_worse_than_base": True}, against(1.0, 1.0, low=-0.05, high=-0.01, p=0.03), "t.m is worse than the base by -0.01"),
        ({"not_worse_than_base": True}, against(1.0, 1.0, low=-0.05, high=-0.01, p=0.2), None),
        # Bias: nearer to the ideal is better, whichever side it is on.
        (
            {"not_worse_than_base": True},
            against(0.4, 0.7, better="neither", distance=-0.1, distance_low=-0.2, distance_high=0.0),
            None,
        ),
        (
            {"not_worse_than_base": True},
            against(0.8, 0.6, better="neither", distance=0.2, distance_low=0.1, distance_high=0.3, verdict="worse"),
            "t.m is further from its ideal by 0.2 (95% interval 0.1 to 0.3)",
        ),
        ({"not_worse_than_base": True}, against(1.0, 1.0, better="neither"), "t.m could not be compared"),
        ({"not_worse_than_base": True}, against(1.0, 1.0, low=None, verdict="not computed"), "t.m could not be compared"),
    ],
)  # fmt: skip
def test_relative_non_inferior_and_bias_thresholds(threshold: dict, report: ReportRecord, expected: str | None) -> None:
    for name in ("t.m", "m"):
        missed = missed_thresholds(report, [Threshold(metric=name, **threshold)])
        if expected is None:
            assert missed == []
        else:
            assert missed[0].startswith(expected.replace("t.m", name, 1)), missed
