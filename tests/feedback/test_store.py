"""The feedback file: nothing acknowledged is lost, nothing said can be changed, a person can be forgotten."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import studio
from studio.core.errors import StudioError, UserError
from studio.feedback.answers import beside_of
from studio.feedback.export import harvest
from studio.feedback.pairs import labelled_answers
from studio.feedback.store import FeedbackStore, Origin, RequestRow
from studio.feedback.tables import SCHEMA_VERSION, TABLES

ROOT = Path(studio.__file__).parents[1]
PROMPT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why is the sky blue?"}]


def origin(user: str = "anna", model: str = "bot/1", **changes: Any) -> Origin:
    return Origin(model, user, "chat", "aa" * 32, "bb" * 32, {"temperature": 0.5}, **changes)


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(tmp_path / "feedback.sqlite")


def test_every_row_knows_who_answered_whom_and_how(store: FeedbackStore) -> None:
    before = time.time()
    store.record_request(RequestRow(origin(), seconds=1.5, characters=20, language="en", refusal=False))
    store.rate(origin(), prompt=PROMPT, completion="Rayleigh.", value=1)
    store.correct(origin(), prompt=PROMPT, completion="Magic.", correction="Rayleigh scattering.")
    store.vote(origin(), origin(model="bot/2"), prompt=PROMPT, answers=("a", "b"), winner="b", left="b")
    store.annotate(origin(), dataset="faq/1", row="faq/3", prompt=PROMPT, completion="Magic.", label="bad")
    for table in ("requests", "ratings", "corrections", "votes", "annotations"):
        (row,) = store.rows(table)
        assert (row["user"], row["app"], row["model"]) == ("anna", "chat", "bot/1"), table
        assert (row["adapter_hash"], row["template_hash"]) == ("aa" * 32, "bb" * 32)
        assert row["sampling"] == {"temperature": 0.5}
        assert before <= row["created"] <= time.time()
    (vote,) = store.rows("votes")
    assert (vote["model_b"], vote["winner"], vote["left_side"], vote["completion_b"]) == ("bot/2", "b", "b", "b")
    assert store.rows("ratings")[0]["prompt"] == PROMPT


def test_words_of_requests_are_kept_only_when_switched_on_and_go_when_it_is_switched_off(store: FeedbackStore) -> None:
    row = RequestRow(origin(), prompt=PROMPT, completion="Rayleigh.")
    store.record_request(row)
    assert store.rows("requests")[0]["prompt"] is None and store.rows("requests")[0]["completion"] is None
    store.change_settings(keep_texts=True)
    store.record_request(row)
    assert store.rows("requests")[1]["completion"] == "Rayleigh."
    store.change_settings(keep_texts=False)
    assert [one["completion"] for one in store.rows("requests")] == [None, None]
    assert b"Rayleigh" not in everything(store.path)


def test_ratings_are_only_added_to_and_the_last_word_counts(store: FeedbackStore) -> None:
    for value in (1, -1):
        store.rate(origin(), prompt=PROMPT, completion="Rayleigh.", value=value, request="r1")
    store.rate(origin("ben"), prompt=PROMPT, completion="Rayleigh.", value=1, request="r1")
    assert len(store.rows("ratings")) == 3
    assert {row["user"]: row["value"] for row in store.current_ratings()} == {"anna": -1, "ben": 1}
    store.rate(origin(), prompt=PROMPT, completion="Rayleigh.", value=0, request="r1")
    assert {row["user"]: row["value"] for row in store.current_ratings()} == {"ben": 1}
    with sqlite3.connect(store.path) as other, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        other.execute("UPDATE ratings SET value = 1")


def test_an_annotation_is_replaced_by_the_next_and_taken_back_by_none(store: FeedbackStore) -> None:
    about: dict[str, Any] = {"dataset": "faq/1", "row": "faq/3", "prompt": PROMPT, "completion": "Magic."}
    store.annotate(origin(), label="bad", **about)
    store.annotate(origin(), label="good", **about)
    assert [row["label"] for row in store.current_annotations("faq/1")] == ["good"]
    assert store.current_annotations("faq/2") == []
    store.annotate(origin(), label=None, **about)
    assert store.current_annotations() == []


def test_an_empty_correction_is_refused(store: FeedbackStore) -> None:
    for text in ("", "  ", " Magic. "):
        with pytest.raises(UserError, match="empty or the same"):
            store.correct(origin(), prompt=PROMPT, completion="Magic.", correction=text)
    assert store.rows("corrections") == []


def everything(path: Path) -> bytes:
    """All bytes of a feedback file, its write-ahead log included."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_forgetting_a_person_leaves_no_byte_of_what_they_wrote(store: FeedbackStore) -> None:
    secret = "quokka" * 50
    store.change_settings(keep_texts=True)
    for user in ("anna", "ben"):
        for number in range(50):
            text = f"{secret if user == 'anna' else 'plain'} {number}"
            prompt = [{"role": "user", "content": text}]
            store.record_request(RequestRow(origin(user), prompt=prompt, completion=text))
            store.rate(origin(user), prompt=prompt, completion=text, value=-1, comment=text)
        store.correct(origin(user), prompt=PROMPT, completion="x", correction=secret if user == "anna" else "plain")
        store.vote(origin(user), origin(user), prompt=PROMPT, answers=(user, secret if user == "anna" else "b"), winner="a")
        store.annotate(origin(user), dataset="d", row="r", prompt=PROMPT, completion=user, label="good", correction=secret * 2)
    store.forget("ben")
    assert b"quokka" in everything(store.path)
    deleted = store.forget("anna")
    assert deleted == {"requests": 50, "ratings": 50, "corrections": 1, "votes": 1, "annotations": 1}
    assert b"quokka" not in everything(store.path)
    assert store.users() == [] and set(store.counts().values()) == {0}


def test_forgetting_says_so_when_another_process_still_reads_the_old_rows(store: FeedbackStore) -> None:
    store.rate(origin(), prompt=PROMPT, completion="x", value=1)
    reader = sqlite3.connect(store.path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM ratings").fetchall()
    store._database._open().execute("PRAGMA busy_timeout=100")
    with pytest.raises(StudioError, match="another process is reading"):
        store.forget("anna")
    reader.close()
    assert store.rows("ratings") == []


def test_old_requests_go_by_themselves_and_what_people_said_stays(store: FeedbackStore) -> None:
    now = time.time()
    old, young = now - 91 * 86400, now - 89 * 86400
    store.record_requests([RequestRow(origin(), id="old", created=old), RequestRow(origin(), id="young", created=young)])
    store.rate(origin(), prompt=PROMPT, completion="x", value=1)
    assert store.purge()["requests"] in (0, 1)
    assert [row["id"] for row in store.rows("requests")] == ["young"]
    assert len(store.rows("ratings")) == 1
    store.change_settings(feedback_days=30)
    assert store.purge(now + 31 * 86400) == {"requests": 1, "ratings": 1, "corrections": 0, "votes": 0, "annotations": 0}
    with pytest.raises(UserError, match="whole number of days"):
        store.change_settings(request_days=0)


def test_a_restarted_app_deletes_what_has_become_too_old(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    FeedbackStore(path).record_requests([RequestRow(origin(), created=time.time() - 200 * 86400)])
    again = FeedbackStore(path)
    again.record_request(RequestRow(origin(), id="new"))
    assert [row["id"] for row in again.rows("requests")] == ["new"]


def _write(path: Path, writer: int, rows: int, start: Any) -> None:
    start.wait()
    store = FeedbackStore(path)
    for number in range(rows):
        if number % 2:
            store.record_request(RequestRow(origin(f"user-{writer}"), id=f"{writer}-{number}", characters=number))
        else:
            store.rate(origin(f"user-{writer}"), prompt=PROMPT, completion=str(number), value=1)


def test_twenty_processes_write_at_once_from_the_first_row_and_none_is_lost(tmp_path: Path) -> None:
    path, rows = tmp_path / "new" / "feedback.sqlite", 20
    context = multiprocessing.get_context("fork")
    start = context.Event()
    writers = [context.Process(target=_write, args=(path, number, rows, start)) for number in range(20)]
    for process in writers:
        process.start()
    start.set()
    for process in writers:
        process.join(120)
    assert [process.exitcode for process in writers] == [0] * 20
    counts = FeedbackStore(path).counts()
    assert counts["requests"] == counts["ratings"] == 20 * rows / 2


KILLED = """
import sys
from studio.feedback.store import FeedbackStore, Origin
store = FeedbackStore(sys.argv[1])
number = 0
while True:
    store.rate(Origin("m", sys.argv[2], "chat"), prompt=[{"role": "user", "content": "q"}], completion=f"{number}", value=1)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_a_sigkill_in_the_middle_of_writing_loses_no_acknowledged_row(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    processes = [
        subprocess.Popen([sys.executable, "-c", KILLED, str(path), f"user-{n}"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for n in range(3)
    ]
    acknowledged = []
    for process in processes:
        assert process.stdout is not None
        # Each has written some rows before any is killed.
        acknowledged.append([process.stdout.readline() for _ in range(10)])
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    for process, lines in zip(processes, acknowledged, strict=True):
        assert process.stdout is not None
        lines += process.stdout.readlines()
        process.wait()
    store = FeedbackStore(path)
    for number, lines in enumerate(acknowledged):
        said = [line.strip() for line in lines if line.endswith("\n")]
        written = {row["completion"] for row in store.rows("ratings") if row["user"] == f"user-{number}"}
        assert len(said) >= 10 and set(said) <= written
    check = sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()
    assert check == ("ok",)


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import studio.feedback.store, studio.language.phrases, "
        "studio.feedback.summary, studio.feedback.export, studio.feedback.agreement; "
        "print([name for name in sys.modules if 'site-packages' in (getattr(sys.modules[name], '__file__', '') or '')])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_only_its_owner_can_read_the_file(store: FeedbackStore) -> None:
    assert store.path.stat().st_mode & 0o077 == 0


def test_a_file_of_a_newer_studio_another_program_or_no_database_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    FeedbackStore(newer).close()
    with sqlite3.connect(newer) as other:
        other.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(UserError, match="newer studio"):
        FeedbackStore(newer)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE things (id)")
    with pytest.raises(UserError, match="another program"):
        FeedbackStore(foreign)
    text = tmp_path / "text.sqlite"
    text.write_text("This is a text, not a database. " * 100)
    with pytest.raises(UserError, match="no feedback file"):
        FeedbackStore(text)
    assert text.read_text().startswith("This is a text")


def test_a_full_disk_is_told_in_a_sentence(small_disk: Path) -> None:
    try:
        store = FeedbackStore(small_disk / "feedback.sqlite")
        with pytest.raises(StudioError, match=r"feedback\.sqlite"):
            for _ in range(200):
                store.rate(origin(), prompt=PROMPT, completion="x" * 4000, value=1)
    except StudioError as error:
        assert "feedback.sqlite" in str(error)


def test_a_store_opened_before_a_fork_is_opened_anew_after_it(store: FeedbackStore) -> None:
    store.rate(origin(), prompt=PROMPT, completion="before", value=1)
    child = os.fork()
    if child == 0:
        store.rate(origin(), prompt=PROMPT, completion="in the child", value=1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.rate(origin(), prompt=PROMPT, completion="after", value=1)
    assert [row["completion"] for row in store.rows("ratings")] == ["before", "in the child", "after"]


CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": {"what": "doors"}}}
TOOL = {"type": "function", "function": {"name": "find"}}


def test_thoughts_calls_and_tools_are_kept_with_what_was_said(store: FeedbackStore) -> None:
    turn = {"role": "assistant", "content": "", "reasoning_content": "Look.", "tool_calls": [CALL], "thumb": 1}
    beside = beside_of(turn, [TOOL])
    assert beside == {"reasoning_content": "Look.", "tool_calls": [CALL], "tools": [TOOL]} and beside_of({"content": "x"}) is None
    said: dict[str, Any] = {"prompt": PROMPT, "completion": ""}
    store.rate(origin(), value=1, beside=beside, **said)
    store.correct(origin(), correction="Doors.", beside=beside, **said)
    store.annotate(origin(), dataset="d", row="r", label="good", beside=beside, **said)
    store.vote(origin(), origin(), prompt=PROMPT, answers=("", "b"), winner="a", beside=(beside, None))
    for table in ("ratings", "corrections", "annotations", "votes"):
        assert store.rows(table)[0]["beside"] == beside, table
    assert store.rows("votes")[0]["beside_b"] is None
    store.rate(origin(), value=-1, beside={"reasoning_content": "Think."}, **said)
    assert len(store.current_ratings()) == 2, "the same words after another thought are another answer"
    store.record_request(RequestRow(origin(), completion="", beside=beside))
    assert store.rows("requests")[0]["beside"] is None
    store.change_settings(keep_texts=True)
    store.record_request(RequestRow(origin(), completion="", beside=beside))
    assert store.rows("requests")[1]["beside"] == beside


def test_what_was_said_of_a_row_that_is_no_conversation_teaches_no_chat(store: FeedbackStore) -> None:
    for row, prompt in (("talk", PROMPT), ("picture", [])):
        store.annotate(origin(), dataset="d/1", row=row, prompt=prompt, completion="Words.", label="good", correction="Others.")
    assert {row["row"] for row in store.current_annotations()} == {"talk", "picture"}
    for form in ("kto", "dpo", "sft"):
        lessons = harvest(store, form).lessons
        assert lessons and all(lesson.prompt for lesson in lessons), form
    assert [found.prompt for found in labelled_answers(store, 9)] == [PROMPT]


def test_a_file_that_kept_words_only_is_read_and_goes_on(store: FeedbackStore) -> None:
    store.rate(origin(), prompt=PROMPT, completion="Rayleigh.", value=1)
    store.close()
    with sqlite3.connect(store.path) as old:
        for table in TABLES:
            old.execute(f"ALTER TABLE {table} DROP COLUMN beside")
        old.execute("ALTER TABLE votes DROP COLUMN beside_b")
        old.execute("ALTER TABLE annotations DROP COLUMN suggestion")
        old.execute("PRAGMA user_version=1")
    again = FeedbackStore(store.path)
    again.rate(origin("ben"), prompt=PROMPT, completion="", value=1, beside={"tool_calls": [CALL]})
    assert [row["beside"] for row in again.current_ratings()] == [None, {"tool_calls": [CALL]}]
    again.annotate(
        origin(),
        dataset="d/1",
        row="1",
        prompt=PROMPT,
        completion="",
        label="x",
        suggestion={"label": "y", "by": "m", "score": 0.5},
    )
    assert again.current_annotations()[0]["suggestion"] == {"label": "y", "by": "m", "score": 0.5}
    with pytest.raises(UserError, match=r"empty or the same"):
        again.correct(origin(), prompt=PROMPT, completion="x", correction="")
