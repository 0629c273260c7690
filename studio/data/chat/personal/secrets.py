"""Secrets: API keys and tokens, passwords in addresses of the web, and addresses of crypto currencies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from studio.data.chat.personal.checksums import base58check, bech32
from studio.data.chat.personal.scripts import END, START, Span

# Forms published by their issuers, as collected in gitleaks' rules (https://github.com/gitleaks/gitleaks, config/gitleaks.toml).
_KEYS: dict[str, re.Pattern[str]] = {
    "AKIA": re.compile(rf"{START}AKIA[0-9A-Z]{{16}}{END}"),
    "ASIA": re.compile(rf"{START}ASIA[0-9A-Z]{{16}}{END}"),
    "gh": re.compile(rf"{START}gh[pousr]_[A-Za-z0-9]{{36,255}}{END}"),
    "github_pat_": re.compile(rf"{START}github_pat_[A-Za-z0-9_]{{22,255}}{END}"),
    "glpat-": re.compile(rf"{START}glpat-[A-Za-z0-9_-]{{20,}}"),
    "sk-": re.compile(rf"{START}sk-(?:[A-Za-z0-9]{{20,}}|(?:proj|ant|svcacct|admin|or)-[A-Za-z0-9_-]{{20,}})"),
    "hf_": re.compile(rf"{START}hf_[A-Za-z0-9]{{30,}}{END}"),
    "pypi-": re.compile(rf"{START}pypi-[A-Za-z0-9_-]{{50,}}"),
    "npm_": re.compile(rf"{START}npm_[A-Za-z0-9]{{36}}{END}"),
    "xox": re.compile(rf"{START}xox[abeoprs]-[A-Za-z0-9-]{{10,}}"),
    "AIza": re.compile(rf"{START}AIza[0-9A-Za-z_-]{{35}}"),
    "k_": re.compile(rf"{START}[rs]k_(?:live|test)_[0-9A-Za-z]{{16,}}{END}"),
    "eyJ": re.compile(rf"{START}eyJ[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}"),
    "PRIVATE KEY": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
}
# ``user:password@`` of RFC 3986, section 3.2.1, and values of query parameters whose name says that they are secret.
_USERINFO = re.compile(r"(?<=://)[^\s/?#@:\"'<>]{1,128}:[^\s/?#@\"'<>]{1,128}(?=@[^\s/?#@]{1,253})")
_QUERY = re.compile(
    r"(?<=[?&])(?:access_token|auth_token|token|api_?key|apikey|password|passwd|pwd|secret|client_secret|sig|signature)"
    r"=([^\s&#\"'<>]{4,512})",
    re.IGNORECASE,
)
# Placeholders of documentation, which are nobody's.
_EXAMPLE = re.compile(
    r"[<{\[$*\\]|\.\.\.|%[sd(]|(?:user(?:name)?|login|name):(?:pass(?:word)?|pwd|secret)\Z|\Ax+\Z|\Ayour[_-]?", re.IGNORECASE
)
_BASE58 = re.compile(rf"{START}[13][1-9A-HJ-NP-Za-km-z]{{25,34}}{END}")
_BECH32 = re.compile(rf"{START}(?:bc1[02-9ac-hj-np-z]{{11,71}}|BC1[02-9AC-HJ-NP-Z]{{11,71}}){END}")
# Ethereum: 20 bytes in hexadecimal digits (EIP-55, whose checksum in upper case is optional).
_ETHEREUM = re.compile(rf"{START}0x[0-9a-fA-F]{{40}}{END}")


def find_keys(text: str) -> Iterator[Span]:
    """Character ranges of API keys, tokens and private keys, in order and without overlap."""
    spans = sorted(match.span() for mark, pattern in _KEYS.items() if mark in text for match in pattern.finditer(text))
    end = -1
    for start, stop in spans:
        if start >= end:
            yield start, stop
            end = stop


def find_credentials(text: str) -> Iterator[Span]:
    """Character ranges of ``user:password`` in a web address, and of secret values of its query."""
    if "://" not in text:
        return
    found = [match.span() for match in _USERINFO.finditer(text)] + [match.span(1) for match in _QUERY.finditer(text)]
    yield from sorted(span for span in found if not _EXAMPLE.search(text[slice(*span)]))


def find_crypto(text: str) -> Iterator[Span]:
    """Character ranges of addresses of Bitcoin (checksum proven) and Ethereum."""
    for pattern, check in ((_BASE58, base58check), (_BECH32, bech32)):
        yield from (match.span() for match in pattern.finditer(text) if check(match.group()))
    if "0x" in text:
        yield from (match.span() for match in _ETHEREUM.finditer(text))
