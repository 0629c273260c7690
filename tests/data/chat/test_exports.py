"""Exports of chat programs become conversations: the right branch, the right side answering, cut where people stopped."""

from __future__ import annotations

import contextlib
import copy
import random
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace
from studio.data.chat.build import ChatBuilder
from studio.data.chat.rows import ChatRow
from studio.data.memo import HashMemo
from studio.schema.recipe import ChatRecipe
from tests.data.chat import made_exports as made
from tests.data.chat.made_exports import write

PAIR = [("user", "Name a bird"), ("assistant", "A wren")]


def read(path: Path, **source: Any) -> tuple[list[ChatRow], list[str]]:
    """Rows of a local source, and what is told of it."""
    given = {"type": "local", "path": str(path), "licence": "own data"} | source
    recipe = ChatRecipe.model_validate({"kind": "chat", "sources": [given]})
    builder = ChatBuilder(recipe, Workspace.open(path.parent / "ws"), path.parent, lambda _: None)
    result = builder.read(builder.resolve(HashMemo(path.parent / "ws" / "memo.json")))
    return result.rows, result.notes


def said(row: ChatRow) -> list[tuple[str, str]]:
    """Roles and texts."""
    return [(turn["role"], turn["content"]) for turn in row.messages]


def test_chatgpt_follows_the_current_branch(tmp_path: Path) -> None:
    rows, notes = read(write(tmp_path / "conversations.json", made.chatgpt()))
    assert said(rows[0]) == [*PAIR, ("user", "Another"), ("assistant", "A rook")]
    assert said(rows[1]) == [("user", "Name a fish"), ("assistant", "A cod")], "nothing that follows a picture"
    assert rows[0].id.endswith("/c1") and rows[0].meta["title"] == "Birds" and rows[0].meta["model"] == "gpt-4o"
    told = " ".join(notes)
    assert "2 conversations of ChatGPT" in told and "messages of other branches (1)" in told
    assert "messages from a picture or a file on (2)" in told and "messages to and from tools, and hidden ones (2)" in told


def test_claude_follows_the_newest_branch_and_keeps_thoughts_apart(tmp_path: Path) -> None:
    rows, notes = read(write(tmp_path / "conversations.json", made.claude()))
    assert said(rows[0]) == PAIR and rows[0].messages[1]["reasoning_content"] == "Small ones."
    assert any("messages of other branches (1)" in note for note in notes)


def test_slack_is_cut_at_threads_and_pauses(tmp_path: Path) -> None:
    root = made.slack(tmp_path / "export")
    rows, notes = read(root, assistant=["ida"], group="chat_name")
    assert [said(row) for row in rows] == [
        [("user", "how do I log in?\nIt says <no>\n\nsame here"), ("assistant", "Use this page (https://a.example)")],
        [("user", "Where is the printer?"), ("assistant", "On floor 2")],
        [("user", "Is lunch at 12?"), ("assistant", "Yes")],
    ]
    assert {row.group for row in rows} == {"help"}
    assert rows[1].meta["thread_id"] == "1700000050.0"
    assert [(one["id"], one["name"], one["role"], one["messages"]) for one in rows[0].meta["speakers"]] == [
        ("U2", "Bo Alm", "user", 2), ("U3", "Cy", "user", 1), ("U1", "Ida", "assistant", 1),
    ]  # fmt: skip
    told = " ".join(notes)
    assert "became 3 conversations" in told and "6 hours" in told and "notices of Slack (1)" in told
    assert "3 of 8 messages are the assistant's; the others are of 2 speakers" in told
    assert "left out: channels.json, users.json" in told
    limited, notes = read(root, assistant=["ida"], limit=1)
    assert len(limited) == 1 and any("became 3 conversations" in note for note in notes)
    everything, _ = read(root, assistant=["U1"], pause=1000)
    assert len(everything) == 2, "a thread stays apart however long the pause"


def test_who_answers_has_to_be_said(tmp_path: Path) -> None:
    root = made.slack(tmp_path / "export")
    with pytest.raises(DataError) as error:
        read(root)
    assert "Slack" in str(error.value) and "Bo Alm (3), Ida (3), Cy (2)" in str(error.value)
    assert "\n    assistant: [Ida]" in str(error.value)
    with pytest.raises(DataError, match=r"nobody is called 'Idda'\. Did you mean 'Ida'\? Those who speak are"):
        read(root, assistant=["Idda"])


@pytest.mark.parametrize("setting", [{"assistant": ["Ida"]}, {"pause": 3}])
def test_settings_of_chats_are_not_ignored_elsewhere(tmp_path: Path, setting: dict[str, Any]) -> None:
    rows = write(tmp_path / "rows.jsonl", '{"question": "Name a bird", "answer": "A wren"}')
    with pytest.raises(DataError, match="none is there"):
        read(rows, **setting)


@pytest.mark.parametrize(
    ("name", "value", "assistant"),
    [
        ("discord.json", made.discord(), "7"),
        ("discord.csv", made.DISCORD_CSV, "Ida"),
        ("result.json", made.TELEGRAM, "user7"),
        ("all.json", {"about": "-", "chats": {"about": "-", "list": [made.TELEGRAM]}}, "Ida"),
    ],
)
def test_chats_of_people(tmp_path: Path, name: str, value: Any, assistant: str) -> None:
    rows, notes = read(write(tmp_path / name, value), assistant=[assistant])
    assert [said(row) for row in rows] == [PAIR]
    assert any("1 of 2 messages are the assistant's" in note for note in notes)


@pytest.mark.parametrize("locale", made.WHATSAPP)
def test_whatsapp_in_several_languages(tmp_path: Path, locale: str) -> None:
    path = write(tmp_path / "WhatsApp Chat with Bo.txt", made.WHATSAPP[locale])
    rows, _ = read(path, assistant=["Ida"])
    assert [said(row) for row in rows] == [[("user", "Name a bird\nPlease: a small one"), ("assistant", "A wren")]]
    local = datetime.fromisoformat(rows[0].meta["began"]).astimezone()
    assert (local.year, local.month, local.day, local.hour, local.minute) == (2023, 12, 31, 22, 15)


def test_whatsapp_reads_days_by_what_runs_forward(tmp_path: Path) -> None:
    lines = ["01/02/24, 10:00 - Bo: a", "02/02/24, 10:00 - Ida: b", "03/02/24, 10:00 - Bo: c", "01/03/24, 10:00 - Ida: d"]
    rows, _ = read(write(tmp_path / "x.txt", "\n".join(lines)), assistant=["Ida"])
    assert [row.meta["began"][:7] for row in rows] == ["2024-02"] * 3 + ["2024-03"], "days before months"


def test_tickets_know_the_requester_and_leave_notes_out(tmp_path: Path) -> None:
    rows, notes = read(write(tmp_path / "tickets.json", made.ZENDESK))
    assert said(rows[0]) == [("user", "Login\n\nIt says no."), ("assistant", "Try this:\n\n- one")]
    assert rows[0].meta["status"] == "solved" and "internal notes of tickets (1)" in " ".join(notes)
    rows, notes = read(write(tmp_path / "intercom.json", made.INTERCOM))
    assert said(rows[0]) == PAIR
    assert "automatic messages of help desks (1)" in " ".join(notes)


def test_tickets_without_a_requester_ask_who_answers(tmp_path: Path) -> None:
    comments = [{"author_id": 8, "body": "Name a bird"}, {"author_id": 7, "body": "A wren"}]
    path = write(tmp_path / "tickets.json", [{"id": 4, "comments": comments}])
    with pytest.raises(DataError, match=r"ticket 4 does not say who of its authors answers: 8 \(1\), 7 \(1\)"):
        read(path)
    rows, _ = read(path, assistant=["7"])
    assert said(rows[0]) == PAIR


def test_a_log_is_no_chat(tmp_path: Path) -> None:
    path = write(tmp_path / "log.txt", "2024-01-01 10:00:00 - INFO: started\n2024-01-01 10:00:01 - ERROR: no\n")
    assert "asked for by the name of the file" in read(path)[1][0]


def test_only_exports_are_taken_where_the_recipe_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"question": "Name a bird", "answer": "A wren"}')
    with pytest.raises(DataError, match="is no export of a chat program that is known"):
        read(path, format="export")
    rows, _ = read(write(tmp_path / "conversations.json", made.claude()), format="export")
    assert said(rows[0]) == PAIR


def test_a_damaged_export_is_one_sentence(tmp_path: Path) -> None:
    path = write(
        tmp_path / "result.json",
        '{"name": "Bo", "type": "personal_chat", "id": 5, "messages": [{"id": 1, "type": "message", "date": 1}, {',
    )
    with pytest.raises(DataError, match="cut off or damaged"):
        read(path, assistant=["Ida"])


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*before, key)
        yield from _places(one, (*before, key))


@pytest.mark.parametrize("seed", range(120))
def test_no_damage_inside_an_export_is_a_traceback(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    junk = (None, 1, 1e20, True, "x", [], {}, [1], {"a": 1}, [[]])
    whole = {
        "conversations.json": made.chatgpt(), "claude.json": made.claude(), "tickets.json": made.ZENDESK,
        "intercom.json": made.INTERCOM, "result.json": made.TELEGRAM, "discord.json": made.discord(),
    }  # fmt: skip
    name = list(whole)[seed % len(whole)]
    value = copy.deepcopy(whole[name])
    for _ in range(3):
        *way, last = chance.choice(list(_places(value)))
        inner = value
        for key in way:
            inner = inner[key]
        inner[last] = copy.deepcopy(chance.choice(junk))
    path = write(tmp_path / name, value)
    for source in ({}, {"assistant": ["Ida"]}, {"damaged": "keep"}):
        with contextlib.suppress(UserError):
            read(path, **source)


def test_packed_exports_are_read_as_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "Chat with Bo.zip", "w") as archive:
        archive.writestr("_chat.txt", made.WHATSAPP["iOS"])
    rows, _ = read(tmp_path / "Chat with Bo.zip", assistant=["Ida"])
    assert [turn["role"] for turn in rows[0].messages] == ["user", "assistant"] and rows[0].meta["chat_name"] == "Chat with Bo"
    root = made.slack(tmp_path / "export")
    with zipfile.ZipFile(tmp_path / "slack.zip", "w") as archive:
        for file in sorted(root.rglob("*.json")):
            archive.write(file, file.relative_to(root))
    rows, _ = read(tmp_path / "slack.zip", assistant=["Ida"])
    assert len(rows) == 3
