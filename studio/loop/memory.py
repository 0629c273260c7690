"""What a watch remembers between two looks: alarms that stand, and what a webhook has not taken yet. Never in the way of a
look.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.loop.alerts import Alarm, Change

# So many undelivered changes are kept; a webhook that is gone for weeks must not fill the disk.
_KEPT = 1000


@dataclass
class Memory:
    """See the module. standing: key to sentence, kind and since when. undelivered: documents for the webhook. last: of a look."""

    path: Path
    standing: dict[str, dict[str, Any]] = field(default_factory=dict)
    undelivered: list[dict[str, Any]] = field(default_factory=list)
    last: float | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, now: float) -> Memory:
        """What was kept; a damaged file is moved aside, and a last look in the future is told: a clock was put back."""
        memory = cls(path)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            memory.standing = {str(key): dict(entry) for key, entry in value["standing"].items()}
            memory.undelivered = [dict(one) for one in value["undelivered"]]
            memory.last = float(value["last"])
        except FileNotFoundError:
            return memory
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
            try:
                path.replace(aside)
                memory.notes.append(f"{path} was damaged and is now {aside.name}; alarms that stood are told again")
            except OSError as error:
                memory.notes.append(f"{path} is damaged and cannot be moved aside ({error.strerror})")
            return cls(path, notes=memory.notes)
        if memory.last is not None and memory.last > now + 60:
            behind = memory.last - now
            memory.notes.append(f"the clock was put back: the last look was {behind:.0f} s after this one by the clock")
        return memory

    def take(self, alarms: list[Alarm], now: float) -> list[Change]:
        """Note which alarms stand now; gives back those that began and ended."""
        seen = {alarm.key: alarm for alarm in alarms}
        changes = [Change(alarm, "began") for key, alarm in seen.items() if key not in self.standing]
        for key in [key for key in self.standing if key not in seen]:
            entry = self.standing.pop(key)
            changes.append(Change(Alarm(key, str(entry.get("kind")), str(entry.get("sentence"))), "ended"))
        for key, alarm in seen.items():
            since = self.standing.get(key, {}).get("since", now)
            self.standing[key] = {"kind": alarm.kind, "sentence": alarm.sentence, "since": since}
        self.last = now
        return changes

    def keep(self) -> str:
        """Write it down; why that failed, empty where it did not. A full disk must not end a watch that would tell of it."""
        self.undelivered = self.undelivered[-_KEPT:]
        value = {"format": 1, "last": self.last, "standing": self.standing, "undelivered": self.undelivered}
        try:
            write_json(self.path, value)
        except (StudioError, OSError) as error:
            return f"what this look found is not remembered: {error}"
        return ""
