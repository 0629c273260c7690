"""SVG from strangers: checked for what reaches outside the file, then drawn by resvg. Nothing is fetched, no script runs."""

from __future__ import annotations

import gzip
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from studio.data.images.problems import PictureProblem

# Far above any drawing (the largest of 4,495 OpenMoji has 14 kB), far below what fills memory.
_MAX_BYTES = 16 * 1024**2
# Elements after <use> has been followed; a few lines of nested <use> can ask for billions.
_MAX_ELEMENTS = 100_000
# Numbers of a million and more; one coordinate of 4.7E54 makes resvg ask for more memory than there is.
_HUGE = re.compile(r"(?<![.\d])[1-9]\d{6,}|\d[eE]\+?0*(?:[6-9]|\d{2,})")
_GEOMETRY_NAMES = (
    "d points transform x y x1 x2 y1 y2 dx dy cx cy r rx ry fx fy width height viewBox stroke-width stroke-dasharray "
    "stroke-dashoffset stdDeviation scale radius gradientTransform patternTransform markerWidth markerHeight baseFrequency "
    "numOctaves order"
)
_GEOMETRY = frozenset(_GEOMETRY_NAMES.split())
_LINKS = ("href", "{http://www.w3.org/1999/xlink}href")


def render_svg(data: bytes, size: int, style: str | None) -> tuple[bytes, bool]:
    """Draw an SVG (or a gzipped one) so that its longer side has ``size`` pixels.

    resvg would read any file on this machine that ``<image href>`` names, so such a reference is refused before it is asked.
    Text is not drawn: its look would depend on the fonts of the machine.

    Returns:
        PNG with transparency, and whether the SVG holds text.
    Raises:
        PictureProblem: not an SVG, too large, or it refers to something outside itself.
    """
    import resvg_py

    text = _decode(data)
    root = _parse(text)
    for element in root.iter():
        _check_links(element)
        _check_numbers(element)
    if _expanded(root) > _MAX_ELEMENTS:
        raise PictureProblem("SVG asks for too much", f"over {_MAX_ELEMENTS:,} elements", f"at most {_MAX_ELEMENTS:,} elements")
    wide = _is_wide(root)
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=text,
            width=size if wide else None,
            height=None if wide else size,
            style_sheet=style,
            skip_system_fonts=True,
        )
    except ValueError as error:
        raise PictureProblem("SVG cannot be drawn", str(error).strip()) from error
    return bytes(png), any(_local(element) == "text" for element in root.iter())


def _decode(data: bytes) -> str:
    """Text of the file, unpacked where it is gzipped."""
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(_MAX_BYTES + 1)
        except (OSError, EOFError) as error:
            raise PictureProblem("SVG is not valid gzip", str(error)) from error
    if len(data) > _MAX_BYTES:
        raise PictureProblem("SVG is too large", f"over {_MAX_BYTES:,} bytes", f"at most {_MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PictureProblem("SVG is not UTF-8 text", f"byte {error.start}") from error


def _parse(text: str) -> ET.Element:
    """The tree of elements."""
    if "<!ENTITY" in text:
        # Entities can hide a reference from this check, or grow without bound.
        raise PictureProblem("SVG declares entities", "<!ENTITY", "none")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise PictureProblem("SVG is not valid XML", str(error)) from error
    if _local(root) != "svg":
        raise PictureProblem("not an SVG", f"its first element is <{_local(root)}>", "<svg>")
    return root


def _local(element: ET.Element) -> str:
    """Name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _check_links(element: ET.Element) -> None:
    """Refuse every reference that is neither inside the file nor the data itself."""
    if _local(element) == "a":
        return  # a link for people; nothing is drawn from it
    for key, value in element.attrib.items():
        link = value.strip()
        if (key in _LINKS or key.rpartition("}")[2] == "href") and link and not link.startswith(("#", "data:")):
            raise PictureProblem("SVG refers to something outside itself", f"<{_local(element)}> {link[:120]}", "#id or data:")


def _check_numbers(element: ET.Element) -> None:
    """Refuse a drawing of the size of a galaxy."""
    for key, value in element.attrib.items():
        found = _HUGE.search(value) if key in _GEOMETRY else None
        if found:
            near = value[max(0, found.start() - 20) : found.end() + 10]
            raise PictureProblem("SVG with an absurd number", f"<{_local(element)} {key}> … {near}", "below 1,000,000")


def _expanded(root: ET.Element) -> int:
    """How many elements are drawn once every ``<use>`` is followed; counting stops above the limit."""
    known = {element.get("id"): element for element in root.iter() if element.get("id")}
    counts: dict[int, int] = {}

    def count(element: ET.Element, above: frozenset[int]) -> int:
        if id(element) in counts:
            return counts[id(element)]
        if id(element) in above or len(above) > 200:
            return 1  # resvg breaks such circles itself
        inside = above | {id(element)}
        total = 1
        for child in [*element, *_used(element, known)]:
            total += count(child, inside)
            if total > _MAX_ELEMENTS:
                break
        counts[id(element)] = total
        return total

    return count(root, frozenset())


def _used(element: ET.Element, known: dict[str | None, ET.Element]) -> Iterator[ET.Element]:
    """What a ``<use>`` draws again."""
    if _local(element) == "use":
        for key in _LINKS:
            target = known.get(element.get(key, "").strip().removeprefix("#"))
            if target is not None:
                yield target


def _is_wide(root: ET.Element) -> bool:
    """True when width is the longer side, or nothing is said."""
    numbers = (root.get("viewBox") or root.get("viewbox") or "").replace(",", " ").split()
    pair = numbers[2:4] if len(numbers) == 4 else [root.get("width", ""), root.get("height", "")]
    try:
        width, height = (float(part.rstrip("pxtmcin%")) for part in pair)
    except ValueError:
        return True
    return width >= height
