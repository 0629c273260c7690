"""Writing numbers for people, the same way on a page and in a terminal."""

from __future__ import annotations


def number(value: float | None, *, signed: bool = False) -> str:
    """A number for people: three significant digits where it is small, none after the point from 100 on."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    if not text.strip("+-0.,"):
        return "0"
    return text.replace("-", "−")


def figure(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A value in its unit: shares as percent, a difference of shares in percentage points, everything else as :func:`number`."""
    if value is None or not unit.startswith("share"):
        return number(value, signed=signed)
    text = f"{100 * value:{'+' if signed and value else ''}.1f}".replace("-0.0", "0.0").replace("-", "−")
    return f"{text} pp" if signed else f"{text}%"


def interval_text(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """``1.2 to 3.4``, or a dash where there is no interval."""
    if low is None or high is None:
        return "–"
    return f"{number(low, signed=signed)} to {number(high, signed=signed)}"
