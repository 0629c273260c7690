"""Builds on Ray without Ray: a stand-in for its few calls, whose tasks run in a process of their own."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from studio.core.children import prepare_child
from studio.core.errors import UserError
from studio.core.files import sha256_file
from studio.core.workspace import Workspace
from studio.data import ray_workers
from studio.data.images import crew as crew_module
from studio.data.images.crew import crew_of
from studio.data.images.decode import DecodeOptions, Place
from studio.data.ray_workers import LostWorkerError, RayWorkers, carry_out, hire_on_ray, identity_of
from tests.conftest import Result
from tests.data.chat.test_build import build, recipe
from tests.data.made_rows import sentence

TABLES = ("train", "validation", "test", "removed")


class RayError(Exception):
    """As Ray's own."""


class RayTaskError(RayError):
    """As Ray's own: what a task raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"a traceback of many lines\n{cause}")
        self.cause = cause


class FakeRay(types.ModuleType):
    """Tasks in one other process; ``lose`` says which, counted from 0, end for good. most: were under way at once."""

    def __init__(self, lose: tuple[int, ...] = ()) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.util = types.SimpleNamespace(
            scheduling_strategies=types.SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        )
        self.lose, self.count, self.most, self.up = lose, 0, 0, False
        self.resources: dict[str, float] = {"CPU": 2.0}

    def init(self, **settings: Any) -> None:
        self.settings, self.up = settings, True
        self.pool = ProcessPoolExecutor(1, mp_context=get_context("forkserver"))

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeID": "a", "Resources": self.resources}, {"Alive": False, "NodeID": "b"}]

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        assert options["num_gpus"] == 0 and options["max_retries"] > 0

        def wrap(function: Any) -> Any:
            def hand_over(*given: Any) -> Any:
                self.count += 1
                return (self.count - 1, self.pool.submit(function, *given))

            made = types.SimpleNamespace(remote=hand_over)
            made.options = lambda **_: made
            return made

        return wrap

    def wait(self, references: list[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        assert num_returns == 1
        self.most = max(self.most, len(references))
        futures: list[Future[Any]] = [future for _, future in references]
        done, _ = wait_for(futures, return_when=FIRST_COMPLETED)
        first = next(reference for reference in references if reference[1] in done)
        return [first], [reference for reference in references if reference is not first]

    def get(self, reference: Any) -> Any:
        number, future = reference
        if number in self.lose:
            raise RayError("The worker died unexpectedly.\nmore")
        try:
            return future.result()
        except Exception as error:
            raise RayTaskError(error) from None

    def shutdown(self) -> None:
        if self.up:
            self.pool.shutdown(cancel_futures=True)
        self.up = False


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setattr("studio.core.ray_cluster.available", lambda name: name == "ray")
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.shutdown()


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows with near-duplicates, and work that is handed out in small pieces."""
    answers = [sentence(number, 60) + " donâ€™t a@b.org" for number in range(200)]
    answers += [answer.replace(" a@b.org", "") for answer in answers[::4]]
    lines = [json.dumps({"q": f"q{number}  ", "a": answer}) for number, answer in enumerate(answers)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr("studio.data.chat.runner._WORTH_CHARACTERS", 0)
    monkeypatch.setattr("studio.data.chat.runner._CHUNK_CHARACTERS", 3_000)
    monkeypatch.setattr("studio.data.sketch._PART", 5_000)
    return tmp_path / "rows.jsonl"


CLEAN = [{"step": "unicode"}, {"step": "whitespace"}, {"step": "scrub"}, {"step": "near_duplicates"}]


def test_the_same_dataset_whoever_helps(rows: Path, workspace: Workspace, tmp_path: Path, ray: FakeRay) -> None:
    said: list[str] = []
    made = recipe(rows, CLEAN, {"test": 20, "validation": 20})
    here = build(made, workspace)
    there = build(made, Workspace.open(tmp_path / "there"), hire=hire_on_ray(None, 2, said.append))
    assert here.record.rows_removed >= 40 and there.record.fingerprint == here.record.fingerprint
    for name in TABLES:
        assert sha256_file(there.folder / f"{name}.parquet") == sha256_file(here.folder / f"{name}.parquet"), name
    assert ray.count > 30 and ray.most == 2 * 3 and not ray.up
    assert ray.settings["address"] == "local" and ray.settings["include_dashboard"] is False and ray.settings["num_cpus"] == 2
    assert said[:2] == ["ray: starting on this machine", "ray: 2 processors at this machine alone"]


def test_rows_on_a_shelf_are_handed_out_ahead(
    rows: Path, workspace: Workspace, tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(rows, CLEAN, {"test": 20, "validation": 20})
    here = build(made, workspace)
    monkeypatch.setattr("studio.data.chat.runner._WORTH_CHARACTERS", 10**9)
    monkeypatch.setattr("studio.data.shelf.WHOLE_BYTES", 30_000)
    monkeypatch.setattr("studio.data.shelf.PART_BYTES", 20_000)
    there = build(made, Workspace.open(tmp_path / "there"), hire=hire_on_ray(None, 2, lambda _: None))
    assert ray.count > 15
    for name in TABLES:
        assert sha256_file(there.folder / f"{name}.parquet") == sha256_file(here.folder / f"{name}.parquet"), name


def test_what_ray_loses_for_good_is_one_sentence(rows: Path, workspace: Workspace, ray: FakeRay) -> None:
    ray.lose = (5,)
    with pytest.raises(LostWorkerError, match=r"^a part of the work was lost on Ray 4 times \(The worker died unexpectedly\)"):
        build(recipe(rows, CLEAN), workspace, hire=hire_on_ray(None, 2, lambda _: None))
    assert not ray.up


def test_a_machine_with_another_studio_is_refused(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"prepared": 0}

    def prepare() -> None:
        done["prepared"] += 1

    monkeypatch.setattr(ray_workers, "_prepared", set())
    with pytest.raises(UserError, match="has another studio, Python or library than this one"):
        carry_out("elsewhere", prepare, ("numpy",), ".", len, ("four",), {})
    assert done["prepared"] == 0
    assert [carry_out(identity_of(("numpy",)), prepare, ("numpy",), ".", len, ("four",), {}) for _ in range(2)] == [4, 4]
    assert done["prepared"] == 1
    ray.init()
    monkeypatch.setattr(ray_workers, "identity_of", lambda _: "changed")
    with pytest.raises(UserError, match="Install finetuning-studio .* with the same libraries on all"):
        RayWorkers(ray, prepare_child, ("numpy",), far=True).check()
    error = RayTaskError(ModuleNotFoundError("No module named 'studio'"))
    assert "cannot load the studio (No module named 'studio'). Install" in str(ray_workers._told(error))
    ray.resources = {}
    with pytest.raises(UserError, match="has no processors for tasks"):
        RayWorkers(ray, prepare_child, ("numpy",), far=True).check()


def test_pictures_that_other_machines_do_not_have_are_not_called_broken(
    own_pictures: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "_WORTH_PICTURES", 1)
    monkeypatch.setattr(crew_module, "_CHUNK", 7)
    places = [Place(str(path)) for path in sorted(own_pictures.glob("*.png"))]
    with crew_of(DecodeOptions(), 1) as crew:
        alone = crew.look(places)
    monkeypatch.setattr("studio.core.ray_cluster._join", lambda ray, address, instead: ray.init(address=address))
    with crew_of(DecodeOptions(), hire=hire_on_ray("head:6379", None, lambda _: None)) as crew:
        assert crew.look(places) == alone and ray.settings["address"] == "head:6379"
        (own_pictures / "scene-13.png").rename(own_pictures / "elsewhere.png")
        with pytest.raises(UserError, match=r"scene-13\.png is not on .* a disk that all share"):
            crew.look(places)


@pytest.fixture
def own_pictures(tmp_path: Path) -> Path:
    """Twenty pictures."""
    from tests.data.images.made_pictures import scene

    for number in range(20):
        scene(number).save(tmp_path / f"scene-{number:02}.png")
    return tmp_path


def test_what_the_command_line_refuses(
    studio: Callable[..., Result], rows: Path, tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made.yaml"
    made.write_text(
        f"kind: chat\nsources:\n- {{type: local, path: {rows}, licence: own data}}\nsplit: {{test: 5, validation: 5}}\n"
    )
    table = tmp_path / "table.yaml"
    table.write_text(f"kind: table\nsources:\n- {{type: local, path: {rows}, licence: own data}}\ntarget: a\n")
    space = ("--workspace", tmp_path / "space")
    for arguments, words in (
        ((made, "--engine", "rya"), "--engine 'rya' is not known. Did you mean 'ray'?"),
        ((made, "--ray-address", "head:6379"), "--ray-address head:6379 needs --engine ray"),
        ((table, "--engine", "ray"), "are built in one process: leave --engine"),
        ((table, "--processes", "2"), "are built in one process: leave --engine"),
        ((made, "--engine", "ray", "--ray-address", "127.0.0.1:1"), "no Ray cluster answers at '127.0.0.1:1'"),
    ):
        done = studio("data", "build", *arguments, *space)
        assert done.code == 2 and words in done.err and done.err.count("error:") == 1, done.err
    assert ray.count == 0
    assert studio("data", "build", made, "--processes", "1", *space).code == 0
    monkeypatch.setattr("studio.core.ray_cluster.available", lambda _: False)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = studio("data", "build", made, "--engine", "ray", *space)
    assert done.code == 2 and "pip install 'finetuning-studio[ray]'" in done.err
