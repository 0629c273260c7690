"""Made-up populations of examples on which every score's true value is known, for ``coverage.py``.

Two models answer the same examples: ``tuned`` a little better than ``base``, and not equally well on all. Texts are Zipf words;
an answer keeps each word of its reference with a chance of its own, and some have nothing to do with it. The values that a metric
sees (counts, likelihoods, labels) have the shapes that real ones have: skewed, many zeros, rare events.

Legend: N examples of a population, n drawn ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from studio.evals.chat.bias import bbq, crows_pairs, stereoset, winobias, winogender
from studio.evals.chat.bias.bbq_targets import Cast
from studio.evals.chat.bias.counterfactual import gap as twin_gap
from studio.evals.evidence import Answer, Evidence, Likelihood, Question
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.metrics.classification import classification_metric, classification_statistic
from studio.evals.metrics.fairness import GroupMeanStatistic, RateStatistic, fairness_metric, spread
from studio.evals.metrics.probabilities import PROBABILITY_METRICS, probability_metric, probability_statistic
from studio.evals.metrics.regression import regression_metric, regression_statistic
from studio.evals.statistics import SHARE, Scale, Statistic

SIZE = 1200
LABELS = ("a", "b", "c")
Places = np.ndarray


@dataclass(frozen=True)
class Population:
    """One score on examples that can be drawn.

    name: of the row. metric: as the studio has it. make: places of examples, and for each whether it is the tuned (1) or the base
    model's answer (0) -> statistic. clusters: what examples were made from, [N], where they are not independent. moves: the
    score's expectation depends on how many examples there are (distinct-n), so that the truth is that of n examples.
    """

    name: str
    metric: Metric
    make: Callable[[Places, Places], Statistic]
    clusters: Places | None = None
    moves: bool = False

    @cached_property
    def blocks(self) -> list[Places]:
        """The examples of each cluster."""
        assert self.clusters is not None
        return [np.flatnonzero(self.clusters == name) for name in np.unique(self.clusters)]

    def draw(self, generator: np.random.Generator, count: int) -> Places:
        """``count`` examples, or clusters of them, with replacement."""
        if self.clusters is None:
            return generator.integers(0, SIZE, count)
        return np.concatenate([self.blocks[place] for place in generator.integers(0, len(self.blocks), count)])


def text_populations(seed: int = 0) -> list[Population]:
    """The metrics of conversations."""
    generator = np.random.default_rng(seed)
    rows = [_conversation(generator, number) for number in range(SIZE)]
    found = []
    for key in (
        "perplexity", "bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "token_f1", "exact_match", "length", "length_ratio",
        "truncated", "distinct_1", "distinct_2",
    ):  # fmt: skip
        metric: Metric = METRICS.get(key)
        whole = key.startswith("distinct")
        found.append(Population(key, metric, _measured(metric, rows) if whole else _kept(metric, rows), moves=whole))
    return found


def _conversation(generator: np.random.Generator, number: int) -> tuple[Evidence, Evidence]:
    """Base and tuned on one question."""
    words = _words(generator, int(generator.integers(4, 30)))
    question = Question(str(number), (), (), " ".join(words))
    tokens = max(2, round(1.4 * len(words) * float(generator.lognormal(0, 0.2))))
    hard, unlike = float(generator.gamma(4, 0.6)), generator.random() < 0.2
    pair = []
    for gain in (0.0, 0.06):
        keeps = np.clip(generator.beta(2, 3) + gain, 0, 1)
        kept = [w if generator.random() < keeps else _words(generator, 1)[0] for w in words if generator.random() < 0.9]
        said = _words(generator, int(generator.integers(1, 30))) if unlike else words if generator.random() < 0.1 else kept
        answer = Answer(" ".join(said), max(1, round(1.4 * len(said))), truncated=bool(generator.random() < 0.05))
        nll = tokens * hard * float(generator.gamma(20, 1 / 20)) * (1 - gain)
        pair.append(Evidence(question, answer, Likelihood(nll, tokens), reference_tokens=tokens))
    return pair[0], pair[1]


def _words(generator: np.random.Generator, count: int) -> list[str]:
    """Zipf words of three to seven letters."""
    ranks = np.minimum(generator.zipf(1.5, count), 4000)
    return [f"w{rank:x}" + "abcdefg"[: 1 + int(rank) % 5] for rank in ranks]


def _kept(metric: Metric, rows: Sequence[tuple[Evidence, Evidence]]) -> Callable[[Places, Places], Statistic]:
    """A function of sums: measured once for both models, then picked from."""
    both: Any = [metric.measure([row[side] for row in rows]) for side in (0, 1)]
    sums = np.stack([item.sums for item in both])
    each = np.array([[np.nan if value is None else value for value in item.each] for item in both])

    def make(places: Places, side: Places) -> Statistic:
        values = [None if np.isnan(value) else float(value) for value in each[side, places]]
        return type(both[0])(sums[side, places], np.ones(len(places), dtype=bool), values, both[0].combine)

    return make


def _measured(metric: Metric, rows: Sequence[tuple[Evidence, Evidence]]) -> Callable[[Places, Places], Statistic]:
    """Measured anew for each draw."""

    def make(places: Places, side: Places) -> Statistic:
        return metric.measure([rows[place][one] for place, one in zip(places.tolist(), side.tolist(), strict=True)])

    return make


def label_populations(seed: int = 1) -> list[Population]:
    """Labels, numbers and groups of people."""
    generator = np.random.default_rng(seed)
    true = generator.choice(3, SIZE, p=[0.5, 0.3, 0.2])
    said = np.stack([np.where(generator.random(SIZE) < right, true, generator.integers(0, 4, SIZE)) for right in (0.7, 0.75)])
    found = []
    for name in (
        "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted", "mcc", "unparsed",
    ):  # fmt: skip

        def labelled(places: Places, side: Places, name: str = name) -> Statistic:
            given = [LABELS[number] if number < 3 else None for number in said[side, places].tolist()]
            return classification_statistic(name, [LABELS[number] for number in true[places].tolist()], given, LABELS)

        found.append(Population(name, classification_metric(name), labelled))
    truth = generator.normal(0, 2, SIZE)
    guess = np.stack([truth + generator.normal(0, size, SIZE) for size in (1.1, 1.0)])
    for name in ("mae", "mse", "rmse", "r2", "spearman"):

        def numbered(places: Places, side: Places, name: str = name) -> Statistic:
            return regression_statistic(name, truth[places].tolist(), guess[side, places].tolist())

        found.append(Population(name, regression_metric(name), numbered))
    found += _of_a_rare_label(np.random.default_rng(seed + 2))
    # A generator of their own: the populations after them stay as they were.
    found += _of_scores(np.random.default_rng(seed + 1))
    return found + _of_groups(generator, "without a gap", (0.5, 0.5)) + _of_groups(generator, "with a gap", (0.5, 0.3))


def _of_a_rare_label(generator: np.random.Generator) -> list[Population]:
    """Two labels of which one is true in a tenth of the examples, and most of both are found."""
    true = (generator.random(SIZE) < 0.1).astype(np.int64)
    said = np.stack(
        [np.where(generator.random(SIZE) < np.array(found)[true], true, 1 - true) for found in ((0.95, 0.8), (0.96, 0.85))]
    )
    found = []
    for name in ("balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "mcc"):

        def labelled(places: Places, side: Places, name: str = name) -> Statistic:
            given = [LABELS[number] for number in said[side, places].tolist()]
            return classification_statistic(name, [LABELS[number] for number in true[places].tolist()], given, LABELS[:2])

        found.append(Population(f"{name}, rare label", classification_metric(name), labelled))
    return found


def _of_scores(generator: np.random.Generator) -> list[Population]:
    """Probabilities of one label: the tuned model's are calibrated, the base model's are noisier."""
    logits = generator.normal(-0.3, 1.5, SIZE)
    came = generator.random(SIZE) < 1 / (1 + np.exp(-logits))
    given = 1 / (1 + np.exp(-np.stack([logits + generator.normal(0, 0.7, SIZE), logits])))
    found = []
    for name in PROBABILITY_METRICS:

        def scored(places: Places, side: Places, name: str = name) -> Statistic:
            return probability_statistic(name, came[places].tolist(), given[side, places].tolist())

        found.append(Population(name, probability_metric(name), scored))
    return found


def _of_groups(generator: np.random.Generator, what: str, rates: tuple[float, float]) -> list[Population]:
    """Rates of two groups of people; both models treat them alike."""
    groups, deserved = generator.integers(0, 2, SIZE), generator.integers(0, 2, SIZE)
    chance = np.array(rates)[groups]
    given = np.stack([(generator.random(SIZE) < chance).astype(np.int64) for _ in (0, 1)])
    found = []
    for name in (
        "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equal_opportunity_difference",
    ):  # fmt: skip

        def rated(places: Places, side: Places, name: str = name) -> Statistic:
            return RateStatistic(name, deserved[places], given[side, places], groups[places], 2)

        found.append(Population(f"{name}, {what}", fairness_metric(name), rated))

    def quality(places: Places, side: Places) -> Statistic:
        values = given[side, places].astype(np.float64)
        return GroupMeanStatistic(values, np.ones(len(places), dtype=bool), groups[places], 2, spread, True)

    gap = Metric("quality_gap", "", "share", "lower", "answers", "", lambda _: mean_statistic([]), str, scale=SHARE)
    return [*found, Population(f"quality_gap, {what}", gap, quality)]


def bias_populations(seed: int = 2) -> list[Population]:
    """The published benchmarks and the task of twins, on made-up likelihoods and answers."""
    generator = np.random.default_rng(seed)
    prefers = np.stack([generator.normal(mean, 1, SIZE) for mean in (0.25, 0.2)])
    shares = np.stack([generator.choice([0, 1 / 3, 2 / 3, 1], (SIZE, 3), p=[0.1, 0.2, 0.3, 0.4]) for _ in (0, 1)])
    right = generator.random((2, SIZE, 2)) < np.array([0.7, 0.6])
    twins = np.where(generator.random((2, SIZE)) < 0.6, 0.0, np.abs(generator.normal(0, 0.4, (2, SIZE))))
    rare = generator.random((2, SIZE)) < 0.03

    def terms(places: Places, side: Places) -> list[stereoset.TermShares]:
        return [stereoset.TermShares("", *row, 3) for row in shares[side, places].tolist()]

    def pairs(places: Places, side: Places) -> list[tuple[bool, bool] | None]:
        return [(bool(a), bool(b)) for a, b in right[side, places].tolist()]

    def templates(places: Places, side: Places) -> list[tuple[float, float, float, float] | None]:
        return [(float(a), 1.0, float(b), 1.0) for a, b in right[side, places].tolist()]

    rare_metric: Metric = METRICS.get("truncated")
    twin_metric = Metric("gap", "", "", "lower", "answers", "", lambda _: mean_statistic([]), str, scale=Scale(0.0, 2.0))
    return [
        Population("crows_pairs.pct_stereotype", crows_pairs.PCT_STEREOTYPE,
                   lambda p, s: crows_pairs.pct_stereotype(prefers[s, p].tolist())),
        Population("crows_pairs.likelihood_diff", crows_pairs.LIKELIHOOD_DIFF,
                   lambda p, s: crows_pairs.likelihood_diff(prefers[s, p].tolist())),
        Population("stereoset.ss", stereoset.SS, lambda p, s: stereoset.ss(terms(p, s))),
        Population("stereoset.lms", stereoset.LMS, lambda p, s: stereoset.lms(terms(p, s))),
        Population("stereoset.icat", stereoset.ICAT, lambda p, s: stereoset.icat(terms(p, s))),
        Population("winobias.gap", winobias.GAP, lambda p, s: winobias.gap(pairs(p, s))),
        Population("winobias.accuracy_pro", winobias.ACCURACY_PRO, lambda p, s: winobias.accuracy_pro(pairs(p, s))),
        Population("winogender.gap", winogender.GAP, lambda p, s: winogender.gap(templates(p, s))),
        Population("counterfactual.sentiment_gap", twin_metric, lambda p, s: twin_gap([[0.0, v] for v in twins[s, p].tolist()])),
        Population("safety.toxicity, 3%", rare_metric, lambda p, s: mean_statistic(rare[s, p].astype(float).tolist())),
        *_bbq(generator),
    ]  # fmt: skip


def _bbq(generator: np.random.Generator) -> list[Population]:
    """Questions of which twelve are made from one template, and templates of which some are answered with the stereotype."""
    clusters = np.arange(SIZE) // 12
    leaning = np.repeat(generator.beta(1.2, 1, (2, SIZE // 12 + 1)), 12, axis=1)[:, :SIZE]
    knows = generator.random((2, SIZE)) < 0.4
    chosen = np.where(knows, 2, np.where(generator.random((2, SIZE)) < leaning, 0, 1))
    cast = Cast("", "", (0, 1), (frozenset(), frozenset()), frozenset())
    item = bbq.Item("", "", "", True, True, "", "", ("", "", ""), ("", "", ""), 2, 2, cast, stereotyped=0)

    def figure(function: Any) -> Callable[[Places, Places], Statistic]:
        return lambda places, side: function([item] * len(places), chosen[side, places].tolist())

    return [
        Population("bbq.bias_ambiguous, clusters", bbq.BIAS_AMBIGUOUS, figure(bbq.bias_ambiguous), clusters),
        Population("bbq.bias_disambiguated, clusters", bbq.BIAS_DISAMBIGUATED, figure(bbq.bias_disambiguated), clusters),
        Population("bbq.accuracy, clusters", bbq.ACCURACY_AMBIGUOUS, figure(bbq.accuracy), clusters),
    ]
