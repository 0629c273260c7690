"""Thoughts stand apart from what is said: folded away on a page, dimmed in a terminal, never in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from studio.apps import chat, compare
from studio.apps.chat_model import with_system
from studio.apps.recording import open_store
from studio.apps.terminal import Shown
from studio.apps.thoughts import with_thought
from studio.core.workspace import Workspace
from studio.models.chat.answers import Answered
from tests.apps.test_chat import ask

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
