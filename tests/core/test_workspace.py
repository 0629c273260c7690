"""Looking up datasets and runs by every name a person may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, cache_folder, run_dataset


def make(root: Path, *parts: str, marker: str, age: int) -> Path:
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True)
    (folder / marker).write_text("{}")
    os.utime(folder / marker, (1_700_000_000 - age,) * 2)
    return folder


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    root = tmp_path / "space"
    make(root, "datasets", "faq", "0123456789abcdef", marker="dataset.json", age=20)
    make(root, "datasets", "faq", "fedcba9876543210", marker="dataset.json", age=10)
    make(root, "datasets", "jokes", "aaaabbbbccccdddd", marker="dataset.json", age=5)
    make(root, "datasets", ".half", "9999", marker="dataset.json", age=0)
    make(root, "runs", "lora", "20260101-120000-aa11", marker="run.json", age=20)
    make(root, "runs", "lora", "20260102-120000-bb22", marker="run.json", age=10)
    make(root, "runs", "dora", "20260103-120000-cc33", marker="run.json", age=0)
    make(root, "runs", "dora", ".20260104-120000-dd44", marker="run.json", age=0)
    return Workspace.open(root)


@pytest.mark.parametrize(
    ("reference", "fingerprint"),
    [
        ("faq", "fedcba9876543210"),
        ("faq/0123456789abcdef", "0123456789abcdef"),
        ("0123", "0123456789abcdef"),
        ("aaaabbbb", "aaaabbbbccccdddd"),
        ("chat/jokes", "aaaabbbbccccdddd"),
    ],
)
def test_dataset_by_name_or_fingerprint(space: Workspace, reference: str, fingerprint: str):
    assert space.find_dataset(reference).name == fingerprint


def test_dataset_by_path(space: Workspace, monkeypatch: pytest.MonkeyPatch):
    folder = space.datasets / "jokes" / "aaaabbbbccccdddd"
    assert space.find_dataset(str(folder)) == folder
    monkeypatch.chdir(folder)
    assert space.find_dataset(".") == folder


def test_unknown_dataset_names_what_exists(space: Workspace):
    with pytest.raises(UserError) as caught:
        space.find_dataset("joke")
    assert str(caught.value) == (
        f"there is no dataset 'joke' in {space.datasets}. Did you mean 'jokes'? "
        "Built: faq, jokes. Build one: studio data build RECIPE"
    )


@pytest.mark.parametrize(
    ("reference", "run"),
    [
        ("last", "20260103-120000-cc33"),
        ("lora", "20260102-120000-bb22"),
        ("aa11", "20260101-120000-aa11"),
        ("20260101-120000-aa11", "20260101-120000-aa11"),
        ("lora/20260101-120000-aa11", "20260101-120000-aa11"),
        ("lora/20260101-120000-aa11/", "20260101-120000-aa11"),
    ],
)
def test_run_by_name_id_or_last(space: Workspace, reference: str, run: str):
    assert space.find_run(reference).name == run


def test_the_dataset_of_a_run_is_found_after_a_move(space: Workspace):
    first, other = space.datasets / "faq" / "0123456789abcdef", space.datasets / "faq" / "fedcba9876543210"
    for recorded, fingerprint, found in ((first, "", first), ("/gone", "0123456789abcdef", first), (other, first.name, other)):
        run = RunRecord.model_construct(dataset={"path": str(recorded), "name": "faq", "fingerprint": fingerprint})
        assert run_dataset(run, space) == found
    run = RunRecord.model_construct(dataset={"path": "/gone", "name": "faq", "fingerprint": "0123"})
    with pytest.raises(UserError, match="faq, is no longer at /gone nor in"):
        run_dataset(run, space)
    assert Workspace.around(space.runs / "lora" / "20260101-120000-aa11") == space
    assert Workspace.around(Path("/run")).list_datasets() == []  # copied out to where there is nothing above


def test_unfinished_folders_are_not_seen(space: Workspace):
    assert [folder.name for folder in space.list_runs()] == [
        "20260103-120000-cc33",
        "20260102-120000-bb22",
        "20260101-120000-aa11",
    ]
    assert {folder.parent.name for folder in space.list_datasets()} == {"faq", "jokes"}


def test_empty_workspace_says_how_to_begin(tmp_path: Path):
    empty = Workspace.open(tmp_path / "none")
    with pytest.raises(UserError, match="Known: none. Train one: studio train"):
        empty.find_run("last")
    with pytest.raises(UserError, match="Built: none. Build one: studio data build RECIPE"):
        empty.find_dataset("faq")
    assert not empty.root.exists(), "looking makes no folders"


def test_place_is_chosen_by_option_then_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDIO_WORKSPACE", raising=False)
    assert Workspace.open().root == tmp_path / "studio-workspace"
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "env"))
    assert Workspace.open().root == tmp_path / "env"
    assert Workspace.open("mine").root == tmp_path / "mine"
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"


def test_writable_check_leaves_nothing_and_refuses_a_file(tmp_path: Path):
    space = Workspace.open(tmp_path / "space")
    space.check_writable()
    assert list(space.root.iterdir()) == []
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(StudioError, match="something else of that name is there already"):
        Workspace.open(blocked).check_writable()
