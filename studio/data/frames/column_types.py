"""What each column holds: said by a person, or found by reading every value; values that do not fit are told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.frames.values import NumberSigns, Times, to_numbers, to_times
from studio.schema.table_recipe import SaidColumn, ValueSettings

_EXAMPLES = 3
# A text is told from a category by its words: most categories have one or two, sentences many.
_WORDS_OF_TEXT = 4
_CHARACTERS_OF_TEXT = 60
# From so many rows on, whole numbers one after the other are taken for the numbers of rows.
_COUNTED = 20


@dataclass
class Typed:
    """A column with its type.

    values: float64 (NaN: missing), ``str`` (NaN: missing) or datetime64[us] (NaT), [n]. trouble: reason to the places of values
    that did not fit, which are missing in ``values``. seen: what stood there, in the order of the places. notes: for people.
    """

    type: str
    values: pd.Series
    trouble: dict[str, np.ndarray] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_trouble(self, reason: str, places: np.ndarray, texts: pd.Series) -> None:
        """Some values do not fit."""
        if len(places):
            self.trouble[reason] = places
            self.seen[reason] = [str(text) for text in texts.iloc[places]]


def typed_column(name: str, values: pd.Series, said: SaidColumn, settings: ValueSettings) -> Typed:
    """A column as its type wants it.

    Raises:
        DataError: the type that was said does not fit most of its values.
    """
    if pd.api.types.is_bool_dtype(values.dtype) or values.dtype == object:
        values = values.astype("str").where(values.notna())
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _of_moments(values, said)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _of_numbers(_without(values, settings.missing), said)
    texts = values.astype("str")
    gone = texts.isna() | texts.str.strip().isin(settings.missing)
    there = np.flatnonzero(~gone.to_numpy())
    present = texts.iloc[there]
    kind = said.type
    if kind in {None, "number"}:
        numbers = to_numbers(present, NumberSigns(settings.decimal, settings.thousands))
        if kind == "number" or (_mostly(~np.isnan(numbers), settings.sure) and not _codes(present)):
            return _numbers(name, texts, there, numbers, said)
    if kind in {None, "time"} and (kind or present.str.contains(r"\d", regex=True).mean() >= settings.sure):
        times = to_times(present, tuple(said.formats), day_first=settings.day_first)
        if kind == "time" or _mostly(~np.isnat(times.values) | times.ambiguous, settings.sure):
            return _times(name, texts, there, times, settings)
    return _words(name, texts.where(~gone), present, kind, settings)


def _without(values: pd.Series, missing: list[str]) -> pd.Series:
    """Numbers without those that stand for a missing value."""
    marks = [float(mark) for mark in missing if re.fullmatch(r"[-+]?\d+(\.\d+)?", mark)]
    return values.mask(values.isin(marks)) if marks else values


def _mostly(fits: np.ndarray, sure: float) -> bool:
    """True when enough values fit."""
    return len(fits) > 0 and float(fits.mean()) >= sure


def _codes(present: pd.Series) -> bool:
    """True for digits with a leading zero, as in a postcode: their zeros would be lost."""
    return bool(present.str.strip().str.fullmatch(r"0\d+").any())


def _numbers(name: str, texts: pd.Series, there: np.ndarray, numbers: np.ndarray, said: SaidColumn) -> Typed:
    """A column of numbers from text."""
    _refuse_hopeless(name, "number", ~np.isnan(numbers), texts, there)
    column = np.full(len(texts), np.nan)
    column[there] = np.where(np.isinf(numbers), np.nan, numbers)
    typed = Typed("number", pd.Series(column))
    typed.add_trouble("is no number", there[np.isnan(numbers)], texts)
    typed.add_trouble("is infinite", there[np.isinf(numbers)], texts)
    return _noticed(name, typed, said)


def _of_numbers(values: pd.Series, said: SaidColumn) -> Typed:
    """A column that its file says holds numbers."""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    if said.type in {"category", "text"}:
        whole = np.isnan(numbers) | (numbers == np.floor(numbers))
        texts = values.astype("Int64").astype("str") if whole.all() else values.astype("str")
        return Typed(said.type, texts.where(values.notna()).astype("str"))
    if said.type == "time":
        raise DataError(f"columns: {said.name!r} holds numbers, and 'type: time' was said. Leave the type out, or say number.")
    typed = Typed("number", pd.Series(np.where(np.isinf(numbers), np.nan, numbers)))
    typed.add_trouble("is infinite", np.flatnonzero(np.isinf(numbers)), values)
    return _noticed(said.name, typed, said)


def _of_moments(values: pd.Series, said: SaidColumn) -> Typed:
    """A column that its file says holds times."""
    if said.type not in {None, "time"}:
        raise DataError(f"columns: {said.name!r} holds times, and 'type: {said.type}' was said. Leave the type out.")
    moments = pd.to_datetime(values, utc=True).dt.tz_localize(None)
    return Typed("time", moments.astype("datetime64[us]"))


def _times(name: str, texts: pd.Series, there: np.ndarray, times: Times, settings: ValueSettings) -> Typed:
    """A column of times from text, with a line on the forms it uses."""
    _refuse_hopeless(name, "time", ~np.isnat(times.values) | times.ambiguous, texts, there)
    column = np.full(len(texts), np.datetime64("NaT"), dtype="datetime64[us]")
    column[there] = times.values
    typed = Typed("time", pd.Series(column))
    typed.add_trouble("could be two different dates", there[times.ambiguous], texts)
    typed.add_trouble("is no date in a known form", there[np.isnat(times.values) & ~times.ambiguous], texts)
    if len(times.formats) > 1:
        forms = ", ".join(f"{count:,} as {form} ({example!r})" for form, (count, example) in times.formats.items())
        typed.notes.append(f"{name}: dates in {len(times.formats)} forms: {forms}; each was read by its own")
    if times.doubtful:
        order = "the day" if settings.day_first else "the month"
        typed.notes.append(
            f"{name}: every date could be read with day and month changed round; {order} was taken to come first "
            "(values.day_first, or formats of the column, decides)"
        )
    return typed


def _words(name: str, texts: pd.Series, present: pd.Series, kind: str | None, settings: ValueSettings) -> Typed:
    """A column of categories or of free text."""
    typed = Typed(kind or ("text" if _is_text(present) else "category"), texts)
    if kind is not None or not len(present):
        return typed
    numbers = to_numbers(present, NumberSigns(settings.decimal, settings.thousands))
    share = float((~np.isnan(numbers)).mean())
    other = NumberSigns(",", ".") if settings.decimal == "." else NumberSigns(".", ",")
    if _codes(present) and share >= settings.sure:
        typed.notes.append(f"{name}: digits with leading zeros were taken for codes, not numbers (say type: number to change it)")
    elif share >= 0.5:
        odd = present[np.isnan(numbers)].drop_duplicates().head(_EXAMPLES)
        typed.notes.append(
            f"{name}: {share:.0%} of its values are numbers, which is less than values.sure ({settings.sure:.0%}); it was "
            f"taken for a {typed.type} for values such as {', '.join(map(repr, odd))} (say its type)"
        )
    elif present.str.contains(r"\d", regex=True).mean() >= settings.sure and _mostly(
        ~np.isnan(to_numbers(present, other)), settings.sure
    ):
        example = present.iloc[0]
        typed.notes.append(
            f"{name}: values such as {example!r} would be numbers with decimal sign {other.decimal!r}; it was taken for a "
            f"{typed.type} (values.decimal, values.thousands)"
        )
    return typed


def _is_text(present: pd.Series) -> bool:
    """True for sentences: several words, hardly ever the same."""
    if not len(present):
        return False
    unique = present.drop_duplicates()
    words = float(unique.str.count(r"\S+").mean())
    long = words >= _WORDS_OF_TEXT or float(unique.str.len().mean()) > _CHARACTERS_OF_TEXT
    return long and len(unique) > max(20, 0.2 * len(present))


def _noticed(name: str, typed: Typed, said: SaidColumn) -> Typed:
    """What numbers look like that are none in truth."""
    if said.type is not None:
        return typed
    found = typed.values.dropna().to_numpy()
    distinct = np.unique(found)
    if 2 < len(distinct) <= 8 and len(found) >= 100 and (distinct == np.floor(distinct)).all():
        shown = ", ".join(f"{value:g}" for value in distinct)
        typed.notes.append(
            f"{name}: taken for a number with the {len(distinct)} values {shown}; say type: category if they have no order"
        )
    return typed


def counts_rows(values: pd.Series) -> bool:
    """True for whole numbers that go up by one from row to row."""
    found = values.to_numpy()
    return len(found) >= _COUNTED and bool((found % 1 == 0).all() and (np.diff(found) == 1).all())


def _refuse_hopeless(name: str, kind: str, fits: np.ndarray, texts: pd.Series, there: np.ndarray) -> None:
    """A type that was said and fits less than half of the values is a mistake."""
    if len(fits) and fits.mean() < 0.5:
        example = texts.iloc[there[np.flatnonzero(~fits)[0]]]
        raise DataError(
            f"the column {name!r} is to hold a {kind} in each row, and {int((~fits).sum()):,} of its {len(fits):,} values are "
            f"none, such as {str(example)[:60]!r}. Say another type, or how they are written (values.decimal, values.thousands, "
            "formats)."
        )
