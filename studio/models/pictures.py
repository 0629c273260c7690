"""Picture files that rows of any kind of Dataset name, opened to be learned from or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.core.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


def open_picture(path: str) -> Image.Image:
    """A picture file, decoded, turned upright, RGB; what is transparent becomes white.

    Raises:
        DataError: it is missing or no picture that can be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                drawn = upright.convert("RGBA")
                white = Image.new("RGBA", drawn.size, "white")
                return Image.alpha_composite(white, drawn).convert("RGB")
            return upright.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a picture ({str(error).splitlines()[0]}). Give a PNG, JPEG or WebP file."
        ) from error
