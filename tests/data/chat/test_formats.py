"""Every known shape becomes messages; anything else is refused with what was found and what is known."""

from __future__ import annotations

import pytest

from studio.data.chat.formats import ColumnNames, ShapeError, shape_row

QA = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
SHAPES = {
    "messages": {"messages": QA},
    "sharegpt": {"conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]},
    "sharegpt items": {"items": [{"from": "human", "value": "Q?"}, {"from": "chatgpt", "value": "A."}]},
    "conversation with roles": {"conversation": QA},
    "alpaca": {"instruction": "Q?", "input": "", "output": "A."},
    "alpaca response": {"instruction": "Q?", "response": "A."},
    "prompt_completion": {"prompt": "Q?", "completion": "A."},
    "prompt_completion turns": {"prompt": QA[:1], "completion": QA[1:]},
    "question_answer": {"question": "Q?", "answer": "A.", "category": "x"},
    "q and a": {"q": "Q?", "a": "A."},
    "chatterbot": {"conversation": ["Q?", "A."], "categories": ["x"]},
    "plain turns": ["Q?", "A."],
    "transcript": {"text": "User: Q?\nAssistant: A."},
    "hash transcript": {"text": "### Human: Q?\n### Assistant: A."},
    "titled text": {"title": "Q?", "text": "A."},
    "parts": {"messages": [QA[0], {"role": "assistant", "content": [{"type": "text", "text": "A."}]}]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_known_shapes(name: str) -> None:
    assert shape_row(SHAPES[name], "auto", ColumnNames()).messages == QA


def test_alpaca_input_history_and_system_are_kept() -> None:
    row = {"instruction": "Q?", "input": "Text.", "output": "A.", "history": [["q0", "a0"]], "system": "Be kind."}
    assert [(turn["role"], turn["content"]) for turn in shape_row(row, "auto", ColumnNames()).messages] == [
        ("system", "Be kind."),
        ("user", "q0"),
        ("assistant", "a0"),
        ("user", "Q?\n\nText."),
        ("assistant", "A."),
    ]


def test_multi_turn_and_system_turns_are_kept() -> None:
    turns = [
        {"from": who, "value": what}
        for who, what in [("system", "s"), ("human", "1"), ("gpt", "2"), ("human", "3"), ("gpt", "4")]
    ]
    messages = shape_row({"conversations": turns}, "auto", ColumnNames()).messages
    assert [turn["role"] for turn in messages] == ["system", "user", "assistant", "user", "assistant"]


def test_columns_are_mapped_and_the_rest_is_unused() -> None:
    shaped = shape_row(
        {"Frage": 12, "nested": {"Antwort": "A."}, "Kontext": "K", "x": 1},
        "auto",
        ColumnNames(question="Frage", answer="nested.Antwort", context="Kontext"),
    )
    assert [turn["content"] for turn in shaped.messages] == ["12\n\nK", "A."]
    assert "x" not in shaped.used


@pytest.mark.parametrize(
    ("value", "format", "columns", "sentence"),
    [
        (
            {"foo": 1, "bar": 2},
            "auto",
            {},
            "has the columns foo, bar, which is none of the known shapes (foo: 1; bar: 2). Nearest is question_answer",
        ),
        (
            {"q": "x"},
            "question_answer",
            {},
            "has no answer column; its columns are q. Name it in the recipe: columns: {answer: ...}",
        ),
        ({"q": "x"}, "auto", {"answer": "svar", "question": "q"}, "has no column 'svar'; its columns are q."),
        ({"prompt": "x"}, "alpaca", {}, "is not alpaca (instruction, input, output); its columns are prompt"),
        (5, "auto", {}, "holds a number where an object or a list of turns is expected"),
        ({"messages": ["a", 3]}, "auto", {}, "has text as turn 1 where role and content are expected"),
        (
            {"messages": [{"role": "narrator", "content": "x"}]},
            "auto",
            {},
            "has the role 'narrator' in turn 1; known are system, developer",
        ),
        ({"messages": [{"who": "x"}]}, "auto", {}, "has the keys who in turn 1; known are role and content, or from and value"),
        ({"question": ["x"], "answer": "y"}, "auto", {}, "holds a list in question where text is expected"),
        ({"text": "just text"}, "auto", {}, "has a 'text' without a question"),
    ],
)
def test_wrong_shapes_say_what_was_found(value: object, format: str, columns: dict, sentence: str) -> None:
    with pytest.raises(ShapeError) as error:
        shape_row(value, format, ColumnNames(**columns))
    assert str(error.value).startswith(sentence)


def test_unused_columns_are_shown_as_a_person_reads_them() -> None:
    from studio.data.entries import facts_of

    meta = {"sources": ["PBL 9", "Boverket"], "service": None, "note": "", "year": 0, "checked": False}
    assert facts_of(meta) == {"sources": "PBL 9, Boverket", "year": "0", "checked": "False"}
