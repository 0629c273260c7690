"""``benchmarks/coverage.py`` in small: from ten examples on intervals hold the truth, equal models are rarely called different.

The faults it stands for: percentile bootstraps held in 78 to 90% at ten examples, differences of distinct-n in 78%, gaps between
groups that are treated alike in 0 to 12%, and equal models were called different in up to 20%.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_DRAWS = 100


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    """The benchmark, read as the script it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        for name in ("score_populations", "docs", "coverage_of_intervals"):
            patch.delitem(sys.modules, name, raising=False)
        specification = importlib.util.spec_from_file_location("coverage_of_intervals", BENCHMARKS / "coverage.py")
        module = importlib.util.module_from_spec(specification)
        patch.setitem(sys.modules, "coverage_of_intervals", module)
        specification.loader.exec_module(module)
        yield module


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("perplexity", 10), ("bleu", 10), ("chrf", 10), ("rougeL", 10), ("exact_match", 10), ("rmse", 10),
        ("distinct_1", 50), ("accuracy", 10), ("balanced_accuracy, rare label", 50), ("f1_macro, rare label", 50),
        ("roc_auc", 20), ("demographic_parity_difference, without a gap", 50),
        ("bbq.bias_ambiguous, clusters", 10), ("safety.toxicity, 3%", 10),
    ],
)  # fmt: skip
def test_intervals_hold_and_verdicts_are_rarely_false(coverage: ModuleType, name: str, count: int) -> None:
    row = coverage.measure((name, count, _DRAWS))
    assert row.value is not None and row.differs is not None, "an interval is given in most draws"
    assert not coverage.missed(row), row


@pytest.mark.soak
@pytest.mark.parametrize("name", ["f1_macro", "balanced_accuracy", "precision_macro, rare label", "mcc, rare label"])
def test_too_few_of_a_label_give_no_interval(coverage: ModuleType, name: str) -> None:
    row = coverage.measure((name, 10, _DRAWS))
    assert (row.value, row.differs) == (None, None) and row.false == 0
