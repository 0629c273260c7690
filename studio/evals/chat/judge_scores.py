"""From a judge's verdicts to scores: win rate or points, how long the answers are, and how far to trust the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.core.records import Difference, GroupScores, Score
from studio.evals.chat.judging import Outcome, word_count
from studio.evals.intervals import share_interval
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import ANY, POSITIVE, Better, Scale, Statistic, verdict
from studio.feedback.agreement import cohen_kappa
from studio.feedback.wins import Wins

# Answers whose numbers of words are this near are about as long.
_ALIKE = 0.1
_SHARE = "share of pairs"


@dataclass
class Verdicts:
    """What a judge said.

    outcomes: of each row, ``first`` is the tuned model; None where the row could not be judged. points: by label, of each row.
    replies: asked for the rows; unread: those of them that could not be read; orders: pairs asked in both orders and read; split:
    those of them in which the two replies disagree. silent: rows decided because one says nothing; same: rows whose answers are
    the same. people: preference of people and of the judge, of each pair that was voted on; people_asked: pairs that were.
    labels, labels_asked: the same of answers that people called good or bad, where the judge gives points.
    """

    outcomes: list[Outcome | None] = field(default_factory=list)
    points: dict[str, list[float | None]] = field(default_factory=dict)
    replies: int = 0
    unread: int = 0
    orders: int = 0
    split: int = 0
    silent: int = 0
    same: int = 0
    people: list[tuple[str, str]] = field(default_factory=list)
    people_asked: int = 0
    labels: list[tuple[str, str]] = field(default_factory=list)
    labels_asked: int = 0

    @property
    def wins(self) -> Wins:
        """The outcomes counted, as the tuned model sees them."""
        return Wins(self.outcomes.count("first"), self.outcomes.count("second"), self.outcomes.count("tie"))


@dataclass(frozen=True)
class Judging:
    """All that the scores are made of. texts: by label, what each row was answered with. made_with: judge and prompt."""

    verdicts: Verdicts
    texts: Mapping[str, Sequence[str | None]]
    made_with: str
    most: int
    resamples: int
    seed: int

    def metric(self, key: str, title: str, unit: str, better: Better, explains: str, scale: Scale = ANY) -> Metric:
        """A figure of this task."""
        return Metric(key, title, unit, better, "answers", explains, _by_its_task, lambda: self.made_with, scale)


def _by_its_task(_: object) -> Statistic:
    """A judge's figures come from its own verdicts."""
    raise TypeError("a judge's figures are computed by the task 'judge'")


def all_scores(judging: Judging) -> tuple[dict[str, list[Score]], list[Difference]]:
    """Scores by label, and tuned minus base."""
    labels = list(judging.texts)
    paired = bool(judging.verdicts.outcomes) and not judging.verdicts.points
    differences: list[Difference] = []
    if paired:
        scores = _win_rates(judging, labels)
        differences.append(_win_difference(judging.verdicts.wins))
        scores["tuned"] += [_ties(judging), _disagreement(judging)]
    else:
        metric = judging.metric(
            "points", "Points from the judge", f"points of {judging.most}", "higher",
            f"Mean of the points from 1 to {judging.most} that the judge gives an answer; one that says nothing gets 1.",
            Scale(1.0, float(judging.most)),
        )  # fmt: skip
        scores, differences = _means(judging, metric, judging.verdicts.points)
    words = judging.metric(
        "words",
        "Words per answer",
        "words",
        "neither",
        "Mean length of the answers that were judged: judges favour long ones.",
        POSITIVE,
    )
    lengths = {
        label: [None if text is None else float(word_count(text)) for text in texts] for label, texts in judging.texts.items()
    }
    more, longer = _means(judging, words, lengths)
    for label in labels:
        scores[label] += more[label]
    own = [_unread(judging), _prefers_longer(judging)] if paired else [_unread(judging)]
    scores["tuned"] += [*own, _agreement(judging), *([] if paired else [_agreement_on_labels(judging)])]
    return scores, [*differences, *longer]


def by_length(judging: Judging) -> GroupScores | None:
    """The win rate where the tuned model's answer is longer, about as long, and shorter; None without pairs."""
    groups: dict[str, list[Outcome]] = {"tuned's answer is longer": [], "about as long": [], "tuned's answer is shorter": []}
    for outcome, sizes in _decided(judging):
        longer = sizes[0] > sizes[1]
        near = abs(sizes[0] - sizes[1]) <= _ALIKE * max(sizes)
        groups["about as long" if near else "tuned's answer is longer" if longer else "tuned's answer is shorter"].append(outcome)
    if not any(groups.values()):
        return None
    scores = [_share(judging, name, "", group.count("first"), len(group), "neither") for name, group in groups.items() if group]
    return GroupScores(
        title="Win rate, by which answer is longer",
        unit=_SHARE,
        explains="Where the win rate follows the length, the judge may be rewarding length.",
        scores={"tuned": [item.model_copy(update={"title": item.metric}) for item in scores]},
    )


def _decided(judging: Judging) -> list[tuple[Outcome, tuple[int, int]]]:
    """Pairs with a winner, and how many words the tuned model's answer and the base's have."""
    tuned, base = judging.texts["tuned"], judging.texts.get("base", [])
    rows = zip(judging.verdicts.outcomes, tuned, base, strict=False)
    return [(won, (word_count(a), word_count(b))) for won, a, b in rows if won in {"first", "second"} and a and b]


def _share(judging: Judging, key: str, title: str, hits: int, count: int, better: Better, **other: Any) -> Score:
    """A share with its exact interval."""
    bounds, reason = share_interval(hits, count), other.pop("reason", "there was nothing to count")
    return Score(
        metric=key, title=title, value=hits / count if count else None, unit=other.pop("unit", _SHARE), better=better, n=count,
        low=bounds[0] if bounds else None, high=bounds[1] if bounds else None, made_with=judging.made_with,
        reason=None if count else reason, **other,
    )  # fmt: skip


def _win_rates(judging: Judging, labels: Sequence[str]) -> dict[str, list[Score]]:
    """The win rate of both models: the base's is what is left."""
    wins, asked = judging.verdicts.wins, len(judging.verdicts.outcomes)
    judged = wins.decided + wins.ties
    scores: dict[str, list[Score]] = {}
    for label in labels:
        won, lost = (wins.won, wins.lost) if label == "tuned" else (wins.lost, wins.won)
        scores[label] = [
            _share(
                judging, "win_rate", "Win rate by the judge", won, wins.decided, "higher", unit="share of decided pairs",
                coverage=judged / asked if asked else 0.0, note=f"{won} won, {lost} lost, {wins.ties} ties",
                explains="Share of the decided pairs in which the judge prefers this model in both orders; ties stand apart.",
                reason="no pair was decided",
            )
        ]  # fmt: skip
    return scores


def _win_difference(wins: Wins) -> Difference:
    """Share of decided pairs won minus share lost, with the sign test."""
    share = share_interval(wins.won, wins.decided)
    low, high = (2 * share[0] - 1, 2 * share[1] - 1) if share is not None else (None, None)
    return Difference(
        metric="win_rate",
        value=None if wins.share is None else 2 * wins.share - 1,
        low=low,
        high=high,
        n=wins.decided,
        method=(
            f"share won minus share lost of {wins.decided} decided pairs, exact interval; exact sign test: {wins.won} won, "
            f"{wins.lost} lost, {wins.ties} ties, p = {wins.p:.3g}"
        ),
        verdict=verdict(None if low is None or high is None else (low, high), "higher", wins.p),
        p=wins.p if wins.decided else None,
    )


def _ties(judging: Judging) -> Score:
    """Share of ties."""
    wins = judging.verdicts.wins
    explains = "Share of the judged pairs without a winner: the judge sees none, or the two orders disagree."
    return _share(judging, "ties", "Ties", wins.ties, wins.decided + wins.ties, "neither", explains=explains)


def _disagreement(judging: Judging) -> Score:
    """How often the judge changes its mind with the order."""
    verdicts = judging.verdicts
    explains = "Share of the pairs in which the judge says something else when the same two answers stand the other way round."
    title = "Judge: orders disagree"
    return _share(judging, "order_disagreement", title, verdicts.split, verdicts.orders, "lower", explains=explains)


def _unread(judging: Judging) -> Score:
    """How often the judge does not answer in the form it was asked for."""
    explains = "Share of the judge's replies from which no verdict could be read; none is guessed."
    unread, replies = judging.verdicts.unread, judging.verdicts.replies
    return _share(
        judging, "unread", "Judge: replies unread", unread, replies, "lower", unit="share of replies", explains=explains
    )


def _prefers_longer(judging: Judging) -> Score:
    """How often the longer answer wins."""
    decided = [(outcome, sizes) for outcome, sizes in _decided(judging) if sizes[0] != sizes[1]]
    hits = sum((outcome == "first") == (sizes[0] > sizes[1]) for outcome, sizes in decided)
    explains = "Share of the decided pairs, answers of different length, in which the longer answer wins."
    return _share(
        judging, "prefers_longer", "Judge: the longer answer wins", hits, len(decided), "neither", explains=explains,
        reason="no decided pair has answers of different length",
    )  # fmt: skip


def _agreement(judging: Judging) -> Score:
    """Cohen's kappa between the judge and people's votes."""
    explains = (
        "How far judge and voters agree on the pairs that people voted on, beyond chance: 1 is always, 0 as by chance. Most of "
        "the voters decide; both have three verdicts, ties included."
    )
    missing = "nobody's votes were judged: they are given in the compare app (studio app compare RUN)"
    found, asked = judging.verdicts.people, judging.verdicts.people_asked
    return _kappa(judging, "agreement", "Judge: agreement with people", explains, missing, found, asked)


def _agreement_on_labels(judging: Judging) -> Score:
    """Cohen's kappa between the judge's points and people's labels."""
    explains = (
        "How far the judge's points agree with people who called answers good or bad, beyond chance. Points in the upper half of "
        "the scale count as good."
    )
    missing = "no answer that people called good or bad was judged: labels are given with studio app annotate DATASET"
    found, asked = judging.verdicts.labels, judging.verdicts.labels_asked
    return _kappa(judging, "agreement_labels", "Judge: agreement with labels", explains, missing, found, asked)


def _kappa(
    judging: Judging, key: str, title: str, explains: str, missing: str, pairs: Sequence[tuple[str, str]], asked: int
) -> Score:
    """Cohen's kappa of what people and the judge said."""
    kappa, low, high = cohen_kappa(pairs)
    same = sum(person == judge for person, judge in pairs)
    reason = "too few, or all alike, so that chance explains everything" if pairs else missing
    return Score(
        metric=key, title=title, value=kappa, unit="Cohen's kappa", better="higher", n=len(pairs), low=low, high=high,
        coverage=len(pairs) / max(1, asked), made_with=judging.made_with, explains=explains,
        note=f"the same in {same} of {len(pairs)}" if pairs else None, reason=reason if kappa is None else None,
    )  # fmt: skip


def _means(
    judging: Judging, metric: Metric, values: Mapping[str, Sequence[float | None]]
) -> tuple[dict[str, list[Score]], list[Difference]]:
    """Means by label with intervals, and their paired difference."""
    draws, seed = judging.resamples, judging.seed
    statistics = {label: mean_statistic(list(each)) for label, each in values.items()}
    scores = {label: [score(metric, statistic, resamples=draws, seed=seed)] for label, statistic in statistics.items()}
    if "base" not in statistics:
        return scores, []
    return scores, [difference(metric, statistics["tuned"], statistics["base"], resamples=draws, seed=seed)]
