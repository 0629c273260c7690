"""What is learned from training rows before the estimator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.models.predictors.features import plain_features, plain_groups
from studio.schema.columns import Column
from studio.schema.estimators import Preparation, Texts
from studio.train.predictors.preparation import SCALED, WANTS, Wants, count_terms, prepare
from tests.train.predictors.made import columns_of, fitted, preset, sklearn_table
from tests.train.predictors.made import examples as examples_of

GAPS = pd.DataFrame({"a": [1.0, 1.0, np.nan, 4.0, 6.0, 8.0], "b": [10.0, 11.0, 39.0, 40.0, 60.0, 80.0]})
PLAIN = Wants()


def matrix(
    frame: pd.DataFrame, settings: Preparation, wants: Wants = PLAIN, columns: Any = None, later: Any = None
) -> np.ndarray:
    """Prepared rows: those that were learned from, or later ones."""
    columns = columns or columns_of(frame)
    plain = plain_features(frame, columns)
    ready = prepare(settings, plain, plain_groups(columns), wants).fit(plain)
    made = ready.transform(plain if later is None else plain_features(later, columns))
    return made.toarray() if hasattr(made, "toarray") else np.asarray(made)


@pytest.mark.parametrize(
    ("missing", "stands"), [("auto", 4.0), ("median", 4.0), ("mean", 4.0), ("mode", 1.0), ("constant", -7.0)]
)
def test_a_missing_number_becomes_what_the_training_rows_say(missing: str, stands: float) -> None:
    frame = GAPS.assign(a=[1.0, 1.0, np.nan, 4.0, 6.0, 8.0])
    found = matrix(frame, Preparation(missing=missing, constant=-7.0, indicator=False))
    assert found[2].tolist() == [stands, 39.0] and not np.isnan(found).any()


def test_an_indicator_says_where_a_number_was_missing() -> None:
    found = matrix(GAPS, Preparation())
    assert found.shape == (6, 3) and found[:, 2].tolist() == [0, 0, 1, 0, 0, 0]
    later = matrix(GAPS, Preparation(), later=pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, 1.0]}))
    assert later[:, 2].tolist() == [0, 1] and later[0, 1] == 39.5, "b, which never was missing, takes its median"


def test_nearest_takes_the_mean_of_the_five_rows_that_are_most_alike_after_scaling() -> None:
    size = np.random.default_rng(0).uniform(0, 1, 40)
    frame = pd.DataFrame({"size": size, "weight": 1000 * size})
    frame.loc[7, "size"] = np.nan
    found = matrix(frame, Preparation(missing="nearest", indicator=False), SCALED)
    alike = np.argsort(np.abs(size - size[7]))[1:6]
    known = np.delete(size, 7)
    assert found[7, 0] == pytest.approx((size[alike].mean() - known.mean()) / known.std())


def test_a_column_without_any_value_is_no_reason_to_stop() -> None:
    frame = GAPS.assign(a=np.nan)
    for settings in (Preparation(), Preparation(missing="mode")):
        assert not np.isnan(matrix(frame, settings, SCALED)).any()
    assert np.isnan(matrix(frame, Preparation(), WANTS["boosting"])[:, 0]).all(), "boosting takes it as missing"
    target = np.array(["yes", "no"] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor, told = fitted(examples_of(frame, target), preset("logistic", preparation={"missing": "nearest"}))
    assert told == ["a: no training row has a value"] and not np.isnan(predictor.predict(frame).probabilities).any()


def test_numbers_are_scaled_only_for_those_who_compare_sizes() -> None:
    scaled, raw = matrix(GAPS, Preparation(indicator=False), SCALED), matrix(GAPS, Preparation(indicator=False), WANTS["forest"])
    assert np.allclose(scaled.mean(axis=0), 0) and np.allclose(scaled.std(axis=0), 1) and raw[:, 1].tolist() == GAPS["b"].tolist()
    assert matrix(GAPS, Preparation(indicator=False, scale=False), SCALED)[:, 1].tolist() == GAPS["b"].tolist()


def test_rare_and_unknown_categories_are_one() -> None:
    frame = pd.DataFrame({"colour": ["red"] * 6 + ["blue"] * 6 + ["mauve", "puce"]})
    later = pd.DataFrame({"colour": ["red", "mauve", "puce", "never seen", None]})
    found = matrix(frame, Preparation(rare=5), later=later)
    assert found.shape == (5, 3) and found.sum(axis=1).tolist() == [1] * 5
    assert (found[1:] == found[1]).all() and not (found[0] == found[1]).all()
    codes = matrix(frame, Preparation(rare=5), WANTS["boosting"], later=later)
    assert codes[1] == codes[2] and codes[3] == codes[4] == -1, "boosting takes what it has never seen as missing"


def test_ten_thousand_categories_can_be_learned_from() -> None:
    generator = np.random.default_rng(0)
    codes = [f"customer {number}" for number in generator.integers(0, 10_000, 12_000)]
    target = np.where(generator.random(12_000) < 0.5, "yes", "no")
    rows = examples_of(pd.DataFrame({"customer": codes}), target)
    for estimator in ({"type": "boosting", "rounds": 3, "patience": None}, {"type": "logistic"}):
        predictor, _ = fitted(rows, preset(estimator, preparation={"rare": 1}))
        assert predictor.predict(rows.features.head(3)).probabilities.shape == (3, 2)


def test_columns_may_have_any_name() -> None:
    iris = sklearn_table("iris")
    names = ["a__b", "", " ", "words 0"]
    frame = iris.features.set_axis(names, axis="columns")
    rows = examples_of(frame, iris.target, [Column.model_construct(name=name, type="number") for name in names])
    assert np.mean(fitted(rows, preset("logistic"))[0].predict(rows.features).values == rows.target) > 0.9


TEXT = [Column(name="said", type="text")]
SAID = ["the door is open", "the door is shut", "a window is open", "a window is shut"] * 3


def test_texts_are_known_by_words_and_by_parts_of_words() -> None:
    frame = pd.DataFrame({"said": SAID})
    words = matrix(frame, Preparation(texts=Texts(characters=False)), columns=TEXT)
    assert words.shape == (12, 6), "a is no word: scikit-learn's words have two letters"
    pairs = matrix(frame, Preparation(texts=Texts(characters=False, word_ngrams=2)), columns=TEXT)
    assert pairs.shape[1] > words.shape[1]
    later = matrix(frame, Preparation(texts=Texts(words=False)), columns=TEXT, later=pd.DataFrame({"said": ["doors", None]}))
    assert later[0].sum() > 0, "an inflected word is known by its letters" and not later[1].any()


def test_boosting_takes_texts_as_few_numbers() -> None:
    frame = pd.DataFrame({"said": SAID})
    assert matrix(frame, Preparation(texts=Texts(components=3)), WANTS["boosting"], TEXT).shape == (12, 3)
    few = matrix(pd.DataFrame({"said": ["ab", "ab", "cd", "cd"]}), Preparation(), WANTS["boosting"], TEXT)
    assert few.shape[1] <= 10 and len(few) == 4, "no more numbers than there are terms"


def test_texts_without_a_common_word_are_learned_by_their_letters_and_nothing_in_common_is_said() -> None:
    told: list[str] = []
    frame = pd.DataFrame({"said": ["门必须至少八十厘米宽", "窗户必须至少一米高", "楼梯必须有扶手"]})
    plain = plain_features(frame, TEXT)
    ready = prepare(Preparation(), plain, plain_groups(TEXT), note=told.append).fit(plain)
    assert [name for name, _, _ in ready.transformers_] == ["characters 0"]
    assert told == ["said: no word occurs in 2 training rows; words were left out"]
    with pytest.raises(
        DataError, match=r"texts in said share no word that occurs in 2 training rows. Set preparation.texts.min_rows=1"
    ):
        prepare(Preparation(), pd.DataFrame({"said": ["ab", "cd"]}), plain_groups(TEXT))


def test_terms_are_counted_no_further_than_needed() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    def more() -> Any:
        yield from SAID
        raise AssertionError("one text too many was read")

    assert count_terms(CountVectorizer(), more(), 2, 4) == 4
    assert count_terms(CountVectorizer(), SAID, 2, 100) == len(CountVectorizer(min_df=2).fit(SAID).vocabulary_)


def test_times_are_numbers_that_come_round() -> None:
    frame = pd.DataFrame({"when": pd.to_datetime(["2024-01-01 06:00", None, "2024-01-08 06:00"])})
    found = matrix(frame, Preparation(indicator=False))
    assert found[0, 1:].tolist() == [2024, 1, 0, 6] and found[2, 0] - found[0, 0] == 7 and found[1, 1] == 2024
