"""Steps that drop repeated pictures; each dropped one names the picture it repeats, which stays."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.telling import counted
from studio.data.images.look import Picture
from studio.data.images.similarity import NearImages as NearPairs
from studio.data.images.steps.base import ImageStep, Verdict
from studio.data.verdicts import Drop


class ExactImages(ImageStep):
    """Pictures with the same pixels, or the same file."""

    def __init__(self, of: str = "pixels") -> None:
        """``of``: compare ``pixels`` or the bytes of the ``file``."""
        self._file = of == "file"

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """The first of equal pictures stays."""
        first: dict[str, str] = {}
        verdicts: list[Verdict] = []
        for picture in pictures:
            known = first.setdefault(picture.file_hash if self._file else picture.pixel_hash, picture.id)
            same = "same file" if self._file else "same pixels"
            verdicts.append(picture if known == picture.id else Drop(same, "equal", "different", known))
        return verdicts


class NearImages(ImageStep):
    """Pictures nearly equal to one that stays.

    Of two the one with more pixels stays, then the earlier one. Each dropped picture was itself compared with the kept one that
    it names: likeness is never passed on from picture to picture, so a film of small changes does not fold a corpus into one
    frame. At most ``max_cluster`` are folded into one.
    """

    def __init__(self, distance: int = 4, difference: float = 0.05, max_cluster: int = 1000) -> None:
        """See :class:`studio.schema.image_steps.NearImagesStep`."""
        self._distance, self._difference, self._cap = distance, difference, max_cluster

    def judge_all(self, pictures: Sequence[Picture]) -> list[Verdict]:
        """The largest of similar pictures stays."""
        order = sorted(range(len(pictures)), key=lambda index: (-pictures[index].width * pictures[index].height, index))
        gone: dict[int, tuple[int, int, float]] = {}
        folded: dict[int, int] = {}
        outside: set[int] = set()
        ranked = [pictures[index] for index in order]
        for rank, near in NearPairs(ranked, self._distance, self._difference).earlier():
            index = order[rank]
            leaders = [(order[other], bits, gap) for other, bits, gap in near]
            leaders = [pair for pair in leaders if pair[0] not in gone and pair[0] not in outside]
            if not leaders:
                continue
            best = min(leaders, key=lambda pair: (pair[2], pair[1], pair[0]))
            if folded.get(best[0], 1) >= self._cap:
                outside.add(index)
                continue
            folded[best[0]] = folded.get(best[0], 1) + 1
            gone[index] = best
        self.notes = self._tell(outside)
        return [self._drop(pictures, *gone[index]) if index in gone else picture for index, picture in enumerate(pictures)]

    def _drop(self, pictures: Sequence[Picture], leader: int, bits: int, gap: float) -> Drop:
        """The verdict against one picture."""
        limits = f"over {self._distance} bits or over {self._difference:g} of colour"
        return Drop("near duplicate", f"{bits} bits, {gap:.3f} of colour", limits, pictures[leader].id)

    def _tell(self, outside: set[int]) -> tuple[str, ...]:
        """A note when the cap was reached."""
        if not outside:
            return ()
        return (
            f"{counted(len(outside), 'picture')} resembling one into which {self._cap:,} were folded already: they stay "
            "(max_cluster); look at them before you raise it",
        )
