"""The guard, called as an ASGI application: who gets in, what is passed on, what a client sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from studio.feedback.store import FeedbackStore
from studio.serve import limits
from studio.serve.aliases import promote, rollback
from studio.serve.keys import add_key, revoke_keys
from studio.serve.limits import Limits, Meter, RefusedError
from tests.serve.conftest import LIMITS, Gate, MakeGate

CHAT, COMPLETIONS = limits.CHAT, limits.COMPLETIONS
HELLO = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_request_is_passed_on_with_what_vllm_needs_and_no_more(gate: Gate) -> None:
    body = HELLO | {"temperature": 0.5, "metadata": {"a": "b"}, "store": True}
    sent = {"x-request-id": "mine", "x-data-parallel-rank": "3", "x-vllm-priority": "-9", "cookie": "c=1", "accept": "*/*"}
    reply = gate.call("POST", CHAT, body, headers=sent)
    assert reply.status == 200 and reply.json["model"] == "one"
    seen = gate.engine.seen[-1]
    assert seen["body"] == HELLO | {"temperature": 0.5, "max_tokens": LIMITS["max_tokens"]}
    passed = {name.decode() for name in seen["headers"]}
    assert passed == {"accept", "content-type", "content-length", "x-request-id"}
    inner_id = seen["headers"][b"x-request-id"].decode()
    assert inner_id != "mine" and reply.headers["x-request-id"] == f"chatcmpl-{inner_id}"
    assert int(seen["headers"][b"content-length"]) == len(json.dumps(seen["body"], separators=(",", ":")))


def test_answers_carry_security_headers_and_not_vllms_open_door(gate: Gate) -> None:
    for reply in (gate.call("POST", CHAT, HELLO), gate.call("GET", "/nothing"), gate.call("GET", "/healthz", key=None)):
        assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "access-control-allow-origin" not in reply.headers and reply.headers["x-request-id"] != "vllm"


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer x", "Basic YTpi", "bearer  ", "Bearer studio-00000000-" + "A" * 43]
)
def test_without_a_valid_key_there_is_one_answer(gate: Gate, authorization: str) -> None:
    for method, path in (("POST", CHAT), ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/invocations"), ("GET", "/none")):
        reply = gate.call(method, path, HELLO, key=None, headers={"authorization": authorization})
        assert reply.status == 401 and reply.code == "invalid_api_key" and reply.headers["www-authenticate"] == "Bearer"
    assert gate.engine.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/invocations", "/tokenize", "/detokenize", "/metrics", "/metrics/", "/v1/load_lora_adapter", "/v1/chat/completions/",
        "/v1/chat/completions/render", "//v1/models", "/v1/responses/resp_1", "/studio/load", "/studio/open", "/studio/drain",
        "/studio/state", "/docs", "/v1/models/../../metrics", "/ping", "/health", "/V1/models",
    ],
)  # fmt: skip
def test_routes_that_are_not_for_clients_do_not_exist(gate: Gate, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        assert gate.call(method, path, {}).status == 404
    assert {seen["path"] for seen in gate.engine.seen} <= {"/v1/models"}


def test_a_web_socket_is_closed_before_anybody_sees_it(gate: Gate) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate.guard({"type": "websocket", "path": "/v1/realtime", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}] and gate.engine.seen == []


def test_keys_come_and_go_without_a_restart(gate: Gate) -> None:
    text, key = add_key(gate.keys, "grace")
    assert text not in gate.keys.read_text() and gate.call("GET", "/v1/models", key=text).status == 200
    revoke_keys(gate.keys, key.id)
    assert gate.call("GET", "/v1/models", key=text).status == 401
    assert gate.call("GET", "/v1/models").status == 200
    gate.keys.write_text('{"format": 1, "keys": [{"id"')  # half a file by hand: what was valid stays valid
    assert gate.call("GET", "/v1/models").status == 200
    gate.keys.unlink()
    assert gate.call("GET", "/v1/models").status == 401


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"n": 3}, "limit_exceeded"), ({"n": True}, "invalid_value"), ({"n": "2"}, "invalid_value"),
        ({"max_tokens": 65}, "limit_exceeded"), ({"max_completion_tokens": 10**9}, "limit_exceeded"),
        ({"max_tokens": 1e3}, "invalid_value"), ({"model": None}, "model_missing"), ({"model": 7}, "model_missing"),
        ({"model": "../x"}, "model_not_found"), ({"model": "/etc/x"}, "model_not_found"), ({"model": "late"}, "model_not_found"),
        ({"messages": []}, "invalid_value"), ({"messages": "hi"}, "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]}, "not_text"),
        *(({field: 1}, "unknown_field") for field in (
            "chat_template", "kv_transfer_params", "vllm_xargs", "priority", "request_id", "cache_salt",
            "mm_processor_kwargs", "structured_outputs", "prompt_logprobs", "lora_path", "continue_final_message", "documents",
        )),
    ],
)  # fmt: skip
def test_what_a_chat_may_not_ask(gate: Gate, change: dict[str, Any], code: str) -> None:
    reply = gate.call("POST", CHAT, HELLO | change)
    assert reply.status in {400, 404} and reply.code == code and gate.engine.seen == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 3000,
        b'{"model":"one","messages":[{"role":"user","content":"\\ud800"}]}',
    ],
)
def test_bodies_that_are_no_request(gate: Gate, raw: bytes) -> None:
    reply = gate.call("POST", CHAT, raw)
    assert reply.status == 400 and reply.code == "invalid_json" and gate.engine.seen == []


def test_completions_take_as_many_prompts_as_allowed(gate: Gate) -> None:
    for prompt in ("a", ["a", "b", "c"], [1, 2, 3, 4, 5], [[1], [2], [3]]):
        assert gate.call("POST", COMPLETIONS, {"model": "one", "prompt": prompt}).status == 200
    assert gate.engine.seen[0]["body"] == {"model": "one", "prompt": "a"}
    for prompt in (["a"] * 4, [[1]] * 4):
        assert gate.call("POST", COMPLETIONS, {"model": "one", "prompt": prompt}).code == "limit_exceeded"


def test_scores_of_a_prompt_only_where_vllm_survives_them(make_gate: MakeGate) -> None:
    scored = {"model": "one", "prompt": "a", "echo": True, "logprobs": 1}
    assert make_gate().open().call("POST", COMPLETIONS, scored).status == 200
    gate = make_gate(prompt_scores=False).open()
    refused = gate.call("POST", COMPLETIONS, scored)
    assert (refused.status, refused.code) == (400, "no_prompt_scores") and not gate.engine.seen
    for harmless in ({"echo": False}, {"logprobs": None}):
        assert gate.call("POST", COMPLETIONS, scored | harmless).status == 200


def test_a_long_body_is_refused_whether_it_says_so_or_not(gate: Gate) -> None:
    long = HELLO | {"stop": ["x" * LIMITS["body_bytes"]]}
    assert gate.call("POST", CHAT, long).status == 413
    assert gate.call("POST", CHAT, HELLO, headers={"content-length": "999999999999"}).status == 413
    given = 0

    async def drops() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b" " * 100

    assert gate.call("POST", CHAT, chunks=drops()).status == 413
    assert given * 100 < 5 * LIMITS["body_bytes"], "reading went on and on"


def test_who_sends_a_little_too_much_is_heard_out_so_that_the_answer_arrives(gate: Gate) -> None:
    given = 0

    async def drops() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 2 * LIMITS["body_bytes"]:
            given += 100
            yield b" " * 100

    told = {"content-length": str(2 * LIMITS["body_bytes"])}
    assert gate.call("POST", CHAT, chunks=drops(), headers=told).status == 413
    assert given == 2 * LIMITS["body_bytes"]


def test_a_slow_body_is_given_up(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.serve.bodies._BODY_SECONDS", 0.05)

    async def drops() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.02)
            yield b" "

    assert gate.call("POST", CHAT, chunks=drops()).status == 408


def test_the_share_of_a_minute(make_gate: MakeGate) -> None:
    gate = make_gate(limits=LIMITS | {"requests_per_minute": 3}).open()
    other, _ = add_key(gate.keys, "grace")
    assert [gate.call("POST", CHAT, HELLO).status for _ in range(4)] == [200, 200, 200, 429]
    refused = gate.call("POST", CHAT, HELLO)
    assert refused.code == "rate_limit_exceeded" and 0 < int(refused.headers["retry-after"]) <= 61
    assert gate.call("POST", CHAT, HELLO, key=other).status == 200, "one key's share is another's"
    assert gate.call("POST", CHAT, HELLO, key=gate.operator).status == 200


def test_the_minute_slides() -> None:
    meter = Meter(Limits(**LIMITS | {"requests_per_minute": 2}))
    for now in (0.0, 30.0):
        meter.enter("k", now)
        meter.leave("k")
    with pytest.raises(RefusedError) as refused:
        meter.enter("k", 59.0)
    assert refused.value.retry_after in {1, 2}
    meter.enter("k", 60.5)


def test_requests_at_the_same_time_and_a_client_that_leaves(make_gate: MakeGate) -> None:
    gate = make_gate(record="figures").open()

    async def many() -> tuple[list[int], int]:
        gate.engine.hold, gone = asyncio.Event(), asyncio.Event()
        first = [asyncio.create_task(gate.ask("POST", CHAT, HELLO, leave=gone)) for _ in range(LIMITS["concurrent"])]
        await asyncio.sleep(0.05)
        refused = await gate.ask("POST", CHAT, HELLO)
        assert refused.code == "too_many_at_once"
        assert (await gate.ask("GET", "/studio/state", key=gate.operator)).json["running"] == LIMITS["concurrent"]
        gone.set()
        statuses = [reply.status for reply in await asyncio.gather(*first)]
        gate.engine.hold = None
        return statuses, (await gate.ask("POST", CHAT, HELLO)).status

    assert asyncio.run(many()) == ([200] * LIMITS["concurrent"], 200)
    gate.guard._ledger.close()
    statuses = sorted(row["status"] for row in FeedbackStore(gate.feedback).rows("requests"))
    assert statuses == ["ok"] + ["stopped"] * LIMITS["concurrent"]


def test_an_alias_switches_and_rolls_back_between_two_requests(gate: Gate) -> None:
    assert gate.call("POST", CHAT, HELLO | {"model": "production"}).code == "model_not_found"
    promote(gate.aliases, "production", "one", "one/1")
    assert gate.call("POST", CHAT, HELLO | {"model": "production"}).json["model"] == "one"
    promote(gate.aliases, "production", "two", "two/1")
    reply = gate.call("POST", CHAT, HELLO | {"model": "production"})
    assert reply.json["model"] == "two" == reply.headers["x-studio-model"]
    assert rollback(gate.aliases, "production") == ("two", "one")
    assert gate.call("POST", CHAT, HELLO | {"model": "production"}).json["model"] == "one"
    promote(gate.aliases, "production", "late", "late/1")
    assert gate.call("POST", CHAT, HELLO | {"model": "production"}).status == 404, "an alias of what is not loaded"


def test_models_are_listed_with_aliases_and_without_folders(gate: Gate) -> None:
    promote(gate.aliases, "production", "two", "two/1")
    reply = gate.call("GET", "/v1/models")
    assert [entry["id"] for entry in reply.json["data"]] == ["base", "one", "two", "production"]
    assert b"/secret" not in reply.body and reply.json["data"][-1]["parent"] == "two"
    assert gate.call("GET", "/v1/models/production").json["id"] == "production"
    assert gate.call("GET", "/v1/models/..").status == 404


def test_before_opening_and_while_draining_only_the_operator_gets_in(make_gate: MakeGate) -> None:
    gate = make_gate()
    assert gate.call("POST", CHAT, HELLO).code == "starting" and gate.call("GET", "/healthz", key=None).status == 503
    assert gate.call("POST", CHAT, HELLO, key=gate.operator).status == 200
    gate.open()
    assert gate.call("POST", CHAT, HELLO).status == 200 and gate.call("GET", "/healthz", key=None).json == {"status": "ok"}
    gate.call("POST", "/studio/drain", {}, key=gate.operator)
    refused = gate.call("POST", CHAT, HELLO)
    assert refused.status == 503 and "retry-after" in refused.headers and gate.call("GET", "/healthz", key=None).status == 503


def test_loading_is_by_name_and_never_by_a_path_of_the_request(gate: Gate) -> None:
    for name in ("nobody", "../x", "/runs/late", ""):
        body = {"model": name, "path": "/evil", "lora_path": "/evil", "lora_name": "x"}
        assert gate.call("POST", "/studio/load", body, key=gate.operator).code == "model_not_found"
    assert gate.engine.seen == []
    assert gate.call("POST", "/studio/load", {"model": "late", "lora_path": "/evil"}, key=gate.operator).status == 200
    assert gate.engine.seen[-1]["body"] == {"lora_name": "late", "lora_path": "/runs/late"}
    assert gate.call("POST", CHAT, HELLO | {"model": "late"}).status == 200


def test_metrics_are_vllms_and_the_guards(gate: Gate) -> None:
    gate.call("POST", CHAT, HELLO)
    gate.call("POST", CHAT, HELLO | {"n": 99})
    gate.call("POST", CHAT, HELLO, key=None)
    store = FeedbackStore(gate.feedback)
    from studio.feedback.store import Origin

    store.rate(Origin("one", "ada", "chat"), prompt=HELLO["messages"], completion="x", value=-1)  # type: ignore[arg-type]
    text = gate.call("GET", "/metrics", key=gate.operator).body.decode()
    assert "vllm_figure 1" in text
    assert f'studio_requests_total{{model="one",route="{CHAT}",outcome="ok"}} 1' in text
    assert 'studio_refusals_total{model="one",reason="limit_exceeded"} 1' in text
    assert 'studio_refusals_total{model="",reason="invalid_api_key"} 1' in text
    assert 'studio_feedback{model="one",kind="down"} 1' in text
    assert gate.call("GET", "/metrics").status == 404


@pytest.mark.parametrize("record", ["none", "figures", "texts"])
def test_what_is_written_down_about_a_request(make_gate: MakeGate, record: str) -> None:
    gate = make_gate(record=record).open()
    FeedbackStore(gate.feedback).change_settings(keep_texts=True)
    reply = gate.call("POST", CHAT, HELLO | {"temperature": 0.5, "user": "somebody else"})
    gate.guard._ledger.close()
    rows = FeedbackStore(gate.feedback).rows("requests")
    if record == "none":
        assert rows == []
        return
    (row,) = rows
    assert row["id"] == reply.headers["x-request-id"] and row["user"] == "ada" and row["app"] == "serve"
    assert (row["model"], row["adapter_hash"], row["template_hash"]) == ("one", "a" * 64, "t" * 64)
    assert (row["prompt_tokens"], row["completion_tokens"], row["characters"], row["refusal"]) == (7, 3, 14, 1)
    assert row["sampling"]["temperature"] == 0.5 and row["status"] == "ok" and row["seconds"] > 0
    words = (HELLO["messages"], "I cannot help.") if record == "texts" else (None, None)
    assert (row["prompt"], row["completion"]) == words


def test_rows_are_written_out_when_the_server_ends(make_gate: MakeGate) -> None:
    gate = make_gate(record="figures").open()

    async def life() -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        events.put_nowait({"type": "lifespan.startup"})
        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])

        running = asyncio.create_task(gate.guard({"type": "lifespan"}, events.get, send))
        await asyncio.gather(*(gate.ask("POST", CHAT, HELLO) for _ in range(4)))
        events.put_nowait({"type": "lifespan.shutdown"})
        await running
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(life())
    assert len(FeedbackStore(gate.feedback).rows("requests")) == 4
