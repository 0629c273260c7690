"""Addresses of pages: one spelling for each, and which of them a crawl may ask for."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

_PORTS = {"http": 80, "https": 443}
# Endings of files that hold no text for a corpus; nothing is asked to learn that.
_NO_PAGES = frozenset({
    ".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".ico", ".bmp", ".tif", ".tiff", ".avif", ".css",
    ".js", ".mjs", ".map", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".mp3", ".mp4", ".m4a", ".ogg",
    ".wav", ".flac", ".avi", ".mov", ".mkv", ".webm", ".zip", ".gz", ".bz2", ".xz", ".7z", ".rar",
    ".tar", ".tgz", ".exe", ".dmg", ".iso", ".apk", ".deb", ".rpm", ".msi", ".bin", ".jar", ".whl",
})  # fmt: skip


def plain_address(address: str, base: str = "") -> str | None:
    """One spelling of an address: without a fragment, a usual port or a dot in its path; None for what is no page of the web.

    Args:
        base: the page on which it stands.
    """
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(base, address.strip()))
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme not in _PORTS or not host or parts.username or parts.password:
        return None
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port and port != _PORTS[parts.scheme] else ""
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    return urllib.parse.urlunsplit((parts.scheme, place, path, query, ""))


def host_of(address: str) -> str:
    """Name of the host, without a port."""
    return (urllib.parse.urlsplit(address).hostname or "").lower()


def site_of(address: str) -> str:
    """Scheme, host and port: what one robots.txt speaks for."""
    return "{}://{}".format(*urllib.parse.urlsplit(address)[:2])


def is_no_page(address: str) -> bool:
    """True where the ending of an address says that it is a picture, a film, an archive or a program."""
    name = urllib.parse.urlsplit(address).path.rpartition("/")[2].lower()
    return any(name.endswith(ending) for ending in _NO_PAGES)


def begins_with_one(address: str, beginnings: Sequence[str]) -> bool:
    """True where an address begins with one of some others, or where there are none."""
    return not beginnings or any(address.startswith(plain_address(one) or one) for one in beginnings)
