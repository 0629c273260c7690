"""What is read of a reply: the rows in it wherever they stand, or why there are none."""

from __future__ import annotations

import json

import pytest

from studio.data.chat.writing.checks import missing_numbers, supported_share
from studio.data.chat.writing.replies import Reply, items_of

ROW = {"question": "What is </think>?", "answer": "A mark {of} a thought.", "quote": "```x```"}
GOOD = json.dumps({"rows": [ROW]})
KEYS = ("question", "answer", "quote")


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        f"<think>perhaps {json.dumps({'rows': []})}</think>{GOOD}",
        f"perhaps {json.dumps({'rows': []})}</think>\n{GOOD}",
        f"Here you are:\n{GOOD}\nDo you want more?",
        json.dumps([ROW]),
        json.dumps({"rows": [{**ROW, "why": "because"}], "notes": 1}),
    ],
)
def test_rows_are_found_wherever_they_stand(content: str) -> None:
    assert items_of(Reply(content), KEYS) == ([ROW], None)


@pytest.mark.parametrize(
    ("content", "finish", "fault"),
    [
        ("I am sorry, but no.", "stop", "prose instead of JSON"),
        ('{"rows": [{"question": "What', "length", "cut off at max_tokens"),
        ("", "length", "cut off at max_tokens"),
        (" ", "stop", "an empty answer"),
        ('{"questions": []}', "stop", "JSON of another form"),
        ('{"rows": ["What?"]}', "stop", "JSON of another form"),
        ('{"rows": [{"q": "What?"}]}', "stop", "JSON of another form"),
        ("7", "stop", "JSON of another form"),
        (GOOD, "content_filter", "filtered by the server"),
        ("[" * 100_000, "stop", "prose instead of JSON"),
    ],
)
def test_what_is_of_no_use_is_said(content: str, finish: str, fault: str) -> None:
    assert items_of(Reply(content, finish), KEYS) == ([], fault) or items_of(Reply(content, finish), KEYS)[1] == fault


def test_nothing_to_ask_is_no_fault() -> None:
    assert items_of(Reply('{"rows": []}'), KEYS) == ([], None)


def test_numbers_count_by_their_digits() -> None:
    text = "It costs 1,250.50 crowns for 3 rooms on 2024-05-01, 10 to 20 each."
    assert missing_numbers("1 250,50 or 1250.50 for 3, in 2024 from 10 to 20", text) == []
    assert missing_numbers("4 rooms for 1,260 or 125", text) == ["4", "1,260", "125"]


def test_support_counts_longer_words_in_any_form() -> None:
    text = "The caretaker cleans the ovens every Friday."
    assert supported_share("Ovens are cleaned by a caretaker on Fridays.", text) == 1.0
    assert supported_share("Bakers recommend convection.", text) == 0.0
    assert supported_share("Yes.", text) == 1.0
    assert supported_share("门宽八十", "防火门的宽是八十厘米。") == 1.0 and supported_share("窗户很高", "门宽八十。") == 0.0
