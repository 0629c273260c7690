"""Replay: general rows train beside a field's, in the share that was asked for, and test stays the field's own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import read_removed, read_split
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import sentence


def rows_file(path: Path, count: int, start: int, words: str) -> Path:
    lines = [{"question": f"{words} {sentence(start + n)}?", "answer": sentence(5000 + start + n)} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows_file(tmp_path / "field.jsonl", 60, 0, "Field")
    rows_file(tmp_path / "general.jsonl", 40, 900, "General")
    return tmp_path


def build(place: Path, *, general: bool = True, name: str = "n", mix: dict[str, Any] | None = None, **own: Any) -> BuildOutcome:
    sources = [{"type": "local", "path": str(place / "field.jsonl"), "licence": "own", **own}]
    sources += [{"type": "local", "path": str(place / "general.jsonl"), "licence": "CC0-1.0"}] * general
    recipe = {"kind": "chat", "sources": sources, "split": {"validation": 5, "test": 10}, **({"mix": mix} if mix else {})}
    return build_chat_dataset(ChatRecipe.model_validate(recipe), Workspace(place / "w"), name=name)


def ids(done: BuildOutcome, split: str, source: str = "field") -> list[str]:
    return [row.id for row in read_split(done.folder, split) if row.source == source]


def test_a_tenth_is_replayed_and_the_test_is_that_of_the_field_alone(place: Path) -> None:
    alone = build(place, general=False, name="alone")
    done = build(place, mix={"replay": {"source": "general", "share": "10%"}})
    for split in ("train", "validation", "test"):
        assert ids(done, split) == ids(alone, split)
        assert not ids(done, split, "general") or split == "train"
    assert done.record.splits == {"train": 50, "validation": 5, "test": 10}  # 45 of the field and 5 of 50
    extra = done.record.model_extra or {}
    assert extra["mixture"]["general"] == {
        "read": 40, "kept": 40, "used": 5, "repeated": 0, "share": pytest.approx(5 / 65, abs=1e-4), "replayed": 5,
    }  # fmt: skip
    assert "mix: general: 5 of 40 rows are replayed, 10.0% of the rows of train" in extra["notes"]
    assert Counter(gone.reason for gone in read_removed(done.folder)) == {"not drawn": 35}
    card, page = ((done.folder / name).read_text(encoding="utf-8") for name in ("README.md", "report.html"))
    assert "replayed against forgetting, in train only" in card and "general (replayed, in train only)" in page


def test_characters_are_shared_where_documents_stand_beside_short_rows(place: Path) -> None:
    done = build(place, mix={"replay": {"source": "general", "share": 0.2, "of": "characters"}})
    sizes = Counter[str]()
    for row in read_split(done.folder, "train"):
        sizes[row.source] += sum(len(turn["content"]) for turn in row.messages)
    assert sizes["general"] / sizes.total() == pytest.approx(0.2, abs=0.02)


def test_repeated_rows_count_and_too_few_general_ones_are_told(place: Path) -> None:
    done = build(place, mix={"repeat": True, "replay": {"source": "general", "share": 0.1}}, weight=2)
    assert Counter(row.source for row in read_split(done.folder, "train")) == {"field": 90, "general": 10}
    done = build(place, name="few", mix={"replay": {"source": "general", "share": 0.5}})
    assert len(ids(done, "train", "general")) == 40
    note = next(note for note in (done.record.model_extra or {})["notes"] if "replayed" in note)
    assert note.endswith("47.1% of the rows of train; 50.0% was asked for, and there are no more")


def test_general_rows_that_resemble_a_held_out_one_stay_out(place: Path) -> None:
    test = ids(build(place, general=False, name="alone"), "test")[0]
    lines = (place / "field.jsonl").read_text(encoding="utf-8").splitlines()
    copied = lines[int(test.partition("/")[2]) - 1]
    with (place / "general.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n" + copied)
    done = build(place, mix={"replay": {"source": "general", "share": 0.5}})
    gone = [one for one in read_removed(done.folder) if one.reason == "resembles a held-out row"]
    assert [(one.row.id, one.matched) for one in gone] == [("general/41", test)]


def test_another_dataset_gives_its_training_rows(place: Path) -> None:
    general = build(place, name="field-talk", general=False)
    recipe = ChatRecipe.model_validate(
        {
            "kind": "chat",
            "sources": [
                {"type": "local", "path": str(place / "general.jsonl"), "licence": "CC0-1.0"},
                {"type": "dataset", "dataset": "field-talk"},
            ],
            "mix": {"replay": {"source": "field-talk", "share": 0.25}},
            "split": {"validation": 4, "test": 6},
        }
    )
    done = build_chat_dataset(recipe, Workspace(place / "w"), name="both")
    again = {row.id.removeprefix("field-talk/") for row in read_split(done.folder, "train") if row.source == "field-talk"}
    assert len(again) == 10 and again < set(ids(general, "train"))
    source = done.record.sources[1]
    assert (source.licence, source.kind, source.rows) == ("own", "dataset", 45) and source.sha256


@pytest.mark.parametrize(
    ("mix", "own", "said"),
    [
        ({"replay": {"source": "genral", "share": 0.1}}, {}, "no source here. Did you mean 'general'?"),
        ({"replay": {"source": "field", "share": 0.1}}, {"weight": 0.5}, "source field is replayed, and mix.replay.share says"),
    ],
)
def test_slips_are_told(place: Path, mix: dict[str, Any], own: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        build(place, mix=mix, **own)


def test_replay_needs_rows(place: Path) -> None:
    (place / "general.jsonl").write_text((place / "field.jsonl").read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    (place / "r.yaml").write_text(
        "kind: chat\nsources:\n- {type: local, path: field.jsonl, licence: own}\nmix: {replay: {source: field, share: 10%}}\n"
    )
    with pytest.raises(ConfigError, match=r"mix\.replay adds rows of one source to those of others, and there is one source"):
        load_yaml(place / "r.yaml", ChatRecipe)
    with pytest.raises(ConfigError, match="share"):
        load_yaml(place / "r.yaml", ChatRecipe, ["mix.replay.share=120%"])
    held = build(place, general=False, name="alone")
    line = (place / "field.jsonl").read_text(encoding="utf-8").splitlines()[int(ids(held, "test")[0].partition("/")[2]) - 1]
    (place / "general.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match="no row of general can be replayed: all 1 resemble a held-out row"):
        build(place, mix={"replay": {"source": "general", "share": 0.1}})
