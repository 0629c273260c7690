"""Builds on Ray itself: two processes of a Ray that is started here, one of them killed half-way, and a cluster that runs."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from studio.core.extras import available
from studio.core.files import sha256_file
from studio.core.workspace import read_dataset
from tests.data.images.made_pictures import scene

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not available("ray"), reason="Ray is an extra: pip install 'finetuning-studio[ray]'"),
]

WORK = "ray::carry_out"
"""What a process of Ray is called while it works for the studio."""
HOLD = """
import sys, time
from studio.core.ray_cluster import ray_cluster

with ray_cluster(None, instead="Leave it.", processes=1) as ray:
    task = ray.remote(lambda seconds: time.sleep(seconds))
    waiting = task.remote(100)
    print("ready", file=sys.__stdout__, flush=True)
    ray.get(waiting)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora, large enough to be handed out, and their recipes."""
    folder = tmp_path_factory.mktemp("corpora")
    chance = random.Random(0)
    words = ["".join(chance.choices("etaoinshrdlucm", k=chance.randint(2, 8))) for _ in range(5_000)]
    rows: list[list[str]] = []
    for number in range(18_000):
        copied = list(chance.choice(rows)) if number % 20 == 19 else chance.choices(words, k=110)
        copied[chance.randrange(110)] = chance.choice(words)
        rows.append(copied)
    lines = [json.dumps({"question": " ".join(row[:20]), "answer": " ".join(row[20:])}) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "pictures").mkdir()
    for number in range(240):
        picture = scene(number if number % 12 else 1, (480, 360))
        picture.save(folder / "pictures" / f"{number:03}.png")
    source = "sources:\n- {type: local, path: %s, licence: own data}\n"
    split = "split: {validation: 0.1, test: 0.1}\n"
    steps = "steps:\n- step: unicode\n- step: scrub\n- step: near_duplicates\n"
    (folder / "chat.yaml").write_text("kind: chat\n" + source % (folder / "rows.jsonl") + steps + split)
    steps = "steps:\n- step: exact_duplicates\n- step: near_duplicates\n"
    (folder / "image.yaml").write_text("kind: image\n" + source % (folder / "pictures") + steps + split)
    return folder


def begin(recipe: Path, space: Path, *more: object) -> subprocess.Popen[str]:
    """``studio data build`` in a process of its own."""
    command = [sys.executable, "-m", "studio.cli.main", "data", "build", str(recipe), "--workspace", str(space), "--json"]
    return subprocess.Popen([*command, *map(str, more)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(build: subprocess.Popen[str]) -> Path:
    """The folder of what it built."""
    out, err = build.communicate(timeout=300)
    assert build.returncode == 0, err
    return Path(json.loads(out)["folder"])


def equal(one: Path, other: Path) -> bool:
    """Whether two Datasets hold the same, pictures among it."""
    first, second = read_dataset(one), read_dataset(other)
    assert first.rows_removed > 10 and first.fingerprint == second.fingerprint and first.splits == second.splits
    files = [file.relative_to(one) for file in one.rglob("*") if file.suffix in {".parquet", ".png"}]
    assert len(files) >= 4
    return all(sha256_file(one / file) == sha256_file(other / file) for file in files)


def kill_one(build: subprocess.Popen[str]) -> bool:
    """Kill the first process of Ray that is seen at work for a build; False when none was seen before its end."""
    while build.poll() is None:
        try:
            for one in psutil.Process(build.pid).children(recursive=True):
                if one.name() == WORK[:15] or (one.cmdline() or [""])[0].startswith(WORK):
                    one.kill()
                    return True
        except psutil.Error:
            pass
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("kind", ["chat", "image"])
def test_the_same_with_a_process_killed_half_way(kind: str, folder: Path, tmp_path: Path) -> None:
    here = end(begin(folder / f"{kind}.yaml", tmp_path / "here"))
    build = begin(folder / f"{kind}.yaml", tmp_path / "there", "--engine", "ray", "--processes", 2)
    assert kill_one(build)
    assert equal(here, end(build))


def test_it_listens_here_only_and_ends_with_its_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    heard = [link for one in family for link in one.net_connections("inet") if link.status == psutil.CONN_LISTEN]
    assert heard and {link.laddr.ip.removeprefix("::ffff:") for link in heard} <= {"127.0.0.1", "::1"}
    [place] = Path("/tmp").glob(f"studio-ray-{process.pid}-*")
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone(family[1:], place)


def test_asked_to_stop_it_stops_in_order() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    family = psutil.Process(process.pid).children(recursive=True)
    [place] = Path("/tmp").glob(f"studio-ray-{process.pid}-*")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode not in {0, -signal.SIGTERM} and err == ""
    gone(family, place)


def gone(family: list[psutil.Process], place: Path) -> None:
    """See that processes and a folder go."""
    until = time.monotonic() + 60
    while time.monotonic() < until and (place.exists() or any(map(alive, family))):
        time.sleep(0.2)
    assert not place.exists() and not any(map(alive, family))


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A head that somebody started, which asks for a token; its address."""
    place = Path(tempfile.mkdtemp(prefix="head-", dir="/tmp"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "5" * 64)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = Path(sys.executable).with_name("ray")
    command = [
        ray,
        "start",
        "--head",
        "--port=6399",
        "--num-cpus=2",
        "--include-dashboard=false",
        "--block",
        f"--temp-dir={place}",
    ]
    with (place / "log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
    family: list[psutil.Process] = []
    try:
        until = time.monotonic() + 90
        while "Ray runtime started" not in (place / "log").read_text() and time.monotonic() < until:
            time.sleep(0.5)
        family = psutil.Process(head.pid).children(recursive=True)
        yield "127.0.0.1:6399"
    finally:
        head.terminate()
        head.wait(60)
        for one in filter(alive, family):
            one.kill()
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_a_cluster_that_runs_is_joined_and_left(
    cluster: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = end(begin(folder / "image.yaml", tmp_path / "here"))
    there = begin(folder / "image.yaml", tmp_path / "there", "--engine", "ray", "--ray-address", cluster)
    assert equal(here, end(there))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "6" * 64)
    build = begin(folder / "image.yaml", tmp_path / "nowhere", "--engine", "ray", "--ray-address", cluster)
    _, err = build.communicate(timeout=120)
    assert build.returncode == 2 and err.count("error:") == 1 and f"no Ray cluster answers at '{cluster}'" in err, err
