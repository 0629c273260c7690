"""Workbooks and XML as rows: one sheet, one element that repeats; where several could be meant it is asked."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from studio.core.errors import DataError, UserError
from studio.data.frames import FrameOptions, read_frame
from studio.data.readers import Damage, Raw, ReadOptions, read_file

HEAD = (
    '<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">'
    "<office:body><office:spreadsheet>"
)
TAIL = "</office:spreadsheet></office:body></office:document-content>"


def cell(text: str, more: str = "") -> str:
    return f'<table:table-cell office:value-type="string"{more}><text:p>{text}</text:p></table:table-cell>'


def ods(path: Path, *sheets: tuple[str, str]) -> Path:
    tables = "".join(f'<table:table table:name="{name}">{rows}</table:table>' for name, rows in sheets)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", HEAD + tables + TAIL)
    return path


def rows(path: Path, **options: str) -> list:
    return [found.value for found in read_file(path, ReadOptions(**options)) if isinstance(found, Raw)]


def workbook(path: Path, **sheets: list[tuple]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


def test_a_sheet_is_rows_under_its_first_line(tmp_path: Path) -> None:
    lines = [
        (),
        ("question", "answer", None, "n", "day"),
        ("What is it?", "A wren", None, 3, date(2024, 1, 5)),
        (),
        ("And?", None, None, 2.5),
    ]
    path = workbook(tmp_path / "a.xlsx", rows=lines, empty=[])
    assert rows(path) == [
        {"question": "What is it?", "answer": "A wren", "n": 3, "day": "2024-01-05"},
        {"question": "And?", "answer": None, "n": 2.5, "day": None},
    ]
    columns = read_frame(path, FrameOptions()).columns
    assert list(columns) == ["question", "answer", "n", "day"] and columns["n"].tolist() == [3.0, 2.5]


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_of_several_sheets_one_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "xlsx":
        workbook(path, one=[("q",), ("a",)], two=[("r",), ("b",)], notes=[("only a title",)])
    else:
        line = "<table:table-row>{}</table:table-row>"
        sheets = {"one": ("q", "a"), "two": ("r", "b"), "notes": ("only a title",)}
        ods(path, *((name, "".join(line.format(cell(text)) for text in texts)) for name, texts in sheets.items()))
    with pytest.raises(DataError, match="several sheets with rows: one, two. Say which is meant: sheet: one"):
        rows(path)
    assert rows(path, sheet="two") == [{"r": "b"}]
    with pytest.raises(UserError, match="has no sheet 'tow'. Did you mean 'two'"):
        rows(path, sheet="tow")
    assert read_frame(path, FrameOptions(sheet="one")).columns["q"].tolist() == ["a"]


def test_ods_types_repeats_and_blanks(tmp_path: Path) -> None:
    row = "<table:table-row{}>{}</table:table-row>"
    empty = '<table:table-cell table:number-columns-repeated="1000"/>'
    number = '<table:table-cell office:value-type="float" office:value="2.5"><text:p>2,50</text:p></table:table-cell>'
    day = '<table:table-cell office:value-type="date" office:date-value="2024-01-05"><text:p>5.1.24</text:p></table:table-cell>'
    yes = '<table:table-cell office:value-type="boolean" office:boolean-value="true"><text:p>WAHR</text:p></table:table-cell>'
    text = 'two<text:s text:c="2"/>blanks</text:p><text:p>and a <text:span>line</text:span>'
    body = (
        row.format("", cell("q") + cell("n") + cell("day") + cell("ok") + empty)
        + row.format("", cell(text) + number + day + yes + empty)
        + row.format(' table:number-rows-repeated="2"', cell("same", ' table:number-columns-repeated="2"') + empty)
        + row.format(' table:number-rows-repeated="1048000"', empty)
    )
    path = ods(tmp_path / "a.ods", ("Sheet1", body))
    assert rows(path) == [
        {"q": "two  blanks\nand a line", "n": 2.5, "day": "2024-01-05", "ok": True},
        {"q": "same", "n": "same", "day": None, "ok": None},
        {"q": "same", "n": "same", "day": None, "ok": None},
    ]
    assert read_frame(path, FrameOptions()).columns["n"].tolist() == ["2.5", "same", "same"]


def test_workbooks_that_cannot_be_used(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", rows=[("q", None), ("a", "beside")])
    with pytest.raises(DataError, match="row 1 holds 'beside' in column 2, which has no name in the first line"):
        rows(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match="cannot be read as an xlsx file"):
        rows(path)
    path = workbook(tmp_path / "b.xlsx", rows=[("q", "a")])
    assert list(read_file(path, ReadOptions())) == [Damage.of_file("has a line of names and no rows")]
    with (
        zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sink,
    ):
        for _ in range(600):
            sink.write(b" " * (1 << 20))
    with pytest.raises(DataError, match="which is what a zip bomb does"):
        rows(tmp_path / "bomb.xlsx")


def xml(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_the_element_that_repeats_is_the_row(tmp_path: Path) -> None:
    path = xml(
        tmp_path / "a.xml",
        '<?xml version="1.0" encoding="utf-8"?><faq xmlns="urn:x"><title>Birds</title><entries>'
        '<entry id="1"><question>What is it?</question><answer>A <b>wren</b>.</answer></entry>'
        '<entry id="2"><question>And?</question><tag>a</tag><tag>b</tag><answer/></entry></entries></faq>',
    )
    assert rows(path) == [
        {"id": "1", "question": "What is it?", "answer": "A wren."},
        {"id": "2", "question": "And?", "tag": ["a", "b"], "answer": ""},
    ]
    assert rows(path, records="question") == ["What is it?", "And?"]
    with pytest.raises(DataError, match="has no element 'entrey'. Did you mean 'entry'"):
        rows(path, records="entrey")


def test_xml_says_its_own_encoding_and_tables_read_it_too(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="{}"?><t><r><name>Łódź</name><n>1</n></r><r><name>Žilina</name><n>2</n></r></t>'
    for encoding in ("iso-8859-2", "utf-16"):
        path = xml(tmp_path / "a.xml", text.format(encoding), encoding)
        assert read_frame(path, FrameOptions()).columns.to_dict("list") == {"name": ["Łódź", "Žilina"], "n": ["1", "2"]}


def test_xml_that_could_mean_two_things_or_nothing(tmp_path: Path) -> None:
    path = xml(tmp_path / "a.xml", "<t><a><x>1</x></a><a><x>2</x></a><b><y>3</y></b><b><y>4</y></b></t>")
    with pytest.raises(DataError, match=r"several elements that repeat: a \(2\), b \(2\). Say which are the rows: records: a"):
        rows(path)
    assert rows(path, records="b") == [{"y": "3"}, {"y": "4"}]
    assert list(read_file(xml(path, "<t><a>1</a></t>"), ReadOptions())) == [Damage.of_file("holds no rows: no element repeats")]
    found = list(read_file(xml(path, "<t><a><x>1</x></a><a><x>2</x></a><a><x>3"), ReadOptions()))
    assert [one.value for one in found if isinstance(one, Raw)] == [{"x": "1"}, {"x": "2"}]
    assert isinstance(found[-1], Damage) and found[-1].reason.startswith("is cut off or not valid XML")


@pytest.mark.parametrize(
    "entity",
    [
        '<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd"> %a;',
    ],
)
def test_entities_are_refused(tmp_path: Path, entity: str) -> None:
    path = xml(tmp_path / "a.xml", f"<!DOCTYPE t [{entity}]><t><r><x>&a;</x></r><r><x>2</x></r></t>")
    with pytest.raises(DataError, match="declares the entity '[ab]', and files that declare entities are not read"):
        rows(path)


def test_a_document_type_alone_is_no_harm_and_depth_has_a_bound(tmp_path: Path) -> None:
    path = xml(tmp_path / "a.xml", '<!DOCTYPE t SYSTEM "t.dtd"><t><r><x>1</x></r><r><x>2</x></r></t>')
    assert rows(path) == [{"x": "1"}, {"x": "2"}]
    with pytest.raises(DataError, match="is nested deeper than 200 elements"):
        rows(xml(path, "<a>" * 100_000))


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_parts_of_workbooks_that_declare_entities_or_are_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "xlsx":
        workbook(path, rows=[("q",), ("a",)])
    else:
        ods(path, ("rows", "<table:table-row>" + cell("q") + "</table:table-row>"))
    with zipfile.ZipFile(path) as archive:
        parts = {item.filename: archive.read(item) for item in archive.infolist()}
    part = "content.xml" if suffix == "ods" else "xl/worksheets/sheet1.xml"
    for bad, said in (
        (b'<!DOCTYPE x [<!ENTITY a "lol">]><x>&a;</x>', "declares the entity 'a'"),
        (parts[part][:-30], f"cannot be read as an {suffix} file"),
        (parts[part].replace(b"=", b"", 1), f"cannot be read as an {suffix} file"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, bad if name == part else data)
        with pytest.raises(DataError, match=said):
            rows(path)
