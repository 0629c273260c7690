"""What of the traffic is compared: volume, failures, lengths, languages, refusals, times, thumbs, corrections, meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from statsmodels.stats.multitest import multipletests

from studio.feedback.drift import ALL_ALARMS, FEWEST_REQUESTS, FEWEST_THUMBS, KS, PSI_CLASSES, PSI_RATE
from studio.loop.seasons import (
    DAY,
    WEEK,
    Floats,
    Statistic,
    Verdict,
    apart,
    compare_days,
    ks,
    psi,
    slots_of,
    summed,
    volume,
)

Row = Mapping[str, Any]
Embed = Callable[[Sequence[str]], Floats]
"""Texts to their vectors, float64 [n, e]."""

# Half as many requests again, or a third fewer.
_VOLUME = float(np.log(1.5))
# Means of two clouds of questions that lie apart by this share of the spread: about what one new topic in ten makes.
_APART = 0.02
_BINS = 32
# Classes that are rarer than this are counted together.
_RARE = 0.01
# So many questions of a side are read by the encoder; it takes some milliseconds for each.
_EMBEDDED = 1000


@dataclass(frozen=True)
class Finding:
    """One signal: the newest days beside the same weekdays before.

    before, now: how it stands, in words. value: the measure; plainly: the same beside all days, weekdays set aside.
    """

    signal: str
    before: str
    now: str
    n_before: int
    n_now: int
    measure: str
    value: float | None
    plainly: float | None
    limit: float
    p: float | None
    verdict: Verdict

    @property
    def alarm(self) -> bool:
        """True where it has changed."""
        return self.verdict == "changed"


@dataclass(frozen=True)
class Signal:
    """One thing that is compared. values: of each row, one or None, where there is none; times: of each row.

    kind: how the values are compared. fewest: rows that both sides must have.
    """

    name: str
    kind: str
    times: list[float]
    values: list[Any]
    fewest: int


@dataclass(frozen=True)
class Traffic:
    """What was asked and said: rows of the feedback file, of the models in question."""

    requests: Sequence[Row]
    ratings: Sequence[Row]
    corrections: Sequence[Row]


def compare_traffic(traffic: Traffic, *, now: float, days: int, weeks: int, embed: Embed | None = None) -> list[Finding]:
    """Compare the newest days with the same weekdays of the weeks before, signal by signal.

    An alarm needs enough rows, a measure above its limit, and a p-value below 0.01 after Holm's correction for all signals.

    Args:
        now: end of the newest day, seconds since 1970. embed: None leaves the meaning of questions out.
    """
    times = [float(row["created"]) for row in (*traffic.requests, *traffic.ratings, *traffic.corrections)]
    count = weeks * WEEK + days
    # A slot in which the service began is no whole day.
    count = max(1, min(count, int((now - min(times, default=now)) // DAY)))
    signals = signals_of(traffic)
    if embed is not None:
        signals.append(_meaning(traffic, now, days, embed))
    found = [_compare(signal, now=now, days=days, count=count) for signal in signals]
    return _judged(found)


def signals_of(traffic: Traffic) -> list[Signal]:
    """Every signal but the meaning of questions."""
    requests = traffic.requests
    answered = [row for row in requests if row["status"] in {"ok", "cut"}]

    def of(name: str, kind: str, rows: Sequence[Row], value: Callable[[Row], Any], fewest: int = FEWEST_REQUESTS) -> Signal:
        return Signal(name, kind, [float(row["created"]) for row in rows], [value(row) for row in rows], fewest)

    corrected = [(float(row["created"]), True) for row in traffic.corrections]
    corrected += [(float(row["created"]), False) for row in answered]
    return [
        of("requests a day", "volume", requests, lambda _: 1),
        of("failed", "rate", requests, lambda row: row["status"] in {"error", "refused"}),
        of("length of questions, tokens", "number", answered, lambda row: row["prompt_tokens"]),
        of("language of questions", "class", answered, _question_language),
        of("length of answers, characters", "number", answered, lambda row: row["characters"]),
        of("language of answers", "class", answered, _answer_language),
        of("refusals", "rate", answered, lambda row: row["refusal"]),
        of("seconds to the last token", "number", answered, lambda row: row["seconds"]),
        of("thumbs down of all thumbs", "rate", traffic.ratings, lambda row: row["value"] < 0, FEWEST_THUMBS),
        Signal("corrections", "rate", [t for t, _ in corrected], [value for _, value in corrected], FEWEST_REQUESTS),
    ]


def question_of(row: Row) -> str | None:
    """The last question of a row, where its words are kept."""
    return next((str(turn.get("content") or "") for turn in reversed(row["prompt"] or ()) if turn.get("role") == "user"), None)


def _question_language(row: Row) -> str | None:
    """Language of what was asked, where it is kept and long enough to tell."""
    from studio.language.identify import language_of

    text = question_of(row)
    return language_of(text) if text else None


def _answer_language(row: Row) -> str | None:
    """Language of an answer: as written down, or of its words; the server writes none down."""
    from studio.language.identify import language_of

    text = row["completion"]
    return row["language"] or (language_of(text) if text else None)


def _meaning(traffic: Traffic, now: float, days: int, embed: Embed) -> Signal:
    """Vectors of questions whose words are kept: those of requests, thumbs and corrections, each side drawn where it is long."""
    rows = [row for row in (*traffic.requests, *traffic.ratings, *traffic.corrections) if question_of(row)]
    # A request and the thumb on it ask the same thing once.
    rows = list({(row.get("request") or row["id"]): row for row in rows}.values())
    border = now - days * DAY
    generator = np.random.default_rng(0)
    chosen: list[Row] = []
    for side in ([row for row in rows if row["created"] < border], [row for row in rows if row["created"] >= border]):
        places = generator.permutation(len(side))[:_EMBEDDED]
        chosen += [side[place] for place in sorted(places)]
    vectors = embed([question_of(row) or "" for row in chosen]) if chosen else np.zeros((0, 1))
    times = [float(row["created"]) for row in chosen]
    return Signal("meaning of questions", "vector", times, list(vectors), FEWEST_REQUESTS)


def _compare(signal: Signal, *, now: float, days: int, count: int) -> Finding:
    """One signal before it is judged beside the others."""
    pairs = [(t, value) for t, value in zip(signal.times, signal.values, strict=True) if value is not None]
    slots = slots_of(np.array([t for t, _ in pairs], dtype=np.float64), now, count)
    values = [value for _, value in pairs]
    columns, statistic, measure, limit = _columns(signal.kind, values)
    sums = summed(slots, columns, count)
    new = slots >= 0
    sides = (
        [value for value, slot in zip(values, slots, strict=True) if slot >= days],
        [value for value, slot in zip(values, slots, strict=True) if 0 <= slot < days],
    )
    if signal.kind == "volume":
        sums[:, 1] = 1.0
    before, after = (_words(signal.kind, side, span) for side, span in zip(sides, (max(count - days, 1), days), strict=True))
    finding = Finding(
        signal.name, before, after, len(sides[0]), len(sides[1]), measure, None, None, limit, None, "too few to tell"
    )
    if min(map(len, sides)) < signal.fewest or not new.any():
        return finding
    # A day without any row is a day of silence once the service has begun; for shares and spreads it weighs nothing.
    found = compare_days(sums, np.ones(count, dtype=bool), days, statistic)
    if found.p is None:
        return finding
    return replace(finding, value=found.value, plainly=found.plainly, p=found.p, verdict="no change shown")


def _columns(kind: str, values: list[Any]) -> tuple[Floats, Statistic, str, float]:
    """Values as columns that add up, how sums of them are compared, what the measure is called, and its limit."""
    if kind == "volume":
        return np.ones((len(values), 2)), volume, "log ratio", _VOLUME
    if kind == "rate":
        yes = np.array([bool(value) for value in values], dtype=np.float64).reshape(-1, 1)
        return np.hstack([yes, 1 - yes]), psi, "PSI", PSI_RATE
    if kind == "class":
        return _one_hot(values), psi, "PSI", PSI_CLASSES
    if kind == "vector":
        vectors = np.array(values, dtype=np.float64).reshape(len(values), -1)
        squares = (vectors**2).sum(axis=1, keepdims=True)
        return np.hstack([vectors, squares, np.ones_like(squares)]), apart, "share of spread", _APART
    numbers = np.array(values, dtype=np.float64)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(numbers) else np.zeros(0)
    bins = np.searchsorted(edges, numbers, side="left")
    return np.eye(len(edges) + 1)[bins], ks, "KS", KS


def _one_hot(values: list[Any]) -> Floats:
    """A column for each class; the rare ones share one."""
    counts = Counter(values)
    names = sorted(name for name, count in counts.items() if count >= _RARE * len(values))
    place = {name: number for number, name in enumerate(names)}
    found: Floats = np.eye(len(names) + 1)[[place.get(value, len(names)) for value in values]]
    return found.reshape(len(values), len(names) + 1)


def _judged(findings: list[Finding]) -> list[Finding]:
    """Holm's correction over all signals that could be compared, and what follows."""
    tested = [index for index, one in enumerate(findings) if one.p is not None]
    if not tested:
        return findings
    shown = multipletests([findings[index].p for index in tested], alpha=ALL_ALARMS, method="holm")[0]
    judged = list(findings)
    for index, certain in zip(tested, shown, strict=True):
        one = findings[index]
        assert one.value is not None and one.plainly is not None
        if certain and one.value >= one.limit:
            judged[index] = replace(one, verdict="changed")
        elif one.plainly >= one.limit:
            judged[index] = replace(one, verdict="a season")
    return judged


def _words(kind: str, values: list[Any], days: int) -> str:
    """How a side stands, in words."""
    if not values:
        return "-"
    if kind == "volume":
        return f"{len(values) / days:.3g} a day"
    if kind == "rate":
        return f"{100 * sum(map(bool, values)) / len(values):.1f}%"
    if kind == "class":
        return ", ".join(f"{name} {100 * count / len(values):.0f}%" for name, count in Counter(values).most_common(2))
    return f"{len(values)} questions" if kind == "vector" else f"median {float(np.median(values)):.3g}"
