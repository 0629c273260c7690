"""Turns told whole: tools, calls, results, thoughts, weights and names, as every tool writes them, through every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from studio.core.errors import DataError
from studio.core.workspace import Workspace
from studio.data.chat.entries import chat_entries
from studio.data.chat.formats import Choices, ColumnNames, ShapeError, shape_row
from studio.data.chat.formats import turns as turns_module
from studio.data.chat.formats.names import ROLE_NAMES
from studio.data.chat.rows import ChatRow, read_removed, read_split, rows_to_table, table_to_rows
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import ExactDuplicates
from studio.data.chat.steps.presence import DropEmpty
from studio.data.chat.steps.roles import Roles, disorder
from studio.data.chat.steps.scrub import Scrub
from tests.data.chat.test_meaning import built, kept

WEATHER = {"name": "weather", "description": "The weather", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": WEATHER}
ASKED = {"role": "user", "content": "Weather in Lund?"}
ANSWER = {"role": "assistant", "content": "Rain."}


def call(identity: str | None = None, **arguments: Any) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def whole(identity: str | None = None, result: str = '{"sky": "rain"}') -> list[dict[str, Any]]:
    """The conversation that every form below says."""
    answered = {"role": "tool", "content": result, **({"tool_call_id": identity} if identity else {})}
    return [ASKED, {"role": "assistant", "content": "", "tool_calls": [call(identity, place="Lund")]}, answered, ANSWER]


TEXT = json.dumps({"name": "weather", "arguments": {"place": "Lund"}})
FORMS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "OpenAI": (
        {
            "messages": [
                ASKED,
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Lund"}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "rain"}'},
                ANSWER,
            ],
            "tools": [TOOL],
            "parallel_tool_calls": False,
        },
        whole("c1"),
    ),
    "OpenAI's older functions": (
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"place": "Lund"}'}},
                {"role": "function", "name": "weather", "content": '{"sky": "rain"}'},
                ANSWER,
            ],
            "functions": [WEATHER],
        },
        [*whole()[:2], {**whole()[2], "name": "weather"}, ANSWER],
    ),
    "TRL": (
        {
            "messages": [
                ASKED,
                {
                    "role": "assistant",
                    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"place": "Lund"}}}],
                },
                {"role": "tool", "name": "weather", "content": '{"sky": "rain"}'},
                ANSWER,
            ],
            "tools": json.dumps([TOOL]),
        },
        [*whole()[:2], {**whole()[2], "name": "weather"}, ANSWER],
    ),
    "LLaMA-Factory": (
        {
            "conversations": [
                {"from": "human", "value": "Weather in Lund?"},
                {"from": "function_call", "value": TEXT},
                {"from": "observation", "value": '{"sky": "rain"}'},
                {"from": "gpt", "value": "Rain."},
            ],
            "tools": json.dumps([WEATHER]),
        },
        whole(),
    ),
    "ms-swift": (
        {
            "messages": [
                ASKED,
                {"role": "tool_call", "content": TEXT},
                {"role": "tool_response", "content": '{"sky": "rain"}'},
                ANSWER,
            ],
            "tools": [TOOL],
        },
        whole(),
    ),
    "Hermes": (
        {
            "conversations": [
                {
                    "from": "system",
                    "value": f"You are a function calling AI model. Here are the tools: <tools> {json.dumps([TOOL])} </tools>",
                },
                {"from": "human", "value": "Weather in Lund?"},
                {"from": "gpt", "value": f"<tool_call>\n{TEXT}\n</tool_call>"},
                {"from": "tool", "value": '<tool_response>\n{"sky": "rain"}\n</tool_response>'},
                {"from": "gpt", "value": "Rain."},
            ]
        },
        whole(),
    ),
    "Glaive": (
        {
            "system": f"SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
            f"{json.dumps(WEATHER, indent=4)}\n",
            "chat": 'USER: Weather in Lund?\n\n\nASSISTANT: <functioncall> {"name": "weather", "arguments": \'{"place": '
            '"Lund"}\'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {"sky": "rain"}\n\n\nASSISTANT: Rain. <|endoftext|>',
        },
        whole(),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_calls_of_every_tool(name: str) -> None:
    row, expected = FORMS[name]
    shaped = shape_row(row, "auto", ColumnNames())
    assert shaped.messages == expected
    assert shaped.tools == [TOOL]
    assert not shaped.meta


def test_parallel_calls() -> None:
    two = [{"role": "tool_call", "content": TEXT}, {"role": "tool_call", "content": TEXT.replace("Lund", "Ystad")}]
    rows = [{"messages": [ASKED, *two]}, {"messages": [ASKED, {"role": "function_call", "content": f"[{TEXT}, {TEXT}]"}]}]
    for row in rows:
        assert len(shape_row(row, "auto", ColumnNames()).messages[1]["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        (
            [{"function": {"name": "f", "arguments": "{oops"}}],
            "has a call of 'f' in tool_calls of turn 2 whose arguments are not JSON",
        ),
        ([{"function": {"name": "f", "arguments": '{"x": NaN}'}}], "whose arguments hold what JSON cannot"),
        ([{"function": {"name": "f", "arguments": "[1]"}}], "whose arguments are a list, not an object"),
        ([{"function": {"arguments": "{}"}}], "has a tool call without a name in tool_calls of turn 2"),
        ("f()", "holds text in tool_calls of turn 2 where a tool call"),
    ],
)
def test_calls_that_cannot_be_read_are_errors(calls: Any, sentence: str) -> None:
    with pytest.raises(ShapeError) as error:
        shape_row({"messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": calls}]}, "auto", ColumnNames())
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "arguments", ['{"place": "Lund"}', "{'place': 'Lund'}", json.dumps('{"place": "Lund"}')], ids=["JSON", "Python", "JSON twice"]
)
def test_arguments_as_text(arguments: str) -> None:
    asked = [ASKED, {"role": "assistant", "content": "", "tool_calls": [{"name": "weather", "arguments": arguments}]}]
    assert shape_row({"messages": asked}, "auto", ColumnNames()).messages[1]["tool_calls"] == [call(place="Lund")]


def test_a_schema_under_the_name_of_another_protocol() -> None:
    for key in ("input_schema", "inputSchema"):
        tool = {"name": "weather", "description": "The weather", key: WEATHER["parameters"]}
        assert shape_row({"messages": [ASKED, ANSWER], "tools": [tool]}, "auto", ColumnNames()).tools == [TOOL]
    for words in ("hammer, saw", ["hammer", "saw"]):
        assert not shape_row({"question": "Q?", "answer": "A.", "tools": words}, "auto", ColumnNames()).tools


def test_two_thoughts_of_one_turn_are_both_kept() -> None:
    for more, thought in [
        ({"reasoning": "Clouds."}, "Clouds."),
        ({"thinking": "Wind."}, "Clouds.\n\nWind."),
        ({"content": "<think>Wind.</think>Rain."}, "Clouds.\n\nWind."),
    ]:
        turn = {**ANSWER, "reasoning_content": "Clouds.", **more}
        read = shape_row({"messages": [ASKED, turn]}, "auto", ColumnNames(), Choices(split_thoughts=True)).messages[1]
        assert read == {**ANSWER, "reasoning_content": thought}
    parts = [{"type": "thinking", "thinking": "Clouds."}, {"type": "text", "text": "Rain."}]
    read = shape_row({"prompt": "Weather?", "completion": parts}, "auto", ColumnNames()).messages[1]
    assert read == {**ANSWER, "reasoning_content": "Clouds."}


@pytest.mark.parametrize("field", [{"weight": 0}, {"train": False}, {"loss": False}, {"loss_weight": 0.0}, {"weight": "0"}])
def test_turns_that_do_not_train(field: dict[str, Any]) -> None:
    key = next(iter(field))
    rest = {key: {bool: True, str: "1"}.get(type(field[key]), 1)}
    row = {"messages": [ASKED, ANSWER | field, {**ASKED, key: field[key]}, ANSWER | rest]}
    assert shape_row(row, "auto", ColumnNames()).messages == [ASKED, {**ANSWER, "weight": 0.0}, ASKED, ANSWER]


def test_weights_that_say_something_else_are_errors() -> None:
    for turn, sentence in [
        ({**ANSWER, "weight": 3}, "has 3 as weight of turn 2 where true, false or a number from 0 to 1 is expected"),
        ({**ANSWER, "weight": "half"}, "has 'half' as weight of turn 2"),
    ]:
        with pytest.raises(ShapeError) as error:
            shape_row({"messages": [ASKED, turn]}, "auto", ColumnNames())
        assert sentence in str(error.value)
    with pytest.raises(ShapeError, match=r"says with 'train' that turn 1 \(user\) trains"):
        shape_row({"messages": [{**ASKED, "train": True}, ANSWER]}, "auto", ColumnNames())


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_thoughts_stay(key: str) -> None:
    shaped = shape_row({"messages": [ASKED, {**ANSWER, key: "It is April."}]}, "auto", ColumnNames())
    assert shaped.messages[1] == {**ANSWER, "reasoning_content": "It is April."}


def test_thoughts_as_parts() -> None:
    parts = [{"type": "thinking", "thinking": "It is April."}, {"type": "text", "text": "Rain."}]
    shaped = shape_row({"messages": [ASKED, {"role": "assistant", "content": parts}]}, "auto", ColumnNames())
    assert shaped.messages[1] == {**ANSWER, "reasoning_content": "It is April."}


@pytest.mark.parametrize("text", ["<think>\nIt is April.\n</think>\n\nRain.", "It is April.\n</think>\nRain."])
def test_thoughts_inside_an_answer_are_split_when_asked(tmp_path: Path, workspace: Workspace, text: str) -> None:
    for row in ({"question": "Weather in Lund?", "answer": text}, {"messages": [ASKED, {"role": "assistant", "content": text}]}):
        left = built(tmp_path, workspace, [row])
        assert kept(left)[0].messages[1] == {"role": "assistant", "content": text}
        assert left.notes == ["read: 1 row holds a thought (</think>) in the text; 'thoughts: split' takes it apart"]
        split = built(tmp_path, workspace, [row], thoughts="split")
        assert kept(split)[0].messages[1] == {**ANSWER, "reasoning_content": "It is April."}
    empty = shape_row(
        {"question": "q", "answer": "<think>\n\n</think>\n\nRain."}, "auto", ColumnNames(), Choices(split_thoughts=True)
    )
    assert empty.messages[1] == ANSWER


def test_a_field_that_is_not_understood_is_named_or_kept_beside(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"messages": [ASKED, {**ANSWER, "mood": "wet", "timestamp": 7}]}]
    with pytest.raises(DataError, match=r"has the field 'mood' in turn 2 \(assistant\), which is not understood"):
        built(tmp_path, workspace, rows)
    (row,) = kept(built(tmp_path, workspace, rows, damaged="keep"))
    assert row.messages == [ASKED, ANSWER] and row.meta == {"turn_fields": {"2": {"mood": "wet", "timestamp": 7}}}


RICH = ChatRow(
    "r",
    [
        {"role": "user", "content": "Weather in Lund?", "name": "Ida"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "A tool.",
            "tool_calls": [call("c1", place="Lund")],
        },
        {"role": "tool", "content": '{"sky": "rain", "by": "ida@example.com"}', "tool_call_id": "c1"},
        {"role": "assistant", "content": "Sun.", "weight": 0.0},
        {"role": "user", "content": "Sure?"},
        ANSWER,
    ],
    "src",
    tools=[TOOL],
)


def test_rows_on_disk_and_back() -> None:
    plain = ChatRow("p", [ASKED, ANSWER], "src", chosen=None)
    for rows in ([RICH, plain], [plain]):
        assert table_to_rows(rows_to_table(rows)) == rows
    assert rows_to_table([plain]).schema.field("messages").type.value_type.num_fields == 2
    assert "tools" not in rows_to_table([plain]).column_names
    assert table_to_rows(rows_to_table([plain], plain=False)) == [plain]


def test_a_dataset_of_format_2(tmp_path: Path, workspace: Workspace) -> None:
    rows = [
        FORMS["OpenAI"][0],
        {"messages": [ASKED, ANSWER]},
        {"messages": [ASKED, {**ANSWER, "content": "Wet.", "weight": 0.5}]},
    ]
    steps = [
        {"step": name}
        for name in ("unicode", "whitespace", "drop_empty", "roles", "exact_duplicates", "near_duplicates", "scrub")
    ]
    outcome = built(tmp_path, workspace, rows, steps)
    assert outcome.record.format == 2 and outcome.record.rows_removed == 0
    found = kept(outcome)
    assert found[0].messages == whole("c1") and found[0].tools == [TOOL]
    assert found[1].messages == [ASKED, ANSWER] and found[1].is_plain
    assert found[2].messages[1]["weight"] == 0.5
    table = pandas.read_parquet(outcome.folder / "train.parquet")
    assert json.loads(table["messages"][0][1]["tool_calls"])[0]["function"]["name"] == "weather"
    assert json.loads(table["tools"][0]) == [TOOL] and pandas.isna(table["tools"][1])
    assert "with tools" in (outcome.folder / "report.html").read_text("utf-8")
    shown = list(chat_entries(outcome.folder, "train"))
    assert shown[0].facts["tools"] == "weather"
    assert shown[0].turns[1] == {"role": "assistant", "content": '[call c1] weather({"place": "Lund"})'}
    assert shown[2].turns[1]["content"] == "[trains with weight 0.5]\nWet."


def test_a_dataset_of_plain_conversations_stays_format_1(tmp_path: Path, workspace: Workspace) -> None:
    outcome = built(tmp_path, workspace, [{"messages": [ASKED, ANSWER]}])
    assert outcome.record.format == 1
    assert list(pandas.read_parquet(outcome.folder / "train.parquet").columns) == ["id", "messages", "source", "group", "meta"]


def test_removed_rows_keep_their_turns(tmp_path: Path, workspace: Workspace) -> None:
    outcome = built(tmp_path, workspace, [FORMS["OpenAI"][0], FORMS["OpenAI"][0]], [{"step": "exact_duplicates"}])
    (gone,) = read_removed(outcome.folder)
    assert gone.row.messages == whole("c1") and len(read_split(outcome.folder, "train")) == 1


def test_order_of_turns_with_tools() -> None:
    assert disorder(RICH.messages) is None
    assert disorder(RICH.messages[:2]) is None, "a row may end with a call"
    assert disorder([ASKED, RICH.messages[2], ANSWER]) == "tool without a call before it at turn 2"
    assert disorder([*RICH.messages[:3], ASKED, ANSWER]) == "user after tool at turn 4"
    assert isinstance(Roles().judge(ChatRow("x", [ASKED, RICH.messages[2], ANSWER], "src")), Drop)
    cut = Roles().judge(ChatRow("x", RICH.messages[:3], "src"))
    assert isinstance(cut, ChatRow) and cut.messages == RICH.messages[:2] and len(cut.meta["turns_cut"]) == 1
    weights = [ASKED, {**ANSWER, "weight": 0.0}, ANSWER]
    assert isinstance(Roles().judge(ChatRow("x", weights, "src")), Drop), "joined, the first answer would train"


def test_a_call_is_no_empty_turn_and_a_row_must_train() -> None:
    called = ChatRow("x", whole(), "src")
    assert DropEmpty().judge(called) is called
    assert DropEmpty().judge(
        ChatRow("x", [ASKED, {"role": "assistant", "content": "", "reasoning_content": "Hm"}], "s")
    ).reason == ("empty turn")
    idle = DropEmpty().judge(ChatRow("x", [ASKED, {**ANSWER, "weight": 0.0}], "src"))
    assert isinstance(idle, Drop) and idle.reason == "no answer that trains"


def test_rows_that_differ_in_thoughts_calls_or_weights_are_no_duplicates() -> None:
    turns = [ANSWER, {**ANSWER, "reasoning_content": "April."}, {**ANSWER, "weight": 0.5}, {**ANSWER, "tool_calls": [call(x=1)]}]
    rows = [ChatRow(str(number), [ASKED, turn], "src") for number, turn in enumerate([*turns, turns[1]])]
    assert [isinstance(verdict, Drop) for verdict in ExactDuplicates().judge_all(rows)] == [False] * 4 + [True]


def test_scrubbing_reaches_arguments_and_results_and_leaves_json() -> None:
    named = {"ida@example.com": 1, "bo@example.com": 2}
    arguments = {"to": "ida@example.com", "cc": ["bo@example.com"], "phone": 46701234567, "n": 3, "by": named}
    turn = {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Write ida@example.com",
        "tool_calls": [call("c1", **arguments)],
    }
    row = ChatRow("r", [ASKED, turn, RICH.messages[2], ANSWER], "src", meta={"who": {"mail": "ida@example.com"}})
    cleaned = Scrub().judge(row)
    assert isinstance(cleaned, ChatRow)
    call_turn, result = cleaned.messages[1], cleaned.messages[2]
    assert call_turn["tool_calls"][0]["function"]["arguments"] == {
        "to": "[EMAIL]", "cc": ["[EMAIL]"], "phone": 46701234567, "n": 3, "by": {"[EMAIL]": 1, "[EMAIL] 2": 2},
    }  # fmt: skip
    assert call_turn["reasoning_content"] == "Write [EMAIL]" and json.loads(result["content"])["by"] == "[EMAIL]"
    assert cleaned.meta == {"who": {"mail": "[EMAIL]"}} and row.messages[1]["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize(("role_key", "text_key"), [("role", "content"), ("from", "value")])
@pytest.mark.parametrize("text", ["How wide?", "", " <think>so</think> Eighty.\n", '{"width": 80}'])
def test_the_short_way_for_plain_turns_reads_them_as_the_long_one_does(role_key: str, text_key: str, text: str) -> None:
    for role in ROLE_NAMES:
        turn = {role_key: role, text_key: text}
        short = turns_module._plain_turn(turn)
        if ROLE_NAMES[role] == "call":
            assert short is None
            continue
        long: list[dict] = []
        turns_module._read_turn(turn, 1, Choices(), long, left := {})
        assert [short] == long and not left, role
