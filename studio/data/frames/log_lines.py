"""How the lines of logs are written: access logs of Apache and nginx, syslog, JSON, key=value, and a stamp before a message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TIME_NAMES = ("time", "timestamp", "@timestamp", "ts", "date", "datetime", "asctime", "eventtime", "t")
"""Keys of JSON and key=value lines that hold the stamp, in the order in which they are looked for."""
_LEVELS = r"TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|ALERT|EMERG|FATAL|SEVERE|PANIC"
_ISO = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?"
_RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_QUOTED = r"(?:[^\"\\]|\\.)*"
# Apache's "common" and "combined" formats (mod_log_config), which are nginx's too; a virtual host may come first.
_ACCESS = re.compile(
    r"(?:(?P<virtual_host>\S+:\d+) )?(?P<host>\S+) (?P<ident>\S+) (?P<user>\S+(?: \S+){0,3}) "
    r"\[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d"
    rf" [+-]\d{{4}})\] \"(?P<request>{_QUOTED})\" (?P<status>\d{{3}}) (?P<bytes>\d+|-)"
    rf"(?: \"(?P<referer>{_QUOTED})\" \"(?P<agent>{_QUOTED})\"(?: (?P<more>.*))?)?"
)
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<protocol>HTTP/[\d.]+))?")
# RFC 3164 (stamps without a year) and what rsyslog and journald write by now (stamps of RFC 3339).
_SYSLOG = re.compile(
    rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d|{_RFC3339}) (?P<host>\S+) "
    r"(?P<program>[^\s:\[]+)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)"
)
_SYSLOG5424 = re.compile(
    rf"<(?P<priority>\d{{1,3}})>1 (?P<time>{_ISO}|-) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) (?P<id>\S+) "
    r"(?P<data>-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (?P<message>.*))?"
)
_STAMPED = re.compile(
    rf"\[?(?P<time>{_ISO}|\d{{10}}(?:\.\d+)?|\d{{13}})\]?(?:[\s,;|]+-?\s*|:\s+)"
    rf"(?:\[(?!(?:{_LEVELS})\])(?P<thread>[^\]\s][^\]]{{0,80}})\]\s+)?(?:(?P<logger>[\w.$-]+)\s+-\s+(?=\[?(?:{_LEVELS})\b))?"
    rf"(?:\[?(?P<level>{_LEVELS})\b\]?\s*[-:|]?\s*)?(?P<message>\S.*)",
    re.I,
)
_PAIR = re.compile(r"([\w.@/-]+)=(\"(?:[^\"\\]|\\.)*\"|(?!\")\S*)")
_PAIRS = re.compile(rf"{_PAIR.pattern}(?:[\s,;]+{_PAIR.pattern})*\s*")

Fields = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """A way in which lines are written. read: the fields of a line, None where it is written otherwise. what: for people."""

    name: str
    what: str
    read: Callable[[str], Fields | None]


def _access(line: str) -> Fields | None:
    """A line of an access log; its request is taken apart where it is one."""
    found = _ACCESS.fullmatch(line)
    if found is None:
        return None
    fields = {name: value for name, value in found.groupdict().items() if value is not None and value != "-"}
    request = _REQUEST.fullmatch(fields.get("request", ""))
    return {**{key: value for key, value in fields.items() if key != "request"}, **_given(request)} if request else fields


def _given(found: re.Match[str]) -> Fields:
    """The groups of a match that stand there."""
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _syslog(line: str) -> Fields | None:
    """A line of syslog, of either RFC; the priority is its facility and its severity."""
    found = _SYSLOG5424.fullmatch(line) or _SYSLOG.fullmatch(line)
    if found is None:
        return None
    fields = {name: value for name, value in _given(found).items() if value != "-"}
    if "priority" in fields:
        fields |= {"facility": str(int(fields["priority"]) // 8), "severity": str(int(fields.pop("priority")) % 8)}
    return fields


def _json(line: str) -> Fields | None:
    """A line that is a JSON object."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def pairs_of(text: str) -> Fields | None:
    """What ``a=1 b="two words"`` says; None for what is not written so throughout."""
    if not _PAIRS.fullmatch(text):
        return None
    return {key: json_text(value) for key, value in _PAIR.findall(text)}


def json_text(value: str) -> str:
    """A value without its quotes and what escapes them."""
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value[1:-1]


def _pairs(line: str) -> Fields | None:
    """A line of at least two pairs."""
    found = pairs_of(line)
    return found if found and len(found) > 1 else None


def _stamped(line: str) -> Fields | None:
    """A stamp, then a level where there is one, then a message."""
    found = _STAMPED.fullmatch(line)
    return _given(found) if found else None


FORMS = (
    Form("access", "access log (Apache, nginx)", _access),
    Form("json", "JSON on each line", _json),
    Form("syslog", "syslog", _syslog),
    Form("pairs", "key=value", _pairs),
    Form("stamped", "timestamp, level, message", _stamped),
)
"""Tried in this order; the one that most of the first lines are written in reads the file."""
