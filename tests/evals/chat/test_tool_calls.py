"""The task ``tool_calls`` on a run, a base and a server: what is asked, what is scored, what the report and the gate say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from studio.core.errors import GateNotMetError
from studio.data.chat.rows import read_split
from studio.evals.gate import check_gate
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.suites import load_suite
from studio.evals.targets import find_model
from tests.evals.chat.tools import TEMPLATE, call, row, set_template, tool_dataset, write_what_is_said, written_call
from tests.servers import OpenAIServer, serving

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

ROWS = [
    row("lund", "Weather in Lund?", calls=[call("weather", city="Lund", days=3)]),
    row("oslo", "Weather in Oslo?", calls=[call("weather", city="Oslo", days=1)]),
    row("kiel", "Weather in Kiel?", calls=[call("weather", city="Kiel", days=1)]),
    row("book", "Book Monday!", calls=[call("book", day="Monday")]),
    row("both", "Book Friday and tell the weather!", calls=[call("weather", city="Bonn", days=1), call("book", day="Friday")]),
    row("hello", "Hello?", text="Hello."),
    row("thanks", "Thanks!", text="You are welcome."),
    row("bare", "No tools here?", text="None.", tools=[]),
]
TUNED = {
    "Lund": written_call("weather", days=3.0, city="Lund"),
    "Oslo": written_call("weather", city="Oslo", days=2),
    "Kiel": ('\n<tool_call>\n{"name": "weather", "argum', True),
    "Monday": written_call("calendar", day="Monday"),
    "Friday": written_call("book", day="Friday") + written_call("weather", city="Bonn", days=1),
    "Hello": "<think>\nNo tool.\n</think>\n\nHello.",
    "Thanks": written_call("weather", city="Thanks", days=1),
}
BASE = dict.fromkeys(TUNED, "I cannot say.")
SHARES = {
    "right": (3, 7),
    "valid_json": (5, 6),
    "known_tool": (4, 5),
    "right_tool": (3, 5),
    "right_arguments": (2, 5),
    "no_call": (1, 2),
}


def suite(*overrides: str):
    return load_suite("tools", ("resamples=100", *overrides))


@pytest.fixture
def calling(tiny: Tiny) -> Tiny:
    """The tiny run with a template that writes calls, and rows that offer tools."""
    set_template(tiny.run, TEMPLATE)
    tool_dataset(tiny.workspace, ROWS)
    return tiny


def measure(tiny: Tiny, *overrides: str, baseline: str | None = None) -> tuple[Path, Any]:
    data = tiny.workspace.find_dataset("tools")
    return evaluate_run(tiny.run, suite(*overrides), data=data, baseline=baseline, cached=False)


def test_what_a_run_calls_is_scored_beside_its_base(calling: Tiny, lively_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = write_what_is_said(monkeypatch, lively_base, TUNED, BASE)
    _, record = measure(calling)
    found = {score.metric.removeprefix("tool_calls."): score for score in record.scores["tuned"]}
    assert {name: (round(score.value * score.n), score.n) for name, score in found.items()} == SHARES
    for score in found.values():
        assert 0 <= score.low <= score.value <= score.high <= 1 and score.coverage == 1.0
    base = {score.metric.removeprefix("tool_calls."): score for score in record.scores["base"]}
    assert (base["right_tool"].value, base["no_call"].value) == (0.0, 1.0)
    assert base["valid_json"].value is None and base["valid_json"].reason == "nothing was called"
    # Every prompt holds what the row offers, as the template writes it; the row without tools is left out and said.
    assert len(asked[0]) == 7 and all('"name": "weather"' in prompt and '"name": "book"' in prompt for prompt in asked[0])
    warnings = " ".join(record.settings["warnings"])
    assert "1 of 8 rows offer no tools" in warnings and "1 of 7 answers were stopped by the limit" in warnings
    assert "tuned: 1 of 7 answers have a thought" in warnings


def test_each_tool_has_its_own_figures(calling: Tiny, lively_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_what_is_said(monkeypatch, lively_base, TUNED, BASE)
    _, record = measure(calling)
    tables = {group.title.partition(",")[0]: group.scores for group in record.groups}
    seen = {
        title: {score.metric: (round(score.value * score.n), score.n) for score in scores["tuned"]}
        for title, scores in tables.items()
    }
    assert seen == {"Right tool": {"book": (1, 2), "weather": (3, 4)}, "Right arguments": {"book": (1, 2), "weather": (2, 4)}}
    assert all(score.value == 0 for score in tables["Right tool"]["base"])


def test_page_examples_and_gate(calling: Tiny, lively_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_what_is_said(monkeypatch, lively_base, TUNED, BASE)
    bounds = ('thresholds=[{"metric": "right_tool", "at_least": 0.9}, {"metric": "no_call", "not_worse_than_base": true}]',)
    folder, record = measure(calling, *bounds)
    with pytest.raises(GateNotMetError, match=r"right_tool is 0\.6, required at least 0\.9"):
        check_gate(record, suite(*bounds).thresholds)
    page = (folder / "report.html").read_text()
    for words in (
        "Right arguments, by the tool that was due",
        "calendar({&#34;day&#34;: &#34;Monday&#34;})",
        "not scored",
        "No tool.",
    ):
        assert words in page, words
    table = pd.read_parquet(folder / "examples" / "tool_calls.parquet").set_index("id")
    assert table.loc["lund", "due"] == 'weather({"city": "Lund", "days": 3})'
    assert table.loc["hello", ["tuned_answer", "tuned_thought"]].tolist() == ["Hello.", "No tool."]
    assert table.loc["kiel", "tuned_valid_json"] is False and table.loc["kiel", "tuned_stopped_by_limit"]


def test_a_template_without_tools_is_said_before_anything_is_asked(tiny: Tiny) -> None:
    tool_dataset(tiny.workspace, ROWS)
    _, record = measure(tiny)
    [task] = record.tasks
    assert "writes no calls of tools" in task.reason and "chat_template: FILE" in task.reason
    assert all(score.value is None and score.reason == task.reason for score in record.scores["tuned"])


def test_rows_without_tools_are_no_rows(calling: Tiny) -> None:
    tool_dataset(calling.workspace, ROWS[-1:], "bare")
    _, record = evaluate_run(calling.run, suite(), data=calling.workspace.find_dataset("bare"), baseline="none")
    assert "none of the 1 rows" in record.tasks[0].reason and "--data DATASET" in record.tasks[0].reason


def test_the_first_call_of_a_longer_talk(calling: Tiny, lively_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lund = ROWS[0].messages
    talk = [*lund, {"role": "tool", "content": "Sun."}, {"role": "assistant", "content": "It will be sunny."}]
    tool_dataset(calling.workspace, [type(ROWS[0])("long", talk, "tiny", tools=ROWS[0].tools)], "long")
    data = calling.workspace.find_dataset("long")
    asked = write_what_is_said(monkeypatch, lively_base, TUNED)
    for which, right in (("last", 0.0), ("first_call", 1.0)):
        _, record = evaluate_run(calling.run, suite(f"tasks.0.ask={which}"), data=data, baseline="none", cached=False)
        assert record.scores["tuned"][0].value == right, which
    assert "Sun." in asked[0][0] and "<tool_call>" in asked[0][0] and "Sun." not in asked[1][0]


def test_a_real_model_is_asked_and_its_answers_are_read(calling: Tiny) -> None:
    _, record = measure(calling, "generation.max_new_tokens=4")
    for label in ("tuned", "base"):
        found = {score.metric: score for score in record.scores[label]}
        assert found["tool_calls.right_tool"].n == 5 and found["tool_calls.right_tool"].value == 0.0
        assert found["tool_calls.no_call"].n == 2


class Caller(OpenAIServer):
    """A server that calls as OpenAI's does: arguments as text."""

    def models(self) -> list[dict[str, Any]]:
        return [{"id": "caller"}]

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        asked = str(body["messages"][-1]["content"])
        name, arguments = next((answer for words, answer in REPLIES.items() if words in asked), (None, None))
        message: dict[str, Any] = {"role": "assistant", "content": None if name else "Hello.", "reasoning_content": "Let me see."}
        if name:
            message["tool_calls"] = [{"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}]
        return {
            "choices": [{"message": message, "finish_reason": "tool_calls" if name else "stop"}],
            "usage": {"completion_tokens": 9},
        }


REPLIES = {
    "Lund": ("weather", '{"days": 3, "city": "Lund"}'),
    "Oslo": ("weather", '{"city": "Oslo"'),
    "Kiel": ("weather", '["Kiel", 1]'),
    "Monday": ("book", '{"day": "Monday"}'),
}


def test_a_server_gets_the_tools_and_its_calls_are_read(tiny: Tiny) -> None:
    earlier = [
        {"role": "user", "content": "And Rome?"},
        {"role": "assistant", "content": "", "weight": 0.5, "tool_calls": [call("weather", city="Rome")]},
    ]
    talk = [*earlier, {"role": "tool", "content": "Rain."}, *ROWS[0].messages]
    rows = [type(ROWS[0])("lund", talk, "tiny", tools=ROWS[0].tools), *ROWS[1:]]
    data = tool_dataset(tiny.workspace, rows)
    with serving(Caller()) as server:
        target = find_model(f"{server.url}/v1#caller", tiny.workspace)
        _, record = evaluate_model(target, suite(), workspace=tiny.workspace, data=data)
    found = {score.metric.removeprefix("tool_calls."): (score.value, score.n) for score in record.scores["tuned"]}
    assert found["valid_json"] == (0.5, 4) and found["right_tool"] == (0.4, 5) and found["no_call"] == (1.0, 2)
    assert found["right_arguments"] == (0.4, 5)
    body = next(body for body in server.asked if "Lund" in str(body["messages"][-1]["content"]))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather", "book"]
    asking, result = body["messages"][1], body["messages"][2]
    assert "weight" not in asking and asking["tool_calls"][0]["id"] == result["tool_call_id"]
    assert json.loads(asking["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
    assert "7 of 7 answers have a thought" in " ".join(record.settings["warnings"])


def test_the_example_of_the_docs_goes_from_file_to_gate(
    studio: Any, calling: Tiny, tmp_path: Path, lively_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    lines = text.split("## Calls of tools")[1].split("```json\n")[1].split("```")[0]
    other = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day."}]})
    (tmp_path / "calls.jsonl").write_text(f"{lines}{other}\n")
    recipe = "kind: chat\nname: calls\nsources:\n  - {type: local, path: calls.jsonl, licence: CC0-1.0}\nsteps: []\n"
    (tmp_path / "calls.yaml").write_text(f"{recipe}split: {{test: 3, validation: 0}}\n")
    built = studio("data", "build", str(tmp_path / "calls.yaml"))
    assert built.code == 0, built.err
    rain, three = written_call("weather", city="Lund", days=1), written_call("weather", days=3, city="Oslo")
    write_what_is_said(monkeypatch, lively_base, {"Lund": rain, "Oslo": three, "Thank": "You are welcome."}, {"": "No."})
    gate = ("--gate", "--set", 'thresholds=[{"metric": "right", "at_least": 0.3}]', "--set", "tasks.0.data.training_rows=keep")
    done = studio("eval", "tools", "--model", "tiny", "--data", "calls", *gate)
    assert done.code == 0, done.err
    assert "gate met: the only threshold" in done.err and "tool_calls.right_arguments" in done.out
    read = {row.messages[0]["content"]: row for row in read_split(calling.workspace.find_dataset("calls"), "test")}
    assert sum(bool(row.tools) for row in read.values()) == len(read) == 3
