"""A small web site on this machine, for crawls: pages, robots.txt, sitemaps, and everything that goes wrong on the web."""

from __future__ import annotations

import gzip
import hashlib
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

WORDS = (
    "The library of the town lends books, maps and tools to everybody who lives here, for four weeks at a time, without a fee. "
)


def page(title: str, *links: str, head: str = "", text: str = WORDS * 3, more: str = "") -> bytes:
    """An article with links."""
    listed = "".join(f'<p>See <a href="{link}">{link}</a> for what else is lent.</p>' for link in links)
    body = f"<article><h1>{title}</h1><h2>What is {title} about?</h2><p>{text} {title}.</p>{listed}{more}</article>"
    return f"<html><head><title>{title}</title>{head}</head><body>{body}</body></html>".encode()


@dataclass
class Site:
    """What is served: path to body, or to a function of the handler. asked: method, path and headers of every request."""

    pages: dict[str, object] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    host: str = ""

    def paths(self) -> list[str]:
        """Paths asked for."""
        return [path for path, _, _ in self.asked]

    def url(self, path: str) -> str:
        """An address on this site."""
        return f"http://{self.host}{path}"


def served(site: Site) -> ThreadingHTTPServer:
    """A server of the site."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, time.monotonic()))
            body = site.pages.get(self.path)
            with suppress(OSError):
                if body is None:
                    self.send_error(404)
                elif callable(body):
                    body(self)
                else:
                    self._page(body)

        def _page(self, body: bytes) -> None:
            tag = f'"{hashlib.sha256(body).hexdigest()[:10]}"'
            if self.headers.get("If-None-Match") == tag:
                self.send_response(304)
                self.end_headers()
                return
            kind = "text/plain" if self.path == "/robots.txt" else "text/html; charset=utf-8"
            answer(self, body, {"Content-Type": site.types.get(self.path, kind), "ETag": tag, **site.headers.get(self.path, {})})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.host = f"127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def answer(handler: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str], status: int = 200) -> None:
    """One whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def moved(target: str) -> object:
    """An answer that leads elsewhere."""
    return lambda handler: answer(handler, b"", {"Location": target}, 302)


def bomb(handler: BaseHTTPRequestHandler) -> None:
    """A hundred megabytes of nothing, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(100)) + packer.flush()
    answer(handler, body, {"Content-Type": "text/html", "Content-Encoding": "gzip"})


def packed(handler: BaseHTTPRequestHandler) -> None:
    """A page that comes packed although it was asked for plain."""
    answer(handler, gzip.compress(page("packed")), {"Content-Type": "text/html", "Content-Encoding": "gzip"})


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A body that never ends, a byte at a time."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    """Headers that never end."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)
