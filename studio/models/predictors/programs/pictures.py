"""Pictures as the numbers that a network looks at. Needs: pip install pillow numpy."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def items_of(arguments):
    """Each argument is a picture, or a folder of them."""
    found = []
    for path in map(Path, arguments):
        found += sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    return found


def opened(path):
    """A picture upright and in three colours; what one sees through is white."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.has_transparency_data:
            drawn = upright.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
        return upright.convert("RGB")


class Reader:
    """Paths to ``pixels``, float32 [pictures, 3, side, side]."""

    def __init__(self, folder: Path, reading: dict):
        """``reading``: ``size`` (side in pixels), ``mean`` and ``std`` of each colour."""
        self.size = reading["size"]
        self.mean, self.std = (np.array(reading[name], dtype=np.float32)[:, None, None] for name in ("mean", "std"))

    def __call__(self, paths):
        """Pictures scaled to a square, whatever their shape."""
        found = []
        for path in paths:
            picture = opened(path)
            if picture.size != (self.size, self.size):
                picture = picture.resize((self.size, self.size))
            pixels = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
            found.append((pixels - self.mean) / self.std)
        return {"pixels": np.stack(found)}
