"""Windows of series as networks take them: each scaled by its own past, so that nothing after an origin is in it.

Legend: b windows, l stamps of context, h stamps ahead, t stamps of a series, k known and p past covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.models.forecast.calendar import Calendar
from studio.models.forecast.panel import Floats, Panel, Series, carried

# Of a constant past: a share of its size that counts as its spread.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Inputs:
    """What of the series goes into a network, and how covariates are scaled.

    reference: a stamp from which seasons are counted. means, spreads: of the covariates inside the training, [k + p].
    """

    context: int
    horizon: int
    known: int
    past: int
    reference: str
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    @property
    def per_stamp(self) -> int:
        """Numbers per stamp of the past: value, whether it was seen, covariates, place in the season."""
        return 2 + self.known + self.past + 2

    @property
    def per_future_stamp(self) -> int:
        """Numbers per stamp ahead: known covariates, place in the season."""
        return self.known + 2

    @staticmethod
    def learnt(panel: Panel, ends: Sequence[int], context: int, horizon: int) -> Inputs:
        """Scales of covariates from the stamps before the ends alone."""
        parts = [np.concatenate([one.known[:end], one.past[:end]], axis=1) for one, end in zip(panel.series, ends, strict=True)]
        joined = carried(np.concatenate(parts))
        means, spreads = joined.mean(axis=0), joined.std(axis=0)
        reference = min(one.start for one in panel.series).isoformat()
        known, past = len(panel.known), len(panel.past)
        told = tuple(map(float, means)), tuple(float(spread) or 1.0 for spread in spreads)
        return Inputs(context, horizon, known, past, reference, *told)


@dataclass(frozen=True)
class Prepared:
    """A series ready to be cut: l empty stamps before it, h behind it. values are filled from the past; seen is 1 or 0."""

    values: Floats
    seen: Floats
    covariates: Floats
    phase: Floats
    length: int


@dataclass(frozen=True)
class Batch:
    """past: [b, l, per_stamp]. future: [b, h, per_future_stamp]. middle, spread: [b], what values were scaled by. truth, seen:
    [b, h], scaled.
    """

    past: Floats
    future: Floats
    middle: Floats
    spread: Floats
    truth: Floats
    seen: Floats


def prepare(one: Series, inputs: Inputs, calendar: Calendar) -> Prepared:
    """A series as arrays; known covariates go on with their last value beyond their end."""
    before, after, count = inputs.context, inputs.horizon, len(one)
    total = before + count + after
    filled = carried(one.values[:, None])[:, 0] if count else np.zeros(0)
    values, seen = np.zeros(total), np.zeros(total)
    values[before : before + count], seen[before : before + count] = filled, one.seen
    values[before + count :] = filled[-1] if count else 0.0
    covariates = np.zeros((total, inputs.known + inputs.past))
    known = np.full((count + after, inputs.known), np.nan)
    known[: len(one.known)] = one.known[: count + after]
    covariates[before:, : inputs.known] = carried(known)
    covariates[before : before + count, inputs.known :] = carried(one.past)
    scaled = (covariates - np.array(inputs.means)) / np.array(inputs.spreads) if covariates.shape[1] else covariates
    scaled[:before] = 0.0
    return Prepared(values, seen, scaled, _phase(one, inputs, calendar, total), count)


def _phase(one: Series, inputs: Inputs, calendar: Calendar, total: int) -> Floats:
    """Place in the season as a point on a circle, [total, 2]; 0 without a season."""
    if calendar.season_length < 2:
        return np.zeros((total, 2))
    reference = pd.Timestamp(inputs.reference)
    first, last = min(one.start, reference), max(one.start, reference)
    apart = int(calendar.places(first, pd.DatetimeIndex([last]))[0])
    begin = apart if one.start >= reference else -apart
    angle = 2 * np.pi * (np.arange(total) - inputs.context + begin) / calendar.season_length
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def cut(series: Sequence[Prepared], origins: Sequence[int], inputs: Inputs) -> Batch:
    """Windows of series at origins (stamps before which everything is known), one each."""
    pasts, futures, middles, spreads, truths, seens = [], [], [], [], [], []
    for one, origin in zip(series, origins, strict=True):
        then, now = slice(origin, origin + inputs.context), origin + inputs.context
        ahead = slice(now, now + inputs.horizon)
        values, seen = one.values[then], one.seen[then] > 0
        middle = float(values[-1])
        known = values[seen]
        spread = max(float(known.std()) if len(known) else 0.0, LEAST_SPREAD * abs(middle)) or 1.0
        scaled = np.where(np.arange(inputs.context) >= inputs.context - origin, (values - middle) / spread, 0.0)
        pasts.append(np.column_stack([scaled, one.seen[then], one.covariates[then], one.phase[then]]))
        futures.append(np.column_stack([one.covariates[ahead, : inputs.known], one.phase[ahead]]))
        middles.append(middle)
        spreads.append(spread)
        truths.append((one.values[ahead] - middle) / spread)
        seens.append(one.seen[ahead])
    told = np.array(middles), np.array(spreads)
    return Batch(np.stack(pasts), np.stack(futures), *told, np.stack(truths), np.stack(seens))
