"""What tells groups apart, the picture in two dimensions, and the curves: right figures, safe and whole HTML."""

from __future__ import annotations

import re
import xml.dom.minidom

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris

from studio.core.errors import MissingExtraError
from studio.core.extras import available
from studio.evals.clusters.curves import choice_panel
from studio.evals.clusters.describing import traits_of
from studio.evals.clusters.page import cards_of, groups_panel
from studio.evals.clusters.picture import flatten, scatter, told_picture
from studio.models.clusters.base import Choice, Curve, Structure
from studio.models.clusters.criteria import silhouettes
from tests.train.clusters.made import numbers, values

IRIS = load_iris()


def test_pca_of_iris_says_how_much_of_the_variance_is_seen() -> None:
    flat = flatten(IRIS.data, "pca", 0)
    assert flat.explained == pytest.approx((0.9246, 0.0531), abs=1e-4)
    assert "Across 92.5% of the variance, upwards 5.3%" in told_picture(flat)


@pytest.mark.long
def test_digits_are_trustworthy_by_tsne_and_less_by_pca() -> None:
    data = load_digits().data
    plain, bent = flatten(data, "pca", 0), flatten(data, "tsne", 0)
    assert plain.trustworthiness == pytest.approx(0.830, abs=0.01)
    assert bent.trustworthiness == pytest.approx(0.993, abs=0.004)
    assert "distances between groups and their sizes mean little" in told_picture(bent)


def test_tsne_gives_the_same_picture_again() -> None:
    first, second = (flatten(IRIS.data[::3], "tsne", 0) for _ in range(2))
    assert (first.points == second.points).all()
    assert first.trustworthiness > 0.95


def test_umap_is_an_extra() -> None:
    if available("umap"):
        pytest.skip("umap-learn is installed here")
    with pytest.raises(MissingExtraError, match=r"finetuning-studio\[umap\]"):
        flatten(IRIS.data, "umap", 0)


def test_what_has_no_two_dimensions_has_no_picture() -> None:
    assert flatten(IRIS.data[:, :1], "pca", 0) is None and flatten(IRIS.data[:2], "pca", 0) is None


def test_the_picture_is_whole_and_escapes_what_the_data_say() -> None:
    flat = flatten(IRIS.data, "pca", 0)
    drawn = scatter(flat, [*IRIS.target[:100].tolist(), *[2] * 50], ["<b>a</b>", "b"], 'told "so"')
    page = xml.dom.minidom.parseString(re.sub(r"&(?!amp;|lt;|gt;|#34;|quot;)", "&amp;", str(drawn)))
    assert len(page.getElementsByTagName("circle")) == 100 and len(page.getElementsByTagName("path")) == 50
    assert "<b>" not in str(drawn)
    inside = [(float(dot.getAttribute("cx")), float(dot.getAttribute("cy"))) for dot in page.getElementsByTagName("circle")]
    assert all(0 <= x <= 520 and 0 <= y <= 380 for x, y in inside)


def test_numbers_that_tell_a_group_apart_come_with_their_standardised_difference() -> None:
    rows = numbers(IRIS.data, list(IRIS.feature_names))
    setosa = IRIS.target == 0
    first, *_ = traits_of(rows, setosa, 4)
    assert first.name == "petal length (cm)" and first.size < 0
    values_of = IRIS.data[:, 2]
    assert first.size == pytest.approx((values_of[setosa].mean() - values_of[~setosa].mean()) / values_of.std())
    assert (first.here, first.elsewhere) == ("1.46", "4.91")


def test_categories_words_and_times_tell_groups_apart_too() -> None:
    drawn = np.random.default_rng(0)
    inside = np.arange(100) < 40
    rows = values(
        town=("category", ["Bern" if one else "Chur" for one in inside]),
        said=("text", ["the roof leaks" if one else "the door sticks" for one in inside]),
        chance=("number", drawn.normal(size=100)),
    )
    rows.features["day"] = pd.to_datetime(np.where(inside, "2024-06-01", "2020-01-01"))
    rows.columns = (*rows.columns, rows.columns[0].model_copy(update={"name": "day", "type": "time"}))
    traits = {trait.name: trait for trait in traits_of(rows, inside, 20)}
    assert traits["town = Bern"].here == "100.0%" and traits["town = Bern"].elsewhere == "0.0%"
    assert traits["said: “roof”"].size == pytest.approx(1 / np.sqrt(0.4 * 0.6))
    assert traits["day"].here == "2024-06-01" and traits["day"].elsewhere == "2020-01-01"
    assert "said: “the”" not in traits, "a word of all rows tells nothing apart"
    assert traits_of(rows, np.ones(100, dtype=bool), 5) == []


def test_a_group_without_any_difference_says_so_and_names_are_escaped() -> None:
    rows = values(**{"<script>": ("number", np.tile([1.0, 2.0], 20))})
    labels = np.repeat([1, 2], 20)
    panel = groups_panel(rows, labels, np.zeros(40), [20, 20], np.full(40, np.nan), 3, (rows, labels))
    assert "nothing by much" in panel.html and "<script>" not in panel.html
    other = np.tile([1, 2], 20)
    apart = groups_panel(rows, labels, np.zeros(40), [20, 20], np.full(40, np.nan), 3, (rows, other))
    assert "&lt;script&gt;" in apart.html


def test_cards_show_rows_in_the_middle_of_groups_and_between_them() -> None:
    rows = numbers(IRIS.data)
    labels = IRIS.target + 1
    distances = np.linalg.norm(IRIS.data - np.array([IRIS.data[labels == group].mean(0) for group in labels]), axis=1)
    each = silhouettes(IRIS.data, labels)
    found = cards_of(rows, labels, distances, each, 3, 5)
    assert [group.title for group in found] == [
        "Group 1: nearest to its middle",
        "Group 2: nearest to its middle",
        "Group 3: nearest to its middle",
        "Between groups: the lowest silhouettes",
    ]
    assert found[0].cards[0].id == str(np.flatnonzero(labels == 1)[distances[labels == 1].argmin()])
    assert found[-1].cards[0].id == str(each.argmin())
    assert cards_of(rows, labels, distances, each, 3, 0) == []


def test_curves_mark_what_was_taken_and_what_each_criterion_says() -> None:
    curves = [
        Curve(criterion="silhouette", title="Silhouette", better="higher", counts=[2, 3], values=[0.6, 0.5], best=2),
        Curve(
            criterion="gap",
            title="Gap statistic",
            better="higher",
            counts=[1, 2, 3],
            values=[0.1, 0.5, 0.6],
            errors=[0.1] * 3,
            best=3,
        ),
    ]
    choice = Choice(
        k=2, by="auto: silhouette", rows=50, curves=curves, structure=Structure(found=True), told=["2 groups & <more>"]
    )
    [panel] = choice_panel(choice)
    assert panel.html.count("dot tuned") == 2 and panel.html.count('r="7.5"') == 2
    assert "&amp; &lt;more&gt;" in panel.html and "says 3" in panel.html
    assert choice_panel(choice.model_copy(update={"curves": []})) == []
