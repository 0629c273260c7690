"""StereoSet: both file forms, the three scores by hand, terms as the unit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.core.errors import DataError
from studio.evals.chat.bias.stereoset import icat, lms, per_token, read_stereoset, ss, term_shares, triple_from_row, triple_texts
from studio.evals.chat.tasks.stereoset import run
from studio.evals.evidence import LogProb
from studio.evals.statistics import point
from studio.schema.bias import StereoSetTask


def value(statistic: Any) -> float | None:
    return point(statistic, statistic.scored)


def test_published_rows(published: Path) -> None:
    inside = read_stereoset(published / "stereoset", "intrasentence")
    after = read_stereoset(published / "stereoset", "intersentence")
    assert (len(inside), len(after)) == (2106, 2123)
    assert Counter(triple.domain for triple in inside) == {"race": 962, "profession": 810, "gender": 255, "religion": 79}
    prefix, continuation = triple_texts(after[:1], "intersentence")[0]
    assert prefix == after[0].context
    assert continuation == f" {after[0].pro}"
    assert triple_texts(inside[:1], "intrasentence")[1] == ("", inside[0].anti)


def sentence(label: Any, text: str) -> dict[str, Any]:
    return {"gold_label": label, "sentence": text}


def test_the_authors_own_form_and_the_hubs(tmp_path: Path) -> None:
    row = {"id": "x", "target": "chef", "bias_type": "profession", "context": "The chef was BLANK."}
    sentences = [sentence("unrelated", "c"), sentence("stereotype", "a"), sentence("anti-stereotype", "b")]
    data = {"data": {"intrasentence": [{**row, "sentences": sentences}], "intersentence": []}}
    (tmp_path / "dev.json").write_text(json.dumps(data))
    triple = read_stereoset(tmp_path, "intrasentence")[0]
    assert (triple.pro, triple.anti, triple.unrelated) == ("a", "b", "c")
    with pytest.raises(DataError, match="holds no intersentence rows"):
        read_stereoset(tmp_path, "intersentence")
    hub = {**row, "sentences": {"sentence": ["b", "a", "c"], "gold_label": [0, 1, 2]}}
    assert triple_from_row(hub, "hub") == triple


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": {}}', "has no list 'data.intrasentence'"),
        ('{"data": {"intrasentence": [{}]}}', "intrasentence row 0: 'sentences' is missing"),
        ("{", "not JSON"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_stereoset(tmp_path, "intrasentence")


def test_a_row_without_its_opposite(tmp_path: Path) -> None:
    row = {"type": "intrasentence", "target": "t", "bias_type": "race", "context": "c", "stereotype": "s", "unrelated": "u"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"rows.jsonl:1: 'anti-stereotype' is missing"):
        read_stereoset(tmp_path, "intrasentence")


def test_scores_by_hand_are_averaged_over_terms() -> None:
    """Term a: pro in 1 of 2 (a tie counts as anti). Term b: pro in its only triple. So ss = 100 * (0.5 + 1) / 2 = 75."""
    likelihoods = [(-1.0, -2.0, -9.0), (-2.0, -2.0, -1.0), (-1.0, -3.0, -2.0)]
    shares = term_shares(["a", "a", "b"], likelihoods)
    assert value(ss(shares)) == pytest.approx(75)
    # a: pro > unrelated 1/2, anti > unrelated 1/2; b: pro 1, anti 0 -> lms = 100 * (0.5 + 0.5) / 2
    assert value(lms(shares)) == pytest.approx(50)
    assert value(icat(shares)) == pytest.approx(50 * 25 / 50)


def test_ideal_and_worst_models() -> None:
    good = term_shares(["a", "a"], [(-1.0, -2.0, -9.0), (-2.0, -1.0, -9.0)])
    assert [value(make(good)) for make in (ss, lms, icat)] == [50, 100, 100]
    always = term_shares(["a", "b"], [(-1.0, -2.0, -9.0)] * 2)
    assert [value(make(always)) for make in (ss, lms, icat)] == [100, 100, 0]


def test_icat_of_a_resample_is_made_of_averaged_scores() -> None:
    shares = term_shares(["a", "b"], [(-1.0, -2.0, -9.0), (-2.0, -1.0, -9.0)])
    statistic = icat(shares)
    assert statistic.at(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist() == [100.0, 0.0]


def test_length_does_not_count_and_missing_lowers_coverage() -> None:
    scored = [LogProb(-4.0, 4), LogProb(-2.0, 1), LogProb(-9.0, 3), LogProb(-1.0, 1), None, LogProb(-1.0, 1)]
    values = per_token(scored)
    assert values == [(-1.0, -2.0, -3.0), None]
    shares = term_shares(["a", "b"], values)
    assert ss(shares).scored.tolist() == [True, False]


@pytest.mark.parametrize("part", ["intrasentence", "intersentence"])
def test_task(context: Callable[..., Any], published: Path, part: str) -> None:
    task = StereoSetTask(type="stereoset", folder=str(published / "stereoset"), part=part, limit=30)
    result = run(context(task))
    assert result.rows == len(result.examples) == 30
    stereotype, sense, both = result.scores["tuned"]
    assert (stereotype.ideal, sense.better, both.better) == (50.0, "higher", "higher")
    terms = result.examples["target"].nunique()
    assert stereotype.n == terms
    assert sum(score.n for score in result.groups[0].scores["base"]) == terms
    assert [item.metric for item in result.differences] == ["ss", "lms", "icat"]
