"""What the image app does behind its page: limits, seeds, both sides from the same noise, stopping. On real, tiny runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.apps.image import KEPT, _Page
from studio.apps.painting import LARGEST_SEED, State, Studio, Wish
from studio.core.errors import UserError
from studio.core.workspace import Workspace
from tests.evals.images.shapes import train_shapes, write_shapes

WISH = Wish("a red disc", seed=5, count=2, steps=3, guidance=2.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path, Path]:
    """A workspace with a run from scratch and a LoRA tuned on it."""
    workspace = Workspace.open(tmp_path_factory.mktemp("painting") / "workspace")
    return workspace, *train_shapes(workspace, write_shapes(workspace, {"train": 24, "validation": 6}))


@pytest.fixture(scope="module")
def studio_of(runs: tuple[Workspace, Path, Path]) -> Iterator[Studio]:
    yield Studio(runs[0], str(runs[2]))


def last(states: Iterator[State]) -> State:
    return list(states)[-1]


def test_both_sides_come_from_the_same_noise_and_progress_only_rises(studio_of: Studio) -> None:
    name = studio_of.choices()[0]
    states = list(studio_of.paint(name, WISH, threading.Event()))
    shares = [state.share for state in states]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(states) >= 7
    assert any(state.what == "tuned: step 2 of 3" for state in states) and any("base: step" in state.what for state in states)
    done = states[-1]
    assert done.ending == "done" and [(item.side, item.seed) for item in done.painted] == [
        ("tuned", 5), ("tuned", 6), ("base", 5), ("base", 6),
    ]  # fmt: skip
    pictures = [item.picture.tobytes() for item in done.painted]
    assert len(set(pictures)) == 4, "tuned and base differ, and so do the seeds"
    assert done.painted[0].caption() == "tuned 5 · a red disc · seed 5, 3 steps, guidance 2"


def test_a_scale_of_0_is_the_base_and_a_picture_can_be_painted_again(studio_of: Studio) -> None:
    name = studio_of.choices()[0]
    off = last(studio_of.paint(name, replace(WISH, lora_scale=0.0), threading.Event())).painted
    assert [item.picture.tobytes() for item in off[:2]] == [item.picture.tobytes() for item in off[2:]]
    assert "LoRA 0" in off[0].caption() and "LoRA" not in off[2].caption()
    first, again = (last(studio_of.paint(name, WISH, threading.Event())).painted for _ in range(2))
    assert [item.picture.tobytes() for item in first] == [item.picture.tobytes() for item in again]


def test_a_run_from_scratch_is_painted_alone(studio_of: Studio, runs: tuple[Workspace, Path, Path]) -> None:
    name = f"{runs[1].parent.name}/{runs[1].name}"
    about = studio_of.about(name)
    assert not about.has_base and not about.has_adapter and about.size == 32
    assert {item.side for item in last(studio_of.paint(name, WISH, threading.Event())).painted} == {"tuned"}
    tuned = studio_of.about(studio_of.choices()[0])
    assert tuned.has_base and tuned.has_adapter and tuned.steps == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 151}, "the number of steps is 151, allowed is 1 to 150"),
        ({"steps": 0}, "the number of steps is 0"),
        ({"count": 9}, "the number of pictures is 9, allowed is 1 to 8"),
        ({"guidance": 20.5}, "the guidance is 20.5, allowed is 1 to 20"),
        ({"guidance": math.nan}, "the guidance is nan"),
        ({"lora_scale": -0.1}, "the LoRA scale is -0.1, allowed is 0 to 2"),
        ({"seed": LARGEST_SEED + 1}, "the seed is"),
        ({"seed": -1}, "the seed is -1"),
        ({"prompt": "x" * 501}, "the prompt has 501 characters, at most 500"),
    ],
)
def test_a_wish_beyond_a_limit_is_refused(studio_of: Studio, change: dict[str, float | str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        last(studio_of.paint(studio_of.choices()[0], replace(WISH, **change), threading.Event()))


def test_a_stop_ends_it_between_two_steps_and_the_model_is_free_again(studio_of: Studio) -> None:
    stop, name = threading.Event(), studio_of.choices()[0]
    seen = []
    for state in studio_of.paint(name, replace(WISH, steps=100), stop):
        seen.append(state)
        if state.share > 0.02:
            stop.set()
    assert seen[-1].ending == "stopped" and not seen[-1].painted and len(seen) < 60
    assert last(studio_of.paint(name, WISH, threading.Event())).ending == "done"
    # The adapter is on again after a stop while the base was painted.
    for state in studio_of.paint(name, WISH, stop := threading.Event()):
        if state.what.startswith("base"):
            stop.set()
    expected = last(studio_of.paint(name, WISH, threading.Event())).painted
    assert expected[0].picture.tobytes() != expected[2].picture.tobytes()


def test_unknown_words_are_named(studio_of: Studio) -> None:
    name = studio_of.choices()[0]
    assert list(last(studio_of.paint(name, replace(WISH, prompt="a red zebra"), threading.Event())).unknown) == ["zebra"]
    assert not last(studio_of.paint(name, WISH, threading.Event())).unknown


def test_names_that_do_not_paint(studio_of: Studio, runs: tuple[Workspace, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not among the runs that paint here"):
        last(studio_of.paint("../etc", WISH, threading.Event()))
    with pytest.raises(UserError, match="there is no run that paints in"):
        Studio(Workspace.open(tmp_path))
    with pytest.raises(UserError, match="there is no run 'nobody'"):
        Studio(runs[0], "nobody")


class Visit:
    """A request as Gradio hands it in."""

    session_hash = "visit"
    username = None


def test_a_request_made_past_the_browser_is_refused_in_words(studio_of: Studio) -> None:
    page, name = _Page(studio_of), studio_of.choices()[0]
    updates = list(page.paint([], name, "a disc", 0, 400, 3, 2.0, 1.0, True, Visit()))  # type: ignore[arg-type]
    assert len(updates) == 1 and updates[0][1].startswith("**The number of pictures is 400, allowed is 1 to 8")
    for bad in ("many", None, math.inf):
        updates = list(page.paint([], name, "a disc", 0, bad, 3, 2.0, 1.0, True, Visit()))  # type: ignore[arg-type]
        assert len(updates) == 1 and updates[0][1].startswith("**")


def test_the_page_keeps_pictures_with_their_settings_and_gives_them_back(studio_of: Studio) -> None:
    page, name = _Page(studio_of), studio_of.choices()[0]
    kept: list = []
    for seed in (1, 2):
        kept, status, base, tuned, history, *_ = list(
            page.paint(kept, name, "a <b>red</b> zebra", seed, 1, 2, 2.0, 0.5, True, Visit())  # type: ignore[arg-type]
        )[-1]
    assert [(item.side, item.seed) for item in kept] == [("tuned", 2), ("base", 2), ("tuned", 1), ("base", 1)]
    assert "never met" in status and "“zebra”" in status and "<b>" not in status
    assert len(base) == len(tuned) == 1 and len(history) == 4 and "LoRA 0.5" in history[0][1]
    assert history[0][0].size == (256, 256), "a small picture is enlarged by whole pixels"
    assert page.take(kept[2]) == ("a <b>red</b> zebra", 1, 2, 2.0, 0.5, False)
    many = list(page.paint(kept * 20, name, "disc", 0, 1, 2, 1.0, 1.0, False, Visit()))[-1][0]  # type: ignore[arg-type]
    assert len(many) == KEPT and many[0].side == "tuned" and many[0].prompt == "disc"
