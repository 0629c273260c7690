"""Whole tables from files: the quick way and the careful one agree, and whatever is wrong is one sentence."""

from __future__ import annotations

import csv
import random
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError, MissingExtraError, UserError
from studio.core.extras import available
from studio.data.frames import FRAMES, FrameOptions, read_frame
from studio.data.frames import csv as csv_frames
from studio.data.frames.packages import package_table
from studio.data.frames.queries import query_duckdb, query_sqlite

PLAIN = FrameOptions()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def columns_of(path: Path, options: FrameOptions = PLAIN) -> dict[str, list[object]]:
    return {name: list(values) for name, values in read_frame(path, options).columns.items()}


def test_csv_is_text_and_nothing_is_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'name,price,note\nA,007,"two\nlines"\nB,NA,"say ""hi"""\n\nC,,x\n')
    frame = read_frame(path, PLAIN)
    assert columns_of(path) == {"name": ["A", "B", "C"], "price": ["007", "NA", ""], "note": ["two\nlines", 'say "hi"', "x"]}
    assert frame.numbers.tolist() == [1, 2, 3] and not frame.bad


@pytest.mark.parametrize(
    ("name", "text", "encoding", "options"),
    [
        ("a.csv", "a;b\n1,5;ä\n", "utf-8", PLAIN),
        ("a.csv", "sep=;\na;b\n1,5;ä\n", "utf-8", PLAIN),
        ("a.tsv", "a\tb\n1,5\tä\n", "utf-8", PLAIN),
        ("a.csv", "\ufeffa|b\r\n1,5|ä\r\n", "utf-8", PLAIN),
        ("a.csv", "a;b\n1,5;ä\n", "cp1252", FrameOptions(encoding="cp1252")),
        ("a.csv", "a;b\n1,5;ä\n", "utf-16", FrameOptions(encoding="utf-16")),
        ("a.csv", "a:b\n1,5:ä\n", "utf-8", FrameOptions(delimiter=":")),
        ("a.csv", "1,5;ä\n", "utf-8", FrameOptions(delimiter=";", header=("a", "b"))),
    ],
)
def test_separators_marks_and_encodings(tmp_path: Path, name: str, text: str, encoding: str, options: FrameOptions) -> None:
    assert columns_of(write(tmp_path / name, text, encoding), options) == {"a": ["1,5"], "b": ["ä"]}


def test_the_quick_way_and_the_careful_one_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    pieces = ["", "a", "1.5", 'q"q', "x,y", "line\nline", " blank ", "é", "#"]
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["one", "two", "three"])
        writer.writerows([rng.choice(pieces) for _ in range(2)] + ["end"] for _ in range(500))
    quick = read_frame(path, PLAIN)
    monkeypatch.setattr(csv_frames, "_sound", lambda *_: None)
    slow = read_frame(path, PLAIN)
    pd.testing.assert_frame_equal(quick.columns, slow.columns)
    assert quick.numbers.tolist() == slow.numbers.tolist() == list(range(1, 501))


def test_ragged_lines_are_named_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a.csv", "a,b\n1,2\n3\n4,5\n6,7,8\n9,10\n"), PLAIN)
    assert frame.columns["a"].tolist() == ["1", "4", "9"] and frame.numbers.tolist() == [1, 3, 5]
    assert [(bad.number, bad.reason) for bad in frame.bad] == [
        (2, "has 1 values, the header has 2 (line 3)"),
        (4, "has 3 values, the header has 2 (line 5)"),
    ]


def test_a_quote_that_nobody_closes_swallows_no_rows_without_a_word(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a.csv", 'a,b\n1,"x\n2,y\n3,z\n'), PLAIN)
    assert frame.columns["a"].tolist() == ["2", "3"]
    assert [bad.number for bad in frame.bad] == [1] and "never closed" in frame.bad[0].reason


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "a,b\n", "has a line of names and no rows"),
        ("a.csv", "a,b,a\n1,2,3\n", r"several columns called 'a' \(columns 1, 3\)"),
        ("a.json", "[]", "holds no rows"),
        ("a.xlsx", "no workbook", "cannot be read as an xlsx file"),
        ("a.parquet", "no parquet", "cut off or damaged"),
        ("a.ods", "x", "cannot be read as an ods file"),
        ("a.xls", "x", "of no known kind.*Save it as xlsx"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_frame(write(tmp_path / name, text), PLAIN)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_the_wrong_encoding_names_its_first_byte(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"byte 3 is 0xe4.*encoding: cp1252"):
        read_frame(write(tmp_path / "a.csv", "a,bä\n1,2\n", "cp1252"), FrameOptions(encoding="utf-8"))


def test_workbooks_keep_numbers_and_times_and_mixed_columns_become_text(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    frame = pd.DataFrame(
        {"n": [1.5, None, 3], "mixed": [1, "two", None], "day": pd.to_datetime(["2024-01-05", None, "2024-02-05"])}
    )
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame().to_excel(writer, sheet_name="empty")
        frame.to_excel(writer, sheet_name="rows", index=False, startrow=2)
    read = read_frame(path, PLAIN).columns
    assert read["n"].dtype == np.float64 and read["n"].tolist()[0] == 1.5 and read["n"].isna().tolist() == [False, True, False]
    assert read["mixed"].iloc[:2].tolist() == ["1", "two"] and read["mixed"].isna().tolist() == [False, False, True]
    assert pd.api.types.is_datetime64_any_dtype(read["day"].dtype)


def test_of_several_sheets_one_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with pd.ExcelWriter(path) as writer:
        for name in ("one", "two"):
            pd.DataFrame({name: [1, 2]}).to_excel(writer, sheet_name=name, index=False)
    with pytest.raises(DataError, match="several sheets with rows: one, two"):
        read_frame(path, PLAIN)
    assert list(read_frame(path, FrameOptions(sheet="two")).columns) == ["two"]
    with pytest.raises(UserError, match="no sheet 'tow'. Did you mean 'two'"):
        read_frame(path, FrameOptions(sheet="tow"))


def test_json_lines_with_a_bad_line_and_keys_that_come_late(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2, "b": {"x": [1]}}\nnonsense\n[1, 2]\n{"b": "t", "a": 3.5}\n')
    frame = read_frame(path, PLAIN)
    assert frame.columns["a"].tolist() == [1, 2, 3.5] and frame.numbers.tolist() == [1, 2, 5]
    assert frame.columns["b"].tolist()[1:] == ['{"x": [1]}', "t"] and frame.columns["b"].isna().tolist() == [True, False, False]
    assert [bad.number for bad in frame.bad] == [3, 4]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(
        {"n": [1, 2], "c": pd.Categorical(["x", "y"]), "b": [True, False], "t": pd.to_datetime(["2024-01-01"] * 2)}
    )
    frame.to_parquet(path)
    read = read_frame(path, PLAIN).columns
    assert pd.api.types.is_integer_dtype(read["n"].dtype) and read["c"].tolist() == ["x", "y"]
    assert pd.api.types.is_bool_dtype(read["b"].dtype) and pd.api.types.is_datetime64_any_dtype(read["t"].dtype)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, price REAL, city TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(1, 2.5, "Ulm"), (2, None, "Bonn"), (3, 4.0, None)])
    return path


def test_sqlite_rows_of_a_query(shop: Path) -> None:
    frame = query_sqlite(shop, "SELECT id, price * 2 AS double, upper(city) AS city FROM orders ORDER BY id DESC").columns
    assert frame["id"].tolist() == [3, 2, 1] and frame["double"].tolist()[0] == 8.0
    assert frame["city"].isna().tolist() == [True, False, False] and frame["city"].tolist()[1:] == ["BONN", "ULM"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "ATTACH DATABASE '/tmp/other.sqlite' AS other",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM ordres",
        "SELECT load_extension('x')",
    ],
)
def test_a_query_only_reads(shop: Path, query: str) -> None:
    before = shop.read_bytes()
    with pytest.raises(UserError, match="cannot be run"):
        query_sqlite(shop, query)
    assert shop.read_bytes() == before


def test_a_query_without_rows_and_a_file_that_is_no_database(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="finds no rows"):
        query_sqlite(shop, "SELECT * FROM orders WHERE price > 100")
    with pytest.raises(DataError, match="is no SQLite file"):
        query_sqlite(write(tmp_path / "a.sqlite", "text" * 1000), "SELECT * FROM orders")
    with pytest.raises(DataError, match="several columns called 'id'"):
        query_sqlite(shop, "SELECT id, id FROM orders")


@pytest.mark.skipif(available("duckdb"), reason="DuckDB is installed")
def test_without_duckdb_the_pip_line_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'finetuning-studio\[duckdb\]'"):
        query_duckdb(tmp_path, "SELECT 1")


@pytest.mark.skipif(not available("duckdb"), reason="needs DuckDB (the extra duckdb)")
def test_duckdb_reads_its_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    write(folder / "a.csv", "city,price\nUlm,2\nBonn,3\n")
    outside = write(tmp_path / "outside.csv", "secret\n1\n")
    frame = query_duckdb(folder, "SELECT city, sum(price) AS total FROM './a.csv' GROUP BY city ORDER BY city").columns
    assert frame["city"].tolist() == ["Bonn", "Ulm"] and frame["total"].tolist() == [3, 2]
    for place in (outside, "../outside.csv", "./../outside.csv", folder / ".." / "outside.csv"):
        with pytest.raises(UserError, match="cannot be run"):
            query_duckdb(folder, f"SELECT * FROM read_csv('{place}')")
    with pytest.raises(UserError, match="more than read"):
        query_duckdb(folder, f"COPY (SELECT 1) TO '{folder / 'b.csv'}'")
    assert sorted(file.name for file in folder.iterdir()) == ["a.csv"]


def test_duckdb_file(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
    assert query_duckdb(tmp_path / "a.duckdb", "SELECT * FROM t ORDER BY a").columns["b"].tolist() == ["x", "y"]


def test_tables_inside_packages() -> None:
    iris = package_table("scikit-learn", "iris").columns
    assert iris.shape == (150, 5) and sorted(iris["target"].unique()) == ["setosa", "versicolor", "virginica"]
    diabetes = package_table("scikit-learn", "diabetes").columns
    assert diabetes.shape == (442, 11) and diabetes["age"].iloc[0] == 59, "as measured, not scaled"
    assert package_table("statsmodels", "fair").columns.shape[0] == 6366
    with pytest.raises(UserError, match="Pictures of digits are no table"):
        package_table("scikit-learn", "digits")
    with pytest.raises(UserError, match="Did you mean 'wine'"):
        package_table("scikit-learn", "wien")
    with pytest.raises(UserError, match="statsmodels holds no data set 'fiar'. Did you mean 'fair'"):
        package_table("statsmodels", "fiar")


def test_every_suffix_has_a_reader() -> None:
    assert {".csv", ".tsv", ".xlsx", ".parquet", ".json", ".jsonl"} <= set(FRAMES)
