"""Latents and text embeddings kept on disk, so that VAE and text encoders run once and then leave memory.

An entry is named by the hash of everything it depends on: the bytes of the picture file, its shape and mirroring, or the caption
itself; the files of the encoders; the number types; the code. An edited picture, caption or encoder therefore never meets an old
entry, and a row asks for its own entries by content, so no order of rows can pair a picture with another's caption.

What is kept of a picture are the *parameters* of the VAE's distribution (mean and log-variance), not a draw from it: every step
draws anew, as it would without a cache.
Legend: b pictures of a window, c latent channels, h and w the size of the latents.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import StudioError, UserError
from studio.core.files import disk_errors, sha256_file, sha256_json
from studio.core.progress import Progress
from studio.core.workspace import cache_folder
from studio.data.images.rows import open_image
from studio.models.images.families.base import Conditions, Size
from studio.models.images.families.pipeline import PipelineFamily
from studio.schema.diffusion import DiffusionAdapter
from studio.train.images.pictures import LivePictures, Pictures, draw_augmentation

# Part of every key: raise it when the meaning of an entry changes.
VERSION = 1

# Entries that are read stay in memory up to this many bytes; the disk holds up to the second number, oldest out first.
_IN_MEMORY = 1 << 30
KEEP_BYTES = 64 << 30

# Pictures and captions that go through an encoder together while the cache is filled.
_PICTURES_AT_ONCE, _CAPTIONS_AT_ONCE = 4, 16


@dataclass
class CacheReport:
    """What filling a cache did: entries found and made, bytes written, seconds."""

    found: int = 0
    made: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass
class FeatureCache:
    """Tensors on disk by key, one safetensors file each. A file that is cut off or altered counts as missing."""

    folder: Path
    _memory: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _bytes: int = 0

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The tensors of an entry on the CPU, None when there is no whole one of this key."""
        from safetensors import SafetensorError, safe_open

        known = self._memory.get(key)
        if known is not None:
            return known
        try:
            with safe_open(str(self._file(key)), framework="pt") as stream:
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no mapping)
                header = stream.metadata() or {}
        except (FileNotFoundError, SafetensorError, OSError):
            return None
        # The key is written inside too: a file that was copied or renamed is not believed.
        if header.get("key") != key or header.get("sum") != _sum(tensors):
            return None
        self._remember(key, tensors)
        return tensors

    def put(self, key: str, tensors: dict[str, Tensor]) -> int:
        """Write an entry in one step; returns its bytes.

        Raises:
            StudioError: the disk is full or cannot be written.
        """
        from safetensors.torch import save

        file = self._file(key)
        kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with disk_errors("the cache of latents", self.folder):
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            try:
                temporary.write_bytes(save(kept, metadata={"key": key, "sum": _sum(kept)}))
                temporary.replace(file)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        self._remember(key, kept)
        return file.stat().st_size

    def trim(self, keep: int = KEEP_BYTES) -> int:
        """Delete the entries longest unused until the folder holds at most this many bytes; returns how many went."""
        files = []
        for file in self.folder.glob("??/*.safetensors"):
            with contextlib.suppress(OSError):
                status = file.stat()
                files.append((status.st_mtime, status.st_size, file))
        total, gone = sum(size for _, size, _ in files), 0
        for _, size, file in sorted(files, key=lambda entry: entry[0]):
            if total <= keep:
                break
            file.unlink(missing_ok=True)
            total -= size
            gone += 1
        return gone

    def touch(self, key: str) -> None:
        """Note that an entry is in use, so that it is not the first to go."""
        with contextlib.suppress(OSError):
            os.utime(self._file(key))

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _remember(self, key: str, tensors: dict[str, Tensor]) -> None:
        size = sum(value.nbytes for value in tensors.values())
        if self._bytes + size <= _IN_MEMORY and key not in self._memory:
            self._memory[key] = tensors
            self._bytes += size


class CachedPictures:
    """A split whose moments and text come from a :class:`FeatureCache`; what is not in it is made once, before training.

    Draws the same augmentation and latents as :class:`LivePictures` from the same generator.
    """

    def __init__(self, live: LivePictures, cache: FeatureCache, *, with_text: bool = True) -> None:
        """Nothing is read or made yet; see :meth:`fill`.

        Args:
            live: the same rows, encoded as they are needed; it makes the entries.
            with_text: False where a text encoder trains, whose output changes.
        Raises:
            ValueError: the pictures are moved at random, so that there is no fixed number of entries.
        """
        if live.shift:
            raise ValueError("pictures that are moved at random cannot be cached")
        if not isinstance(live.family, PipelineFamily):
            raise ValueError(f"a base of family {live.family.name} has nothing to cache")
        self.live, self.cache, self.with_text, self.family = live, cache, with_text, live.family
        self.captions, self.shapes, self.weights, self.identities = live.captions, live.shapes, live.weights, live.identities
        identity = self.family.identity(("vae",))
        self._picture_keys = [
            [picture_key(row.sha256, shape, mirrored, identity) for mirrored in ((False, True) if live.flip else (False,))]
            for row, shape in zip(live.rows, live.shapes, strict=True)
        ]
        encoders = self.family.identity(self.family.text_parts()) if with_text else ""
        self._text_keys = {caption: caption_key(caption, encoders) for caption in {"", *live.captions}} if with_text else {}

    def fill(self, *, quiet: bool = False) -> CacheReport:
        """Make the entries that are missing; afterwards neither VAE nor (cached) text encoders are needed for training.

        Raises:
            StudioError: a picture was changed since the Dataset was built, or the disk is full.
        """
        started = time.monotonic()
        report = CacheReport()
        pictures = list(self._missing_pictures(report))
        captions = [caption for caption, key in self._text_keys.items() if not self._has(key, report)]
        with contextlib.ExitStack() as stack:
            progress = None
            if pictures or captions:
                self.cache.trim()
                if not quiet:
                    progress = stack.enter_context(Progress("encode", len(pictures) + len(captions), "items"))
            advance = progress.advance if progress else (lambda *_: None)
            for group in _groups(pictures, _PICTURES_AT_ONCE, lambda entry: self.shapes[entry[0]]):
                report.bytes += self._encode_pictures(group)
                advance(len(group))
            for group in _groups(captions, _CAPTIONS_AT_ONCE, lambda _: 0):
                report.bytes += self._encode_captions(group)
                advance(len(group))
        report.made = len(pictures) + len(captions)
        report.seconds = time.monotonic() - started
        return report

    def moments(self, rows: Sequence[int], draws: torch.Generator | None) -> Tensor:
        """See :class:`studio.train.images.pictures.Pictures`, [b, 2c, h, w] on the family's device."""
        mirrored = [False] * len(rows)
        if draws is not None:
            flips, _ = draw_augmentation(len(rows), draws, shift=0)
            mirrored = (flips & self.live.flip).tolist()
        found = [self._entry(self._picture_keys[row][int(flip)])["moments"] for row, flip in zip(rows, mirrored, strict=True)]
        return torch.stack(found).to(self.family.device)

    def text(self, rows: Sequence[int], dropped: Sequence[bool]) -> Conditions:
        """See :class:`studio.train.images.pictures.Pictures`."""
        if not self.with_text:
            return self.live.text(rows, dropped)
        prompts = ["" if gone else self.captions[row] for row, gone in zip(rows, dropped, strict=True)]
        found = [self._entry(self._text_keys[prompt]) for prompt in prompts]
        return {name: torch.stack([entry[name] for entry in found]).to(self.family.device) for name in found[0]}

    def sizes(self, rows: Sequence[int]) -> list[Size]:
        """Where the pictures come from."""
        return self.live.sizes(rows)

    def _missing_pictures(self, report: CacheReport) -> Iterator[tuple[int, bool]]:
        """Rows (and whether mirrored) without an entry; equal pictures are asked for once."""
        asked: set[str] = set()
        for row, keys in enumerate(self._picture_keys):
            # The picture file is compared with the Dataset even where its latents are known.
            file = self.live.folder / self.live.rows[row].image
            if not file.is_file() or sha256_file(file) != self.live.rows[row].sha256:
                open_image(self.live.folder, self.live.rows[row])  # says what is wrong
            for mirrored, key in enumerate(keys):
                if key not in asked and not self._has(key, report):
                    yield row, bool(mirrored)
                asked.add(key)

    def _has(self, key: str, report: CacheReport) -> bool:
        known = self.cache.get(key) is not None
        if known:
            self.cache.touch(key)
            report.found += 1
        return known

    def _entry(self, key: str) -> dict[str, Tensor]:
        found = self.cache.get(key)
        if found is None:
            raise StudioError(
                f"an entry of the cache {self.cache.folder} vanished or was damaged while training. "
                "Resume the run: what is missing is made again."
            )
        return found

    def _encode_pictures(self, group: Sequence[tuple[int, bool]]) -> int:
        pixels = [self.live.pixels(row).flip(-1) if mirrored else self.live.pixels(row) for row, mirrored in group]
        scaled = torch.stack(pixels).float() / 127.5 - 1
        moments = self.family.encode_pixels(scaled.to(self.family.device))
        return sum(
            self.cache.put(self._picture_keys[row][int(mirrored)], {"moments": value})
            for (row, mirrored), value in zip(group, moments, strict=True)
        )

    def _encode_captions(self, group: Sequence[str]) -> int:
        with torch.no_grad():
            text = self.family.encode_text(list(group))
        return sum(
            self.cache.put(self._text_keys[caption], {name: value[row].clone() for name, value in text.items()})
            for row, caption in enumerate(group)
        )


def keep_features(
    adapter: DiffusionAdapter,
    training: LivePictures,
    validation: LivePictures | None,
    prompts: Sequence[str],
    *,
    say: Callable[[str], None],
    quiet: bool = False,
) -> tuple[Pictures, Pictures | None]:
    """The same pictures read from the cache where the preset wants it and the base has encoders; those then leave memory.

    Args:
        prompts: of the sample grid; their embeddings are kept in memory.
    Raises:
        UserError: the preset insists on a cache that is not possible.
    """
    family = training.family
    possible = isinstance(family, PipelineFamily) and family.has("vae")
    if adapter.cache == "off" or (adapter.cache == "auto" and (not possible or training.shift)):
        return training, validation
    if not possible:
        raise UserError(f"cache: on, but a base of family {family.name} has no VAE or text encoder. Set it to auto.")
    if training.shift:
        raise UserError("cache: on keeps pictures as they are, but 'shift' moves them at each step. Set shift: 0 or cache: auto.")
    assert isinstance(family, PipelineFamily)
    text_trains = adapter.lora.text_encoder or adapter.method == "inversion"
    cache = FeatureCache(cache_folder() / "features")
    kept = [CachedPictures(live, cache, with_text=not text_trains) for live in (training, validation) if live is not None]
    reports = [split.fill(quiet=quiet) for split in kept]
    made, found = sum(report.made for report in reports), sum(report.found for report in reports)
    say(f"latents and text embeddings: {made} made in {sum(report.seconds for report in reports):.1f} s, {found} from the cache")
    if not text_trains:
        family.encode_text(list(prompts))
    staying = {family.tuned, *(family.text_networks if text_trains else ())}
    family.release(name for name in family.classes if name not in staying)
    return kept[0], kept[1] if len(kept) > 1 else None


def picture_key(sha256: str, shape: tuple[int, int], mirrored: bool, encoder: str) -> str:
    """Name of a picture's entry: hash of its file, how it is shown, and what encodes it."""
    return sha256_json(["picture", VERSION, torch.__version__, sha256, list(shape), mirrored, encoder])


def caption_key(caption: str, encoders: str) -> str:
    """Name of a caption's entry: the caption itself and what encodes it."""
    return sha256_json(["caption", VERSION, torch.__version__, caption, encoders])


def _groups(items: Sequence[Any], size: int, kind: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """Runs of items of one kind, at most ``size`` together."""
    by_kind: dict[Any, list[Any]] = {}
    for item in items:
        by_kind.setdefault(kind(item), []).append(item)
    for same in by_kind.values():
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _sum(tensors: dict[str, Tensor]) -> str:
    """Hash of names, types, shapes and bytes."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.view(torch.uint8).numpy().data if value.ndim else str(value.item()).encode())
    return digest.hexdigest()
