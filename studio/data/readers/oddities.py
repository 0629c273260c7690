"""What a JSON file may hold that the streaming parser cannot bear: half characters, endless numbers, brackets without end."""

from __future__ import annotations

import re

import numpy as np

from studio.data.readers.encoding import AsUtf8

_CHUNK = 1 << 20
# Python's own parser ends near 1,000; ijson keeps the names of all levels, which takes memory with the square of their number.
_DEEPEST = 900
# One half of a pair without the other: a first one that no second one follows, or a second one that follows no first one.
_HALF = re.compile(
    rb"\\u[dD][89aAbB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?<!\\u[dD][89aAbB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_REACH = 12
# More digits than Python makes a number of, unless it is told to.
_DIGITS = re.compile(rb"[0-9]{4300}")
_TWO_DIGITS = re.compile(rb"[0-9]{2}")
# The same in bytes, which UTF-8 does not have.
_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
# What each byte adds to the depth.
_STEPS = np.array([{0x5B: 1, 0x7B: 1, 0x5D: -1, 0x7D: -1}.get(byte, 0) for byte in range(256)], dtype=np.int8)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def look_through(stream: AsUtf8) -> tuple[bool, bool]:
    """Whether a file may hold half a character or an endless number, and whether it is nested too deeply; reads it once.

    Both may be said of a file that only looks like it (an escaped backslash before ``ud83d``): it is then read with more care.
    """
    odd, deep = False, False
    depth, before = 0, b""
    try:
        while chunk := stream.read(_CHUNK):
            if not odd and (b"\\u" in chunk or before.endswith(b"\\")):
                odd = _HALF.search(before + chunk + b" ") is not None
            odd = odd or _has_endless_number(chunk) or _BYTES.search(before[-2:] + chunk) is not None
            before = chunk[-_REACH:]
            reached = np.cumsum(_STEPS[np.frombuffer(chunk, dtype=np.uint8)], dtype=np.int32)
            deep = deep or bool(depth + reached.max() > _DEEPEST and _is_deep(chunk))
            depth = 0 if deep else max(0, depth + int(reached[-1]))
    finally:
        stream.close()
    return odd, deep


def _has_endless_number(chunk: bytes) -> bool:
    """True where so many digits follow each other; of a number like that every 2,000th byte of the piece hits two at least."""
    return _TWO_DIGITS.search(chunk[::2000]) is not None and _DIGITS.search(chunk) is not None


def _is_deep(chunk: bytes) -> bool:
    """True where brackets outside texts are nested deeply within a piece of a file; texts may hold any number of them."""
    depth = 0
    for token in _TOKEN.finditer(chunk):
        sign = token.group()
        depth += 1 if sign in b"[{" else -1 if sign in b"]}" else 0
        depth = max(depth, 0)
        if depth > _DEEPEST:
            return True
    return False
