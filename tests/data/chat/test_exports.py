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
from babel import Locale, localedata
from babel.dates import format_date, format_time

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace
from studio.data.chat.build import ChatBuilder
from studio.data.chat.exports.stamps import stamp_of, times_of
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


def test_whatsapp_reads_the_short_stamps_of_all_languages() -> None:
    days = [datetime(2023, *rest) for rest in ((1, 3, 0, 5), (2, 28, 12, 1), (7, 13, 13, 0), (9, 9, 11, 59), (12, 31, 23, 58))]
    styles = {}
    for name in sorted(localedata.locale_identifiers()):
        locale = Locale.parse(name)
        styles.setdefault((locale.date_formats["short"].pattern, locale.time_formats["short"].pattern), locale)
    unread = []
    for locale in styles.values():
        written = [(format_date(day, "short", locale), format_time(day, "short", locale=locale)) for day in days]
        stamps = [stamp_of(f"{date}, {time} - Ida: A wren") for date, time in written]
        times = times_of([stamp for stamp in stamps if stamp and stamp["rest"] == "Ida: A wren"])
        if [when and datetime.fromtimestamp(when) for when in times] != days:
            unread.append(str(locale))
    # Languages whose blanks, words for the halves of a day or calendars are like no other's.
    assert set(unread) <= {"brx", "dz", "ee", "kkj", "la", "sq", "trw"} and len(styles) > 90


def test_whatsapp_reads_months_by_the_language_in_which_they_run_forward(tmp_path: Path) -> None:
    # lipiec is July in Polish, and Croatian calls June so (lipanj).
    lines = ["5 lip 2023, 10:00 - Bo: a", "6 lip 2023, 10:00 - Ida: b", "5 sie 2023, 10:00 - Bo: c", "6 sie 2023, 10:00 - Ida: d"]
    rows, _ = read(write(tmp_path / "x.txt", "\n".join(lines)), assistant=["Ida"])
    assert [row.meta["began"][:7] for row in rows] == ["2023-07", "2023-07", "2023-08", "2023-08"]


@pytest.mark.parametrize("value", [made.messenger(), made.ENCRYPTED])
def test_messenger_is_read_with_its_letters_mended(tmp_path: Path, value: dict[str, Any]) -> None:
    rows, notes = read(write(tmp_path / "message_1.json", value), assistant=["Idå"])
    assert said(rows[0]) == [("user", "Nenne einen Vogel 🐦"), ("assistant", "Ein Zaunkönig")]
    assert rows[0].meta["chat_name"] == "Bö" and rows[0].meta["program"] == "Messenger"
    if "thread_path" in value:
        told = " ".join(notes)
        assert "notices of Messenger (2)" in told and "messages that were taken back (1)" in told
        assert "pictures, sounds and files of Messenger (1)" in told
    with pytest.raises(DataError, match=r"export of Messenger.*Bö \(\d\), Idå|export of Messenger.*Idå \(\d\), Bö"):
        read(tmp_path / "message_1.json")


def test_files_of_one_messenger_chat_are_one_chat_and_right_letters_stay(tmp_path: Path) -> None:
    value = made.messenger()
    older = {**value, "messages": value["messages"][4:]}
    newer = {**value, "messages": value["messages"][:4]}
    write(tmp_path / "inbox" / "message_1.json", newer)
    write(tmp_path / "inbox" / "message_2.json", older)
    rows, notes = read(tmp_path / "inbox", assistant=["Idå"])
    assert len(rows) == 1 and any("1 chat of Messenger" in note for note in notes)
    right = copy.deepcopy(value)
    right["messages"] = [
        {"sender_name": "Idå", "timestamp_ms": 1, "content": "Ã¥ is no letter …"},
        {"sender_name": "Bo", "timestamp_ms": 0, "content": "?"},
    ]
    rows, _ = read(write(tmp_path / "right.json", right), assistant=["Idå"])
    assert said(rows[0])[1] == ("assistant", "Ã¥ is no letter …")


def test_gemini_answers_its_prompts_and_knows_who_is_who(tmp_path: Path) -> None:
    entries = made.gemini("Prompted Name a bird", "Prompted And a fish\xa0Attached 1 file.")
    rows, notes = read(write(tmp_path / "MyActivity.json", entries))
    assert said(rows[0]) == [("user", "Name a bird"), ("assistant", "Answer 0:\n\n```\na =  1\n```")]
    assert said(rows[1])[0] == ("user", "And a fish") and rows[1].meta["program"] == "Gemini"
    told = " ".join(notes)
    assert "entries of other products of Google (1)" in told and "entries of Gemini without an answer (1)" in told
    assert "files that came with a prompt (1)" in told and "0.5 hours" in told
    joined, _ = read(tmp_path / "MyActivity.json", pause=2)
    assert [turn["role"] for turn in joined[0].messages] == ["user", "assistant"] * 2


def test_gemini_in_another_language_and_without_answers(tmp_path: Path) -> None:
    entries = made.gemini("Eingegebener Prompt: Nenne einen Vogel", "Eingegebener Prompt: Und Fische", "Eingegebener Prompt: Ja")
    rows, _ = read(write(tmp_path / "MyActivity.json", entries))
    assert [said(row)[0][1] for row in rows] == ["Nenne einen Vogel", "Und Fische", "Ja"]
    with pytest.raises(DataError):
        read(write(tmp_path / "empty" / "MyActivity.json", made.gemini("Prompted a", answers=False)))


def test_gemini_beside_a_chat_of_people_leaves_who_answers_there_to_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "all" / "MyActivity.json", made.gemini("Prompted Name a bird"))
    write(tmp_path / "all" / "Chat.txt", made.WHATSAPP["Swedish"])
    with pytest.raises(DataError, match=r"export of WhatsApp, and nobody said"):
        read(tmp_path / "all")
    rows, _ = read(tmp_path / "all", assistant=["Ida"])
    assert sorted(row.meta["program"] for row in rows) == ["Gemini", "WhatsApp"]


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
        "message_1.json": made.messenger(), "MyActivity.json": made.gemini("Prompted a", "Prompted b"),
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
