"""Estimators of scikit-learn that presets may name, each with the settings that matter. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Logistic(Settings):
    """Logistic regression: a weighted sum of the features, turned into probabilities. Fast, calibrated, readable."""

    type: Literal["logistic"] = "logistic"
    """What is fitted."""
    C: Above0 = 1.0
    """Inverse of the strength of the penalty; smaller holds the weights closer to 0."""
    penalty: Literal["l2", "l1", "none"] = "l2"
    """L2 shrinks all weights (weight decay), L1 sets many to exactly 0."""
    max_iter: Positive = 2000
    """Steps of the solver at most."""


class Svm(Settings):
    """Support vector machine: the boundary with the widest margin; probabilities by Platt's scaling on inner folds."""

    type: Literal["svm"] = "svm"
    """What is fitted."""
    C: Above0 = 1.0
    """Inverse of the strength of the penalty."""
    kernel: Literal["linear", "rbf"] = "linear"
    """``linear`` for texts and many columns; ``rbf`` bends the boundary and takes time that grows with the square of the rows."""
    gamma: Literal["scale", "auto"] | Above0 = "scale"
    """Width of the ``rbf`` kernel; a larger number is narrower."""


class NaiveBayes(Settings):
    """Naive Bayes: each feature speaks by itself. Multinomial on texts, Gaussian on numbers."""

    type: Literal["naive-bayes"] = "naive-bayes"
    """What is fitted."""
    alpha: Above0 = 0.1
    """Texts: counts added to every word, so that unseen ones do not rule a label out."""


class Forest(Settings):
    """Random forest: many trees, each on a draw of the rows and columns; their votes are the answer."""

    type: Literal["forest"] = "forest"
    """What is fitted."""
    trees: Positive = 300
    """Trees; more are steadier and slower."""
    depth: Positive | None = None
    """Deepest tree; None grows until leaves are pure."""
    min_leaf: Positive = 1
    """Rows that a leaf holds at least."""


class Boosting(Settings):
    """Gradient boosting on histograms: trees one after the other, each on the errors of those before. Strong on tables."""

    type: Literal["boosting"] = "boosting"
    """What is fitted."""
    rounds: Positive = 500
    """Trees at most; with early stopping usually fewer."""
    learning_rate: Above0 = 0.05
    """What each tree adds is multiplied by this."""
    depth: Positive | None = None
    """Deepest tree; None leaves it to ``leaves``."""
    leaves: Positive = 31
    """Leaves of a tree at most."""
    min_leaf: Positive = 20
    """Rows that a leaf holds at least."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Penalty on the values of leaves."""
    patience: Positive | None = 20
    """Early stopping: rounds without a gain on the validation rows before it stops, keeping the best; None runs all rounds."""


class Ridge(Settings):
    """Linear regression with an L2 penalty."""

    type: Literal["ridge"] = "ridge"
    """What is fitted."""
    alpha: Above0 = 1.0
    """Strength of the penalty."""


class Texts(Settings):
    """How texts become numbers for these estimators: TF-IDF of words and of parts of words."""

    words: bool = True
    """Words, and pairs of them with ``word_ngrams: 2``. Scripts without blanks between words need ``characters``."""
    word_ngrams: Positive = 1
    """Longest run of words that counts as one feature."""
    characters: bool = True
    """Runs of 2 to 5 letters inside words: they know misspelt and inflected words, and every script."""
    min_rows: Positive = 2
    """A word that occurs in fewer training rows is not learned."""
    most: Positive | None = 200_000
    """Most features of each kind, the most frequent ones."""
    components: Positive = 100
    """Boosting takes few numbers instead of many features: so many, by truncated singular value decomposition of the 20,000 most
    frequent ones of each kind."""


class Preparation(Settings):
    """What is learned from the training rows before the estimator, and applied to every row afterwards."""

    missing: Literal["auto", "median", "mean", "mode", "constant", "nearest"] = "auto"
    """What stands for a missing number. ``auto``: boosting takes it as missing, for all others it is the median. ``nearest``
    takes the mean of the 5 most alike rows, which takes time and memory that grow with the square of the rows. A missing
    category is a value of its own."""
    constant: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """What stands for a missing number with ``missing: constant``."""
    indicator: bool = True
    """A further column says where a number was missing, unless it is taken as missing."""
    scale: bool = True
    """Numbers get mean 0 and variance 1, for estimators that compare sizes; trees do not."""
    rare: Positive = 5
    """Categories with fewer training rows are treated as one, together with those never seen in training. Boosting tells at most
    254 of a column apart, and takes those never seen as missing."""
    texts: Texts = Texts()
    """How texts become numbers."""
