"""Bytes -> picture: opened, decoded whole, turned upright, made RGB. Whatever is wrong is said in one line."""

from __future__ import annotations

import io
import re
import signal
import warnings
import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from studio.data.images.problems import PictureProblem
from studio.data.images.svg import render_svg

# Formats that Pillow decodes by itself. EPS (which starts Ghostscript), PDF and rare ones are left out on purpose.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "ICO", "TGA")
_SUFFIXES = ".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .avif .ppm .pgm .pbm .ico .tga .svg .svgz"
SUFFIXES = frozenset(_SUFFIXES.split())
# Processor time for one picture, in a process that may be ended for it (see crew.py); None elsewhere.
seconds_per_picture: float | None = None
# A photo of 89 megapixels has less than this even when stored raw.
_MAX_FILE_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Place:
    """Where a picture's bytes lie: a file, or a member of a zip."""

    path: str
    member: str | None = None


@dataclass(frozen=True)
class DecodeOptions:
    """Fields as in :class:`studio.schema.image_recipe.Decoding`."""

    background: str = "white"
    max_pixels: int = 89_478_485
    svg_size: int = 256
    svg_style: str | None = None


@dataclass(frozen=True)
class Decoded:
    """A picture ready to use, RGB, and what its file was like. remark: something a person should know."""

    picture: Image.Image
    frames: int
    transparent: bool
    remark: str | None = None


def read_bytes(place: Place) -> bytes:
    """The bytes of a picture's file.

    Raises:
        PictureProblem: it is gone, empty, unreadable or enormous.
    """
    try:
        if place.member is None:
            size = Path(place.path).stat().st_size
            if size > _MAX_FILE_BYTES:
                raise PictureProblem("file is too large", f"{size:,} bytes", f"at most {_MAX_FILE_BYTES:,} bytes")
            data = Path(place.path).read_bytes()
        else:
            data = _archive(place.path).read(place.member)
    except OSError as error:
        raise PictureProblem("cannot be read", error.strerror or str(error)) from error
    except (KeyError, zipfile.BadZipFile) as error:
        raise PictureProblem("cannot be read", str(error)) from error
    if not data:
        raise PictureProblem("file is empty", "0 bytes", "a picture")
    return data


@lru_cache(maxsize=4)
def _archive(path: str) -> zipfile.ZipFile:
    """A zip that stays open for the next member; one per process."""
    return zipfile.ZipFile(path)


def decode(data: bytes, options: DecodeOptions) -> Decoded:
    """Decode a picture.

    Returns:
        RGB, upright, its transparent parts on ``options.background``; of several frames the first.
    Raises:
        PictureProblem: no picture, cut off, or larger than ``options.max_pixels``.
    """
    if seconds_per_picture is None:
        return _safely(data, options)
    # A decoder written in another language cannot be interrupted; SIGPROF ends the process, which costs this picture only.
    signal.setitimer(signal.ITIMER_PROF, seconds_per_picture)
    try:
        return _safely(data, options)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _safely(data: bytes, options: DecodeOptions) -> Decoded:
    """Decode, and put everything that goes wrong into words."""
    silent = False
    if looks_like_svg(data):
        data, silent = render_svg(data, options.svg_size, options.svg_style)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Pillow's own remarks about odd metadata say nothing about the pixels.
            warnings.filterwarnings("ignore", category=UserWarning)
            decoded = _decode(data, options)
            return replace(decoded, remark="SVG with text, which is not drawn") if silent else decoded
    except PictureProblem:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        asked = re.search(r"\((\d+) pixels\)", str(error))
        value = f"{int(asked.group(1)):,} pixels" if asked else _first(error)
        raise PictureProblem("decompression bomb", value, f"at most {options.max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise PictureProblem("not a picture", _glimpse(data), "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, SVG …") from error
    except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, ValueError, struct.error …
        raise PictureProblem("damaged or cut off", _first(error)) from error


def _decode(data: bytes, options: DecodeOptions) -> Decoded:
    """Decode bytes that Pillow knows."""
    Image.init()  # with named formats Pillow does not load the plug-ins of the rarer ones by itself
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        if opened.width * opened.height > options.max_pixels:
            size = f"{opened.width:,} x {opened.height:,} pixels"
            raise PictureProblem("decompression bomb", size, f"at most {options.max_pixels:,} pixels")
        frames = int(getattr(opened, "n_frames", 1))
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        transparent = upright.has_transparency_data
        picture = _composite(upright, options.background) if transparent else _opaque(upright)
        remark = f"{opened.format} with several frames: the first is used" if frames > 1 else None
        return Decoded(picture, frames, transparent, remark)


def _composite(picture: Image.Image, background: str) -> Image.Image:
    """Put transparent parts on a colour."""
    rgba = picture.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, background)
    ground.alpha_composite(rgba)
    return ground.convert("RGB")


def _opaque(picture: Image.Image) -> Image.Image:
    """RGB; 16-bit grey is scaled down instead of clipped, which is what a plain conversion would do."""
    if picture.mode.startswith("I"):
        return picture.convert("F").point(lambda value: value / 257).convert("L").convert("RGB")
    return picture.convert("RGB")


def looks_like_svg(data: bytes) -> bool:
    """True for XML with an ``<svg`` near its start, and for gzip (no raster format starts like it)."""
    if data[:2] == b"\x1f\x8b":
        return True
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"<") and b"<svg" in data[:65536]


def _glimpse(data: bytes) -> str:
    """The first bytes, as far as they can be printed."""
    return "starts with " + repr(data[:24].decode("ascii", "replace"))


def _first(error: BaseException) -> str:
    """First line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
