"""Watching: drift told from seasons, hours and users that stand out, and telling it without ever being held up."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.feedback.store import Origin, RequestRow
from studio.loop.alerts import Alarm, deliver, write_prometheus
from studio.loop.bursts import find_bursts, odd_hours
from studio.loop.memory import Memory
from studio.loop.misuse import find_misuse
from studio.loop.signals import Finding, Traffic, compare_traffic
from studio.loop.watching import Clock, keep_looking
from studio.schema.loop import Alerts, Misuse
from tests.conftest import Result
from tests.loop.conftest import InUse

Studio = Callable[..., Result]
NOW = 1_800_000_000.0 // 3600 * 3600
DAY = 86_400.0


def traffic(
    *, weeks: int = 5, seed: int = 0, longer: float = 1.0, weekend: float = 1.0, busy: bool = True
) -> list[dict[str, Any]]:
    """Requests of some weeks: quiet weekends with longer answers in another language. longer: of the newest seven days."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(weeks * 7):
        free = day % 7 in {2, 3}
        for _ in range(rng.poisson(40 if free and busy else 120)):
            length = rng.gamma(2, 60) * (weekend if free else 1.0) * (longer if day < 7 else 1.0)
            rows.append(
                {
                    "id": str(len(rows)), "created": NOW - day * DAY - rng.random() * DAY, "status": "ok",
                    "user": f"u{rng.integers(40)}",
                    "prompt_tokens": 20, "characters": int(length), "language": "sv" if free and rng.random() < 0.6 else "en",
                    "refusal": bool(rng.random() < 0.05), "seconds": float(rng.random()), "prompt": None, "completion": None,
                }
            )  # fmt: skip
    return rows


def compared(rows: list[dict[str, Any]], **settings: Any) -> dict[str, Finding]:
    found = compare_traffic(Traffic(rows, [], []), **{"now": NOW, "days": 7, "weeks": 4} | settings)
    return {one.signal: one for one in found}


def test_a_season_is_not_drift_and_drift_is() -> None:
    quiet = compared(traffic(weekend=3))
    assert not [one for one in quiet.values() if one.alarm]
    # Five newest days without a weekend differ from all days before, and not from the same weekdays.
    working = [row for row in traffic(weekend=3) if True]
    five = compared(
        [{**row, "created": row["created"] + 4 * DAY} for row in working if row["created"] < NOW - 4 * DAY], days=5, weeks=4
    )
    assert five["language of answers"].verdict == "a season"
    drifted = compared(traffic(weekend=3, longer=1.5))
    assert [name for name, one in drifted.items() if one.alarm] == ["length of answers, characters"]


@pytest.mark.long
def test_false_alarms_are_rare() -> None:
    wrong = sum(any(one.alarm for one in compared(traffic(seed=seed, weekend=2)).values()) for seed in range(12))
    assert wrong <= 1


def test_one_busy_day_is_one_day() -> None:
    """A single day with three times the traffic and other lengths is no drift of a week: days are exchanged, not rows."""
    rows = traffic()
    rng = np.random.default_rng(3)
    rows += [{**rows[0], "id": f"x{n}", "created": NOW - 3.5 * DAY + n, "characters": int(rng.gamma(2, 90))} for n in range(150)]
    assert not compared(rows)["length of answers, characters"].alarm


@pytest.mark.parametrize("rows", [[], traffic()[:50], traffic(weeks=1)], ids=["nothing", "few", "one week"])
def test_too_little_to_tell(rows: list[dict[str, Any]]) -> None:
    assert {one.verdict for one in compared(rows).values()} == {"too few to tell"}


def test_the_meaning_of_questions() -> None:
    def embed(texts: Any) -> Any:
        rng = np.random.default_rng(len(texts))
        return np.array([[text.startswith("tax"), 1.0, 0.0] for text in texts], dtype=float) + rng.normal(0, 0.3, (len(texts), 3))

    def asked(share: float) -> list[dict[str, Any]]:
        rng = np.random.default_rng(7)

        def now_and_then(row: dict[str, Any]) -> float:
            return share if row["created"] > NOW - 7 * DAY else 0.1

        return [
            {
                **row,
                "prompt": [
                    {
                        "role": "user",
                        "content": "tax" if rng.random() < (share if row["created"] > NOW - 7 * DAY else 0.1) else "door",
                    }
                ],
            }
            for row in traffic()
        ]

    assert not compared(asked(0.1), embed=embed)["meaning of questions"].alarm
    assert compared(asked(0.5), embed=embed)["meaning of questions"].alarm


def hours(*, flood: int = 0, silent: bool = False, seed: int = 0) -> list[float]:
    """Requests by hour: days and nights, a rush on one weekday's morning, and a flood five hours ago."""
    rng, found = np.random.default_rng(seed), []
    for hour in range(24 * 35):
        day, of_day = (hour // 24) % 7, hour % 24
        usual = (80 if day == 1 and of_day == 9 else 12 if 7 < of_day < 20 else 1) * rng.gamma(8, 1 / 8)
        count = rng.poisson(usual) + (flood if hour == 5 else 0)
        count = 0 if silent and hour < 3 else count
        found += [NOW - hour * 3600 - second for second in rng.random(count) * 3600]
    return found


def test_a_flood_stands_out_and_a_rush_does_not() -> None:
    assert sum(bool(find_bursts({"requests": hours(seed=seed)}, now=NOW, quiet="requests")) for seed in range(15)) <= 1
    [burst] = find_bursts({"requests": hours(flood=60)}, now=NOW)
    assert burst.start == NOW - 6 * 3600 and burst.seen >= 60 and burst.expected < 5
    assert odd_hours(hours(flood=60), now=NOW) == [NOW - 6 * 3600]
    assert find_bursts({"requests": []}, now=NOW, begun=NOW) == [] and odd_hours([], now=NOW) == []


def test_silence_is_told_where_there_was_traffic() -> None:
    busy = [NOW - hour * 3600 - minute * 60 for hour in range(24 * 35) for minute in range(40) if hour > 0]
    [quiet] = find_bursts({"requests": busy}, now=NOW, quiet="requests")
    assert quiet.seen == 0 and quiet.expected > 30 and quiet.start == NOW - 3600


def test_what_one_user_may_not_do() -> None:
    rules = Misuse(requests_per_hour=100, refusals_per_day=10, same_question_per_hour=20, judgements_per_hour=30)
    usual = traffic(weeks=1)
    assert find_misuse(rules, usual, [], now=NOW) == []
    flood = [{**usual[0], "user": "bot", "created": NOW - 3000 + n * 10} for n in range(150)]
    same = [
        {**usual[0], "user": "parrot", "created": NOW - n, "prompt": [{"role": "user", "content": "Hi  there"}]}
        for n in range(40)
    ]
    fishing = [{**usual[0], "user": "fisher", "created": NOW - n * 600, "refusal": n % 2 == 0} for n in range(60)]
    judging = [{"user": "judge", "created": NOW - n} for n in range(50)]
    found = find_misuse(rules, [*usual, *flood, *same, *fishing], judging, now=NOW)
    assert {(one.rule, one.user) for one in found} == {
        ("requests", "bot"), ("same question", "parrot"), ("refusals", "fisher"), ("judgements", "judge")
    }  # fmt: skip
    assert [one.count for one in found if one.user == "bot"] == [150]
    off = Misuse(requests_per_hour=None, refusals_per_day=None, same_question_per_hour=None, judgements_per_hour=None)
    assert find_misuse(off, flood, judging, now=NOW) == []


class Hook(BaseHTTPRequestHandler):
    """A webhook: what it got, and how it behaves."""

    got: list[Any] = []
    mood = "fine"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((json.loads(body), self.headers.get("Authorization")))
        if type(self).mood == "hangs":
            time.sleep(3)
        if type(self).mood == "drips":
            self.wfile.write(b"HTTP/1.1 2")
            for _ in range(30):
                self.wfile.flush()
                time.sleep(0.1)
                self.wfile.write(b"0")
            return
        self.send_response(500 if type(self).mood == "broken" else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def hook(mood: str) -> Iterator[str]:
    Hook.got, Hook.mood = [], mood
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/alarms"
    finally:
        server.shutdown()
        server.server_close()


def test_a_webhook_gets_the_alarms_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "secret")
    with hook("fine") as url:
        settings = Alerts(webhook=url, webhook_key="HOOK_KEY")
        assert deliver(settings, [{"state": "began", "kind": "drift"}]) == ""
        assert Hook.got == [({"alarms": [{"state": "began", "kind": "drift"}]}, "Bearer secret")]
        assert deliver(settings, []) == "" and len(Hook.got) == 1
    monkeypatch.delenv("HOOK_KEY")
    assert "HOOK_KEY is empty" in deliver(settings, [{}])


@pytest.mark.parametrize(
    ("mood", "reason"), [("hangs", "no answer within 0.4 s"), ("drips", "no answer within 0.4 s"), ("broken", "status 500")]
)
def test_a_webhook_that_hangs_holds_nothing_up(mood: str, reason: str) -> None:
    patience = 10.0 if mood == "broken" else 0.4  # one that answers has time to, on a busy machine too
    with hook(mood) as url:
        started = time.monotonic()
        told = deliver(Alerts(webhook=url, webhook_seconds=patience, webhook_tries=2), [{"state": "began"}])
        assert mood == "broken" or time.monotonic() - started < 2.5
    assert reason in told and "2 tries" in told and "sent again with the next look" in told
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = deliver(Alerts(webhook=f"http://127.0.0.1:{unused.getsockname()[1]}/x", webhook_tries=1), [{}])
    assert "1 try" in gone


def test_figures_for_prometheus(tmp_path: Path) -> None:
    path = tmp_path / "studio.prom"
    assert (
        write_prometheus(
            path, 'a"b', [("x_alarms", "Alarms.", {"kind": "drift"}, 1.0), ("x_alarms", "Alarms.", {"kind": "hour"}, 0)]
        )
        == ""
    )
    assert path.read_text().splitlines() == [
        "# HELP x_alarms Alarms.",
        "# TYPE x_alarms gauge",
        'x_alarms{project="a\\"b",kind="drift"} 1',
        'x_alarms{project="a\\"b",kind="hour"} 0',
    ]
    (tmp_path / "file").write_text("")
    assert "not written" in write_prometheus(tmp_path / "file" / "studio.prom", "a", [])


def test_what_is_remembered_survives_damage_and_a_clock_that_was_put_back(tmp_path: Path) -> None:
    path = tmp_path / "watch" / "rails.json"
    memory = Memory.read(path, NOW)
    drift = Alarm("drift x", "drift", "x has changed")
    assert [(one.alarm.key, one.state) for one in memory.take([drift], NOW)] == [("drift x", "began")]
    assert memory.keep() == ""
    again = Memory.read(path, NOW + 900)
    assert again.take([drift], NOW + 900) == []
    assert [(one.alarm.sentence, one.state) for one in again.take([], NOW + 1800)] == [("x has changed", "ended")]
    again.keep()
    assert "clock was put back" in Memory.read(path, NOW - 7200).notes[0]
    path.write_text('{"standing": {"drift x": {"kin')
    damaged = Memory.read(path, NOW)
    assert "was damaged and is now rails.damaged.json" in damaged.notes[0] and damaged.standing == {}
    assert path.with_name("rails.damaged.json").is_file()


def test_a_clock_that_jumps_is_told_and_skips_no_look() -> None:
    wall, steady = [1000.0], [5.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = 1900.0, 905.0
    assert clock.jumped() == 0
    wall[0], steady[0] = 1800.0 - 3600, 1805.0
    assert clock.jumped() == pytest.approx(-4600, abs=1000)
    looks, stop, said = [], threading.Event(), []

    def once() -> None:
        looks.append(1)
        if len(looks) == 3:
            stop.set()

    keep_looking(once, 0.01, stop, said.append)
    assert len(looks) == 3 and said == []


def test_one_look_and_its_exit_code(studio: Studio, in_use: InUse) -> None:
    with hook("fine") as url:
        in_use.rules(rules={"alerts": {"webhook": url, "prometheus": "figures/studio.prom"}})
        empty = studio("watch", in_use.folder, "--once")
        assert empty.code == 0 and "nothing was asked or said yet" in empty.err
        store = in_use.store
        now = time.time()
        rows = [RequestRow(Origin("doors", "bot", "serve"), created=now - n, seconds=0.1, refusal=False) for n in range(700)]
        rows.append(RequestRow(Origin("doors", "ada", "serve"), created=now + 7200))
        store.record_requests(rows)
        store.close()
        alarmed = studio("watch", in_use.folder, "--once")
        assert alarmed.code == 3
        assert "bot sent 700 requests within an hour (allowed: 600). Refuse them: studio serve block bot" in alarmed.err
        assert "1 rows are dated after this moment" in alarmed.err
        assert [entry["state"] for entry in Hook.got[0][0]["alarms"]] == ["began"]
        again = studio("watch", in_use.folder, "--once", "--json")
        assert again.code == 3 and again.json["alarms"][0]["kind"] == "misuse" and len(Hook.got) == 1
        figures = (in_use.folder / "figures" / "studio.prom").read_text()
        assert 'studio_watch_alarms{project="rails",kind="misuse"} 1' in figures
    (in_use.workspace.root / "feedback.sqlite").write_bytes(b"SQLite format 3\0" + b"damaged" * 500)
    broken = studio("watch", in_use.folder, "--once")
    assert broken.code == 3 and "Traceback" not in broken.err and "feedback.sqlite" in broken.err


def test_an_undelivered_alarm_is_sent_with_the_next_look(studio: Studio, in_use: InUse) -> None:
    store = in_use.store
    store.record_requests([RequestRow(Origin("doors", "bot", "serve"), created=time.time() - n) for n in range(700)])
    store.close()
    with hook("broken") as url:
        in_use.rules(rules={"alerts": {"webhook": url, "webhook_tries": 1}})
        assert "status 500" in studio("watch", in_use.folder, "--once").err
        Hook.mood, Hook.got = "fine", []
        studio("watch", in_use.folder, "--once")
        assert [entry["kind"] for entry in Hook.got[0][0]["alarms"]] == ["misuse"]


def test_the_unit_is_one_that_systemd_reads(studio: Studio, in_use: InUse, tmp_path: Path) -> None:
    told = studio("watch", in_use.folder, "--print-unit")
    assert told.code == 0 and f"ReadWritePaths={in_use.workspace.root}" in told.out
    assert f"watch {in_use.folder.resolve()}/project.yaml --workspace" in told.out
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "studio-watch-rails.service"
    unit.write_text(told.out)
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr


def test_a_slip_in_the_rules_is_told(studio: Studio, in_use: InUse) -> None:
    in_use.rules(rules={"alerts": {"webhok": "http://x"}})
    wrong = studio("watch", in_use.folder, "--once")
    assert wrong.code == 2 and "unknown field 'webhok' in 'watch.rules.alerts'. Did you mean 'webhook'?" in wrong.err
    in_use.rules(rules={"alerts": {"webhook": "ftp://x"}})
    assert "is no address" in studio("watch", in_use.folder, "--once").err
    assert "is not a project" in studio("watch", in_use.folder / "nowhere", "--once").err
