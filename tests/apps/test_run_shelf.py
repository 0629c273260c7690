"""The runs an app offers: which it can use, the one it begins with, how many stay loaded, and what it says when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.apps.local_models import LocalShelf
from studio.apps.painting import Studio
from studio.apps.run_shelf import RunShelf, Words, shows
from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run
from tests.cli.conftest import add_run

WORDS = Words("that hums", "Train one.", "cannot hum", "runs that hum")


def shelf_of(workspace: Workspace, loads: list[str], reference: str | None = None, keep: int = 1) -> RunShelf[object]:
    def load(folder: Path) -> object:
        loads.append(folder.parent.name)
        return object()

    return RunShelf(workspace, reference, usable=lambda record, _: record.name != "mute", load=load, words=WORDS, keep=keep)


def test_the_run_asked_for_stands_first_and_what_cannot_be_used_is_left_out(workspace: Workspace) -> None:
    one, two, _, broken = (add_run(workspace, name) for name in ("one", "two", "mute", "broken"))
    (broken / "run.json").write_text("{")
    names = [f"{folder.parent.name}/{folder.name}" for folder in (two, one)]
    assert shelf_of(workspace, []).choices() == names
    assert shelf_of(workspace, [], "one").choices() == names[::-1]
    with pytest.raises(
        UserError, match=r"^the run mute/\S+ is of kind 'chat' and finished: it cannot hum\. Choose another \(studio"
    ):
        shelf_of(workspace, [], "mute")
    assert str(shelf_of(workspace, []).unknown("x")) == "'x' is not among the runs that hum here. Choose another from the list."


def test_the_run_not_used_for_longest_goes_when_another_is_loaded(workspace: Workspace) -> None:
    folders = [add_run(workspace, name) for name in ("one", "two", "three")]
    loads: list[str] = []
    shelf = shelf_of(workspace, loads, keep=2)
    one = shelf.loaded(folders[0])
    shelf.loaded(folders[1])
    assert shelf.loaded(folders[0]) is one
    shelf.loaded(folders[2])
    assert [shelf.is_loaded(folder) for folder in folders] == [True, False, True]
    shelf.loaded(folders[1])
    assert loads == ["one", "two", "three", "two"]


def test_each_kind_of_run_is_shown_in_one_app_and_the_other_says_so(workspace: Workspace) -> None:
    talks, paints = add_run(workspace, "talks"), add_run(workspace, "paints", kind="diffusion")
    assert [shows(read_run(folder), app) for folder in (talks, paints) for app in ("chat", "image")] == [True, False, False, True]
    refused: dict[str, Any] = {
        "paints": (
            LocalShelf,
            "is of kind 'diffusion' and finished: it has no language model to talk to yet. Choose another (studio",
        ),
        "talks": (Studio, "is of kind 'chat' and finished: it cannot paint. Choose another (studio"),
    }
    for name, (opened, words) in refused.items():
        with pytest.raises(UserError) as caught:
            opened(workspace, name)
        assert str(caught.value).startswith(f"the run {name}/") and f"{words} runs list)." in str(caught.value)


def test_a_workspace_without_such_runs_is_told_with_what_to_do(workspace: Workspace) -> None:
    for opened, words in (
        (LocalShelf, f"there is no run to talk to in {workspace.runs} yet. Tune one: studio quickstart"),
        (Studio, f"there is no run that paints in {workspace.runs} yet. Train one: studio train diffusion/… --data DATASET"),
    ):
        with pytest.raises(UserError) as caught:
            opened(workspace)
        assert str(caught.value) == words


def test_the_base_of_the_first_run_is_offered_and_of_no_other(workspace: Workspace) -> None:
    for name in ("one", "two"):
        add_run(workspace, name)
    shelf = LocalShelf(workspace, "one")
    one, base, two = shelf.choices()
    assert base == f"base of {one}" and (one.split("/")[0], two.split("/")[0]) == ("one", "two")
    assert shelf.get(base).name == base and not shelf.get(base).ready
    with pytest.raises(UserError, match=r"^'base of two/\S+' is not among the models here\. Choose another from the list\.$"):
        shelf.get(f"base of {two}")
