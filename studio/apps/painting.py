"""What the image app does when it has a page's wishes: check them, open the run, paint. No browser in here.

The browser's own limits are a courtesy; every wish is checked again here, where nobody can get past.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.apps.run_shelf import RunShelf, Words, shows
from studio.apps.streaming import stream_from_thread
from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.translation import later, t
from studio.core.workspace import Workspace

if TYPE_CHECKING:
    from PIL import Image

    from studio.adapters.images.loading import LoadedImageRun

LONGEST_PROMPT = 500
MOST_PICTURES = 8
MOST_STEPS = 150
HIGHEST_GUIDANCE = 20.0
HIGHEST_SCALE = 2.0
LARGEST_SEED = 2**32 - 1
_WORDS = Words(
    wanted="that paints",
    remedy="Train one: studio train diffusion/… --data DATASET",
    unfit="cannot paint",
    choices="runs that paint",
)

Side = Literal["tuned", "base"]


@dataclass(frozen=True)
class Wish:
    """One request: what to paint and how. beside_base: paint the same without the adapter too."""

    prompt: str
    seed: int
    count: int
    steps: int
    guidance: float
    lora_scale: float = 1.0
    beside_base: bool = True

    def checked(self) -> Wish:
        """The wish itself, its prompt stripped.

        Raises:
            UserError: something lies beyond a limit; says value and limit.
        """
        prompt = str(self.prompt).strip()
        if len(prompt) > LONGEST_PROMPT:
            raise UserError(f"the prompt has {len(prompt)} characters, at most {LONGEST_PROMPT} are taken. Shorten it.")
        limits: list[tuple[str, float, float, float]] = [
            ("number of pictures", self.count, 1, MOST_PICTURES),
            ("number of steps", self.steps, 1, MOST_STEPS),
            ("guidance", self.guidance, 1, HIGHEST_GUIDANCE),
            ("LoRA scale", self.lora_scale, 0, HIGHEST_SCALE),
            ("seed", self.seed, 0, LARGEST_SEED),
        ]
        for name, value, low, high in limits:
            # A NaN is not between anything.
            if not low <= value <= high:
                raise UserError(f"the {name} is {value:g}, allowed is {low:g} to {high:g}. Choose one in that range.")
        return replace(self, prompt=prompt)

    @property
    def seeds(self) -> list[int]:
        """The seed of each picture: the first as given, the others follow it."""
        return [(self.seed + index) % (LARGEST_SEED + 1) for index in range(self.count)]


_SIDES: dict[Side, str] = {"base": later("base"), "tuned": later("tuned")}


def _step_text(side: Side, step: int, steps: int) -> str:
    """Which side is being painted, and how far it is."""
    return t("{side}: step {step} of {steps}", side=t(_SIDES[side]), step=step, steps=steps)


@dataclass(frozen=True)
class Painted:
    """A finished picture with all that is needed to paint it again."""

    picture: Image.Image
    side: Side
    model: str
    prompt: str
    seed: int
    steps: int
    guidance: float
    lora_scale: float

    def caption(self) -> str:
        """The settings in one line."""
        scale = f", LoRA {self.lora_scale:g}" if self.side == "tuned" and self.lora_scale != 1 else ""
        how = t("seed {seed}, {steps} steps, guidance {guidance:g}", seed=self.seed, steps=self.steps, guidance=self.guidance)
        return f"{t(_SIDES[self.side])} {self.seed} · {self.prompt or t('no prompt')} · {how}{scale}"


@dataclass(frozen=True)
class State:
    """How far a wish has come. share: 0 to 1. what: in words. painted: pictures so far. seconds: since it began."""

    share: float
    what: str
    painted: Sequence[Painted] = ()
    unknown: Sequence[str] = ()
    ending: Literal["done", "stopped"] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class About:
    """What a page must know of a run before anything is painted with it. The steps and guidance are the run's own."""

    steps: int
    guidance: float
    has_base: bool
    has_adapter: bool
    size: int
    name: str


class StoppedError(Exception):
    """The person asked for a stop between two steps."""


class Studio:
    """The image runs of a workspace; one stays loaded, one wish is painted at a time."""

    def __init__(self, workspace: Workspace, reference: str | None = None) -> None:
        """``reference``: the run to begin with; None takes the newest that can paint.

        Raises:
            UserError: no such run, or none that can paint yet.
        """
        self._workspace = workspace
        self._runs = RunShelf(workspace, reference, usable=_can_paint, load=_load, words=_WORDS)

    def choices(self) -> list[str]:
        """Names of the runs that can paint, the first one first."""
        return self._runs.choices()

    def about(self, name: str) -> About:
        """Load a run and say what it is.

        Raises:
            StudioError: it is not among the choices, or damaged.
        """
        with self._runs.lock:
            loaded = self._open(name)
            has_base = loaded.base_source is not None
            return About(loaded.steps, loaded.guidance, has_base, bool(loaded.carriers), loaded.size, loaded.record.name)

    def paint(self, name: str, wish: Wish, stop: threading.Event) -> Iterator[State]:
        """Paint a wish, saying how far it has come; the last state has an ending.

        It is painted in a thread of its own, which holds the lock to its end.

        Raises:
            UserError: the wish is beyond a limit, or the run is not among the choices.
        """
        wish = wish.checked()

        def work(tell: Callable[[State], None]) -> None:
            with self._runs.lock:
                self._paint(self._open(name), name, wish, stop, tell)

        yield from stream_from_thread(work, stop)

    def _open(self, name: str) -> LoadedImageRun:
        """A run of the choices, loaded; the one before it goes. Call with the lock held."""
        if name not in self.choices():
            raise self._runs.unknown(name)
        return self._runs.loaded(self._workspace.find_run(name))

    @staticmethod
    def _paint(loaded: LoadedImageRun, name: str, wish: Wish, stop: threading.Event, tell: Callable[[State], None]) -> None:
        """Paint side after side, all pictures of a side at once."""
        started = time.monotonic()
        sides: list[Side] = ["tuned", "base"] if wish.beside_base and loaded.base_source is not None else ["tuned"]
        unknown = loaded.unknown_words([wish.prompt])
        painted: list[Painted] = []
        total, done = wish.steps * len(sides), 0

        def step(count: int) -> None:
            nonlocal done
            if stop.is_set():
                raise StoppedError
            done = min(done + count, total)
            side = sides[min((done - 1) // wish.steps, len(sides) - 1)]
            tell(State(done / total, _step_text(side, (done - 1) % wish.steps + 1, wish.steps), tuple(painted), unknown))

        try:
            tell(State(0.0, t("starting"), unknown=unknown))
            for index, side in enumerate(sides):
                pictures = _side(loaded, side, wish, step)
                scale = wish.lora_scale if side == "tuned" else 1.0
                painted += [
                    Painted(picture, side, name, wish.prompt, seed, wish.steps, wish.guidance, scale)
                    for picture, seed in zip(pictures, wish.seeds, strict=True)
                ]
                done = wish.steps * (index + 1)
        except StoppedError:
            tell(State(done / total, "stopped", tuple(painted), unknown, "stopped", time.monotonic() - started))
            return
        tell(State(1.0, "done", tuple(painted), unknown, "done", time.monotonic() - started))


def _side(loaded: LoadedImageRun, side: Side, wish: Wish, step: Callable[[int], None]) -> list[Image.Image]:
    """All pictures of one side, from the same noise as the other's."""
    settings: dict[str, Any] = {"steps": wish.steps, "guidance": wish.guidance, "batch_size": MOST_PICTURES, "each_step": step}
    prompts = [wish.prompt] * wish.count
    if side == "base":
        with loaded.base() as base:
            return base.sample(prompts, wish.seeds, **settings)
    return loaded.sample(prompts, wish.seeds, lora_scale=wish.lora_scale, **settings)


def _can_paint(record: RunRecord, folder: Path) -> bool:
    """True when a run of an image model has weights."""
    return shows(record, "image") and any((folder / name).is_dir() for name in ("adapter", "model"))


def _load(folder: Path) -> LoadedImageRun:
    """A run with all that it samples with."""
    from studio.adapters.images.loading import load_image_run

    return load_image_run(folder)
