"""Thoughts stand apart from what is said: folded away on a page, dimmed in a terminal, never in a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.apps import annotate, annotation_rows, chat, compare
from studio.apps.chat_model import Piece, with_system
from studio.apps.entries import read_entries
from studio.apps.recording import open_store
from studio.apps.terminal import Shown
from studio.apps.thoughts import answer_shown, with_thought
from studio.core.workspace import Workspace
from studio.feedback.answers import beside_of
from studio.feedback.store import Origin
from studio.models.chat.answers import Answered
from tests.apps.test_chat import ask
from tests.data.chat.test_meaning import built

CALL = {"id": None, "type": "function", "function": {"name": "find", "arguments": {"what": "doors"}}}


def test_a_thought_is_folded_and_goes_back_with_the_talk(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    endpoint.thought, endpoint.reply = "Doors are <b>80</b> wide.", "Eighty it is."
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "How wide?")
    page.get_by_text("Eighty it is.").wait_for()
    summary = page.locator("#chat details.studio-thought summary")
    assert summary.inner_text() == "Thought" and not page.get_by_text("are <b>80</b> wide").is_visible()
    summary.click()
    page.get_by_text("Doors are <b>80</b> wide.").wait_for()
    ask(page, "And stairs?")
    page.get_by_text("Eighty it is.").nth(1).wait_for()
    turns = endpoint.asked[-1]["messages"]
    assert turns[1] == {"role": "assistant", "content": "Eighty it is.", "reasoning_content": "Doors are <b>80</b> wide."}
    page.locator("#chat button[aria-label*='islike' i]").first.click()
    page.get_by_text("kept as a bad answer").wait_for()
    [judged] = open_store(house).current_ratings()
    assert judged["completion"] == "Eighty it is." and judged["value"] == -1
    assert judged["beside"] == {"reasoning_content": "Doors are <b>80</b> wide."}


def test_two_thoughts_side_by_side(house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]) -> None:
    endpoint.thought, endpoint.reply = "Think.", "Said by {model}."
    page = visit(serve(compare.build(house, endpoint.url)))
    page.locator("#question textarea").fill("How wide?")
    page.locator("#question textarea").press("Enter")
    page.get_by_text("Said by alpha.").wait_for()
    page.get_by_text("Said by beta.").wait_for()
    assert page.locator("details.studio-thought").count() == 2 and not page.get_by_text("Think.").first.is_visible()


def test_a_thought_is_as_harmless_as_an_answer() -> None:
    shown = with_thought("No.", "</details><script>x</script>")
    assert shown.count("</details>") == 1 and "<script" not in shown
    assert with_thought("No <b>.", None) == "No &lt;b>." and " open>" in with_thought("", "Hm")


def test_only_thoughts_go_along_with_a_turn() -> None:
    turns = [{"role": "assistant", "content": "a", "reasoning_content": "b", "thumb": 1}, {"role": "user", "content": "c"}]
    assert with_system(turns, None) == [{"role": "assistant", "content": "a", "reasoning_content": "b"}, turns[1]]


GROWING = [
    Answered("", "Look"),
    Answered("", "Look it up."),
    Answered("Eighty", "Look it up."),
    Answered("Eighty.", "Look it up."),
]


@pytest.mark.parametrize(
    ("thoughts", "printed"), [(True, "[thought] Look it up.\n\nEighty.\n"), (False, "Eighty.\n")], ids=["person", "pipe"]
)
def test_a_terminal_prints_the_thought_first_and_a_pipe_without(thoughts, printed, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(0, thoughts=thoughts, silent=False)
    for answer in GROWING:
        shown.take(answer)
    shown.end(GROWING[-1])
    assert capsys.readouterr().out == printed


def test_a_terminal_prints_calls(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(0, thoughts=True, silent=False)
    answer = Answered("I look.", None, [CALL], ["<tool_call>{"])
    shown.take(answer)
    shown.end(answer)
    assert capsys.readouterr().out == 'I look.\n[call] find({"what": "doors"})\n<tool_call>{\n'


def test_a_coloured_terminal_dims_the_thought(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = Shown(0, thoughts=True, silent=False)
    for answer in GROWING:
        shown.take(answer)
    shown.end(GROWING[-1])
    assert capsys.readouterr().out == "\x1b[2mLook it up.\n\n\x1b[0mEighty.\n"


def test_calls_stand_below_the_words_and_are_no_part_of_them() -> None:
    piece = Piece("Let me look.", "ok", thought="Hm.", calls=(CALL,))
    assert piece.turn == {
        "role": "assistant",
        "content": "Let me look.",
        "reasoning_content": "Hm.",
        "tool_calls": [CALL],
    }
    assert answer_shown(piece.turn).endswith('Let me look.\n\n[call] find({"what": "doors"})')
    assert Piece("", thought="Hm.").said is False and Piece("", calls=(CALL,)).said


def test_a_row_with_calls_is_annotated_and_exported_as_it_is(tmp_path: Path, workspace: Workspace) -> None:
    asked = {"role": "user", "content": "Where are doors?"}
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"role": "tool", "content": "here"}
    answer = {"role": "assistant", "content": "Here.", "reasoning_content": "I see."}
    tools = [{"type": "function", "function": {"name": "find"}}]
    folder = built(tmp_path, workspace, [{"messages": [asked, called, result, answer], "tools": tools}]).folder
    [entry] = read_entries(folder, "train")
    prompt, judged = annotation_rows.asked(entry)
    assert (prompt, judged) == ([asked, called, result], answer)
    store, about = open_store(workspace), f"{folder.parent.name}/{folder.name}"
    said = {"dataset": about, "row": entry.id, "prompt": prompt, "completion": "Here.", "beside": beside_of(judged, entry.tools)}
    store.annotate(Origin("dataset:made", "anna", "annotate"), label="good", **said)
    path, count, _ = annotate.export_annotations(store, workspace, folder)
    line = json.loads(path.read_text())
    assert count == 1 and line["messages"] == [asked, called, result, answer] and line["tools"] == tools
