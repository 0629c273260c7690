"""SVG from strangers: drawn, and nothing outside the file is read."""

from __future__ import annotations

import gzip
import importlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from studio.data.images.decode import DecodeOptions, decode
from studio.data.images.problems import PictureProblem
from studio.data.images.svg import render_svg
from tests.servers import Canary, canary_listening

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 20 10">'
BOX = '<rect width="10" height="10" fill="#c00000"/>'


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server that nobody should ever call."""
    with canary_listening() as found:
        yield found


def draw(body: str, size: int = 40, style: str | None = None) -> Image.Image:
    return decode((HEAD + body + "</svg>").encode(), DecodeOptions(svg_size=size, svg_style=style)).picture


def test_an_svg_is_drawn_at_its_own_shape_on_the_background() -> None:
    picture = draw(BOX)
    assert (picture.size, picture.getpixel((5, 5)), picture.getpixel((30, 5))) == ((40, 20), (192, 0, 0), (255, 255, 255))
    tall = (HEAD.replace("0 0 20 10", "0 0 10 20") + BOX + "</svg>").encode()
    assert decode(tall, DecodeOptions(svg_size=40)).picture.size == (20, 40)
    assert decode(gzip.compress(tall), DecodeOptions(svg_size=40)).picture.size == (20, 40)
    spoken = decode((HEAD + BOX + "<text>hello</text></svg>").encode(), DecodeOptions())
    assert spoken.remark == "SVG with text, which is not drawn" and spoken.picture.getcolors(9) is not None
    hidden = draw(f'<g id="color">{BOX}</g>', style="#color { display: none }")
    assert hidden.getcolors() == [(800, (255, 255, 255))]


@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
@pytest.mark.parametrize("element", ["image", "feImage", "use"])
def test_nothing_outside_the_file_is_read(attribute: str, element: str, tmp_path: Path, canary: Canary) -> None:
    secret, url = tmp_path / "secret.png", canary.url
    Image.new("RGB", (10, 10), (0, 200, 0)).save(secret)
    # What is forbidden is real: resvg itself reads the file that is named.
    if element == "image":
        import resvg_py

        body = HEAD + f'<image {attribute}="{secret}" width="10" height="10"/></svg>'
        shown = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=body, width=40))))
        assert shown.convert("RGB").getpixel((5, 5)) == (0, 200, 0)
    for target in (
        str(secret),
        secret.as_uri(),
        f"{url}/picture.png",
        "//host/picture.png",
        "../secret.png",
        f"&#x2f;{secret}",
    ):
        with pytest.raises(PictureProblem, match="refers to something outside itself"):
            draw(f'<{element} {attribute}="{target}" width="10" height="10"/>')
    assert canary.calls == []


def test_style_sheets_and_entities_reach_nothing_either(canary: Canary) -> None:
    draw(f'<style>@import url("{canary.url}/a.css"); rect {{ fill: url("{canary.url}/b.svg#c") }}</style>{BOX}')
    head = f'<?xml version="1.0"?><?xml-stylesheet href="{canary.url}/c.css"?>'
    assert decode((head + HEAD + BOX + "</svg>").encode(), DecodeOptions()).picture.size == (256, 128)
    outside = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{canary.url}/d">]>' + HEAD + "<text>&x;</text></svg>"
    with pytest.raises(PictureProblem, match="declares entities"):
        decode(outside.encode(), DecodeOptions())
    assert canary.calls == []


def test_data_inside_the_file_is_drawn() -> None:
    import base64

    stream = io.BytesIO()
    Image.new("RGB", (10, 10), (0, 0, 200)).save(stream, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    assert draw(f'<image href="{uri}" width="10" height="10"/>').getpixel((5, 5)) == (0, 0, 200)
    assert draw(f'<defs><g id="a">{BOX}</g></defs><use href="#a"/>').getpixel((5, 5)) == (192, 0, 0)


def test_a_few_lines_cannot_ask_for_billions() -> None:
    body = f'<defs><g id="a0">{BOX}</g>'
    for level in range(1, 9):
        body += f'<g id="a{level}">' + f'<use href="#a{level - 1}"/>' * 10 + "</g>"
    with pytest.raises(PictureProblem, match="asks for too much"):
        draw(body + '</defs><use href="#a8"/>')
    with pytest.raises(PictureProblem, match="cannot be drawn"):
        draw('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>')  # a circle
    with pytest.raises(PictureProblem, match="too large"):
        render_svg(gzip.compress(b" " * (17 * 1024**2)), 32, None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<svg", "not valid XML"),
        (b"<html><svg/></html>", "not an SVG"),
        (b"\x1f\x8bnonsense", "not valid gzip"),
        (HEAD.encode() + b"\xff\xfe</svg>", "not UTF-8"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="-1" height="5"/>', "cannot be drawn"),
    ],
)
def test_damaged_svg_is_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(PictureProblem) as caught:
        decode(data, DecodeOptions())
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "body",
    ['<path d="M1 1 l4.7E54 3"/>', '<rect width="12345678" height="1"/>', '<g transform="scale(1e7)"/>', '<circle r="3e006"/>'],
)
def test_absurd_numbers_are_refused_before_they_cost_memory(body: str) -> None:
    with pytest.raises(PictureProblem, match="absurd number"):
        draw(body)
    draw('<path fill="#1e9999" d="M1.00000001 2.5e-9 L999999 1e5"/>')


WITNESS = """
import os, resource
from studio.data.images import decode
from studio.data.images.look import Unusable

def look(places, options):
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return [Unusable(str(os.getpid()), str(limit), str(decode.seconds_per_picture)) for _ in places]
"""


def test_svg_is_drawn_only_where_memory_and_time_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.data.images import crew as crew_module
    from studio.data.images.decode import Place
    from studio.data.images.look import Unusable

    (tmp_path / "witness_of_limits.py").write_text(WITNESS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(crew_module, "look_at", importlib.import_module("witness_of_limits").look)
    (tmp_path / "drawn.png").write_text(HEAD + BOX + "</svg>")  # its name lies
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.png")
    with crew_module.crew_of(DecodeOptions(), 1) as crew:
        (photo,) = crew.look([Place(str(tmp_path / "photo.png"))])
        (drawn,) = crew.look([Place(str(tmp_path / "drawn.png"))])
    assert isinstance(photo, Unusable) and isinstance(drawn, Unusable)
    assert photo.reason == str(os.getpid()) != drawn.reason
    assert (drawn.value, drawn.threshold) == (str(4 * 1024**3), "60.0") and photo.threshold == "None"
