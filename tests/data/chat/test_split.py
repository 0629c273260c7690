"""Nothing in test was trained on: look-alikes, equal questions and groups never straddle two splits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.split import SplitPlan, divide
from studio.data.similarity import Shingler, Shingling, jaccard
from tests.data.made_rows import changed, pair, sentence

PLAN = SplitPlan(validation=20, test=40)


def ids(rows: list[ChatRow]) -> set[str]:
    return {row.id for row in rows}


def test_sizes_order_and_seed() -> None:
    rows = [pair(str(number), f"q{number}", sentence(number)) for number in range(200)]
    division = divide(rows, PLAN)
    assert {name: len(part) for name, part in division.splits.items()} == {"train": 140, "validation": 20, "test": 40}
    assert [int(row.id) for row in division.splits["train"]] == sorted(int(row.id) for row in division.splits["train"])
    assert set.union(*(ids(part) for part in division.splits.values())) == ids(rows)
    assert ids(divide(rows, PLAN).splits["test"]) == ids(division.splits["test"])
    assert ids(divide(rows, replace(PLAN, seed=1)).splits["test"]) != ids(division.splits["test"])
    shares = divide(rows, replace(PLAN, validation=0.1, test=0.25)).splits
    assert (len(shares["validation"]), len(shares["test"])) == (20, 50)
    assert set(divide(rows, replace(PLAN, validation=0, test=0.25)).splits) == {"train", "test"}


def test_paraphrases_never_straddle() -> None:
    """Rows with a few words changed, below the threshold at which a cleaning step would remove them."""
    rows = []
    for number in range(150):
        base = sentence(number, 50)
        rows += [
            pair(f"{number}.{at}", f"q {number} {at}", changed(base, share, number * 7 + at))
            for at, share in enumerate((0, 0.02, 0.05))
        ]
    division = divide(rows, replace(PLAN, validation=40, test=60))
    shingler = Shingler(Shingling("word", 3))
    where = [(name, shingler(comparable_text(row))) for name, part in division.splits.items() for row in part]
    leaks = sum(
        one != other and jaccard(first, second) >= 0.6 for (one, first), (other, second) in itertools.combinations(where, 2)
    )
    assert leaks == 0
    assert division.tied > 250
    assert len(division.splits["test"]) >= 55


def test_groups_never_straddle() -> None:
    rows = [pair(str(number), f"q{number}", sentence(number), group=f"g{number % 30}") for number in range(300)]
    division = divide(rows, replace(PLAN, validation=30, test=60))
    groups = {name: {row.group for row in part} for name, part in division.splits.items()}
    assert (
        not groups["train"] & groups["test"]
        and not groups["train"] & groups["validation"]
        and not groups["validation"] & groups["test"]
    )
    assert len(division.splits["test"]) == 60


def test_equal_questions_stay_together_unless_told_otherwise() -> None:
    rows = [pair(str(number), f"question {number % 50}", sentence(number)) for number in range(100)]

    def questions(plan: SplitPlan) -> dict[str, set[str]]:
        return {name: {row.messages[0]["content"] for row in part} for name, part in divide(rows, plan).splits.items()}

    tied = questions(PLAN)
    assert not tied["train"] & tied["test"]
    loose = questions(replace(PLAN, same_question=False))
    assert loose["train"] & loose["test"]


def test_ten_conversations_repeated_a_hundred_times() -> None:
    """The shape of chatterbot's tech_support: 1,050 rows, 10 different; whoever divides first trains on the test set."""
    rows = [pair(str(number), f"My {number % 10} is broken.", f"Restart it, number {number % 10}.") for number in range(1050)]
    division = divide(rows, SplitPlan(validation=0.1, test=0.1))
    contents = {name: {row.text for row in part} for name, part in division.splits.items()}
    assert division.clusters == 10 and division.largest == 105
    assert len(contents["train"]) == 8 and len(contents["test"]) == 1
    assert not contents["train"] & contents["test"]


def test_a_cluster_that_is_too_large_for_a_split() -> None:
    rows = [pair(str(number), f"same {number // 10}", sentence(number)) for number in range(100)]
    division = divide(rows, SplitPlan(validation=0, test=5))
    assert len(division.splits["test"]) == 10
    assert division.notes == ["split 'test' has 10 rows instead of 5: no smaller cluster of alike rows exists"]


def test_rows_that_are_all_alike_are_refused_with_the_reason() -> None:
    rows = [pair(str(number), "one question", sentence(number)) for number in range(50)]
    with pytest.raises(
        DataError, match=r"split 'test' would be empty: the 50 rows fall into 1 cluster of alike rows.*same_question: false"
    ):
        divide(rows, SplitPlan(validation=5, test=5))


def test_too_few_rows() -> None:
    rows = [pair(str(number), f"q{number}", sentence(number)) for number in range(10)]
    with pytest.raises(
        DataError, match=r"10 rows are left, and split asks for 8 test and 2 validation rows, which leaves none for training"
    ):
        divide(rows, SplitPlan(validation=2, test=8))
