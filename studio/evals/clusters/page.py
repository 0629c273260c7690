"""The parts of the report that groups have alone: what each is, where its rows lie, and rows that show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from studio.core.records import GroupScores, Score
from studio.data.examples import Examples
from studio.evals.clusters.describing import SMALL, Trait, traits_of
from studio.evals.clusters.metrics import METRICS
from studio.evals.clusters.picture import colour_of, flatten, scatter, told_picture
from studio.evals.example_rows import picture_of, row_texts
from studio.evals.metrics.base import mean_statistic
from studio.evals.numbers import figure, number
from studio.evals.scoring import score
from studio.evals.task import Card, CardGroup, Panel, Part
from studio.models.clusters.groups import NONE

# Groups beyond so many are counted, not described.
MOST_GROUPS = 20
_PROTOTYPES, _CARDS = 3, 24
_THUMBNAILS = 6
_LABELS_DRAWN = 10
_HOW = (
    "Of what tells a group apart from all other training rows the strongest: its mean or share, in brackets that of the others. "
    f"d: the difference in standard deviations of all rows; below {SMALL} nothing is shown."
)


def group_name(group: int) -> str:
    """What a group is called."""
    return str(group) if group != NONE else "none"


def groups_panel(
    rows: Examples,
    labels: np.ndarray,
    distances: np.ndarray,
    sizes: Sequence[int],
    each: np.ndarray,
    columns: int,
    described: tuple[Examples, np.ndarray],
) -> Panel:
    """A line for each group: its size in training and here, its silhouette, and what tells it apart.

    Args:
        labels: int64 [n]. distances: of each row to the middle of its group, [n]. sizes: training rows of each group. each:
            silhouette of each row, [n]. columns: traits shown. described: training rows and their groups, which traits are of: a
            group has too few held-out rows to be described by.
    """
    picture = picture_of(rows)
    lines = []
    for group, size in enumerate(sizes[:MOST_GROUPS], start=1):
        told = _told_traits(traits_of(described[0], described[1] == group, columns))
        if picture is not None:
            nearest = nearest_to_middle(labels, distances, group)[:_THUMBNAILS]
            told = _thumbnails([picture(int(place)) for place in nearest]) + told
        lines.append(_line(group, size, labels, each, told))
    pictures_alone = all(column.type == "picture" for column in rows.columns)
    explains = "The pictures nearest to the middle of each group." if pictures_alone else _HOW
    if len(sizes) > MOST_GROUPS:
        explains += f" {len(sizes) - MOST_GROUPS} further groups are in the examples."
    return Panel(
        "What the groups are",
        Markup(
            '<p class="soft">{}</p><table class="scores"><thead><tr><th>Group</th><th class="n">Training rows</th>'
            '<th class="n">Rows here</th><th class="n">Silhouette</th><th>{}</th></tr></thead><tbody>{}</tbody></table>'
        ).format(explains, "Its pictures" if pictures_alone else "What tells it apart", Markup("").join(lines)),
    )


def nearest_to_middle(labels: np.ndarray, distances: np.ndarray, group: int) -> np.ndarray:
    """Places of the rows of a group, the nearest to its middle first."""
    inside = np.flatnonzero(labels == group)
    found: np.ndarray = inside[np.argsort(distances[inside], kind="stable")]
    return found


def _told_traits(traits: Sequence[Trait]) -> Markup:
    """What tells a group apart, a line each."""
    return Markup("<br>").join(
        Markup('{} {}: <strong>{}</strong> ({}) <span class="soft">d {}</span>').format(
            "▲" if trait.size > 0 else "▼", trait.name, trait.here, trait.elsewhere, number(abs(trait.size))
        )
        for trait in traits
    )


def _thumbnails(pictures: Sequence[str]) -> Markup:
    """Small pictures in a row."""
    return Markup("").join(
        Markup('<img src="{}" alt="a picture of this group" width="44" style="margin:0 6px 4px 0;vertical-align:middle">').format(
            one
        )
        for one in pictures
    )


def _line(group: int, size: int, labels: np.ndarray, each: np.ndarray, told: Markup) -> Markup:
    """One group of the table."""
    here = labels == group
    known = each[here & ~np.isnan(each)]
    return Markup(
        '<tr><td><span class="key" style="margin-left:0;background:{}"></span>{}</td>'
        '<td class="n" data-label="Training rows">{:,}</td>'
        '<td class="n" data-label="Rows here">{:,} <small>{}</small></td><td class="n" data-label="Silhouette">{}</td>'
        '<td data-label="What tells it apart" style="grid-column:1/-1">{}</td></tr>'
    ).format(
        colour_of(group),
        group,
        size,
        int(here.sum()),
        figure(float(here.mean()), "share"),
        number(float(known.mean())) if len(known) else "–",
        told or "nothing by much",
    )


def picture_panels(
    matrix: np.ndarray, labels: np.ndarray, k: int, truth: np.ndarray | None, method: str, seed: int
) -> list[Panel]:
    """The rows in two dimensions by group, and by label where there are few; nothing of a single dimension."""
    flat = flatten(matrix, method, seed)
    if flat is None:
        return []
    told = told_picture(flat)
    note = "" if (labels != NONE).all() else " Crosses are in no group."
    pieces = [
        Markup('<p class="soft">{}{}</p>').format(told, note),
        scatter(flat, labels.tolist(), [str(group) for group in range(1, k + 1)], told),
    ]
    names = sorted({str(value) for value in truth if value is not None}) if truth is not None else []
    if truth is not None and 1 < len(names) <= _LABELS_DRAWN:
        places = [names.index(str(value)) + 1 if value is not None else NONE for value in truth]
        key = Markup("").join(
            Markup('<span class="key" style="background:{}"></span>{}').format(colour_of(place), name)
            for place, name in enumerate(names, start=1)
        )
        pieces += [
            Markup('<p class="soft" style="margin-top:18px">The same rows by their label:{}</p>').format(key),
            scatter(flat, places, [], "The same rows by their label."),
        ]
    return [Panel("The rows in two dimensions", Markup("").join(pieces))]


def size_scores(labels: np.ndarray, k: int, each: np.ndarray, *, resamples: int, seed: int) -> list[GroupScores]:
    """Share of the rows and silhouette of each group."""
    shares = [_named(_mean("in_no_group", (labels == group).astype(float), resamples, seed), group) for group in _groups(k)]
    tight = [
        _named(_mean("silhouette", values, resamples, seed), group)
        for group in _groups(k)
        if len(values := each[(labels == group) & ~np.isnan(each)])
    ]
    found = [GroupScores(title="Size of each group", unit="share of rows", scores={"tuned": shares})] if shares else []
    if tight:
        explains = "Low or negative: its rows lie as near to another group."
        found.append(GroupScores(title="Silhouette of each group", unit="-1 to 1", explains=explains, scores={"tuned": tight}))
    return found


def _mean(metric: str, values: np.ndarray, resamples: int, seed: int) -> Score:
    """A mean with its interval."""
    return score(METRICS[metric], mean_statistic([float(value) for value in values]), resamples=resamples, seed=seed)


def _groups(k: int) -> range:
    """Numbers of the groups."""
    return range(1, k + 1)


def _named(found: Score, group: int) -> Score:
    """The score under the name of its group."""
    return found.model_copy(update={"metric": f"group {group_name(group)}", "title": f"group {group_name(group)}"})


def cards_of(rows: Examples, labels: np.ndarray, distances: np.ndarray, each: np.ndarray, k: int, shown: int) -> list[CardGroup]:
    """Rows that show each group best, and rows that lie between two.

    Args:
        distances: of each row to the middle of its group, [n]. each: silhouettes, [n]. shown: cards of each kind.
    """
    picture, texts = picture_of(rows), row_texts(rows)

    def card(place: int, words: str) -> Card:
        text = texts[place] or caption_of(rows, place)
        parts = [Part(f"group {group_name(int(labels[place]))}", text, words)]
        return Card(rows.ids[place], parts, picture=picture(place) if picture else None)

    found = []
    many = min(shown, _PROTOTYPES, max(1, _CARDS // max(1, k)))
    for group in _groups(min(k, MOST_GROUPS)) if shown else ():
        nearest = nearest_to_middle(labels, distances, group)[:many]
        cards = [card(int(place), f"distance {number(float(distances[place]))}") for place in nearest]
        found += [CardGroup(f"Group {group}: nearest to its middle", cards)] if cards else []
    known = np.flatnonzero(~np.isnan(each))
    between = known[np.argsort(each[known], kind="stable")][:shown]
    cards = [card(int(place), f"silhouette {number(float(each[place]))}") for place in between]
    return [*found, CardGroup("Between groups: the lowest silhouettes", cards)] if cards else found


def caption_of(rows: Examples, place: int) -> str:
    """What is written below a picture, where it has any text."""
    held = rows.others["caption"].iloc[place] if "caption" in rows.others else None
    return str(held) if held is not None and held == held else "a picture"
