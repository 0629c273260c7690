"""A round that learns what people like too: DPO from corrections, KTO from thumbs, from the first training's adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import read_run
from studio.feedback.store import Origin
from studio.loop.rounds import list_rounds
from studio.serve.aliases import list_aliases
from tests.conftest import PRESET, Result
from tests.loop.conftest import InUse, rails

Studio = Callable[..., Result]


def with_preferences(in_use: InUse, **changes: Any) -> None:
    """Presets of both forms beside the project, and rules that use them."""
    for form in ("dpo", "kto"):
        preset = PRESET.replace("learning_rate: 0.01", "learning_rate: 0.001") + f"objective: {form}\n"
        (in_use.folder / f"{form}.yaml").write_text(preset, encoding="utf-8")
    in_use.rules(dpo="dpo.yaml", kto="kto.yaml", **({"preferences": "auto", "preference_settings": ["epochs=1"]} | changes))


def thumbs(in_use: InUse, count: int, start: int = 0) -> None:
    """People like answers that end well, and dislike others."""
    store = in_use.store
    for number, (question, answer) in enumerate(rails(count, start)):
        good = number % 2 == 0
        origin = Origin(in_use.run, ("ada", "ben", "eve")[number % 3], "chat")
        prompt = [{"role": "user", "content": question}]
        store.rate(origin, prompt=prompt, completion=answer if good else "No idea at all.", value=1 if good else -1)
    store.close()


@pytest.mark.long
@pytest.mark.parametrize("form", ["dpo", "kto"])
def test_a_round_ends_with_the_preferences_there_is_more_of(studio: Studio, in_use: InUse, form: str) -> None:
    with_preferences(in_use)
    in_use.correct(rails(40 if form == "dpo" else 12))
    if form == "kto":
        thumbs(in_use, 60, start=12)
    done = studio("improve", in_use.folder, "--json")
    assert done.code == 0, done.err
    steps = done.json["steps"]
    assert steps["preference data"]["form"] == form and steps["preference data"]["dataset"], steps["preference data"]
    sft, preferences = (in_use.workspace.find_run(steps[step]["run"]) for step in ("sft", "preferences"))
    first, second = read_run(sft), read_run(preferences)
    assert first.start["run"] == in_use.run and second.start["run"] == steps["sft"]["run"]
    assert steps["preferences"]["candidate"] == steps["preferences"]["run"]
    # Rank 4 in use, and 4 more with each training.
    ranks = [json.loads((run / "adapter" / "adapter_config.json").read_text())["r"] for run in (sft, preferences)]
    assert ranks == [8, 12]
    assert done.json["status"] == "promoted", done.json["sentence"]
    assert list_aliases(in_use.aliases)["production"]["run"] == steps["preferences"]["run"]
    report = (Path(done.json["folder"]) / "report.md").read_text(encoding="utf-8")
    assert f"- {form}: {steps['preferences']['run']} on rails-r001-{form}/" in report
    # What is measured was trained on in neither of the two.
    folder = list_rounds(in_use.workspace, "rails")[0].folder
    held = [json.loads(line)["messages"][0]["content"] for line in (folder / "new-questions.jsonl").read_text().splitlines()]
    trained = (folder / f"{form}.jsonl").read_text(encoding="utf-8")
    assert held and not [question for question in held if question in trained]
    tree = studio("runs", "lineage").out
    assert f"{steps['preferences']['run']}   <- production" in tree and f"from {steps['sft']['run']}" in tree
    # The next round begins at that adapter; its own preferences are too few, and it says so.
    in_use.correct(rails(20, start=90)[:12])
    studio("improve", in_use.folder)
    second_round = list_rounds(in_use.workspace, "rails")[1]
    assert (
        second_round.of("sft")["run"]
        and read_run(in_use.workspace.find_run(second_round.of("sft")["run"])).start["run"] == (steps["preferences"]["run"])
    )


@pytest.mark.long
def test_preferences_alone_and_a_rank_that_would_grow_too_far(studio: Studio, in_use: InUse) -> None:
    with_preferences(in_use, sft=None, preferences="dpo", max_rank=6)
    in_use.correct(rails(40))
    done = studio("improve", in_use.folder, "--json")
    assert done.code == 0, done.err
    assert "the adapter would grow to rank 8 (max_rank 6): this round begins at the base" in done.err
    assert done.json["status"] == "rejected"
    assert "nothing could be trained: the rules leave it out; this round begins at the base, and without" in done.json["sentence"]
    with_preferences(in_use, sft=None, preferences="dpo")
    in_use.correct(rails(40, start=40))
    alone = studio("improve", in_use.folder, "--json").json
    run = read_run(in_use.workspace.find_run(alone["steps"]["preferences"]["run"]))
    assert alone["steps"]["sft"]["run"] is None and run.start["run"] == in_use.run
