"""How an app stands on the network: who may reach it, what it gives away, how much it takes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest

from studio.apps.accounts import Accounts
from studio.apps.catalogue import APPS
from studio.apps.frame import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Door, launch, page
from studio.apps.inert import inert
from studio.apps.security import allowed_hosts, is_loopback, own_page_asks
from studio.core.errors import StudioError, UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def echo() -> gr.Blocks:
    """A page with an upload and an event."""
    with page("Echo", "Says it again.") as blocks:
        text, out, upload = gr.Textbox(), gr.Textbox(), gr.File()
        text.submit(lambda said: said, text, out, api_name="echo")
        upload.upload(lambda file: str(file), upload, out)
    return blocks


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_an_address_that_others_reach_needs_accounts(echo: gr.Blocks, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UserError, match="--accounts FILE"):
        launch(echo, Door(host=host))


def test_a_name_for_others_needs_accounts_too(echo: gr.Blocks) -> None:
    with pytest.raises(UserError, match="--accounts FILE"):
        launch(echo, Door(name="studio.example.com"))


def test_nothing_of_the_disk_can_be_fetched(echo: gr.Blocks, serve: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    url = serve(echo)
    inside = Path(gr.__file__).parent
    for name in (
        "/etc/passwd",
        str(tmp_path / "secret.txt"),
        str(ROOT / "README.md"),
        "README.md",
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        f"{inside}/../../../../../etc/passwd",
        "file:///etc/passwd",
        str(Path.home() / ".bashrc"),
    ):
        for route in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/", "svelte/", "gradio_api/proxy="):
            answer = httpx.get(f"{url}{route}{name}")
            assert answer.status_code in {400, 403, 404, 405, 307, 308, 422}, (route, name, answer.status_code)
            assert "s3cret" not in answer.text and "root:" not in answer.text


def test_an_upload_is_private_and_of_limited_size(echo: gr.Blocks, serve: Callable[..., str]) -> None:
    url = serve(echo)
    sent = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.txt", b"hello")})
    (path,) = sent.json()
    assert Path(path).read_bytes() == b"hello"
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert Path(path).is_relative_to(folder) and folder.stat().st_mode & 0o077 == 0
    large = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.bin", b"x" * (MAX_UPLOAD_BYTES + 1))}, timeout=60)
    assert large.status_code == 413
    assert httpx.post(f"{url}gradio_api/queue/join", content=b"x" * (MAX_BODY_BYTES + 1), timeout=60).status_code == 413

    def pieces() -> Any:
        for _ in range(MAX_BODY_BYTES // (1 << 20) + 2):
            yield b"x" * (1 << 20)

    # Without a stated length the limit is met on the way.
    assert httpx.post(f"{url}gradio_api/queue/join", content=pieces(), timeout=60).status_code == 413


def test_the_page_answers_to_this_machines_names_only(echo: gr.Blocks, serve: Callable[..., str]) -> None:
    url = serve(echo)
    assert httpx.get(url).status_code == 200
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", ""):
        assert httpx.get(url, headers={"host": name}).status_code in {400, 421}, name
    assert httpx.get(url, headers={"host": "localhost:1"}).status_code == 200
    assert allowed_hosts("127.0.0.1", "Studio.Example.com") == {"localhost", "127.0.0.1", "::1", "studio.example.com"}
    assert allowed_hosts("0.0.0.0", None) is None


def test_another_sites_page_cannot_call_the_app(echo: gr.Blocks, serve: Callable[..., str]) -> None:
    answer = httpx.get(f"{serve(echo)}config", headers={"origin": "https://evil.example"})
    assert answer.headers.get("access-control-allow-origin") not in {"*", "https://evil.example"}


def test_no_analytics_no_share_link_no_documentation_and_a_policy_on_every_answer(
    echo: gr.Blocks, serve: Callable[..., str]
) -> None:
    url = serve(echo)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not echo.analytics_enabled and echo.share_url is None and echo.allowed_paths == []
    for path in ("docs", "redoc", "openapi.json", "monitoring", "gradio_api/mcp/sse", "gradio_api/mcp"):
        assert httpx.get(url + path).status_code in {403, 404}, path
    for path in ("", "config", "theme.css", "nowhere"):
        policy = httpx.get(url + path).headers["content-security-policy"]
        assert "connect-src 'self'" in policy and "img-src 'self' data: blob:" in policy and "frame-ancestors 'none'" in policy


def test_the_page_fetches_nothing_from_elsewhere(echo: gr.Blocks, serve: Callable[..., str], visit: Callable[..., Any]) -> None:
    url = serve(echo)
    opened = visit("about:blank")
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(url)
    opened.get_by_text("Says it again.").wait_for()
    opened.wait_for_timeout(500)
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []


def test_with_accounts_nothing_is_seen_before_signing_in(
    echo: gr.Blocks, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    url = serve(echo, Door(accounts=Accounts.of({"anna": "long enough"})))
    for path in ("config", "gradio_api/info", "gradio_api/queue/status", "gradio_api/queue/data?session_hash=x"):
        assert httpx.get(url + path).status_code == 401, path
    for path in ("gradio_api/upload", "gradio_api/queue/join", "gradio_api/run/echo", "gradio_api/call/echo"):
        answer = httpx.post(url + path, json={"data": ["x"], "fn_index": 0, "session_hash": "x", "event_id": "x"})
        assert answer.status_code in {401, 404}, (path, answer.status_code)
    for path in ("vibe-edit", "vibe-code", "vibe-starter-queries", "undo-vibe-edit", "run-history/connect"):
        answer = httpx.post(f"{url}gradio_api/{path}", json={"prompt": "x", "code": "x", "hash": "x"})
        assert answer.status_code in {403, 404, 405, 422}, (path, answer.status_code)
    assert httpx.post(f"{url}login", data={"username": "anna", "password": "wrong"}).status_code == 400
    opened = visit(url)
    opened.get_by_label("username", exact=False).fill("anna")
    opened.get_by_label("password", exact=False).fill("long enough")
    opened.get_by_role("button", name="Login").click()
    opened.get_by_text("Says it again.").wait_for()


def test_accounts_are_read_from_a_private_file_only(tmp_path: Path) -> None:
    file = tmp_path / "accounts.txt"
    file.write_text("# team\nanna:long enough\n\nben : with: colons in it\n")
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        Accounts.read(file)
    file.chmod(0o600)
    accounts = Accounts.read(file)
    assert accounts.check("anna", "long enough") and accounts.check("ben", " with: colons in it")
    assert not accounts.check("anna", "wrong") and not accounts.check("nobody", "") and not accounts.check("", "")
    for text, words in (("anna", ":1: is neither"), ("", "no account"), ("anna:short", "too short")):
        file.write_text(text)
        with pytest.raises(UserError, match=words):
            Accounts.read(file)
    with pytest.raises(UserError, match="cannot be read"):
        Accounts.read(tmp_path / "missing.txt")


def test_a_taken_port_is_told(echo: gr.Blocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StudioError, match=f"port {port} .*--port"):
            launch(echo, Door(port=port))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b and `x < y`", "a &lt; b and `x < y`"),
        ("<script>x</script>", "&lt;script>x&lt;/script>"),
        ("![cat](http://x/y.png)", "[picture: cat](http://x/y.png)"),
        ("```html\n<b>code</b>\n```\n<b>no</b>", "```html\n<b>code</b>\n```\n&lt;b>no&lt;/b>"),
        ("```\nopen <i>", "```\nopen <i>"),
        ('```js" onload="x\n1\n```', "```js\n1\n```"),
        ("\\`<img src=x>\\`", "\\`&lt;img src=x>\\`"),
        ("`one\n\n<img src=x>` two", "`one\n\n&lt;img src=x>` two"),
        ("- *list*\n1. **item**\n> quote", "- *list*\n1. **item**\n> quote"),
    ],
)
def test_texts_are_made_inert_and_stay_markdown(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_links_lead_to_the_web_or_nowhere() -> None:
    for address in (
        "javascript:alert(1)",
        " JaVaScRiPt&colon;x",
        "java&#115;cript:x",
        "data:text/html,hi",
        "<vbscript:x>",
        "\tfile:///x",
    ):
        assert "](#" in inert(f"[x]({address})").replace("( ", "(").replace("(\t", "("), address
        assert inert(f"[x]: {address}").startswith(("[x]: #", "[x]:  #", "[x]: \t#")), address
    for address in ("https://example.com", "HTTP://example.com", "mailto:a@example.com", "#part", "/page"):
        assert inert(f"[x]({address})") == f"[x]({address})"


def test_the_command_serves_until_it_is_told_to_stop(talking: Any) -> None:
    """As a person runs it: a process of its own, an address on stdout, an end on SIGTERM without a traceback."""
    command = [sys.executable, "-m", "studio.cli.main", "app", "chat", "doors", "--workspace", str(talking.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("chat: http://127.0.0.1:"), line
    assert httpx.get(line.split()[-1]).status_code == 200
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in err, err


def test_mistakes_on_the_command_line(talking: Any, studio: Callable[..., Any]) -> None:
    for arguments, words in (
        (["chta"], "Did you mean 'chat'?"),
        (["chat", "nowhere"], "there is no run 'nowhere'"),
        (["monitor", "doors"], "takes no 'doors'"),
        (["data", "nothing"], "there is no dataset"),
        (["chat", "doors", "--host", "0.0.0.0"], "--accounts FILE"),
    ):
        done = studio("app", *arguments)
        assert done.code == 2 and words in done.err and "Traceback" not in done.err, done.err


def test_the_launchers_are_the_commands(talking: Any) -> None:
    assert set(APPS) == {file.stem for file in (ROOT / "apps").glob("*.py")}
    for name in APPS:
        file = ROOT / "apps" / f"{name}.py"
        assert len(file.read_text().splitlines()) <= 30 and f'run(["app", "{name}", ' in file.read_text()
    done = subprocess.run(
        [sys.executable, str(ROOT / "apps" / "chat.py"), "nowhere"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 2 and "there is no run 'nowhere'" in done.stderr


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({}, False),
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(
    headers: dict[str, str], refused: bool, echo: gr.Blocks, serve: Callable[..., str]
) -> None:
    """Browsers say who asks; programs say nothing and have no cookies that could be abused."""
    url = serve(echo)
    answer = httpx.post(f"{url}gradio_api/run/echo", json={"data": ["hello"]}, headers=headers)
    assert (answer.status_code == 403) == refused
    assert httpx.get(url, headers=headers).status_code == 200
    assert (
        httpx.post(f"{url}gradio_api/run/echo", json={"data": ["hello"]}, headers={"origin": url.rstrip("/")}).status_code != 403
    )


def test_a_proxys_name_may_ask_whatever_host_it_writes() -> None:
    hosts = allowed_hosts("127.0.0.1", "studio.example.com")
    asked = {b"host": b"127.0.0.1:7860", b"origin": b"https://studio.example.com"}
    assert own_page_asks(asked, hosts) and not own_page_asks(asked, allowed_hosts("127.0.0.1", None))
    # Another program of this machine is not the proxy.
    assert not own_page_asks({b"host": b"127.0.0.1:7860", b"origin": b"http://localhost:3000"}, hosts)
