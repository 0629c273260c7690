"""The build of a Dataset of pictures, top to bottom: list, look at each once, judge, divide, make the pictures, write."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa

import studio
from studio.core.files import sha256_json
from studio.core.records import StepRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.cache import Codec, StepCache, code_version, library_versions
from studio.data.chat.build import BuildOutcome, check_name, check_source_names, mark_newest
from studio.data.chat.steps.base import Drop
from studio.data.images.crew import Crew, crew_of
from studio.data.images.decode import DecodeOptions, Place
from studio.data.images.look import Look, Picture, Unusable
from studio.data.images.making import keep_file, stored_name
from studio.data.images.rows import RemovedImage, removed_to_table, table_to_removed
from studio.data.images.sources import Missing, list_pictures, resolve_source
from studio.data.images.split import divide_pictures
from studio.data.images.steps import IMAGE_STEPS
from studio.data.images.steps.base import ImageStep as ImageStepBase
from studio.data.images.steps.base import counted
from studio.data.images.writing import LIBRARIES, Work, draft_record, prune_store, write_dataset
from studio.data.memo import HashMemo
from studio.data.sources import READ_STEP, ResolvedSource
from studio.data.split import Division
from studio.data.stages import Stages, StepResult, Tell
from studio.schema.image_recipe import ImageRecipe
from studio.schema.image_steps import ImageStep

# Code and libraries that decide what is read and measured; a change of them makes everything after new.
_READ_CODE = tuple(f"images/{name}.py" for name in ("sources", "captions", "emoji_names", "decode", "svg", "look"))
_STEP_CODE = ("images/steps/base.py", "images/look.py")
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


def build_image_dataset(
    recipe: ImageRecipe,
    workspace: Workspace,
    *,
    name: str,
    beside: Path | None = None,
    tell: Tell = lambda _: None,
) -> BuildOutcome:
    """Build a Dataset of pictures, or find the one that was built from the same recipe, bytes and code.

    Args:
        name: name of the Dataset in the workspace.
        beside: folder of the recipe, for relative paths in it.
        tell: gets one line per stage.
    Raises:
        UserError: the recipe asks for what cannot be.
        DataError: a source cannot be used, or no picture is left.
        StudioError: no network, no space, no permission.
    """
    check_name(name)
    beside = beside or Path.cwd()
    memo = HashMemo(workspace.datasets / ".sources.json")
    sources = [resolve_source(source, index, beside, memo) for index, source in enumerate(recipe.sources)]
    check_source_names(sources)
    keys = _keys(recipe, sources, [source.location for source in sources])
    late = [recipe.split.model_dump(), [step.model_dump() for step in recipe.train_steps], code_version("split.py", *_every())]
    fingerprint = sha256_json([_keys(recipe, sources)[-1], late, studio.__version__])[:16]
    folder = workspace.datasets / name / fingerprint
    if (folder / "dataset.json").is_file():
        mark_newest(folder)
        return BuildOutcome(folder, read_dataset(folder), cached=True, reused=len(keys))
    workspace.check_writable()
    memo.save()
    cache = StepCache(workspace.datasets / ".steps", CODEC)
    work: Work = Stages(keys, cache, tell)
    with crew_of(DecodeOptions(**recipe.decoding.model_dump())) as crew:
        reused = work.run(
            lambda: _read(recipe, sources, beside, workspace, crew),
            lambda number, rows: _judge(recipe.steps[number], rows, crew),
        )
        division = _divide(work.rows, recipe, tell)
        record = draft_record(recipe, name, fingerprint, sources, work, division)
        write_dataset(folder, record, recipe, work.removed, division, crew, workspace.datasets / _PICTURES, tell)
    mark_newest(folder)
    cache.prune(keys)
    for store in (_PICTURES, _ORIGINALS):
        prune_store(workspace.datasets / store)
    record = read_dataset(folder)
    return BuildOutcome(folder, record, cached=False, reused=reused, notes=(record.model_extra or {})["notes"])


def _every() -> list[str]:
    """All source files of this room, relative to ``studio/data``."""
    here = Path(__file__).parent
    files = sorted(file for file in here.rglob("*") if file.suffix in {".py", ".j2", ".txt"})
    return [file.relative_to(here.parent).as_posix() for file in files]


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
        keys.append(sha256_json([keys[-1], step.model_dump(), code_version(module, "images/similarity.py", *_STEP_CODE)])[:32])
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
    notes += [f"{counted(count)}: {remark}" for remark, count in sorted(remarks.items())]
    record = StepRecord(
        name=READ_STEP,
        settings=recipe.decoding.model_dump(),
        rows_in=sum(counts.values()),
        rows_out=len(kept),
        removed=dict(Counter(gone.reason for gone in removed).most_common()),
        seconds=round(time.perf_counter() - started, 3),
    )
    return StepResult(kept, removed, record, notes, {"read": counts})


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


def _judge(settings: ImageStep, pictures: list[Picture], crew: Crew) -> StepResult[Picture, RemovedImage]:
    """Run one step; what it drops gets a thumbnail for the report."""
    started = time.perf_counter()
    step = make_image_step(settings)
    kept: list[Picture] = []
    dropped: list[tuple[Picture, Drop]] = []
    changed = 0
    for picture, verdict in zip(pictures, step.judge_all(pictures), strict=True):
        if isinstance(verdict, Drop):
            dropped.append((picture, verdict))
        else:
            changed += verdict is not picture
            kept.append(verdict)
    thumbnails = crew.thumbnails([picture.place for picture, _ in dropped])
    removed = [
        replace(_gone(picture, settings.step, drop), thumbnail=small)
        for (picture, drop), small in zip(dropped, thumbnails, strict=True)
    ]
    record = StepRecord(
        name=settings.step,
        settings=settings.model_dump(exclude={"step"}),
        rows_in=len(pictures),
        rows_out=len(kept),
        changed=changed,
        removed=dict(Counter(gone.reason for gone in removed).most_common()),
        seconds=round(time.perf_counter() - started, 3),
    )
    return StepResult(kept, removed, record, list(step.notes))


def _divide(pictures: Sequence[Picture], recipe: ImageRecipe, tell: Tell) -> Division[Picture]:
    """Divide the pictures as the recipe says."""
    started = time.perf_counter()
    division = divide_pictures(pictures, recipe.split)
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in division.splits.items())
    tell(f"split: {sizes} ({time.perf_counter() - started:.1f} s)")
    return division
