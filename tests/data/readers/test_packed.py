"""Packed files: read as what lies in them, and never unpacked without a bound or outside their place."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.errors import DataError, MissingExtraError
from studio.core.workspace import cache_folder
from studio.data.frames import FrameOptions, read_frame
from studio.data.memo import HashMemo
from studio.data.readers import READERS, Damage, Raw, ReadOptions, packed, read_file
from studio.data.sources import files_left_out, resolve_local

ROWS = [{"question": f"Which bird is no. {number}?", "answer": "A wren, löv"} for number in range(300)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = ("question,answer\n" + "".join(f'{row["question"]},"{row["answer"]}"\n' for row in ROWS)).encode()


def zstd(data: bytes) -> bytes:
    import zstandard

    return bytes(zstandard.ZstdCompressor().compress(data))


PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STUDIO_CACHE", str(folder))
    return folder


def rows(path: Path) -> list:
    return [found.value for found in read_file(path, ReadOptions()) if isinstance(found, Raw)]


@pytest.mark.parametrize("suffix", PACKERS)
def test_one_file_in_a_wrapper(tmp_path: Path, suffix: str) -> None:
    for name, data in (("rows.jsonl", LINES), ("rows.csv", CSV), ("rows.jsonlines", LINES)):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(PACKERS[suffix](data) + PACKERS[suffix](b""))
        assert rows(path) == ROWS
        assert read_frame(path, FrameOptions()).columns["answer"].tolist() == [row["answer"] for row in ROWS]
    assert list((cache_folder() / "unpacking").iterdir()) == []


@pytest.mark.parametrize("suffix", PACKERS)
def test_wrappers_that_are_cut_off_or_are_none_are_one_sentence_with_their_own_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    whole = PACKERS[suffix](LINES)
    for data in (whole[: len(whole) // 2], whole[:-3], b"no packed file at all"):
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            rows(path)
        assert str(caught.value).startswith(f"{path} is cut off or damaged (") and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_bomb_is_given_up_long_before_it_fills_the_disk(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_SMALL", 1 << 20)
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](b"\0" * (40 << 20)))
    monkeypatch.setattr(packed, "_RATIO", 100)
    with pytest.raises(DataError, match="which is what a zip bomb does"):
        rows(path)
    assert list((cache_folder() / "unpacking").iterdir()) == []


def test_all_readable_files_of_an_archive_are_read_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/rows.jsonl", LINES)
        archive.writestr("a.csv", CSV)
        archive.writestr("leaflet.pdf", b"%PDF-")
        archive.writestr("__MACOSX/a.csv", b"x")
        archive.writestr(".hidden.csv", b"x")
    memo = HashMemo(tmp_path / "memo.json")
    location, identity, files = resolve_local(str(path), "**/*", tmp_path, memo, READERS)
    assert [file.label for file in files] == ["all.zip/a.csv", "all.zip/b/rows.jsonl"]
    assert [rows(file.path) for file in files] == [ROWS, ROWS]
    assert files_left_out(location, "**/*", READERS) == "1 file was left out: .pdf (1). Known are " + ", ".join(sorted(READERS))
    _, in_folder, found = resolve_local(str(tmp_path), "*.zip", tmp_path, memo, READERS)
    assert [file.label for file in found] == ["all.zip/a.csv", "all.zip/b/rows.jsonl"] and in_folder == identity
    assert read_frame(files[0].path, FrameOptions()).columns["answer"].tolist()[0] == "A wren, löv"


def test_a_damaged_row_in_an_archive_is_named_by_its_place_there(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", "a,a\n1,2\n")
    with pytest.raises(DataError) as caught:
        rows(path / "rows.csv")
    assert str(caught.value).startswith(f"{path}/rows.csv has several columns called 'a'")
    with pytest.raises(DataError, match="holds no file 'gone.csv'"):
        rows(path / "gone.csv")


def link(name: str) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.external_attr = (stat.S_IFLNK | 0o777) << 16
    return item


BAD = {
    "leads out of the archive": ["../rows.csv", "/etc/rows.csv", "C:\\rows.csv", "a/../../rows.csv", "..\\rows.csv"],
    "is packed once more": ["inner.zip", "rows.csv.gz"],
}


@pytest.mark.parametrize(("said", "name"), [(said, name) for said, names in BAD.items() for name in names])
def test_what_no_archive_of_data_holds(tmp_path: Path, said: str, name: str) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), CSV)
    with pytest.raises(DataError, match=said):
        packed.members(path, READERS)


def test_links_doubles_secrets_and_bombs_in_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link("rows.csv"), "/etc/passwd")
    with pytest.raises(DataError, match="'rows.csv' is a link"):
        packed.members(path, READERS)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", CSV)
        archive.writestr("rows.csv", "a\n1\n")
    with pytest.raises(DataError, match="stands in it twice"):
        packed.members(path, READERS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", CSV)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"):
        packed.members(path, READERS)
    path.write_bytes(data[:40])
    with pytest.raises(DataError, match="is no zip archive, or is cut off"):
        packed.members(path, READERS)
    monkeypatch.setattr(packed, "_SMALL", 1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", b"\0" * (4 << 20))
    with pytest.raises(DataError, match="which is what a zip bomb does"):
        packed.members(path, READERS)


def test_a_member_whose_bytes_were_changed_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", CSV)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="cut off or damaged.*CRC"):
        rows(path / "rows.csv")


def test_a_packed_file_under_a_plain_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(gzip.compress(LINES))
    with pytest.raises(DataError, match=r"is called .jsonl and is packed with gzip. Give it its own ending \(.gz\)"):
        rows(path)
    path = tmp_path / "rows.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", CSV)
    with pytest.raises(DataError, match="is a zip archive or a workbook"):
        read_frame(path, FrameOptions())


def test_without_the_package_for_zst_the_pip_line_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl.zst"
    path.write_bytes(zstd(LINES))
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'finetuning-studio\[zstd\]'"):
        rows(path)


def test_an_empty_file_in_a_wrapper_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b""))
    assert list(read_file(path, ReadOptions())) == [Damage.of_file("is empty")]
