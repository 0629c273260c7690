"""Files at addresses, from a real server on this machine: allowed only where the source says so, bounded, kept by hash."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from studio.core import guarded
from studio.core.errors import ConfigError, MissingExtraError, StudioError, UserError
from studio.core.extras import available
from studio.core.guarded import checked_address
from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.data.readers import READERS, ReadOptions, read_file
from studio.data.remote import resolve_url
from studio.data.tables.build import build_table_dataset
from studio.schema.loading import load_value, validate
from studio.schema.recipe import ChatRecipe, UrlSource
from studio.schema.table_recipe import TableRecipe

CSV = b"question,answer\n" + b"".join(b"What is %d?,It is %d.\n" % (number, number) for number in range(50))


class Handler(BaseHTTPRequestHandler):
    asked: list[str] = []
    body = CSV

    def do_GET(self) -> None:
        self.asked.append(self.path)
        tag = f'"{hashlib.sha256(self.body).hexdigest()[:8]}"'
        if self.path.startswith("/to/"):
            self._redirect(f"http://{self.path.removeprefix('/to/')}")
        elif self.path == "/loop.csv":
            self._redirect("/loop.csv")
        elif self.path in {"/gone.csv", "/secret.csv", "/broken.csv"}:
            self.send_error({"/gone.csv": 404, "/secret.csv": 403, "/broken.csv": 503}[self.path])
        elif self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
        elif self.path == "/endless.csv":
            self.send_response(200)
            self.end_headers()
            with __import__("contextlib").suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)
        elif self.path == "/cut.csv":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body) + 5))
            self.end_headers()
            self.wfile.write(self.body)
        else:
            body = gzip.compress(self.body, mtime=0) if ".gz" in self.path else self.body
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(body)

    def _redirect(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "STUDIO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "body", CSV)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def source(url: str, **more: object) -> UrlSource:
    return validate({"type": "url", "url": url, "licence": "CC0", "private": True, **more}, UrlSource)


def resolve(url: str, **more: object) -> object:
    settings = source(url, **more)
    return resolve_url(settings, settings, 0, READERS)


def test_a_file_is_fetched_once_kept_by_its_hash_and_told(host: str, tmp_path: Path) -> None:
    url = f"http://{host}/faq/rows.csv"
    value = {"kind": "chat", "sources": [source(url).model_dump()], "split": {"validation": 0, "test": 0}}
    outcome = build_chat_dataset(validate(value, ChatRecipe), Workspace(tmp_path / "w"), name="a")
    kept = outcome.record.sources[0]
    assert (kept.rows, kept.kind, kept.licence, kept.location, kept.name) == (50, "url", "CC0", url, "rows")
    assert kept.sha256 == hashlib.sha256(CSV).hexdigest()
    assert any("was fetched on 20" in note and str(kept.sha256) in note for note in outcome.notes)
    again = build_chat_dataset(validate(value, ChatRecipe), Workspace(tmp_path / "w"), name="a")
    assert again.cached and Handler.asked == ["/faq/rows.csv"] * 2  # the second one was answered 304
    Handler.body = CSV + b"More?,No.\n"
    assert build_chat_dataset(validate(value, ChatRecipe), Workspace(tmp_path / "w"), name="a").record.rows_read == 51


def test_tables_and_packed_files_come_from_addresses_too(host: str, tmp_path: Path) -> None:
    url = f"http://{host}/rows.csv.gz?download=1"
    settings = {"type": "url", "url": url, "licence": "CC0", "private": True}
    Handler.body = b"a,b\n" + b"".join(b"%d,%s\n" % (n, b"x" if n % 2 else b"y") for n in range(60))
    value = {"kind": "table", "target": "b", "sources": [settings]}
    outcome = build_table_dataset(validate(value, TableRecipe), Workspace(tmp_path / "w"), name="t")
    assert outcome.record.rows_read == 60 and any("was fetched on" in note for note in outcome.notes)


def test_an_address_without_an_ending_and_an_archive(host: str) -> None:
    found = resolve(f"http://{host}/download?id=7", file_name="rows.csv")
    assert [file.label for file in found.files] == ["rows.csv"] and found.name == "download"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("inner/rows.csv", CSV)
        archive.writestr("readme.pdf", "%PDF")
    Handler.body = sink.getvalue()
    (file,) = resolve(f"http://{host}/all.zip").files
    assert file.label == "all.zip/inner/rows.csv" and len(list(read_file(file.path, ReadOptions()))) == 50
    with pytest.raises(ConfigError, match="'file_name'"):
        source(f"http://{host}/download", file_name="../rows.csv")


def test_with_a_hash_nobody_is_asked_again_and_another_file_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, digest = f"http://{host}/rows.csv", hashlib.sha256(CSV).hexdigest()
    assert resolve(url, sha256=digest).identity == resolve(url, sha256=digest).identity == digest
    assert Handler.asked == ["/rows.csv"]
    with pytest.raises(UserError, match="the source promises 0000.*it has changed"):
        resolve(url, sha256="0" * 64)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "network is switched off" in " ".join(resolve(url).notes)
    with pytest.raises(StudioError, match="is not in the cache and the network is switched off"):
        resolve(f"http://{host}/other.csv")


def test_a_damaged_cache_is_fetched_anew(host: str, tmp_path: Path) -> None:
    found = resolve(f"http://{host}/rows.csv")
    found.files[0].path.write_bytes(b"changed")
    assert resolve(f"http://{host}/rows.csv").files[0].path.read_bytes() == CSV


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone.csv", "there is no file at"),
        ("/secret.csv", "may not be read without a login"),
        ("/broken.csv", "answers 503"),
        ("/loop.csv", "redirects more than 5 times"),
        ("/cut.csv", "broke off after"),
        ("/endless.csv", "is larger than 1 MB. If that is right, raise max_mb"),
        ("/to/localhost:1/x.csv", "lies on localhost, and the source allows 127.0.0.1. If that is right, add it: hosts"),
        ("/to/user:word@127.0.0.1/x.csv", "without a name and password in it"),
    ],
)
def test_answers_that_are_no_file(host: str, path: str, said: str) -> None:
    with pytest.raises(StudioError, match=said) as caught:
        resolve(f"http://{host}{path}", max_mb=1)
    assert "\n" not in str(caught.value)


def test_a_redirect_to_an_inner_address_is_refused_even_to_an_allowed_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public host sends to the metadata service of a cloud: only the name's own address is made public here."""
    port = host.rpartition(":")[2]
    monkeypatch.setattr(
        guarded,
        "checked_address",
        lambda name, port, private: "127.0.0.1" if name == "public.test" else checked_address(name, port, private),
    )
    url = f"http://public.test:{port}/to/169.254.169.254/latest.csv"
    with pytest.raises(UserError, match=r"169.254.169.254 is no address of the public internet"):
        resolve(url, private=False, hosts=["169.254.169.254"])
    assert resolve(f"http://public.test:{port}/rows.csv", private=False).identity == hashlib.sha256(CSV).hexdigest()


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "0.0.0.0",
        "100.64.0.1",
    ],
)
def test_private_addresses_need_leave(name: str) -> None:
    with pytest.raises(UserError, match="is no address of the public internet"):
        checked_address(name, 80, False)
    assert checked_address(name, 80, True)


def test_a_name_with_one_inner_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(UserError, match=r"both.test is 10.0.0.1"):
        checked_address("both.test", 80, False)


def test_a_host_that_does_not_answer_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StudioError, match="cannot be reached"):
        resolve(f"http://127.0.0.1:{port}/rows.csv")
    assert not list(tmp_path.rglob(".arriving*"))


def test_a_slow_server_is_given_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    monkeypatch.setattr(guarded.time, "monotonic", lambda: began + 3600 * len(Handler.asked))
    with pytest.raises(StudioError, match="sends less than 32 KB a second"):
        monkeypatch.setattr(Handler, "asked", Handler.asked)
        moments = iter(range(0, 10**9, 3600))
        monkeypatch.setattr(guarded.time, "monotonic", lambda: next(moments))
        resolve(f"http://{host}/endless.csv", max_mb=100)


@pytest.mark.parametrize("url", ["ftp://x/y.csv", "file:///etc/passwd", "https://example.org", "rows.csv", "https://a b/c.csv"])
def test_what_is_no_address_is_refused_by_the_recipe(url: str) -> None:
    with pytest.raises(ConfigError, match="'url'"):
        source(url)


@pytest.mark.skipif(available("s3fs"), reason="s3fs is installed")
def test_stores_need_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(
        MissingExtraError, match=r"begins with s3:// needs the package 's3fs'.*pip install 'finetuning-studio\[s3\]'"
    ):
        resolve("s3://bucket/rows.csv")


@pytest.mark.parametrize("url", ["ftp://host/rows.csv", "rows.csv", "https://host"])
def test_what_is_no_address_of_a_file_is_said_in_words(url: str) -> None:
    recipe = {"kind": "chat", "sources": [{"type": "url", "url": url, "licence": "x"}]}
    with pytest.raises(ConfigError, match=r"is not the address of a file\. Write https://HOST/FILE, s3://BUCKET/KEY or gs://"):
        load_value(recipe, ChatRecipe)
