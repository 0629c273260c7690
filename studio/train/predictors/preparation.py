"""From plain columns to the matrix that an estimator takes: what is learned from the training rows and applied to every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from studio.core.errors import DataError
from studio.schema.estimators import Preparation, Texts

_NEIGHBOURS = 5
CONDENSED = 20_000
"""Features of each kind that few numbers are made of: the decomposition keeps a number for each feature and component."""
_CODES = 254
"""Categories of a column that boosting can tell apart: 255 bins, one of them kept free."""


@dataclass(frozen=True)
class Wants:
    """What a type of estimator wants of its features.

    scaled: it compares sizes of numbers. missing: it takes missing numbers as they are. codes: categories as one column of
    whole numbers instead of one column each. dense: a matrix with its zeros, texts as few numbers.
    """

    scaled: bool = False
    missing: bool = False
    codes: bool = False
    dense: bool = False


SCALED = Wants(scaled=True)
WANTS = {
    "logistic": SCALED,
    "svm": SCALED,
    "ridge": SCALED,
    "naive-bayes": Wants(),
    "forest": Wants(),
    "boosting": Wants(missing=True, codes=True, dense=True),
}
"""Type of estimator to what it wants."""


def prepare(
    settings: Preparation,
    plain: pd.DataFrame,
    groups: dict[str, list[str]],
    wants: Wants = SCALED,
    *,
    seed: int = 0,
    note: Callable[[str], None] | None = None,
) -> Any:
    """The unfitted transformer of plain columns into a matrix [n, features].

    Categories come first, then numbers, then texts; parts are called ``categories``, ``numbers``, ``words 0``, ``characters 0`` …
    after the place of their column among the texts.

    Args:
        plain: the training rows, of which is looked at whether texts can be learned from. groups: as
            :func:`studio.models.predictors.features.plain_groups` gives them. note: takes what people have to know.
    Raises:
        DataError: there is nothing to learn from.
    """
    from sklearn.compose import ColumnTransformer

    tell = note or (lambda _: None)
    parts: list[tuple[str, Any, Any]] = []
    if groups["category"]:
        parts.append(("categories", _codes(settings) if wants.codes else _one_hot(settings), groups["category"]))
    if groups["number"]:
        empty = plain[groups["number"]].isna().all()
        for name in empty.index[empty]:
            tell(f"{name}: no training row has a value")
        parts.append(("numbers", _numbers(settings, wants), groups["number"]))
    for place, name in enumerate(groups["text"]):
        parts += _text_parts(settings.texts, place, name, plain[name].tolist(), wants, seed, tell)
    if not parts:
        raise DataError(
            f"no column gives anything to learn from: texts in {', '.join(groups['text'])} share no word that occurs in "
            f"{settings.texts.min_rows} training rows. Set preparation.texts.min_rows=1, or give more rows."
        )
    return ColumnTransformer(parts, sparse_threshold=0.0 if wants.dense else 0.3)


def missing_of(settings: Preparation, wants: Wants) -> str:
    """What stands for a missing number, ``keep`` where the estimator takes it as it is."""
    if settings.missing != "auto":
        return settings.missing
    return "keep" if wants.missing else "median"


def _numbers(settings: Preparation, wants: Wants) -> Any:
    """Numbers without gaps, of one size where that matters."""
    from sklearn.impute import KNNImputer, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    missing = missing_of(settings, wants)
    told = {"add_indicator": settings.indicator, "keep_empty_features": True}
    if missing == "keep":
        return StandardScaler() if settings.scale and wants.scaled else "passthrough"
    if missing == "nearest":
        # Distances between rows mean something only where columns have one size.
        return make_pipeline(StandardScaler(), KNNImputer(n_neighbors=_NEIGHBOURS, **told))
    strategy = "most_frequent" if missing == "mode" else missing
    filled = SimpleImputer(strategy=strategy, fill_value=settings.constant if missing == "constant" else None, **told)
    return make_pipeline(filled, StandardScaler()) if settings.scale and wants.scaled else filled


def _one_hot(settings: Preparation) -> Any:
    """A column of zeros and ones for each category; rare and unknown ones share one."""
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=settings.rare)


def _codes(settings: Preparation) -> Any:
    """A whole number for each category; rare ones share one, unknown ones are -1, which boosting takes for missing."""
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=settings.rare, max_categories=_CODES
    )


def _text_parts(
    settings: Texts, place: int, name: str, texts: Sequence[str], wants: Wants, seed: int, note: Callable[[str], None]
) -> list[tuple[str, Any, str]]:
    """A column of texts as TF-IDF of words and of parts of words, or as few numbers made of both."""
    parts = vectorizers(settings, condensed=wants.dense)
    enough = settings.components if wants.dense else 1
    found = {kind: count_terms(part, texts, settings.min_rows, enough) for kind, part in parts.items()}
    for kind in [kind for kind, count in found.items() if not count]:
        note(
            f"{name}: no {'word' if kind == 'words' else 'run of letters'} occurs in {settings.min_rows} training rows; "
            f"{kind} were left out"
        )
        del parts[kind]
    if not wants.dense or not parts:
        return [(f"{kind} {place}", part, name) for kind, part in parts.items()]
    return [(f"texts {place}", _condensed(parts, min(sum(found.values()), settings.components), seed), name)]


def vectorizers(settings: Texts, *, condensed: bool) -> dict[str, Any]:
    """What makes numbers of a column of texts, by what it looks at, unfitted; of ``condensed`` ones few numbers are made."""
    most = min(settings.most or CONDENSED, CONDENSED) if condensed else settings.most
    kinds = {"words": settings.words, "characters": settings.characters}
    return {kind: _vectorizer(settings, kind, most) for kind, wanted in kinds.items() if wanted}


def _vectorizer(settings: Texts, kind: str, most: int | None) -> Any:
    """TF-IDF with logarithmic counts, of words or of runs of 2 to 5 letters inside them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    shared = {"sublinear_tf": True, "min_df": settings.min_rows, "max_features": most}
    if kind == "words":
        return TfidfVectorizer(ngram_range=(1, settings.word_ngrams), **shared)
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)


def _condensed(parts: dict[str, Any], components: int, seed: int) -> Any:
    """Truncated singular value decomposition of all features of a column of texts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.pipeline import FeatureUnion, make_pipeline

    return make_pipeline(FeatureUnion(list(parts.items())), TruncatedSVD(n_components=components, random_state=seed))


def count_terms(vectorizer: Any, texts: Sequence[str], min_rows: int, enough: int) -> int:
    """Terms that a vectorizer would learn from texts, counted no further than ``enough``."""
    terms_of = vectorizer.build_analyzer()
    rows: Counter[str] = Counter()
    learned = 0
    for text in texts:
        for term in set(terms_of(text)):
            rows[term] += 1
            learned += rows[term] == min_rows
        if learned >= enough:
            return enough
    return learned
