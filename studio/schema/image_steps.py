"""The steps of a picture recipe: on captions, on pictures, and on the training rows only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings
from studio.schema.recipe import Count, Positive, Share

Score = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=8192)]


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
