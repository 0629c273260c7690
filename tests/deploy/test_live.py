"""The very command, variables and files of a Compose folder, run by the real vLLM with the container's paths put elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import yaml

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.deploy.dashboard import METRICS
from studio.models.vllm_environment import find_environment
from studio.serve.keys import add_key
from studio.serve.state import free_port
from tests.serve.live import tune

pytestmark = [pytest.mark.serve, pytest.mark.soak, pytest.mark.starter]
GIB = 2**30


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str, Path]]:
    """Address, a client's key and an operator's, and the folder; the guard lets clients in by itself."""
    from tests.conftest import call_studio

    try:
        environment = find_environment("cpu")
    except UserError as error:
        pytest.skip(str(error))
    place = tmp_path_factory.mktemp("deployed")
    space = Workspace.open(place / "workspace")
    tune(space.root, "helper", "You can ask me about fire protection.", steps=3)
    folder = place / "out"
    assert call_studio("export", "helper", "--to", "merged", "--workspace", space.root) == 0
    settings = ["build=cpu", "cpu_threads=1", "max_model_len=1024", "record=figures", "vllm.max-num-seqs=8"]
    asked = [part for setting in settings for part in ("--set", setting)]
    assert call_studio("deploy", "helper", "--to", "compose", "--out", folder, "--workspace", space.root, *asked) == 0
    keys = folder / "workspace" / "server" / "keys.json"
    client, operator = add_key(keys, "ada")[0], add_key(keys, "prometheus", "operator")[0]
    (folder / "data" / "feedback").mkdir(parents=True)
    port = free_port("127.0.0.1", 0)
    server = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["server"]
    [model] = space.root.glob("runs/helper/*/merged")
    mounts = {volume["target"]: str((folder / volume["source"]).resolve()) for volume in server["volumes"]} | {
        "/model": str(model)
    }

    def moved(text: str) -> str:
        return re.sub(r"(?<![\w/.])(/model|/studio/\w+)(?=[/\"]|$)", lambda match: mounts[match[1]], text)

    guard = folder / "server" / "guard.json"
    guard.write_text(moved(guard.read_text()))
    command = [moved(word) for word in server["command"]]
    command[0], command[command.index("--port") + 1], command[command.index("--host") + 1] = (
        str(environment.python),
        str(port),
        "127.0.0.1",
    )
    variables = {name: moved(value) for name, value in server["environment"].items()}
    variables |= {"PATH": f"{environment.python.parent}:{os.environ['PATH']}"}
    log = (place / "vllm.log").open("wb")
    process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT, cwd=place, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 900
        while True:
            assert process.poll() is None, (place / "vllm.log").read_text()[-3000:]
            assert time.monotonic() < end, (place / "vllm.log").read_text()[-3000:]
            try:
                if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(1)
        yield url, client, operator, place
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_a_client_is_answered_and_nobody_else(started: tuple[str, str, str, Path]):
    url, client, _, place = started
    body = {"model": "helper", "messages": [{"role": "user", "content": "What can you help me with?"}], "max_tokens": 16}
    assert httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).status_code == 401
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {client}"}, timeout=300)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert answer["model"] == "helper" and answer["choices"][0]["message"]["content"].startswith("You can ask me about fire")
    end = time.monotonic() + 20
    while not (place / "out" / "data" / "feedback" / "feedback.sqlite").is_file():
        assert time.monotonic() < end, "the request was not written down"
        time.sleep(0.2)


def test_the_chat_page_shows_the_servers_answer(started: tuple[str, str, str, Path], monkeypatch: pytest.MonkeyPatch):
    url, client, _, place = started
    secret = place / "chat_key"
    secret.write_text(client + "\n")
    monkeypatch.setenv("STUDIO_KEY_FILE", str(secret))
    monkeypatch.setenv("STUDIO_URL", f"{url}/v1")
    spec = importlib.util.spec_from_file_location("chat_page", place / "out" / "chat" / "app.py")
    assert spec is not None and spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    pieces = list(page.answer("What can you help me with?", []))
    assert len(pieces) > 3 and pieces[-1].startswith("You can ask me about fire")
    assert all(later.startswith(before) for before, later in pairwise(pieces))
    secret.write_text("studio-00000000-wrong")
    with pytest.raises(page.gr.Error, match="A valid API key is needed"):
        list(page.answer("Hello", []))


def test_every_figure_of_the_dashboard_is_given(started: tuple[str, str, str, Path]):
    url, client, operator, _ = started
    assert httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {client}"}, timeout=30).status_code == 404
    text = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {operator}"}, timeout=30).text
    told = {match[1] for match in re.finditer(r"^# TYPE (\S+)", text, re.MULTILINE)}
    wanted = {name.removesuffix("_bucket") for name in METRICS} - {"up"}
    # Older clients of Prometheus leave _total out of a counter's TYPE line.
    assert {name for name in wanted if name not in told and name.removesuffix("_total") not in told} == set()


def test_the_process_takes_no_more_than_the_limit(started: tuple[str, str, str, Path]):
    import psutil

    _, _, _, place = started
    facts = json.loads((place / "out" / "deploy.json").read_text())["facts"]
    [main] = [
        one
        for one in psutil.process_iter(["cmdline"])
        if "--served-model-name" in (one.info["cmdline"] or ()) and str(place) in str(one.info["cmdline"])
    ]
    taken = sum(process.memory_full_info().uss for process in (main, *main.children(recursive=True)))
    print(f"vLLM's processes take {taken / GIB:.2f} GiB of {facts['memory_gib']}")
    assert taken < facts["memory_gib"] * GIB
