"""The build of a Dataset of pictures: what :mod:`studio.data.build` needs to know of this kind.

Pictures are listed, looked at once, judged by what was measured, divided; then those that stay are made.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.core.files import sha256_json
from studio.core.records import DatasetRecord
from studio.core.telling import counted
from studio.core.workspace import Workspace
from studio.data.build import Builder
from studio.data.cache import Codec, code_files, code_version, library_versions
from studio.data.images.crew import Crew, crew_of
from studio.data.images.decode import DecodeOptions, Place
from studio.data.images.look import Look, Picture, Unusable
from studio.data.images.making import keep_file, stored_name
from studio.data.images.rows import RemovedImage, removed_to_table, table_to_removed
from studio.data.images.sources import Missing, list_pictures, resolve_source
from studio.data.images.split import divide_pictures
from studio.data.images.steps import IMAGE_STEPS
from studio.data.images.steps.base import ImageStep as ImageStepBase
from studio.data.images.writing import LIBRARIES, Work, prune_store, write_dataset
from studio.data.memo import HashMemo
from studio.data.sources import READ_STEP, ResolvedSource
from studio.data.split import Division
from studio.data.stages import StepResult, judged
from studio.data.verdicts import Drop, carry_out
from studio.schema.image_recipe import ImageRecipe
from studio.schema.image_steps import ImageStep

# Code and libraries that decide what is read and measured; a change of them makes everything after new.
_READ_CODE = (
    "text.py", *(f"images/{name}.py" for name in ("sources", "captions", "emoji_names", "decode", "svg", "look")),
)  # fmt: skip
_STEP_CODE = ("verdicts.py", "text.py", "images/steps/base.py", "images/look.py", "images/similarity.py")
# Bytes of a Hub's or a former build's pictures that no file of the person's holds.
_ORIGINALS, _PICTURES = ".originals", ".pictures"


def _to_table(pictures: Sequence[Picture]) -> pa.Table:
    """Pictures on their way, one JSON text each."""
    return pa.table({"picture": [json.dumps(asdict(picture), ensure_ascii=False, default=str) for picture in pictures]})


def _from_table(table: pa.Table) -> list[Picture]:
    """The reverse of :func:`_to_table`.

    Raises:
        ValueError: a file that is needed again is gone, so what was kept is of no use.
    """
    pictures: list[Picture] = []
    for text in table.column("picture").to_pylist():
        value = json.loads(text)
        target = value.pop("target")
        place = Place(**value.pop("place"))
        pictures.append(Picture(**value, place=place, target=(target[0], target[1]) if target else None))
    lost = next((path for path in {picture.place.path for picture in pictures} if not Path(path).is_file()), None)
    if lost is not None:
        raise ValueError(f"{lost} is gone")
    return pictures


CODEC: Codec[Picture, RemovedImage] = Codec(_to_table, _from_table, removed_to_table, table_to_removed)


class ImageBuilder(Builder[ImageRecipe, Picture, RemovedImage]):
    """Pictures with what is said about them."""

    kind = "image"
    adds_rows = True
    codec = CODEC
    libraries = LIBRARIES

    _staff: Crew | None = None

    @property
    def _crew(self) -> Crew:
        """Those that open pictures; only there while a Dataset is built."""
        assert self._staff is not None
        return self._staff

    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        """See :meth:`studio.data.build.Builder.resolve`."""
        return [resolve_source(source, index, self.beside, memo) for index, source in enumerate(self.recipe.sources)]

    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:  # noqa: ARG002 - no other files are read
        """What is kept between builds points to where the sources lie."""
        return _keys(self.recipe, sources, [source.location for source in sources])

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:  # noqa: ARG002 - they know places
        """A Dataset does not depend on where its sources lie."""
        code = code_version("split.py", *code_files("images"))
        late = [self.recipe.split.model_dump(), [step.model_dump() for step in self.recipe.train_steps], code]
        return [_keys(self.recipe, sources)[-1], late]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        """Processes that open pictures."""
        options = DecodeOptions(**self.recipe.decoding.model_dump())
        with crew_of(options, hire=self.hire, libraries=self.libraries) as self._staff:
            yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[Picture, RemovedImage]:
        """List every source, then open and measure every picture."""
        return _read(self.recipe, sources, self.beside, self.workspace, self._crew)

    def judge(self, number: int, rows: Sequence[Picture]) -> StepResult[Picture, RemovedImage]:
        """Run one step; what it drops gets a thumbnail for the report."""
        started = time.perf_counter()
        settings = self.recipe.steps[number]
        step = make_image_step(settings)
        kept, dropped, changed = carry_out(rows, step.judge_all(rows))
        thumbnails = self._crew.thumbnails([picture.place for picture, _ in dropped])
        removed = [
            replace(_gone(picture, settings.step, drop), thumbnail=small)
            for (picture, drop), small in zip(dropped, thumbnails, strict=True)
        ]
        told = settings.model_dump(exclude={"step"})
        notes = list(step.notes)
        return judged(settings.step, told, len(rows), kept, removed, changed=changed, started=started, notes=notes)

    def divide(self, rows: Sequence[Picture]) -> Division[Picture]:
        """See :func:`studio.data.images.split.divide_pictures`."""
        return divide_pictures(rows, self.recipe.split)

    def more_facts(self, division: Division[Picture]) -> dict[str, Any]:
        """Pictures in each bucket of sizes."""
        buckets = Counter(picture.bucket for part in division.splits.values() for picture in part if picture.bucket)
        return {"buckets": dict(buckets.most_common())}

    def write(self, place: Path, record: DatasetRecord, work: Work, division: Division[Picture]) -> DatasetRecord:
        """See :func:`studio.data.images.writing.write_dataset`."""
        store = self.workspace.datasets / _PICTURES
        return write_dataset(place, record, self.recipe, work.removed, division, self._crew, store, self.tell)

    def tidy(self) -> None:
        """Keep the stores of pictures within bounds."""
        for store in (_PICTURES, _ORIGINALS):
            prune_store(self.workspace.datasets / store)


build_image_dataset = ImageBuilder.build


def _keys(recipe: ImageRecipe, sources: Sequence[ResolvedSource], places: Sequence[str] = ()) -> list[str]:
    """One key per stage (reading, then each step): a hash of all that its result depends on.

    ``places``: where the sources lie. What is kept between builds points there; a Dataset does not depend on it.
    """
    settings = [source.model_dump(exclude={"path", "attribution", "licence"}) for source in recipe.sources]
    bytes_of = [(source.name, source.identity) for source in sources]
    read = [settings, recipe.decoding.model_dump(), bytes_of, places, code_version(*_READ_CODE), library_versions(LIBRARIES)]
    keys = [sha256_json(read)[:32]]
    for step in recipe.steps:
        module = IMAGE_STEPS.target(step.step).partition(":")[0].removeprefix("studio.data.").replace(".", "/") + ".py"
        keys.append(sha256_json([keys[-1], step.model_dump(), code_version(module, *_STEP_CODE)])[:32])
    return keys


def _read(
    recipe: ImageRecipe, sources: Sequence[ResolvedSource], beside: Path, workspace: Workspace, crew: Crew
) -> StepResult[Picture, RemovedImage]:
    """List every source, then open and measure every picture."""
    started = time.perf_counter()
    pictures: list[Picture] = []
    removed: list[RemovedImage] = []
    counts: dict[str, int] = {}
    notes: list[str] = []
    originals = workspace.datasets / _ORIGINALS

    def keep(data: bytes) -> str:
        return str(originals / stored_name(keep_file(originals, data, ".bin"), ".bin"))

    for settings, source in zip(recipe.sources, sources, strict=True):
        listing = list_pictures(settings, source, beside, keep)
        counts[source.name] = len(listing.found)
        notes += [f"{source.name}: {note}" for note in listing.notes]
        for suffix, count in sorted(listing.left_out.items()):
            notes.append(f"files of {source.name} that are no pictures were left out: {count:,} {suffix}")
        for item in listing.found:
            if isinstance(item, Missing):
                removed.append(
                    RemovedImage(
                        item.id, source.name, item.file, item.caption, None, None, None, READ_STEP, item.reason, item.value
                    )
                )
            else:
                pictures.append(item)
    kept, damaged, remarks = _look(pictures, crew)
    removed += damaged
    notes += [f"{counted(count, 'picture')}: {remark}" for remark, count in sorted(remarks.items())]
    read_in = sum(counts.values())
    return judged(
        READ_STEP, recipe.decoding.model_dump(), read_in, kept, removed, started=started, notes=notes, figures={"read": counts}
    )


def _look(pictures: Sequence[Picture], crew: Crew) -> tuple[list[Picture], list[RemovedImage], Counter[str]]:
    """Measure every picture; those that cannot be decoded are removed."""
    kept: list[Picture] = []
    removed: list[RemovedImage] = []
    remarks: Counter[str] = Counter()
    looks = crew.look([picture.place for picture in pictures])
    for picture, look in zip(pictures, looks, strict=True):
        if isinstance(look, Unusable):
            removed.append(_gone(picture, READ_STEP, Drop(look.reason, look.value, look.threshold)))
            continue
        remarks.update([look.remark] if look.remark else [])
        kept.append(_measured(picture, look))
    return kept, removed, remarks


def _measured(picture: Picture, look: Look) -> Picture:
    """A picture with what one look gave."""
    values = asdict(look)
    values.pop("remark")
    return replace(picture, **values)


def _gone(picture: Picture, step: str, drop: Drop) -> RemovedImage:
    """A removed picture, without its thumbnail."""
    return RemovedImage(
        id=picture.id,
        source=picture.source,
        file=picture.file,
        caption=picture.caption,
        label=picture.label,
        width=picture.width or None,
        height=picture.height or None,
        step=step,
        reason=drop.reason,
        value=drop.value,
        threshold=drop.threshold,
        matched=drop.matched,
    )


def make_image_step(settings: ImageStep) -> ImageStepBase:
    """The step a recipe asks for."""
    step: ImageStepBase = IMAGE_STEPS.get(settings.step)(**settings.model_dump(exclude={"step"}))
    return step
