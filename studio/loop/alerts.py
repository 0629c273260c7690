"""Telling that something is wrong: lines, a file for Prometheus, a webhook. None of them can hold up the next look."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from studio.core.errors import StudioError
from studio.core.files import write_text
from studio.schema.loop import Alerts

_PAUSE = 0.5


@dataclass(frozen=True)
class Alarm:
    """Something a person should know. key: the same as long as it is the same trouble. kind: for filters and figures."""

    key: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Change:
    """An alarm that began or ended with this look."""

    alarm: Alarm
    state: str

    def document(self, project: str) -> dict[str, Any]:
        """As a webhook gets it."""
        return {"project": project, "state": self.state, **asdict(self.alarm)}


def deliver(settings: Alerts, changes: Sequence[dict[str, Any]]) -> str:
    """Send changes to the webhook; gives back why they did not arrive, empty where they did.

    The attempts run in a thread of their own, for no timeout of an HTTP client bounds a server that sends a byte now and then.
    """
    if settings.webhook is None or not changes:
        return ""
    host = urlsplit(settings.webhook).hostname or "the webhook"
    headers = {"Content-Type": "application/json", "User-Agent": "finetuning-studio"}
    if settings.webhook_key is not None:
        key = os.environ.get(settings.webhook_key)
        if not key:
            return f"the webhook at {host} was not called: the environment variable {settings.webhook_key} is empty"
        headers["Authorization"] = f"Bearer {key}"
    body = json.dumps({"alarms": list(changes)}, ensure_ascii=False).encode()
    reason = ""
    for number in range(settings.webhook_tries):
        if number:
            time.sleep(_PAUSE * number)
        reason = _attempt(settings.webhook, body, headers, settings.webhook_seconds)
        if not reason:
            return ""
    tries = f"{settings.webhook_tries} tries" if settings.webhook_tries > 1 else "1 try"
    return f"the webhook at {host} did not take the alarms ({reason}; {tries}); they are sent again with the next look"


def _attempt(url: str, body: bytes, headers: dict[str, str], seconds: float) -> str:
    """One attempt within its time; why it failed, empty where it did not."""
    outcome = [f"no answer within {seconds:g} s"]

    def send() -> None:
        import httpx

        try:
            # Answers are not read: what a webhook says beyond its status is no concern of ours, and may never end.
            with httpx.stream("POST", url, content=body, headers=headers, timeout=seconds, follow_redirects=False) as reply:
                outcome[0] = "" if reply.is_success else f"status {reply.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            outcome[0] = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

    thread = threading.Thread(target=send, name="studio-webhook", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if not thread.is_alive() else f"no answer within {seconds:g} s"


def write_prometheus(path: Path, project: str, figures: Sequence[tuple[str, str, dict[str, str], float]]) -> str:
    """Write figures for node_exporter's textfile collector; gives back why that failed, empty where it did not.

    Args:
        figures: name, what it is, labels, value; those of one name follow each other.
    """
    lines: list[str] = []
    last = ""
    for name, about, labels, value in figures:
        if name != last:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
            last = name
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"project": project, **labels}.items())
        lines.append(f"{name}{{{inside}}} {value:.17g}")
    try:
        write_text(path, "\n".join(lines) + "\n")
    except (StudioError, OSError) as error:
        return f"the figures for Prometheus were not written: {error}"
    return ""


def _escaped(text: str) -> str:
    """A label value between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
