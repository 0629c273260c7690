"""Files with bytes changed, cut, doubled or put in at random: rows, damage or one sentence, never another error and no end."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.core.errors import UserError
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions
from studio.data.frames import FRAMES, FrameOptions, read_frame
from studio.data.readers import READERS, Raw, read_file
from studio.data.readers.packed import kind_of, members

ROWS = [{"question": f"Vad är {n}? 问题", "answer": f'Ett "hus", med tak {n} 😀', "n": n} for n in range(20)]
LINES = "\n".join(json.dumps(row, ensure_ascii=bool(row["n"] % 2)) for row in ROWS).encode()
CSV = "question,answer\n" + "".join(f'{row["question"]},"{row["answer"].replace(chr(34), chr(34) * 2)}"\n' for row in ROWS)
ODDITIES = [
    b"\0", b'"', b"\xff", b"{", b"[", b"]", b"}", b"\\", b"\n", b"\\ud83d", b"\xed\xa0\xbd", b"NaN", b"1e999", b"&x;", b"<",
    b"</r>", b",", b"\r", b"*a", b"&a ", b": ", b"\xef\xbb\xbf", b"\xff\xfe", b"9" * 5000,
]  # fmt: skip


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def xlsx() -> bytes:
    book, sink = openpyxl.Workbook(), io.BytesIO()
    for line in [("q", "a"), *((row["question"], row["n"]) for row in ROWS)]:
        book.active.append(line)
    book.save(sink)
    return sink.getvalue()


def archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.csv", CSV)
        opened.writestr("b/c.jsonl", LINES)
    return sink.getvalue()


FILES = {
    "a.json": json.dumps(ROWS, ensure_ascii=False).encode(), "b.json": json.dumps({"meta": [1], "rows": ROWS}).encode(),
    "a.jsonl": LINES, "a.csv": CSV.encode(), "a.tsv": CSV.replace(",", "\t").encode(), "b.csv": CSV.encode("utf-16-le"),
    "c.csv": CSV.replace("😀", "").replace("ä", "a").encode("gb18030"), "a.yaml": json.dumps(ROWS[:9]).encode(),
    "b.yaml": b"conversations:\n- - &a Are you sure?\n  - *a\n- - How?\n  - 12\n", "a.parquet": parquet(), "a.xlsx": xlsx(),
    "a.xml": "<t>{}</t>".format("".join(f"<r id='{n}'><q>ä{n}</q></r>" for n in range(20))).encode(), "a.zip": archive(),
    "a.jsonl.gz": gzip.compress(LINES), "a.csv.bz2": bz2.compress(CSV.encode()), "a.json.xz": lzma.compress(LINES),
    "a.txt": b"Q: x\nA: y\n" * 5, "a.md": "# Hus\n\nmed tak på ö\n".encode("cp1252"),
}  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0:
                found[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del found[place : place + chance.choice([1, 1, 5, 50, 500])]
            case 2:
                found[place:place] = chance.choice(ODDITIES)
            case 3:
                found[place:place] = found[place : place + chance.choice([2, 20, 200])]
            case 4 if chance.random() < 0.3:
                del found[place:]
    return bytes(found)


def inside(data: bytes, chance: random.Random) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            part = source.read(item)
            target.writestr(item.filename, mutated(part, chance) if chance.random() < 0.4 else part)
    return sink.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_changed_at_random(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    chance = random.Random(name)
    path = tmp_path / name
    for _ in range(10 if name == "a.xlsx" else 40):
        packed = path.suffix in {".zip", ".xlsx"} and chance.random() < 0.6
        path.write_bytes((inside if packed else mutated)(FILES[name], chance))
        try:
            places = [path / member for member in members(path, READERS)[0]] if path.suffix == ".zip" else [path]
        except UserError as error:
            assert "\n" not in str(error)
            continue
        for place in places:
            try:
                values = [one.value for one in read_file(place, ChatReadOptions(), CHAT_READERS) if isinstance(one, Raw)]
                json.dumps(values, ensure_ascii=False, default=str).encode()
            except UserError as error:
                assert "\n" not in str(error)
            if kind_of(place) in FRAMES:
                try:
                    pa.Table.from_pandas(read_frame(place, FrameOptions()).columns)
                except UserError as error:
                    assert "\n" not in str(error)
