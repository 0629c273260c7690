"""From bytes to a picture: what is right comes out right, what is wrong is said in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.data.images.decode import DecodeOptions, Place, decode, read_bytes
from studio.data.images.problems import PictureProblem
from tests.data.images.made_pictures import scene


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_exif_orientation_is_applied() -> None:
    upright = scene(1, (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    turned = decode(saved(upright.rotate(90, expand=True), "PNG", exif=exif), DecodeOptions()).picture
    assert turned.size == upright.size
    assert np.array_equal(np.asarray(turned), np.asarray(upright))


@pytest.mark.parametrize(("colour", "expected"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))])
def test_transparency_lies_on_the_stated_colour(colour: str, expected: tuple[int, int, int]) -> None:
    glass = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    glass.putpixel((1, 1), (200, 0, 0, 255))
    glass.putpixel((2, 2), (200, 0, 0, 128))
    found = decode(saved(glass), DecodeOptions(background=colour))
    assert found.transparent
    assert (found.picture.getpixel((0, 0)), found.picture.getpixel((1, 1))) == (expected, (200, 0, 0))
    half = found.picture.getpixel((2, 2))
    assert abs(half[0] - (200 + expected[0]) / 2) <= 1 and abs(half[2] - expected[2] / 2) <= 1  # type: ignore[index]
    palette = glass.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert (
        decode(saved(palette, "GIF", transparency=palette.getpixel((0, 0))), DecodeOptions(background=colour)).picture.getpixel(
            (0, 0)
        )
        == expected
    )


def test_all_modes_become_rgb() -> None:
    deep = Image.fromarray((np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8))
    grey = decode(saved(deep), DecodeOptions()).picture
    assert grey.mode == "RGB" and grey.getpixel((7, 7)) == (251, 251, 251), "16 bits are scaled, not clipped"
    for mode in ("1", "L", "LA", "P", "CMYK", "RGBA"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        assert decode(saved(scene(2).convert(mode), kind), DecodeOptions()).picture.mode == "RGB"


def test_of_an_animation_the_first_frame_is_used() -> None:
    frames = [scene(number, (32, 32)) for number in range(3)]
    found = decode(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), DecodeOptions())
    assert found.frames == 3 and np.array_equal(np.asarray(found.picture), np.asarray(frames[0]))


@pytest.mark.parametrize(
    ("data", "reason", "value"),
    [
        (b"this is a text, whatever its name says", "not a picture", "starts with 'this is a text"),
        (saved(scene(3))[:1000], "damaged or cut off", None),
        (saved(scene(3), "JPEG")[:900], "damaged or cut off", "truncated"),
        (saved(scene(3))[:-30], "damaged or cut off", None),
        (huge_png(40_000, 40_000), "decompression bomb", None),
        (huge_png(9_500, 9_500), "decompression bomb", None),
        (huge_png(5_000, 5_000), "damaged or cut off", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture", None),
    ],
)
def test_what_is_wrong_is_one_line(data: bytes, reason: str, value: str | None) -> None:
    with pytest.raises(PictureProblem) as caught:
        decode(data, DecodeOptions())
    assert caught.value.reason == reason and "\n" not in (caught.value.value or "")
    assert value is None or value in (caught.value.value or "")


def test_the_recipe_sets_how_large_a_picture_may_be() -> None:
    with pytest.raises(PictureProblem, match="decompression bomb"):
        decode(saved(scene(1)), DecodeOptions(max_pixels=96 * 72 - 1))
    assert decode(saved(scene(1)), DecodeOptions(max_pixels=96 * 72)).picture.size == (96, 72)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureProblem, match="file is empty"):
        read_bytes(Place(str(tmp_path / "empty.png")))
    with pytest.raises(PictureProblem, match="cannot be read"):
        read_bytes(Place(str(tmp_path / "gone.png")))
