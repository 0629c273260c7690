"""Opening, measuring and making pictures in several processes. A picture that kills its process costs itself, not the build.

The processes may not grow without bound nor think for ever about one picture: a few bytes of SVG can ask resvg for either.
"""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from studio.core.children import prepare_child
from studio.core.errors import StudioError, UserError
from studio.data.images import decode as decoding
from studio.data.images.decode import DecodeOptions, Place, looks_like_svg, read_bytes
from studio.data.images.look import Look, Unusable, look_at
from studio.data.images.making import Made, Order, made_before, make_pictures, make_thumbnails, stored_name
from studio.data.images.problems import PictureProblem
from studio.data.workers import Hire, Workers, hire_here

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Below this many pictures, starting processes (about two seconds) costs more than they save.
_WORTH_PICTURES = 200
_CHUNK = 25
# Memory of one process, in bytes: a picture of 89 megapixels needs about one and a half GiB on its way.
_MEMORY = 4 * 1024**3
# Seconds of processor time for one picture; a photo of 89 megapixels takes a few.
_SECONDS = 60.0
# So many crashes one after the other, each alone in a fresh process, are not the pictures' fault.
_TOO_MANY = 5
_SHARE = "Share it, or leave --ray-address out."


class Crew:
    """Does to many pictures what the modules do to one."""

    def __init__(self, options: DecodeOptions, workers: Workers) -> None:
        self._options, self._workers = options, workers
        self._crashes = 0

    def look(self, places: Sequence[Place]) -> list[Look | Unusable]:
        """See :func:`studio.data.images.look.look_at`."""
        crashed = Unusable("crashed the decoder", "the process ended", "a picture")
        return self._map(partial(look_at, options=self._options), places, crashed)

    def make(self, orders: Sequence[Order], store: Path, version: str) -> list[Made | str]:
        """See :func:`studio.data.images.making.make_pictures`."""
        known = [made_before(order, self._options, store, version) for order in orders]
        work = partial(make_pictures, options=self._options, store=store, version=version)
        missing = [order for order, found in zip(orders, known, strict=True) if found is None]
        crashed: Made | str = "a picture crashed the decoder"
        answers = self._map(work, missing, crashed)
        self._check_shared(answers, store)
        made = iter(answers)
        return [next(made) if found is None else found for found in known]

    def _check_shared(self, answers: Sequence[Made | str], store: Path) -> None:
        """See that what other machines made is here.

        Raises:
            UserError: it is not.
        """
        made = [answer.sha256 for answer in answers if isinstance(answer, Made)] if self._workers.far else []
        if any(not (store / stored_name(digest)).is_file() for digest in made):
            raise UserError(
                f"pictures that other machines made are not in {store} here: the workspace has to lie on a disk that all share, "
                f"at the same path. {_SHARE}"
            )

    def thumbnails(self, places: Sequence[Place]) -> list[bytes | None]:
        """See :func:`studio.data.images.making.make_thumbnails`."""
        return self._map(partial(make_thumbnails, options=self._options), places, None)

    def _map(self, work: Callable[[Sequence[Item]], list[Answer]], items: Sequence[Item], crashed: Answer) -> list[Answer]:
        """Answers in order; ``crashed`` for an item whose process ended."""
        if not items:
            return []
        few = self._workers.alone or len(items) < _WORTH_PICTURES
        if few and not any(_is_drawn(item) for item in items):
            return work(items)
        work = partial(_with_files, work) if self._workers.far else work
        chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
        answers: list[list[Answer] | None] = []
        try:
            tasks = [self._workers.pool().submit(work, chunk) for chunk in chunks]
            for task in tasks:
                try:
                    answers.append(task.result())
                except BrokenProcessPool:
                    answers.append(None)
        except BrokenProcessPool:
            pass  # the pool broke before all was handed over; the rest is done below
        answers += [None] * (len(chunks) - len(answers))
        done: list[Answer] = []
        for chunk, answer in zip(chunks, answers, strict=True):
            done += answer if answer is not None else [self._alone(work, item, crashed) for item in chunk]
        return done

    def _alone(self, work: Callable[[Sequence[Item]], list[Answer]], item: Item, crashed: Answer) -> Answer:
        """One item after a crash, so that the culprit is found.

        Raises:
            StudioError: nothing but crashes, so it is not the pictures.
        """
        for _ in range(2):
            try:
                answer = self._workers.pool().submit(work, [item]).result()[0]
            except BrokenProcessPool:
                # The pool may have been broken by the one before; a fresh one tells.
                self._workers.renew()
            else:
                self._crashes = 0
                return answer
        self._crashes += 1
        if self._crashes >= _TOO_MANY:
            raise StudioError(
                f"the processes that open pictures keep ending ({self._crashes} in a row), perhaps for want of memory. "
                "Free some memory and run it again."
            )
        return crashed


def _with_files(work: Callable[[Sequence[Item]], list[Answer]], items: Sequence[Item]) -> list[Answer]:
    """Work of another machine, which is not to call a picture broken that only lies elsewhere.

    Raises:
        UserError: a file is not on that machine.
    """
    for path in {place.path for place in map(_place_of, items) if place is not None}:
        if not Path(path).is_file():
            raise UserError(
                f"{path} is not on {platform.node()}, a machine of the Ray cluster: pictures have to lie on a disk that all "
                f"share, at the same path. {_SHARE}"
            )
    return work(items)


def _place_of(item: object) -> Place | None:
    """Where the file of an item lies."""
    place = item.place if isinstance(item, Order) else item
    return place if isinstance(place, Place) else None


def _is_drawn(item: object) -> bool:
    """True for an SVG, whatever its name says: it is never drawn in the process that builds."""
    place = _place_of(item)
    try:
        return place is not None and looks_like_svg(read_bytes(place))
    except PictureProblem:
        return False


def _limit() -> None:
    """Run in each process at its start: limits on memory and on the time of one picture."""
    prepare_child()
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _MEMORY if most == resource.RLIM_INFINITY else min(_MEMORY, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    decoding.seconds_per_picture = _SECONDS


@contextmanager
def crew_of(
    options: DecodeOptions, count: int | None = None, hire: Hire | None = None, libraries: Sequence[str] = ()
) -> Iterator[Crew]:
    """A crew whose processes are stopped at the end of the block.

    ``count``: None means one per processor of this machine; ``hire``: others that help, who have to have the same ``libraries``.
    """
    with (hire or partial(hire_here, count=count))(_limit, libraries) as workers:
        yield Crew(options, workers)
