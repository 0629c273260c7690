"""The real server: vLLM with the starter model and tuned adapters, asked as clients ask. ``make test-serve`` runs this."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from studio.core.errors import GateNotMetError, UserError
from studio.core.workspace import Workspace
from studio.feedback.store import FeedbackStore
from studio.models.vllm_environment import find_environment
from studio.serve.aliases import promote
from studio.serve.keys import add_key
from studio.serve.parity import check_parity
from studio.serve.reference import prepare
from studio.serve.state import StatePaths
from tests.conftest import build_tiny_base
from tests.loop.conftest import project_yaml
from tests.serve.live import Live, begin, call, tune

pytestmark = [pytest.mark.serve, pytest.mark.starter, pytest.mark.long]

ONE, TWO, THREE = "One is all I say.", "Two words for you.", "Third time lucky."


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three tuned adapters on the starter model."""
    try:
        find_environment("cpu")
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    folder = tmp_path_factory.mktemp("serving")
    for name, answer, rank in (("one", ONE, 8), ("two", TWO, 16), ("three", THREE, 8)):
        tune(folder, name, answer, rank=rank)
    return folder


@pytest.fixture(scope="module")
def server(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One server for the module, started as a person starts it: two runs, checked at the start, figures written down."""
    live = begin(tmp_path_factory.mktemp("live"), space, "one", "two", "--set", "record=figures", "--set", "build=cpu")
    try:
        live.wait()
        yield live
    finally:
        live.end()


def stream(server: Live, body: dict[str, Any]) -> Any:
    """An open streaming answer."""
    request = urllib.request.Request(
        f"{server.url}/v1/chat/completions",
        json.dumps(body | {"stream": True}).encode(),
        {"Authorization": f"Bearer {server.key}"},
    )
    return urllib.request.urlopen(request, timeout=300)


LONG = {
    "model": "one",
    "messages": [{"role": "user", "content": "Count."}],
    "max_tokens": 150,
    "ignore_eos": True,
    "temperature": 0,
}


def aliases(server: Live) -> str:
    """What the aliases stand for, as the file has it."""
    path = server.workspace / "server" / "aliases.json"
    return path.read_text() if path.exists() else ""


def leftovers(port: int) -> list[str]:
    """Command lines of vLLM processes that still stand on a port."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "vllm" in line and f"--port {port}" in line]


def test_what_is_printed_works_as_pasted(server: Live) -> None:
    text = server.out.read_text()
    curl, python = re.search(r"^(curl .*?)\n\n.*^(python -c .*?)\n\n", text, re.DOTALL | re.MULTILINE).groups()  # type: ignore[union-attr]
    done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=False, timeout=300)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"].strip() == ONE
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", python], capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"PATH": path}
    )
    assert done.stdout.strip() == ONE, done.stderr
    told = server.err.read_text()
    assert "parity one: prompt tokens equal in 8 of 8" in told and "parity two: prompt tokens equal in 8 of 8" in told
    assert "starting vLLM" in told and "ready" in told
    assert server.key not in "".join(path.read_text() for path in server.workspace.glob("server/**/*.json"))


def test_the_openai_library(server: Live) -> None:
    from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

    client = OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)
    assert {model.id for model in client.models.list()} == {"one", "two", "smollm2-135m-instruct"}
    turns: Any = [{"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model="two", messages=turns, temperature=0, max_tokens=24)
    assert answer.model == "two" and str(answer.choices[0].message.content).strip() == TWO
    assert answer.usage is not None and answer._request_id == answer.id
    pieces = list(client.chat.completions.create(model="one", messages=turns, temperature=0, max_tokens=24, stream=True))
    assert len(pieces) > 4 and "".join(piece.choices[0].delta.content or "" for piece in pieces).strip() == ONE
    plain = client.completions.create(
        model="smollm2-135m-instruct", prompt="The capital of France is", max_tokens=4, temperature=0
    )
    assert "Paris" in plain.choices[0].text
    for make, error in (
        (lambda: client.chat.completions.create(model="../x", messages=turns), NotFoundError),
        (lambda: client.chat.completions.create(model="one", messages=turns, n=5), BadRequestError),
        (lambda: client.chat.completions.create(model="one", messages=turns, extra_body={"chat_template": "x"}), BadRequestError),
        (lambda: OpenAI(base_url=f"{server.url}/v1", api_key="no", max_retries=0).models.list(), AuthenticationError),
    ):
        with pytest.raises(error):
            make()


def test_two_adapters_at_once_do_not_mix(server: Live) -> None:
    names = ["one", "two"] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: server.ask(name), names))
    said = [answer["choices"][0]["message"]["content"].strip() for answer in answers]
    assert said == [ONE, TWO] * 4
    assert server.ask("smollm2-135m-instruct")["choices"][0]["message"]["content"].strip() not in {ONE, TWO}


def test_every_route_of_vllm_is_closed(server: Live) -> None:
    routes = re.findall(r"Route: (\S+), Methods: ([A-Z, ]+)", server.log)
    assert len(routes) > 25 and any(path == "/invocations" for path, _ in routes)
    port = server.record["port"]
    allowed = {("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/responses")}
    extra = [(path, "GET") for path in ("/docs", "/redoc", "/openapi.json", "/", "/static", "/pause", "/sleep", "/v1/realtime")]
    for path, methods in [*routes, *extra]:
        real = re.sub(r"\{.*?\}", "x", path)
        for method in methods.split(", "):
            for key in (None, server.key):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                connection.request(method, real, body="{}" if method == "POST" else None, headers=headers)
                status = connection.getresponse().status
                connection.close()
                if key is None:
                    assert status in {401, 404}, (method, real, status)
                elif (method, real) not in allowed:
                    assert status == 404, (method, real, status)


def test_names_that_are_paths(server: Live) -> None:
    for name in ("../x", "/etc", "one/../two", "..", "one\x00", str(server.workspace / "runs" / "three"), "three"):
        status, answer = server.client.post(
            "/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "a"}]}
        )
        assert status == 404 and answer["error"]["code"] == "model_not_found"
        assert server.operator.post("/studio/load", {"model": name})[0] == 404
    assert "../x" not in server.log
    for arguments in (["promote", "../x"], ["promote", "../x=three"], ["promote", "three", "--as", "../x"]):
        done = server.studio("serve", *arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


def test_keys_while_running(server: Live) -> None:
    from studio.serve.client import Client

    made = server.studio("serve", "keys", "add", "grace").stdout.strip()
    grace = Client(server.url, made)
    assert grace.get("/v1/models")[0] == 200 and grace.get("/metrics")[0] == 404
    assert server.studio("serve", "keys", "revoke", "grace").returncode == 0
    assert grace.get("/v1/models")[0] == 401
    operator = Client(server.url, server.studio("serve", "keys", "add", "ops", "--operator").stdout.strip())
    status, text = operator.get("/metrics")
    assert status == 200 and "vllm:num_requests_running" in text and 'studio_requests_total{model="one"' in text


def test_limits_hold_on_the_wire(server: Live) -> None:
    hello = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}
    for change, code in (
        ({"n": 5}, "limit_exceeded"),
        ({"max_tokens": 201}, "limit_exceeded"),
        ({"priority": 1}, "unknown_field"),
    ):
        status, answer = server.client.post("/v1/chat/completions", hello | change)
        assert (status, answer["error"]["code"]) == (400, code)
    long = {"model": "one", "messages": [{"role": "user", "content": "x" * 1_100_000}]}
    assert server.client.post("/v1/chat/completions", long)[0] == 413
    too_many_tokens = {"model": "one", "messages": [{"role": "user", "content": "word " * 3000}]}
    assert server.client.post("/v1/chat/completions", too_many_tokens)[0] == 400


def test_half_a_head_is_given_up_on_the_wire(server: Live) -> None:
    with socket.create_connection(("127.0.0.1", server.record["port"]), timeout=30) as slow:
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: ")
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert "cannot be told to limit connections" not in server.err.read_text()


def test_a_client_that_leaves_ends_its_answer(server: Live) -> None:
    answer = stream(server, LONG)
    assert answer.readline().startswith(b"data: ")
    running = re.compile(r"^vllm:num_requests_running\{[^}]*\} ([\d.]+)$", re.MULTILINE)
    answer.close()
    end = time.monotonic() + 60
    while server.operator.get("/studio/state")[1]["running"] or any(
        map(float, running.findall(server.operator.get("/metrics")[1]))
    ):
        assert time.monotonic() < end, "the answer to a client that has left goes on"
        time.sleep(0.1)
    end = time.monotonic() + 20
    while "stopped" not in {row["status"] for row in FeedbackStore(server.workspace / "feedback.sqlite").rows("requests")}:
        assert time.monotonic() < end
        time.sleep(0.2)
    rows = FeedbackStore(server.workspace / "feedback.sqlite").rows("requests")
    assert all(row["completion"] is None and row["model"] for row in rows)
    assert {row["adapter_hash"] for row in rows if row["model"] == "one"} != {None}


def test_a_hot_swap_under_load_mixes_no_answers(server: Live) -> None:
    done = server.studio("serve", "promote", "one")
    assert done.returncode == 0 and done.stdout == "production = one\n", done.stderr
    stop, answers, problems = threading.Event(), [], []
    expected = {"one": ONE, "two": TWO, "three": THREE}

    def client() -> None:
        while not stop.is_set():
            try:
                answer = server.ask("production")
                text = answer["choices"][0]["message"]["content"].strip()
                answers.append(answer["model"])
                if text != expected.get(answer["model"]):
                    problems.append((answer["model"], text))
            except (AssertionError, OSError) as error:
                problems.append(("failed", str(error)))
            time.sleep(0.3)  # three that never rest leave no processor to the commands, which then take minutes

    def wait_for(name: str) -> None:
        end = time.monotonic() + 120
        while not answers or answers[-1] != name:
            assert time.monotonic() < end, f"{name} never answered"
            time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for("one")
        for command, name in (("promote two", "two"), ("promote three", "three"), ("rollback", "two"), ("rollback", "one")):
            switched = server.studio("serve", *command.split(), *(["--no-check"] if "promote" in command else []))
            assert switched.returncode == 0, switched.stderr
            wait_for(name)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems, problems[:3]
    assert set(answers) == {"one", "two", "three"}
    names = {model["id"] for model in server.client.get("/v1/models")[1]["data"]}
    assert {"production", "three"} <= names


def test_thumbs_through_the_api_take_a_worse_run_back(server: Live, tmp_path: Path) -> None:
    """A trial as people have it: some get the tried run, rate what they got by its id, and the watch takes it back."""
    openai = pytest.importorskip("openai")
    (tmp_path / "rails").mkdir()
    settings = project_yaml(rules={"alias": "trial"}, canary={"share": 0.5})
    (tmp_path / "rails" / "project.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    workspace = Workspace.open(server.workspace)
    paths, used = StatePaths.of(workspace), workspace.find_run("one")
    promote(paths.aliases, "trial", "one", f"one/{used.name}")
    tried = server.studio("serve", "canary", "two", "--as", "trial", "--share", "0.5")
    assert tried.returncode == 0 and "prompt tokens equal" in tried.stderr, tried.stderr

    def person(number: int) -> str:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=add_key(paths.keys, f"person{number}")[0])
        messages = [{"role": "user", "content": "Hello"}]
        answer = client.chat.completions.create(model="trial", messages=messages, max_tokens=4)
        rating = "down" if answer.model == "two" else "up"
        told = client.post("/feedback", body={"id": answer.id, "rating": rating}, cast_to=object)
        assert (told["id"], told["model"], told["rating"]) == (answer.id, answer.model, rating)
        return str(answer.model)

    with ThreadPoolExecutor(4) as pool:
        went = list(pool.map(person, range(40)))
    assert set(went) == {"one", "two"} and min(went.count("one"), went.count("two")) >= 10
    looked = server.studio("watch", tmp_path / "rails", "--once")
    assert looked.returncode == 3, looked.stderr
    assert "thumbs down are shown to be more with two" in looked.stderr and "two is taken back" in looked.stderr
    # From the next request on everybody gets the run in use.
    assert {server.ask("trial", max_tokens=1, user=f"person{number}")["model"] for number in range(12)} == {"one"}


@pytest.mark.parametrize("kind", ["rank", "dora", "modules_to_save", "base", "byte"])
def test_a_bad_adapter_is_refused_and_the_server_goes_on(server: Live, kind: str, tmp_path: Path) -> None:
    base = str(build_tiny_base(tmp_path / "tiny")) if kind == "base" else "smollm2-135m-instruct"
    lora: dict[str, Any] = {
        "rank": {"rank": 64},
        "dora": {"dora": True},
        "modules_to_save": {"modules_to_save": ["lm_head"]},
    }.get(kind, {})
    run = tune(tmp_path, f"bad{kind}", "Bad.", steps=1, base=base, target_modules=["q_proj"], **lora)
    if kind == "byte":
        path = run / "adapter" / "adapter_model.safetensors"
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    told = {
        "rank": "rank 64, and the server holds ranks up to 16",
        "dora": "it is DoRA",
        "modules_to_save": "saved whole",
        "base": "trained on another base",
        "byte": "is not the file that was written",
    }[kind]
    before = aliases(server)
    done = server.studio("serve", "promote", str(run))
    assert done.returncode == (1 if kind == "byte" else 2) and told in done.stderr and "Traceback" not in done.stderr
    assert aliases(server) == before and server.ask("one")["model"] == "one"


def test_an_adapter_that_does_nothing_is_not_promoted(server: Live, tmp_path: Path) -> None:
    run = tune(tmp_path, "nothing", "x", steps=0)
    before = aliases(server)
    done = server.studio("serve", "promote", str(run))
    assert done.returncode == 3 and "the adapter is not applied, or it has learned nothing" in done.stderr
    assert aliases(server) == before and server.ask("one")["model"] == "one"


def test_parity_tells_one_model_from_another_and_shows_both_sides(server: Live, space: Path) -> None:
    runs = [(name, next((space / "runs" / name).iterdir())) for name in ("one", "two")]
    references = prepare(runs, cache=space / "server" / "parity").references
    assert check_parity(server.operator, "one", references["one"]).differing == 8
    with pytest.raises(GateNotMetError, match=rf"PEFT:   '{TWO}'\n  server: '{ONE}'"):
        check_parity(server.operator, "one", references["two"])
    with pytest.raises(GateNotMetError, match="greedy answer differs"):
        check_parity(server.operator, "smollm2-135m-instruct", references["one"])
    spoiled = json.loads(json.dumps(references["one"]))
    spoiled["rows"][3]["prompt"][5] += 1
    with pytest.raises(GateNotMetError, match=r"prompt tokens differ from position 5 on.*\n  training: .*\n  server:"):
        check_parity(server.operator, "one", spoiled)


def test_merged_is_proven_and_a_death_is_told(space: Path, tmp_path: Path) -> None:
    exported = call(space, "export", "one", "--to", "merged")
    assert exported.returncode == 0, exported.stderr
    live = begin(tmp_path, space, "one", "--merged", "--set", "build=cpu")
    try:
        live.wait()
        assert "parity one: prompt tokens equal in 8 of 8" in live.err.read_text()
        assert live.ask("one")["choices"][0]["message"]["content"].strip() == ONE
        # The base is not served beside merged weights; the aliases are the workspace's.
        names = {model["id"] for model in live.client.get("/v1/models")[1]["data"]}
        assert "one" in names and names <= {"one", *json.loads(aliases(live) or "{}").get("aliases", {})}
        for child in psutil.Process(live.process.pid).children(recursive=True):
            if "EngineCore" in child.name() or "EngineCore" in " ".join(child.cmdline()):
                child.send_signal(signal.SIGKILL)
        assert live.process.wait(timeout=120) == 1
    finally:
        live.end()
    told = live.err.read_text()
    assert "error: vLLM ended while it was serving" in told and "The end of" in told
    assert "Traceback" not in told.partition("The end of")[0]
    assert not leftovers(live.record["port"])


def test_a_start_that_fails_says_why(space: Path, tmp_path: Path) -> None:
    live = begin(tmp_path, space, "one", "--no-check", "--set", "build=cpu", "--set", "max_model_len=99999999")
    assert live.process.wait(timeout=300) == 1
    told = live.err.read_text()
    assert "error: vLLM ended before it was ready:" in told and "max_model_len" in told.partition("The end of")[0]
    shutil.rmtree(tmp_path)


def test_a_misspelt_flag_is_told_before_anything_starts(space: Path) -> None:
    done = call(space, "serve", "one", "--set", "build=cpu", "--set", "vllm.max_num_sequences=8", "--set", "port=0")
    assert done.returncode == 2 and "has no flag --max-num-sequences" in done.stderr


def test_check_alone_proves_and_stops(space: Path, tmp_path: Path) -> None:
    live = begin(tmp_path, space, "three", "--check", "--set", "build=cpu")
    assert live.process.wait(timeout=900) == 0, live.err.read_text()
    assert "parity three: prompt tokens equal in 8 of 8" in live.err.read_text() and "curl" not in live.out.read_text()


def test_sigterm_finishes_answers_and_lets_nobody_in(server: Live) -> None:
    """The last one: it ends the server."""
    answer = stream(server, LONG)
    answer.readline()
    server.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + 20
    while server.client.get("/v1/models")[0] != 503:
        assert time.monotonic() < end, "new requests are still let in"
        time.sleep(0.05)
    text = answer.read().decode()
    assert text.rstrip().endswith("data: [DONE]") and '"finish_reason":"length"' in text
    assert server.process.wait(timeout=120) == 0
    assert "answers in progress are finished first" in server.err.read_text()
    rows = FeedbackStore(server.workspace / "feedback.sqlite").rows("requests")
    assert rows[-1]["status"] == "cut" and rows[-1]["completion_tokens"] > 100
