"""A mark in a PNG that says which run painted it, and reading it back.

The mark is text beside the pixels: a JSON document of the studio's, and XMP with IPTC's digital source type, which search
engines and picture programs read (https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia). It holds a hash
of the pixels, so that a picture which was changed afterwards is told. Whoever wants to can take it out or write another: it
informs, it does not prove.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import __version__
from studio.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

KEY, XMP_KEY = "studio-provenance", "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="{source}" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="{tool}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
State = Literal["as painted", "changed since", "no mark", "no picture"]


@dataclass(frozen=True)
class Origin:
    """Which model painted a picture, and how. What was asked for is a person's own, and does not stand in it.

    model: ``name/time-id`` of the run, or the base's name. seed, steps: None where there are several.
    """

    model: str
    base: str | None = None
    seed: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Reading:
    """What a file says of itself. mark: the studio's document; source_type: IPTC's, also of other programs."""

    file: str
    state: State
    mark: dict[str, Any] | None = None
    source_type: str | None = None


def mark(picture: Image.Image, origin: Origin) -> Image.Image:
    """Put the mark beside a picture's pixels; programs that keep a picture's texts when they write a PNG write it too."""
    document = {
        "made_by": f"finetuning-studio {__version__}",
        "ai_generated": True,
        **{name: value for name, value in asdict(origin).items() if value is not None},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "pixels": pixel_hash(picture),
    }
    picture.info[KEY] = json.dumps(document, ensure_ascii=True)
    picture.info[XMP_KEY] = _XMP.format(source=SOURCE_TYPE, tool=f"finetuning-studio {__version__}")
    return picture


def png_texts(picture: Image.Image) -> PngInfo:
    """The mark of a picture as ``Image.save`` takes it (``pnginfo``); XMP in the chunk that its specification asks for."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    if KEY in picture.info:
        texts.add_text(KEY, picture.info[KEY])
        texts.add_itxt(XMP_KEY, picture.info[XMP_KEY])
    return texts


def pixel_hash(picture: Image.Image) -> str:
    """Hash of a picture's size and colours, whatever file they lie in."""
    plain = picture.convert("RGBA")
    return hashlib.sha256(f"{plain.width}x{plain.height}".encode() + plain.tobytes()).hexdigest()


def read_mark(path: Path) -> Reading:
    """What a picture says of where it comes from.

    Raises:
        UserError: there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
            texts = {key: value for key, value in picture.info.items() if isinstance(value, str | bytes)}
            found = pixel_hash(picture)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Reading(str(path), "no picture")
    xmp = texts.get(XMP_KEY) or texts.get("xmp") or ""
    xmp = xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp
    source = SOURCE_TYPE if SOURCE_TYPE in xmp else None
    try:
        document = json.loads(texts.get(KEY, ""))
        same = document["pixels"] == found
    except (ValueError, KeyError, TypeError):
        return Reading(str(path), "no mark", None, source)
    return Reading(str(path), "as painted" if same else "changed since", document, source)
