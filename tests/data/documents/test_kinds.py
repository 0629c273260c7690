"""Every kind of document: what a person reads in it, and one sentence for one that cannot be read."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from studio.core.errors import DataError, MissingExtraError
from studio.data.documents import base
from studio.data.documents.base import DOCUMENTS, Passage, read_document
from tests.data.documents.making import WEB_PAGE, page_of, write_docx, write_epub, write_notebook, write_pdf


def test_a_pdf_is_paragraphs_under_headings_with_their_pages(tmp_path: Path) -> None:
    first = page_of("Ovens", ("An oven heats up in ten", "minutes at most."), ("It is cleaned on Fridays.",))
    second = page_of("Doors", ("A door is eighty centimetres wide.",))
    found = read_document(write_pdf(tmp_path / "a.pdf", [first, second], title="Manual"))
    assert found.title == "Manual" and found.notes == ()
    assert found.passages == (
        Passage("An oven heats up in ten minutes at most.", 1, ("Ovens",)),
        Passage("It is cleaned on Fridays.", 1, ("Ovens",)),
        Passage("A door is eighty centimetres wide.", 2, ("Doors",)),
    )


def test_headers_and_footers_of_a_pdf_are_left_out_and_said_so(tmp_path: Path) -> None:
    pages = [
        [
            (11, 820, "Owner & Sons"),
            *page_of(f"Part {word}", (f"Text of part {word} stands here.",)),
            (11, 20, f"Page {number} of 4"),
        ]
        for number, word in enumerate(("one", "two", "three", "four"), start=1)
    ]
    found = read_document(write_pdf(tmp_path / "a.pdf", pages))
    assert [one.text for one in found.passages] == [
        f"Text of part {word} stands here." for word in ("one", "two", "three", "four")
    ]
    assert "lines that stand on most pages were left out (Owner & Sons; Page # of #)" in found.notes[0]


def test_pages_without_text_are_counted(tmp_path: Path) -> None:
    found = read_document(write_pdf(tmp_path / "scan.pdf", [[], [], []]))
    assert found.passages == () and "scan.pdf: all 3 pages hold no text (scanned pictures?)" in found.notes[0]
    mixed = read_document(write_pdf(tmp_path / "mixed.pdf", [page_of("Ovens", ("Hot.",)), []]))
    assert "1 of 2 pages hold no text" in mixed.notes[0]


def test_a_word_document_has_headings_lists_and_tables(tmp_path: Path) -> None:
    found = read_document(write_docx(tmp_path / "a.docx", title="House book"))
    assert found.title == "House book" and found.notes == ()
    assert found.passages == (
        Passage("The laundry room is open from seven in the morning until nine in the evening.", None, ("Laundry",)),
        Passage("- A wash costs two coins.\n- Drying costs one coin.", None, ("Laundry", "What it costs")),
        Passage("| Machine | Coins |\n|---|---|\n| Dryer | 1 |", None, ("Laundry", "What it costs")),
    )


def test_macros_are_named_and_never_run(tmp_path: Path) -> None:
    found = read_document(write_docx(tmp_path / "a.docm", macros=True))
    assert found.passages[0].headings == ("Laundry",)
    assert found.notes == ("a.docm holds macros, which were not looked at",)


def test_a_web_page_is_its_main_text(tmp_path: Path) -> None:
    file = tmp_path / "rules.html"
    file.write_text(WEB_PAGE, encoding="utf-8")
    found = read_document(file)
    whole = "\n".join(one.text for one in found.passages)
    assert found.title == "House rules"
    assert "Copyright" not in whole and "Home" not in whole and "alert" not in whole and "color" not in whole
    assert "| Paper | blue |" in whole and "open = 7" in whole
    assert found.passages[0].headings == ("House rules",)
    assert next(one for one in found.passages if "quiet" in one.text).headings == ("House rules", "Quiet hours")


def test_a_page_of_two_lines_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.htm"
    file.write_text("<p>Open on<br>Friday.</p><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>", encoding="utf-8")
    found = read_document(file)
    assert [one.text for one in found.passages] == ["Open on Friday.", "- one\n  - inner\n- two"]
    assert "too short to tell its main text apart" in found.notes[0]


def test_a_book_is_read_in_the_order_of_its_spine(tmp_path: Path) -> None:
    chapters = ("<h1>One</h1><p>First text.</p>", "<h1>Two</h1><p>Second text.</p>")
    found = read_document(write_epub(tmp_path / "a.epub", chapters, title="Two parts"))
    assert found.title == "Two parts"
    assert found.passages == (Passage("First text.", None, ("One",)), Passage("Second text.", None, ("Two",)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nThe door <i>is</i>\n\n2\n00:00:02,100 --> 00:00:03,000\nwide.\n\n"
                  "3\n00:01:00,000 --> 00:01:02,000\nThe window is not.\n"),
        ("a.vtt", "WEBVTT - talk\n\nNOTE nothing\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>The door is\n\n"
                  "00:02.000 --> 00:03.000\nThe door is\nwide.\n\n01:00.000 --> 01:02.000\nThe window is not.\n"),
    ],
)  # fmt: skip
def test_subtitles_are_running_text_parted_by_silence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_document(tmp_path / name)
    assert [one.text for one in found.passages] == ["The door is wide.", "The window is not."]


def test_a_notebook_is_its_text_and_code_with_short_results(tmp_path: Path) -> None:
    cells = (
        {"cell_type": "markdown", "source": ["# Width\n", "A door is wide."]},
        {"cell_type": "code", "source": "print(80)", "outputs": [{"output_type": "stream", "text": ["80\n"]}]},
        {"cell_type": "code", "source": "x", "outputs": [{"data": {"text/plain": "y" * 900, "image/png": "aaaa"}}]},
    )
    found = read_document(write_notebook(tmp_path / "a.ipynb", *cells))
    assert [one.text for one in found.passages] == [
        "A door is wide.",
        "```python\nprint(80)\n```",
        "```\n80\n```",
        "```python\nx\n```",
    ]
    assert {one.headings for one in found.passages} == {("Width",)}


def _compound(path: Path) -> None:
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nothing.txt", "x")


def _torn(path: Path) -> None:
    write_docx(path)
    data = bytearray(path.read_bytes())
    data[60:160] = b"\xff" * 100
    path.write_bytes(bytes(data))


def _early(path: Path) -> None:
    """The table of a zip file says that it begins before the file does."""
    write_epub(path, ("<p>x</p>",))
    data = path.read_bytes()
    place = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[: place + 16] + b"\xff\xff\xff\x00" + data[place + 20 :])


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("a.pdf", lambda path: path.write_bytes(b"%PDF-1.4 but no more"), "is damaged or no PDF"),
        ("a.pdf", lambda path: write_pdf(path, [page_of("A", ("b.",))], encrypted=True), "is encrypted. Save a copy without a"),
        ("a.docx", lambda path: path.write_bytes(b"PK\x03\x04 nothing"), "is damaged or no Word document"),
        ("a.docx", _zip, "is damaged or no Word document"),
        ("a.docx", _torn, "is damaged or no Word document"),
        ("a.epub", _early, "is damaged or no EPUB book"),
        ("a.docx", _compound, "is encrypted, or of Word before 2007"),
        ("a.epub", _zip, "is damaged or no EPUB book"),
        ("a.html", lambda path: path.write_bytes(b"\0\1\2\3" * 50), "is no web page"),
        ("a.srt", lambda path: path.write_text("hello there"), "holds no line of times"),
        ("a.ipynb", lambda path: path.write_text("{"), "is damaged or no notebook"),
        ("a.ipynb", lambda path: path.write_text('{"worksheets": []}'), "is no notebook of format 4"),
        ("a.md", lambda path: path.write_bytes("Tür".encode("cp1252")), "its encoding is not certain: .*Save it as UTF-8."),
        ("a.doc", lambda path: path.write_text("x"), "is no document that can be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, make, said: str) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(DataError, match=said) as caught:
        read_document(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_docx(tmp_path / "a.docx")
    monkeypatch.setattr("studio.data.documents.packed.MOST_UNPACKED", 1 << 10)
    with pytest.raises(DataError, match="unpacks to"):
        read_document(file)
    with pytest.raises(DataError, match="more than the 0 MB"):
        base.check_size(file, 10)


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in (("a.pdf", "pypdfium2"), ("a.docx", "mammoth"), ("a.html", "trafilatura"), ("a.epub", "lxml.html")):
        (tmp_path / name).write_bytes(b"x")
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=rf"reading {name} needs .*pip install 'finetuning-studio\[documents\]'"):
            read_document(tmp_path / name)


def test_text_in_utf_16_and_text_after_code_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Tür\r\nEins.\r\n```\r\nx\r\n\r\ny\r\n```\r\nZwei.", encoding="utf-16", newline="")
    found = read_document(tmp_path / "a.md")
    assert [one.text for one in found.passages] == ["Eins.", "```\nx\n\ny\n```", "Zwei."]


def test_every_kind_that_is_registered_can_be_imported() -> None:
    assert all(callable(DOCUMENTS.get(ending)) for ending in DOCUMENTS)


def test_the_encoding_of_a_text_is_found_and_told(tmp_path: Path) -> None:
    said = "Wie heißt der Vogel für die Gärten?\n\nDer Zaunkönig, täglich schön."
    for encoding in ("cp1252", "utf-16-le"):
        path = tmp_path / "talk.txt"
        path.write_bytes(said.encode(encoding))
        document = read_document(path)
        assert [passage.text for passage in document.passages] == said.split("\n\n")
        assert document.notes[0].startswith(f"talk.txt: read as {encoding.upper()}")
    (tmp_path / "faq.md").write_bytes("# 第一种鸟叫什么名字?\n\n它叫鹪鹩,是一种小鸟。\n".encode("gb18030"))
    assert read_document(tmp_path / "faq.md").passages[0].headings == ("第一种鸟叫什么名字?",)


def test_a_short_page_keeps_its_headings(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html><body><nav>Home</nav><h1>FAQ</h1><h2>What is a cod?</h2><p>A fish of the sea.</p></body></html>")
    passages = {passage.headings: passage.text for passage in read_document(path).passages}
    assert passages["FAQ", "What is a cod?"] == "A fish of the sea."
