"""The page of a Dataset of pictures: whole without a network, everything from data escaped, counts that agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.data.images import report as report_module
from tests.data.images.made_pictures import build, image_recipe, scene

EVIL = '<script>alert("x")</script>'


@pytest.fixture
def page(own_pictures: Path, workspace: Workspace) -> str:
    (own_pictures / "scene-00.txt").write_text(EVIL)
    (own_pictures / "scene-01.txt").write_text(EVIL)
    (own_pictures / "copy.png").write_bytes((own_pictures / "scene-05.png").read_bytes())
    (own_pictures / "copy.txt").write_text("the copy")
    (own_pictures / f"{EVIL.replace('/', '')}.png").write_text("no picture")
    steps = [{"step": "exact_duplicates"}, {"step": "buckets", "size": 64, "multiple": 16}]
    outcome = build(image_recipe(own_pictures, steps, source={"label": "folder"}), workspace)
    return (outcome.folder / "report.html").read_text(encoding="utf-8")


def test_everything_is_inside_and_escaped(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", page)


def test_what_went_and_what_stays_is_shown(page: str) -> None:
    # copy.png comes first by name, so the picture with a caption is the copy.
    assert re.search(r"<b>exact_duplicates</b>: same pixels", page) and "<b>went</b> shapes number 5" in page
    assert "<b>stays</b> the copy" in page
    assert "<b>read</b>: not a picture" in page and "cannot be<br>shown" in page
    kept = page.partition("What stays")[2]
    assert kept.count('class="tile"') == 20 and "80x48" in kept, "every picture that stays, and its bucket"


def test_long_lists_are_cut_and_counted(own_pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "_GONE_SHOWN", 5)
    monkeypatch.setattr(report_module, "_KEPT_SHOWN", 8)
    for number in range(9):
        scene(200 + number, (20, 20)).save(own_pictures / f"small-{number}.png")
    outcome = build(image_recipe(own_pictures, [{"step": "size", "min_side": 30}]), workspace)
    page = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert "… and 4 more." in page and "(12 of them, spread evenly)" in page
