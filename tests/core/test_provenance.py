"""The mark in a painted PNG: written, kept by Gradio's own writer, read back, and not fooled by changed pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from studio.core.provenance import SOURCE_TYPE, Origin, mark, png_texts, read_mark
from studio.models.images.grid import save_picture_grid
from tests.conftest import Result


def picture() -> Image.Image:
    made = Image.new("RGB", (40, 30), "white")
    ImageDraw.Draw(made).ellipse((5, 5, 30, 25), fill="red")
    return made


def saved(path: Path, **origin: object) -> Path:
    made = mark(picture(), Origin("sweets/1", **origin))  # type: ignore[arg-type]
    made.save(path, pnginfo=png_texts(made))
    return path


def test_a_mark_is_read_back_and_survives_a_copy_but_no_change(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", base="sd15", seed=7, steps=20)
    found = read_mark(path)
    assert found.state == "as painted" and found.source_type == SOURCE_TYPE and found.mark is not None
    assert {name: found.mark[name] for name in ("model", "base", "seed", "steps")} == {
        "model": "sweets/1", "base": "sd15", "seed": 7, "steps": 20
    }  # fmt: skip
    assert b"iTXt" in path.read_bytes() and b"XML:com.adobe.xmp" in path.read_bytes()
    with Image.open(path) as opened:
        opened.load()
        changed = opened.copy()
    changed.putpixel((0, 0), (0, 0, 1))
    changed.save(tmp_path / "b.png", pnginfo=png_texts(changed))
    assert read_mark(tmp_path / "b.png").state == "changed since"
    picture().save(tmp_path / "c.png")
    assert read_mark(tmp_path / "c.png").state == "no mark"


def test_a_download_from_the_app_keeps_the_mark(tmp_path: Path) -> None:
    from gradio.processing_utils import save_pil_to_cache

    file = save_pil_to_cache(mark(picture(), Origin("sweets/1 (tuned)", seed=3)), str(tmp_path), format="png")
    found = read_mark(Path(file))
    assert found.state == "as painted" and found.mark is not None and found.mark["seed"] == 3 and found.source_type == SOURCE_TYPE


def test_sample_grids_are_marked(tmp_path: Path) -> None:
    save_picture_grid([picture(), picture()], ["a", "b"], tmp_path / "grid.png", model="sweets/1")
    found = read_mark(tmp_path / "grid.png")
    assert found.state == "as painted" and found.mark is not None and found.mark["model"] == "sweets/1"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"GIF89a", b"just text"])
def test_files_that_are_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    assert read_mark(tmp_path / "x.png").state == "no picture"


def test_the_command(studio: Callable[..., Result], tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", seed=7)
    told = studio("provenance", path)
    assert told.code == 0 and "as painted" in told.out and "sweets/1" in told.out
    picture().save(tmp_path / "c.png")
    gate = studio("provenance", path, tmp_path / "c.png", "--gate")
    assert gate.code == 3 and "1 of 2 files have no mark that fits" in gate.err
    assert studio("provenance", path, "--json").json[0]["mark"]["model"] == "sweets/1"
    missing = studio("provenance", tmp_path / "nothing.png")
    assert missing.code == 2 and "there is no file" in missing.err
