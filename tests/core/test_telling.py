"""Cells, sizes and durations in words."""

from __future__ import annotations

from studio.core import telling


def test_cells():
    values = (None, True, False, 12345.6, 0.123456, 7, "two\nlines")
    assert [telling.cell_text(value) for value in values] == ["-", "yes", "no", "12,346", "0.1235", "7", "two lines"]


def test_sizes_and_durations():
    assert [telling.size_text(size) for size in (0, 999, 1500, 5_500_000_000, 2e12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "5.5 GB",
        "2.0 TB",
    ]
    assert [telling.duration_text(seconds) for seconds in (8.24, 200, 3720)] == ["8.2 s", "3 min 20 s", "1 h 02 min"]
