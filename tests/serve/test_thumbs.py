"""What clients say of answers through the guard: who may, of what, how it is written down, and that it is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.loop.canary import judge_canary
from studio.schema.loop import CanaryRules
from studio.serve import limits
from studio.serve.aliases import list_aliases, list_canaries, promote, start_canary
from studio.serve.keys import add_key
from studio.serve.state import StatePaths
from tests.conftest import Result
from tests.serve.conftest import LIMITS, Gate, MakeGate

CHAT, FEEDBACK = limits.CHAT, limits.FEEDBACK
HELLO = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}


def ask(gate: Gate, **more: Any) -> str:
    """The id of an answer."""
    reply = gate.call("POST", CHAT, HELLO | more.pop("body", {}), **more)
    assert reply.status == 200
    return reply.headers["x-request-id"]


def rows(gate: Gate, table: str) -> list[dict[str, Any]]:
    store = FeedbackStore(gate.feedback)
    found = store.rows(table)
    store.close()
    return found


def test_a_thumb_and_a_correction_carry_the_words_and_the_run(gate: Gate) -> None:
    identity = ask(gate, body={"temperature": 0.5})
    assert not gate.feedback.is_file(), "record: none writes nothing of a request"
    said = {"id": identity, "rating": "down", "correction": "80 cm.", "comment": "It is no answer."}
    reply = gate.call("POST", FEEDBACK, said)
    assert reply.status == 200, reply.body
    assert reply.json == {"object": "feedback", "id": identity, "model": "one", "rating": "down", "corrected": True}
    (thumb,), (correction,) = rows(gate, "ratings"), rows(gate, "corrections")
    assert (thumb["user"], thumb["app"], thumb["model"], thumb["value"]) == ("ada", "serve", "one", -1)
    assert (thumb["prompt"], thumb["completion"], thumb["request"]) == (HELLO["messages"], "I cannot help.", identity)
    assert (thumb["adapter_hash"], thumb["sampling"]["temperature"], thumb["comment"]) == ("a" * 64, 0.5, "It is no answer.")
    assert correction["correction"] == "80 cm." and rows(gate, "requests") == []
    for rating, held in (("up", [1]), ("none", [])):
        assert gate.call("POST", FEEDBACK, {"id": identity, "rating": rating}).status == 200
        assert [row["value"] for row in FeedbackStore(gate.feedback).current_ratings()] == held


def test_an_answer_is_rated_by_whom_it_was_given_to_and_nobody_else(gate: Gate) -> None:
    identity = ask(gate)
    other, _ = add_key(gate.keys, "eve")
    mine, _ = add_key(gate.keys, "ada")  # another key of the same user
    said = {"id": identity, "rating": "up"}
    stranger = gate.call("POST", FEEDBACK, said, key=other)
    unknown = gate.call("POST", FEEDBACK, said | {"id": identity[:-1] + "_"}, key=other)
    assert (stranger.status, stranger.code) == (unknown.status, unknown.code) == (404, "answer_not_found")
    assert gate.call("POST", FEEDBACK, said, key=None).status == 401
    assert not gate.feedback.is_file()
    assert gate.call("POST", FEEDBACK, said, key=mine).status == 200


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ({"rating": "up"}, "invalid_value", "id must be text"),
        ({"id": 5, "rating": "up"}, "invalid_value", "id must be text"),
        ({"id": "chatcmpl-x"}, "invalid_value", "Say something of the answer"),
        ({"id": "chatcmpl-x", "rating": "good"}, "invalid_value", "rating is 'good'. Allowed: up, down, none."),
        ({"id": "chatcmpl-x", "rating": 1}, "invalid_value", "rating must be text"),
        ({"id": "chatcmpl-x", "raiting": "up"}, "unknown_field", "'raiting'"),
        ({"id": "chatcmpl-x", "rating": "up", "user": "eve"}, "unknown_field", "'user'"),
        ({"id": "chatcmpl-x", "correction": " "}, "invalid_value", "correction must be text"),
        ({"id": "chatcmpl-x", "correction": "a", "comment": "b"}, "invalid_value", "goes with a rating"),
        ({"id": "chatcmpl-x", "rating": "up", "comment": "b" * 2001}, "invalid_value", "at most 2000 characters"),
        ({"id": "chatcmpl-x", "rating": "up", "comment": "\ud800"}, "invalid_json", "half a character"),
        ([], "invalid_json", "must be a JSON object"),
        ({"id": "chatcmpl-" + "0" * 32, "rating": "up"}, "answer_not_found", "can be rated for 60 minutes"),
    ],
)
def test_what_is_refused(gate: Gate, said: Any, code: str, words: str) -> None:
    reply = gate.call("POST", FEEDBACK, said)
    assert reply.code == code and words in reply.json["error"]["message"], reply.body
    assert not gate.feedback.is_file()


def test_a_correction_that_is_the_answer_itself_leaves_nothing_behind(gate: Gate) -> None:
    said = {"id": ask(gate), "rating": "down", "correction": " I cannot help. "}
    reply = gate.call("POST", FEEDBACK, said)
    assert reply.status == 400 and "the same as the answer" in reply.json["error"]["message"]
    assert rows(gate, "ratings") == rows(gate, "corrections") == []


def test_it_counts_within_the_limits_of_the_key(gate: Gate) -> None:
    said = {"id": ask(gate), "rating": "up"}
    for _ in range(LIMITS["requests_per_minute"] - 1):
        assert gate.call("POST", FEEDBACK, said).status == 200
    assert gate.call("POST", FEEDBACK, said).code == "rate_limit_exceeded"
    long = gate.call("POST", FEEDBACK, said | {"correction": "x" * 5000}, key=gate.operator)
    assert long.code == "body_too_large"
    gate.call("POST", "/studio/drain", {}, key=gate.operator)
    assert gate.call("POST", FEEDBACK, said, key=add_key(gate.keys, "zoe")[0]).status == 503


def test_what_is_held_ends_with_its_time_and_room_and_lives_on_where_words_are_kept(
    make_gate: MakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = make_gate(record="texts", limits=LIMITS | {"feedback_minutes": 1, "feedback_bytes": 1200}).open()
    FeedbackStore(gate.feedback).change_settings(keep_texts=True)
    clock = [1000.0]
    monkeypatch.setattr("studio.serve.thumbs.time.monotonic", lambda: clock[0])
    held = gate.guard._thumbs._held
    first = [ask(gate) for _ in range(8)]
    assert 0 < len(held) < 8 and first[-1] in held and first[0] not in held, "room for a few"
    clock[0] += 61
    gate.guard._ledger.close()  # the rows are written
    assert gate.call("POST", FEEDBACK, {"id": first[0], "rating": "up"}).status == 200, "its words are on the disk"
    assert not held and gate.guard._thumbs._size == 0
    other, _ = add_key(gate.keys, "eve")
    assert gate.call("POST", FEEDBACK, {"id": first[0], "rating": "up"}, key=other).status == 404
    FeedbackStore(gate.feedback).change_settings(keep_texts=False)
    assert gate.call("POST", FEEDBACK, {"id": first[0], "rating": "up"}).code == "answer_not_found"


def test_it_can_be_switched_off_and_is_none_of_embeddings(make_gate: MakeGate) -> None:
    off = make_gate(limits=LIMITS | {"feedback_minutes": 0}).open()
    assert off.call("POST", FEEDBACK, {"id": ask(off), "rating": "up"}).code == "not_found"
    assert off.guard._thumbs._held == {}
    vectors = make_gate(pooled="embedding").open()
    assert vectors.call("POST", FEEDBACK, {"id": "x", "rating": "up"}).code == "not_found"


def test_a_streamed_answer_a_call_and_half_an_answer(gate: Gate) -> None:
    pieces = [
        {"choices": [{"index": 0, "delta": {"content": "Eighty "}}]},
        {"choices": [{"index": 0, "delta": {"content": "cm."}, "finish_reason": "stop"}]},
    ]

    async def streamed(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            await send({"type": "http.response.body", "body": f"data: {json.dumps(piece)}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    gate.guard.app = streamed
    identity = ask(gate, body={"stream": True})
    assert gate.call("POST", FEEDBACK, {"id": identity, "rating": "up"}).status == 200
    assert rows(gate, "ratings")[0]["completion"] == "Eighty cm."
    call = {"id": "c1", "type": "function", "function": {"name": "width", "arguments": "{}"}}
    pieces[:] = [{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}, "finish_reason": "tool_calls"}]}]
    identity = ask(gate, body={"stream": True})
    assert gate.call("POST", FEEDBACK, {"id": identity, "rating": "down"}).status == 200
    assert rows(gate, "ratings")[1]["beside"]["tool_calls"][0]["function"]["name"] == "width"

    async def broken(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ConnectionError

    gate.guard.app = broken
    with pytest.raises(ConnectionError):
        asyncio.run(gate.ask("POST", CHAT, HELLO))
    assert len(gate.guard._thumbs._held) == 2, "half an answer cannot be rated"


def test_a_trial_is_judged_by_thumbs_that_came_through_the_guard(gate: Gate) -> None:
    promote(gate.aliases, "production", "one", "one/1")
    start_canary(gate.aliases, "production", "two", "two/1", share=0.5)
    for number in range(60):
        key, _ = add_key(gate.keys, f"user{number}")
        reply = gate.call("POST", CHAT, HELLO | {"model": "production"}, key=key)
        rating = "down" if reply.json["model"] == "two" else "up"
        assert gate.call("POST", FEEDBACK, {"id": reply.headers["x-request-id"], "rating": rating}, key=key).status == 200
    store = FeedbackStore(gate.feedback)
    canary, used = list_canaries(gate.aliases)["production"], list_aliases(gate.aliases)["production"]
    trial = judge_canary(store, canary, used, CanaryRules(), now=9e9)
    store.close()
    assert trial.state == "worse" and trial.sentence.startswith("thumbs down are shown to be more with two")


def test_the_disk_is_full_or_the_file_is_none(gate: Gate, small_disk: Path) -> None:
    identity = ask(gate)
    (small_disk / "filler").write_bytes(b"x" * 60_000)
    gate.guard._thumbs._path = small_disk / "feedback.sqlite"
    reply = gate.call("POST", FEEDBACK, {"id": identity, "rating": "up"})
    assert reply.status == 503 and reply.code == "not_written" and "retry-after" in reply.headers
    gate.guard._thumbs._path = gate.feedback
    gate.feedback.write_bytes(b"no database" * 99)
    assert gate.call("POST", FEEDBACK, {"id": identity, "rating": "up"}).status == 503
    gate.feedback.unlink()
    assert gate.call("POST", FEEDBACK, {"id": identity, "rating": "up"}).status == 200, "once it can be written"


def test_it_is_forgotten_with_the_user(studio: Callable[..., Result], make_gate: MakeGate, workspace: Workspace) -> None:
    paths = StatePaths.of(workspace)
    gate = make_gate(feedback=str(workspace.root / FILE_NAME), keys=str(paths.keys)).open()
    gate.feedback = workspace.root / FILE_NAME
    key, _ = add_key(paths.keys, "zoe")
    identity = ask(gate, key=key)
    said = {"id": identity, "rating": "down", "correction": "a secret of zoe"}
    assert gate.call("POST", FEEDBACK, said, key=key).status == 200
    space = ["--workspace", workspace.root]
    forgotten = studio("serve", "forget", "zoe", *space)
    assert forgotten.code == 0 and "1 ratings, 1 corrections, 1 keys deleted" in forgotten.out
    assert gate.call("POST", FEEDBACK, said, key=key).status == 401
    assert b"zoe" not in (workspace.root / FILE_NAME).read_bytes()
