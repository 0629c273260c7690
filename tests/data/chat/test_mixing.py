"""Mixing sources: what is drawn, what repeats, what is written down."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.core.errors import ConfigError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.mixing import Mixture
from studio.data.chat.rows import read_removed, read_split
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe

SIZES = {"big": 80, "small": 20}
WORDS = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "ledge",
    "marsh", "notch", "orbit", "plume", "quarry", "ridge", "shoal", "tarn",
]  # fmt: skip


def built(tmp_path: Path, sources: dict[str, dict[str, Any]], mix: dict[str, Any] | None = None, name: str = "n") -> BuildOutcome:
    for place, (source, count) in enumerate(SIZES.items()):
        rows = [
            {"question": f"{WORDS[n % 20]} {WORDS[n // 20]} {source}?", "answer": f"{n} {place} {WORDS[(7 * n) % 20]} {n * 31}"}
            for n in range(count)
        ]
        (tmp_path / f"{source}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = ChatRecipe.model_validate(
        {
            "kind": "chat",
            "sources": [
                {"type": "local", "path": str(tmp_path / f"{source}.jsonl"), "licence": "own", **sources.get(source, {})}
                for source in SIZES
            ],
            "split": {"validation": 4, "test": 6, "threshold": 1.0},
            **({"mix": mix} if mix else {}),
        }
    )
    return build_chat_dataset(recipe, Workspace(tmp_path / "w"), name=name)


def mixture(done: BuildOutcome) -> dict[str, dict[str, Any]]:
    return (done.record.model_extra or {})["mixture"]


def test_without_a_mix_every_row_is_used_and_written_down(tmp_path: Path) -> None:
    done = built(tmp_path, {})
    assert mixture(done) == {
        "big": {"read": 80, "kept": 80, "used": 80, "repeated": 0, "share": 0.8},
        "small": {"read": 20, "kept": 20, "used": 20, "repeated": 0, "share": 0.2},
    }
    assert [step.name for step in done.record.steps] == ["read"] and not any(note.startswith("mix") for note in done.notes)


def test_weights_and_caps_draw_without_replacement(tmp_path: Path) -> None:
    done = built(tmp_path, {"big": {"weight": 0.5}, "small": {"cap": 15}})
    found = mixture(done)
    assert (found["big"]["kept"], found["big"]["used"], found["small"]["kept"], found["small"]["used"]) == (80, 40, 20, 15)
    assert {"mix: big: 40 of 80 rows are used", "mix: small: 15 of 20 rows are used"} <= set(done.notes)
    gone = read_removed(done.folder)
    assert Counter((one.step, one.reason, one.row.source) for one in gone) == {
        ("mix", "not drawn", "big"): 40,
        ("mix", "not drawn", "small"): 5,
    }
    ids = [row.id for split in done.record.splits for row in read_split(done.folder, split)]
    assert len(ids) == len(set(ids)) == 55 and not {one.row.id for one in gone} & set(ids)
    again = built(tmp_path, {"big": {"weight": 0.5}, "small": {"cap": 15}}, {"seed": 0})
    assert again.cached
    other = built(tmp_path, {"big": {"weight": 0.5}, "small": {"cap": 15}}, {"seed": 1})
    assert other.reused == 1 and {one.row.id for one in read_removed(other.folder)} != {one.row.id for one in gone}


def test_temperature_brings_shares_together(tmp_path: Path) -> None:
    found = mixture(built(tmp_path, {}, {"temperature": 2}))
    # The square roots of 80 and 20 are as 2 to 1.
    assert (found["big"]["used"], found["small"]["used"]) == (40, 20)
    repeated = built(tmp_path, {}, {"temperature": 2, "repeat": True}, name="r")
    shares = mixture(repeated)
    assert shares["small"]["repeated"] > 0 and shares["small"]["share"] > 0.3 and shares["big"]["used"] < 80
    record = repeated.record
    assert record.rows_read + (record.model_extra or {})["rows_added"] == sum(record.splits.values()) + record.rows_removed


def test_rows_repeat_in_train_only(tmp_path: Path) -> None:
    done = built(tmp_path, {"small": {"weight": 2.5}}, {"repeat": True})
    train = read_split(done.folder, "train")
    own = [row for row in train if row.source == "small"]
    plain = [row for row in own if "/again-" not in row.id]
    assert len(own) == round(2.5 * len(plain)) and len({row.id for row in train}) == len(train) == done.record.splits["train"]
    for row in own:
        assert row.messages == next(one.messages for one in plain if one.id == row.id.partition("/again-")[0])
    held = [row.id for split in ("validation", "test") for row in read_split(done.folder, split)]
    assert not any("/again-" in identity for identity in held)
    added = mixture(done)["small"]["repeated"]
    assert f"mix: {added} rows of train taken more than once" in done.notes
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "<h2>Mixture</h2>" in page


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5000), min_size=1),
    st.floats(1, 20),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1)),
)
def test_no_source_is_asked_for_more_than_it_has(rows: dict[str, int], temperature: float, weights: dict[str, float]) -> None:
    wanted = Mixture(weights, {}, temperature).wanted(rows)
    assert all(0 < wanted[name] <= count * (1 + 1e-9) for name, count in rows.items())


@pytest.mark.parametrize(
    ("source", "mix", "said"),
    [
        ("weight: 2", "", "the weight 2 of sources.0 uses rows more than once. Allow it with 'mix: {repeat: true}'"),
        ("cap: 3", "mix: {temperature: 3}", "there is one source. Leave it out."),
        ("weight: 0", "", "weight"),
        ("cap: 1", "mix: {temprature: 3}", "Did you mean 'temperature'?"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(source: str, mix: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(f"kind: chat\nsources:\n  - {{type: local, path: x, licence: own, {source}}}\n{mix}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_yaml(file, ChatRecipe)
    assert said in str(error.value), str(error.value)
