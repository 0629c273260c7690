"""Pictures as the networks see them: one look per set, features of a Dataset's pictures kept for the next evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from studio.core.files import sha256_json
from studio.evals.images.classifier import StudioClassifier
from studio.evals.images.clip import ClipScorer
from studio.evals.images.measure import Sight
from studio.evals.images.network import FeatureNetwork, Floats32, Seen, pixels, see
from studio.evals.images.sampling import RealPictures


@dataclass(frozen=True)
class Eyes:
    """All that looks at pictures. network: for the features. classifier: names labels. clip: compares with prompts.

    cache: folder for features of real pictures, None keeps none. pixel_side: see :func:`studio.evals.images.network.pixels`.
    """

    network: FeatureNetwork | None
    classifier: StudioClassifier | None
    clip: ClipScorer | None
    pixel_side: int
    batch_size: int
    cache: Path | None = None

    def look(
        self,
        pictures: Iterable[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        labels: Sequence[str | None] = (),
        advance: Callable[[int], None] | None = None,
    ) -> Sight:
        """See a set of pictures once, a batch at a time.

        Args:
            prompts: what each was asked to show, for CLIP. labels: the category each was asked to show.
        """
        seen: list[Seen] = []
        named: list[Seen] = []
        flat: list[Floats32] = []
        clip: list[float] = []
        for start, batch in _batched(pictures, self.batch_size):
            flat.append(pixels(batch, self.pixel_side))
            if self.network is not None:
                seen.append(see(self.network, batch, batch_size=self.batch_size))
            if self.classifier is not None:
                # One forward pass is enough where the classifier is the feature network.
                same = self.classifier is self.network
                named.append(seen[-1] if same else see(self.classifier, batch, batch_size=self.batch_size))
            if self.clip is not None and prompts is not None:
                clip += self.clip.scores(batch, prompts[start : start + len(batch)], batch_size=self.batch_size)
            if advance:
                advance(len(batch))
        known = self.classifier.record.labels if self.classifier else []
        return Sight(
            _joined(seen) if self.network is not None else None,
            np.concatenate(flat) if flat else pixels([], self.pixel_side),
            _joined(named).logits.argmax(axis=1) if named else None,
            [known.index(label) if label in known else None for label in labels],
            clip if self.clip is not None and prompts is not None else None,
        )

    def look_at_real(
        self, pictures: RealPictures, fingerprint: str, *, with_clip: bool = False, advance: Callable[[int], None] | None = None
    ) -> Sight:
        """See pictures of a Dataset; without CLIP from the cache where the same eyes have seen the same pictures before."""
        labels = [row.label for row in pictures.rows]
        prompts = [row.caption for row in pictures.rows] if with_clip else None
        file = (
            None
            if self.cache is None or (with_clip and self.clip)
            else self.cache / f"{self._key(pictures, fingerprint)}.safetensors"
        )
        if file is not None and file.is_file():
            with suppress(Exception):  # a damaged cache is only slower
                found = _from_file(load_file(file), labels, self.classifier.record.labels if self.classifier else [])
                if advance:
                    advance(len(pictures))
                return found
        sight = self.look(pictures, prompts=prompts, labels=labels, advance=advance)
        if file is not None and len(sight):
            _keep(sight, file)
        return sight

    def _key(self, pictures: RealPictures, fingerprint: str) -> str:
        """Everything that features depend on."""
        return sha256_json(
            {
                "version": 1,
                "dataset": fingerprint,
                "pictures": [row.sha256 for row in pictures.rows],
                "size": pictures.size,
                "network": self.network.sha256 if self.network else None,
                "classifier": self.classifier.sha256 if self.classifier else None,
                "pixel_side": self.pixel_side,
            }
        )[:32]


def _batched(pictures: Iterable[Image.Image], size: int) -> Iterable[tuple[int, list[Image.Image]]]:
    """Runs of at most ``size`` pictures with the place of the first."""
    batch: list[Image.Image] = []
    start = 0
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size:
            yield start, batch
            start, batch = start + len(batch), []
    if batch:
        yield start, batch


def _joined(parts: Sequence[Seen]) -> Seen:
    """The batches as one."""
    if not parts:
        return Seen(np.empty((0, 0), dtype=np.float32), np.empty((0, 0), dtype=np.float32))
    return Seen(np.concatenate([part.features for part in parts]), np.concatenate([part.logits for part in parts]))


def _keep(sight: Sight, file: Path) -> None:
    """Write what was seen, at once or not at all; a full disk is no reason to stop an evaluation."""
    arrays: dict[str, np.ndarray] = {"pixels": sight.pixels}  # type: ignore[type-arg]
    if sight.seen is not None:
        arrays |= {"features": sight.seen.features, "logits": sight.seen.logits}
    if sight.named is not None:
        arrays["named"] = np.asarray(sight.named, dtype=np.int64)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, partial)
        partial.replace(file)
    partial.unlink(missing_ok=True)


def _from_file(arrays: dict[str, np.ndarray], labels: Sequence[str | None], known: Sequence[str]) -> Sight:  # type: ignore[type-arg]
    """What was seen before."""
    seen = Seen(arrays["features"], arrays["logits"]) if "features" in arrays else None
    named = arrays["named"].astype(np.intp) if "named" in arrays else None
    return Sight(seen, arrays["pixels"], named, [known.index(label) if label in known else None for label in labels])
