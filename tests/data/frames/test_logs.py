"""Logs as tables: the usual forms, stamps as times, what is written otherwise listed line by line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from studio.core.errors import DataError
from studio.core.workspace import Workspace
from studio.data.frames import Frame, FrameOptions, read_frame
from studio.data.looking import look_at
from studio.data.series.build import build_series_dataset
from studio.data.tables.build import build_table_dataset
from studio.schema.loading import validate
from studio.schema.series_recipe import SeriesRecipe
from studio.schema.table_recipe import TableRecipe

# The example of Apache's own documentation (httpd.apache.org/docs/2.4/logs.html), and those of RFC 5424, section 6.5.
APACHE = (
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" '
    '"Mozilla/4.08 [en] (Win98; I ;Nav)"'
)
RFC5424 = (
    "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8\n"
    "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.\n"
    '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventID="1011"] An event\n'
)


def read(tmp_path: Path, text: str | bytes, name: str = "x.log", **options: object) -> Frame:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_frame(file, FrameOptions(format="log", **options))


def test_access_logs_give_the_parts_of_a_request_and_lines_of_other_kinds_are_listed(tmp_path: Path) -> None:
    odd = '203.0.113.9 - - [10/Oct/2000:13:55:40 -0700] "\\x16\\x03\\"" 400 - "-" "-"'
    frame = read(tmp_path, f"{APACHE}\n{odd}\nsomething else\n\n")
    first = frame.columns.iloc[0].to_dict()
    assert first["time"] == pd.Timestamp("2000-10-10T20:55:36Z")
    assert (first["host"], first["user"], first["method"], first["path"]) == ("127.0.0.1", "frank", "GET", "/apache_pb.gif")
    assert (first["protocol"], first["status"], first["bytes"]) == ("HTTP/1.0", "200", "2326")
    assert first["agent"] == "Mozilla/4.08 [en] (Win98; I ;Nav)" and frame.columns["request"][1] == '\\x16\\x03\\"'
    assert [(bad.number, bad.text) for bad in frame.bad] == [(3, "something else")]


def test_syslog_of_both_rfcs(tmp_path: Path) -> None:
    new = read(tmp_path, RFC5424)
    assert new.columns["facility"].tolist() == ["4", "20", "20"] and new.columns["severity"].tolist() == ["2", "5", "5"]
    assert new.columns["program"].tolist() == ["su", "myproc", "evntslog"] and new.columns["time"][1] == pd.Timestamp(
        "2003-08-24T12:14:15.000003Z"
    )
    old = "Dec 31 23:59:58 web sshd[123]: Failed\nJan  1 00:00:02 web cron[7]: run\nDec 31 23:59:59 web late: x\n"
    old += "Feb 29 00:00:00 web odd: y\n"
    frame = read(tmp_path, old, year=2025)
    assert frame.columns["time"].astype(str).tolist() == ["2025-12-31 23:59:58", "2026-01-01 00:00:02", "2025-12-31 23:59:59"]
    assert [bad.number for bad in frame.bad] == [4] and "which is no date" in frame.bad[0].reason
    with pytest.raises(
        DataError, match=r"have no year \('Dec 31 23:59:58'\). Say that of the first line in the source: year: 2026"
    ):
        read(tmp_path, old)


def test_stacks_belong_to_the_line_above_them(tmp_path: Path) -> None:
    text = (
        "2026-11-30 00:12:31,123 - app.web - INFO - started\n2026-11-30 00:12:32,5 - app.web - ERROR - broke\n"
        "Traceback (most recent call last):\n  File x\nValueError: y\n2026-11-30 00:12:33,1 - app - INFO - on\n"
    )
    frame = read(tmp_path, text)
    assert frame.columns["level"].tolist() == ["INFO", "ERROR", "INFO"] and frame.columns["logger"][2] == "app"
    assert frame.columns["message"][1].endswith("ValueError: y") and not frame.bad
    assert frame.numbers.tolist() == [1, 2, 6] and frame.columns["time"][1] == pd.Timestamp("2026-11-30 00:12:32.5")
    assert any("3 lines" in note and "joined" in note for note in frame.notes)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "2026-11-30 00:12:31.123 [main] INFO  com.foo.Bar - hi",
            {"thread": "main", "level": "INFO", "message": "com.foo.Bar - hi"},
        ),
        ("2026/11/30 00:12:31 [error] 123#0: *1 open() failed", {"level": "error", "message": "123#0: *1 open() failed"}),
        ("[2026-11-30T00:12:31+01:00] WARN: low", {"level": "WARN", "message": "low"}),
        ("1796000000 door opened", {"message": "door opened"}),
        ('time=2026-11-30T00:12:31Z level=info msg="a \\"b\\" c" n=3', {"level": "info", "msg": 'a "b" c', "n": "3"}),
        ('{"@timestamp": "2026-11-30T00:12:31Z", "message": "x", "n": {"a": 1}}', {"message": "x", "n": '{"a": 1}'}),
        ("2026-11-30T00:00:00 temp=21.5 hum=40", {"temp": "21.5", "hum": "40"}),
    ],
)
def test_other_forms(tmp_path: Path, line: str, fields: dict[str, str]) -> None:
    frame = read(tmp_path, f"{line}\n{line}\n")
    row = frame.columns.iloc[0].to_dict()
    stamp = next(iter(row))
    assert {key: value for key, value in row.items() if key != stamp} == fields
    assert pd.api.types.is_datetime64_any_dtype(frame.columns[stamp].dtype)


def test_text_that_is_no_log_is_refused_and_hostile_lines_cost_no_time(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is written in no form of log that is known; its first line is 'Dear all,'"):
        read(tmp_path, "Dear all,\nthis is a letter.\n")
    hostile = 'a="b c=' * 4000 + "!"
    frame = read(tmp_path, f"{APACHE}\n" * 9 + f"{hostile}\n" + '1 - - [ "' * 4000 + "\n" + "[" * 9000 + "\n")
    assert len(frame.bad) == 3
    stray = read(tmp_path, APACHE.encode() + b"\n" + APACHE.replace("frank", "fr").encode() + b"\xff\n")
    assert "stand as \\xNN" in " ".join(stray.notes)


def test_look_proposes_the_recipe_that_reads_a_log_and_it_is_built(tmp_path: Path) -> None:
    lines = [
        f'10.0.0.{n % 5} - - [10/Oct/2000:13:{n // 60:02d}:{n % 60:02d} -0700] "GET /{n % 7} HTTP/1.1" '
        f"{200 if n % 3 else 404} {n * 13}"
        for n in range(120)
    ]
    file = tmp_path / "access.log.gz"
    file.write_bytes(gzip.compress("\n".join([*lines, "out of order"]).encode()))
    best = look_at(file).best
    assert best is not None and best.kind == "table" and "read as a log: access log" in " ".join(best.choices)
    value = {**best.recipe, "target": "status", "time": "time", "columns": [{"name": "status", "type": "category"}]}
    outcome = build_table_dataset(validate(value, TableRecipe), Workspace(tmp_path / "w"), name="t")
    assert outcome.record.rows_read == 121 and any(step.removed for step in outcome.record.steps if step.name == "read")


def test_syslog_is_proposed_with_a_year_to_check_and_a_folder_is_read_as_logs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name, day in (("syslog", 2), ("syslog.1", 1)):
        text = "".join(f"Nov  {day} 00:{n:02d}:00 web app[{n % 3}]: value {n}\n" for n in range(40))
        (tmp_path / "logs" / name).write_text(text)
    best = look_at(tmp_path / "logs" / "syslog", "table").best
    assert best is not None and best.recipe["sources"][0]["year"] > 2024 and "Check year" in " ".join(best.choices)
    source = {"type": "local", "path": str(tmp_path / "logs"), "licence": "own data", "format": "log", "year": 2026}
    value = {"kind": "table", "target": "pid", "sources": [source]}
    assert build_table_dataset(validate(value, TableRecipe), Workspace(tmp_path / "w"), name="t").record.rows_read == 80


def test_a_sensor_s_log_is_a_series(tmp_path: Path) -> None:
    file = tmp_path / "sensor.log"
    file.write_text(
        "".join(f"2026-11-{1 + n // 24:02d}T{n % 24:02d}:00:00 temp={20 + n % 24 / 10} hum={40 + n % 5}\n" for n in range(480))
    )
    source = {"type": "local", "path": str(file), "licence": "own data", "format": "log"}
    value = {"kind": "series", "sources": [source], "columns": {"time": "time", "value": "temp", "past": ["hum"]}}
    outcome = build_series_dataset(validate(value, SeriesRecipe), Workspace(tmp_path / "w"), name="s")
    assert outcome.record.rows_read == 480
    best = look_at(file, "series").best
    assert best is not None and best.recipe["sources"][0]["format"] == "log"
