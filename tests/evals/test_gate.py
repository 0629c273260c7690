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
