"""Pages that are pictures: read where the extra is installed, and told with the way to it where it is not."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont

from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import read_split
from studio.data.documents.pdf import read_pdf
from studio.data.documents.scans import can_read_scans
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe

LINES = ("What is a fire door?", "A fire door is 80 centimetres wide.", "Die Türen schließen von selbst.")
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
installed = pytest.mark.skipif(not can_read_scans(), reason="pip install 'finetuning-studio[ocr]'")


def write_scan(path: Path, *, blank: int = 0) -> Path:
    """A PDF of an A4 page that is a picture of a heading and two lines, and of blank pages."""
    pages = [Image.new("RGB", (1654, 2339), "white") for _ in range(1 + blank)]
    draw = ImageDraw.Draw(pages[0])
    for place, text in enumerate(LINES):
        draw.text((150, 200 + 55 * place + 60 * (place > 0)), text, "black", ImageFont.truetype(FONT, 70 if place == 0 else 36))
    pages[0].save(path, resolution=200, save_all=True, append_images=pages[1:])
    return path


@installed
def test_a_scan_is_read_and_its_rows_say_so(tmp_path: Path, workspace: Workspace) -> None:
    path = write_scan(tmp_path / "scan.pdf", blank=1)
    found = read_pdf(path)
    [passage] = found.passages
    assert passage.text == " ".join(LINES[1:]) and passage.headings == (LINES[0],)
    assert passage.ocr and passage.page == 1
    assert "scan.pdf: 1 page without text read by OCR (3 lines, mean confidence 0.9" in found.notes[0]
    assert "1 of 2 pages hold no text (scanned pictures?), and OCR found none either" in found.notes[1]
    source = {"type": "documents", "path": str(path), "licence": "own data"}
    recipe = load_value({"kind": "chat", "sources": [source], "split": {"validation": 0, "test": 0}}, ChatRecipe)
    built = build_chat_dataset(recipe, workspace, name="scans")
    [row] = read_split(built.folder, "train")
    assert row.meta["ocr"] is True and row.messages[0]["content"] == LINES[0]
    assert any("read by OCR" in note for note in built.notes)


def test_without_the_extra_a_scan_is_told_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.documents.pdf.can_read_scans", lambda: False)
    found = read_pdf(write_scan(tmp_path / "scan.pdf"))
    assert found.passages == ()
    assert "its only page holds no text (scanned pictures?)" in found.notes[0]
    assert "pip install 'finetuning-studio[ocr]'" in found.notes[0]
