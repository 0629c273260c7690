"""Nothing is ever half written, and a full or read-only disk is told in one sentence."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from studio.core import files
from studio.core.errors import StudioError
from studio.core.files import folder_size, new_folder, sha256_file, sha256_json, write_json, write_text


def test_write_replaces_in_one_step_and_makes_folders(tmp_path: Path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"é": 1})
    write_json(path, {"é": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": 2}
    assert path.read_bytes().endswith(b"}\n")
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["b.json"]


def test_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "keep.txt"
    write_text(path, "old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudioError) as caught:
        write_text(path, "new")
    assert str(caught.value) == (
        f"could not write keep.txt to {tmp_path}: the disk is full. "
        "Make room or choose another place with --workspace (or STUDIO_WORKSPACE)."
    )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["keep.txt"]


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "keep.txt"
    write_text(path, "old")

    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["keep.txt"]


def test_really_full_disk(small_disk: Path):
    path = small_disk / "keep.txt"
    write_text(path, "old")
    with pytest.raises(StudioError, match="could not write keep.txt to .*small: the disk is full"):
        write_text(path, "x" * 200_000)
    assert path.read_text() == "old"
    assert os.listdir(small_disk) == ["keep.txt"]


def test_really_full_disk_in_a_new_folder(small_disk: Path):
    with (
        pytest.raises(StudioError, match="could not write artefact to .*small: the disk is full"),
        new_folder(small_disk / "artefact") as draft,
    ):
        (draft / "big.bin").write_bytes(b"x" * 200_000)
    assert os.listdir(small_disk) == []


def test_really_read_only_disk(read_only_disk: Path):
    with pytest.raises(StudioError, match="could not write a.txt to .*frozen: the file system is read-only"):
        write_text(read_only_disk / "a.txt", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_folder_without_permission(tmp_path: Path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(StudioError, match="there is no permission to write"):
        write_text(folder / "a.txt", "x")


def test_other_system_errors_pass_unchanged(tmp_path: Path):
    with pytest.raises(OSError, match="File name too long") as caught, files.disk_errors("a file", tmp_path):
        raise OSError(errno.ENAMETOOLONG, "File name too long")
    assert not isinstance(caught.value, StudioError)


def test_a_full_disk_under_safetensors_is_told_too(small_disk: Path):
    import torch
    from safetensors.torch import save_file

    with (
        pytest.raises(StudioError, match=r"^could not write weights to .*: the disk is full. "),
        files.disk_errors("weights", small_disk),
    ):
        save_file({"a": torch.zeros(100_000)}, small_disk / "a.safetensors")


def test_new_folder_appears_whole_or_not_at_all(tmp_path: Path):
    final = tmp_path / "artefact"
    with pytest.raises(RuntimeError), new_folder(final) as draft:
        (draft / "half").touch()
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with new_folder(final) as draft:
        (draft / "whole").touch()
        assert not final.exists()
        assert draft.name.startswith(".")
    assert os.listdir(final) == ["whole"]


def test_new_folder_overwrites_nothing(tmp_path: Path):
    final = tmp_path / "artefact"
    final.mkdir()
    (final / "mine").touch()
    with pytest.raises(StudioError, match="exists already and is not overwritten"), new_folder(final) as draft:
        (draft / "theirs").touch()
    assert os.listdir(tmp_path) == ["artefact"]
    assert os.listdir(final) == ["mine"]


def test_hashes_and_sizes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"12345")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 2, "b": 1})
    assert folder_size(tmp_path) == 8


def test_size_of_a_folder_that_changes_underneath(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert folder_size(tmp_path) == 3
