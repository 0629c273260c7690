"""Calls are compared as values: what is right, what is another call, what is none."""

from __future__ import annotations

from typing import Any

import pytest

from studio.evals.chat.calls import Judged, judge, judge_tool
from studio.evals.evidence import Answer, Question
from studio.models.chat.calls import same_value
from tests.evals.chat.tools import BOOK, WEATHER, call

LUND = call("weather", city="Lund", days=3)


def row(*calls: dict[str, Any]) -> Question:
    return Question("1", (), ({"role": "user", "content": "?"},), None, (WEATHER, BOOK), calls)


def answer(*calls: dict[str, Any], text: str = "", broken: tuple[str, ...] = (), thought: str | None = None) -> Answer:
    return Answer(text, 1, False, thought, list(calls), list(broken))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1, "b": [1.0, None]}, {"b": [1, None], "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": {"b": "x"}}, {"a": {"b": "x "}}, False),
        ({"a": None}, {}, False),
        (0.1 + 0.2, 0.3, False),
        ("Malmö", "Malm\u00f6", True),
    ],
)
def test_values_not_text(one: Any, other: Any, equal: bool) -> None:
    assert same_value(one, other) is same_value(other, one) is equal


@pytest.mark.parametrize(
    ("due", "said", "judged"),
    [
        ([LUND], answer(call("weather", days=3.0, city="Lund")), Judged(True, True, True, True, None, True)),
        # "unit" has a default in the schema: leaving it out is giving it.
        ([call("weather", city="Lund", days=3, unit="C")], answer(LUND), Judged(True, True, True, True, None, True)),
        ([LUND], answer(call("weather", city="Lund", days=3, unit="F")), Judged(True, True, True, False, None, False)),
        ([LUND], answer(call("book", day="Monday")), Judged(True, True, False, False, None, False)),
        ([LUND], answer(call("rain", city="Lund", days=3)), Judged(True, False, False, False, None, False)),
        ([LUND], answer(text="Sunny."), Judged(None, None, False, False, None, False)),
        ([LUND], answer(broken=('{"name": "weather", "arg',)), Judged(False, None, False, False, None, False)),
        ([LUND], answer(LUND, broken=("{",)), Judged(False, True, False, False, None, False)),
        ([LUND], answer(LUND, LUND), Judged(True, True, False, False, None, False)),
        (
            [LUND, call("book", day="Monday")],
            answer(call("book", day="Monday"), LUND),
            Judged(True, True, True, True, None, True),
        ),
        ([LUND, LUND], answer(LUND, call("weather", city="Oslo", days=3)), Judged(True, True, True, False, None, False)),
        ([], answer(text="Hello."), Judged(None, None, None, None, True, True)),
        ([], answer(LUND), Judged(True, True, None, None, False, False)),
        ([], answer(broken=("<tool_call>",)), Judged(False, None, None, None, False, False)),
        # A thought that never ended is no answer, also where silence would have done.
        ([], answer(thought="Hm"), Judged(None, None, None, None, False, False)),
        ([LUND], answer(thought="Hm"), Judged(None, None, False, False, None, False)),
        ([LUND], None, Judged()),
    ],
)
def test_what_becomes_of_a_row(due: list[dict[str, Any]], said: Answer | None, judged: Judged) -> None:
    assert judge(row(*due), said) == judged


def test_each_tool_of_a_row_is_judged_by_itself() -> None:
    both = row(LUND, call("book", day="Monday"))
    said = answer(call("book", day="Friday"), LUND)
    assert judge(both, said).right_arguments is False
    assert judge_tool(both, said, "weather") == (True, True) and judge_tool(both, said, "book") == (True, False)
    assert judge_tool(both, answer(LUND), "book") == (False, False) and judge_tool(both, None, "book") is None
