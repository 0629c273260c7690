"""Agreement of annotators against the published worked examples, and against scikit-learn and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa

from studio.core.errors import UserError
from studio.evals.agreement import Coefficient, coefficients, needs_third

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, example C: four observers, twelve units, values missing.
KRIPPENDORFF = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
# The example of Wikipedia (Krippendorff's alpha) and of the package krippendorff: three coders, fifteen units, values missing.
CODERS = {
    "A": ". . . . . 3 4 1 2 1 1 3 3 . 3",
    "B": "1 . 2 1 3 3 4 3 . . . . . . .",
    "C": ". . 2 1 3 4 4 . 2 1 1 3 3 . 4",
}
# Fleiss 1971, table 1: 30 patients, 6 psychiatrists; depression, personality disorder, schizophrenia, neurosis, other.
FLEISS = """0 0 0 6 0|0 3 0 0 3|0 1 4 0 1|0 0 0 0 6|0 3 0 3 0|2 0 4 0 0|0 0 4 0 2|2 0 3 1 0|2 0 0 4 0|0 0 0 0 6|1 0 0 5 0
|1 1 0 4 0|0 3 3 0 0|1 0 0 5 0|0 2 0 3 1|0 0 5 0 1|3 0 0 1 2|5 1 0 0 0|0 2 0 4 0|1 0 2 0 3|0 0 0 0 6|0 1 0 5 0|0 2 0 1 3|2 0 0 4 0
|1 0 0 4 1|0 5 0 1 0|4 0 0 0 2|0 2 0 4 0|1 0 5 0 0|0 0 0 0 6"""


def ratings(lines: dict[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for who, line in lines.items():
        for number, label in enumerate(line.split()):
            if label != ".":
                found.setdefault(f"row {number}", {})[who] = label
    return found


def of(found: list[Coefficient], name: str, label: str | None = None) -> Coefficient:
    return next(one for one in found if one.name == name and one.label == label)


@pytest.mark.parametrize(
    ("lines", "level", "alpha"),
    [
        (KRIPPENDORFF, "nominal", 0.743),
        (KRIPPENDORFF, "ordinal", 0.815),
        (KRIPPENDORFF, "interval", 0.849),
        (CODERS, "nominal", 0.691),
        (CODERS, "interval", 0.811),
    ],
)
def test_alpha_is_that_of_the_published_examples(lines: dict[str, str], level: str, alpha: float) -> None:
    found = of(coefficients(ratings(lines), level=level), "krippendorff")  # type: ignore[arg-type]
    assert found.value == pytest.approx(alpha, abs=0.0005) and found.level == level
    assert found.interval.bounds is not None
    low, high = found.interval.bounds
    assert low < found.value < high <= 1


def test_the_kappa_of_fleiss_is_that_of_his_table() -> None:
    table = [[int(count) for count in row.split()] for row in FLEISS.replace("\n", "").split("|")]
    said = {
        f"patient {number}": dict(enumerate(label for label, count in zip("dpsno", row, strict=True) for _ in range(count)))
        for number, row in enumerate(table)
    }
    found = coefficients({row: {str(who): label for who, label in one.items()} for row, one in said.items()})
    fleiss = of(found, "fleiss")
    assert fleiss.value == pytest.approx(0.430, abs=0.0005) == pytest.approx(fleiss_kappa(np.array(table)), abs=0.0005)
    # Alpha without missing values is that kappa, corrected for the number of labels.
    assert of(found, "krippendorff").value == pytest.approx(fleiss.value, abs=0.005)
    assert {one.label for one in found if one.label} == set("dpsno")
    # His kappas of single categories.
    published = {"d": 0.245, "p": 0.245, "s": 0.520, "n": 0.471, "o": 0.566}
    for label, kappa in published.items():
        assert of(found, "krippendorff", label).value == pytest.approx(kappa, abs=0.006)


def test_the_kappa_of_two_is_that_of_scikit_learn_and_holds_its_interval() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice(list("abc"), 200)
    two = {who: np.where(rng.random(200) < 0.8, truth, rng.choice(list("abc"), 200)) for who in ("anna", "ben")}
    said = {f"row {n}": {who: str(labels[n]) for who, labels in two.items()} for n in range(200)}
    cohen = of(coefficients(said), "cohen")
    assert cohen.of == "anna and ben" and cohen.rows == 200
    assert cohen.value == pytest.approx(cohen_kappa_score(two["anna"], two["ben"]))
    assert cohen.interval.bounds is not None and 0.05 < cohen.interval.bounds[1] - cohen.interval.bounds[0] < 0.25


def test_too_few_rows_give_no_interval_and_one_label_no_value() -> None:
    few = {f"row {n}": {"a": label, "b": label} for n, label in enumerate("xyx")}
    found = of(coefficients(few), "krippendorff")
    assert found.value == 1 and found.interval.bounds is None and "10 are needed" in found.interval.how
    alike = of(coefficients({f"row {n}": {"a": "x", "b": "x"} for n in range(12)}), "cohen")
    assert alike.value is None and "one and the same label" in alike.interval.how and alike.same == 1


def test_what_cannot_be_measured_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="no row has labels of two annotators"):
        coefficients({"row": {"a": "x"}})
    with pytest.raises(UserError, match="--level ordinal.*'bad'"):
        coefficients({"row": {"a": "good", "b": "bad"}, "other": {"a": "good", "b": "good"}}, level="ordinal")


def test_two_are_compared_over_the_rows_that_both_have_labelled() -> None:
    said = {"1": {"anna": "good"}, "2": {"anna": "bad", "ben": "bad"}, "3": {"ben": "good"}, "9": {"cleo": "bad"}}
    found = [one for one in coefficients(said) if one.name == "cohen"]
    assert [(one.of, one.rows, one.same) for one in found] == [("anna and ben", 1, 1)]


def test_rows_on_which_people_are_level_need_a_third() -> None:
    said = {"one": {"a": "x", "b": "y"}, "two": {"a": "x", "b": "x"}, "three": {"a": "x", "b": "y", "c": "x"}, "four": {"a": "x"}}
    assert needs_third(said) == ["one"]
