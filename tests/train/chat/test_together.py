"""Parts that were made apart work together: every objective on a run, with other adapters, optimizers and start values."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace, read_run
from tests.soak import taking_turns
from tests.train.chat.test_preference import pairs, thumbs
from tests.train.chat.test_run import losses
from tests.train.chat.test_text import document
from tests.train.conftest import PRESET, Trainer, chat_rows, write_dataset

OBJECTIVES = ("sft", "text", "dpo", "ipo", "orpo", "simpo", "cpo", "kto", "grpo", "distill", "reward")
PARTS: dict[str, dict[str, Any]] = {
    "oft": {"method": "oft", "oft.block_size": 4},
    "vera": {"method": "vera", "vera.rank": 4},
    "eva": {"lora.init": "eva"},
    "muon": {"method": "full", "optimizer": "muon"},
    "galore": {"method": "full", "optimizer": "galore_adamw", "projection.rank": 4},
}
_GRPO = {"grpo.group_size": 2, "grpo.max_new_tokens": 6, "grpo.rewards": [{"reward": "regex", "pattern": "[a-e]"}]}


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> SimpleNamespace:
    """A finished run and a Dataset for every objective."""
    folder = tmp_path_factory.mktemp("together")
    workspace = Workspace.open(folder / "workspace")
    write_dataset(workspace, chat_rows(8), chat_rows(10)[8:], "talk")
    write_dataset(workspace, [document(number, 2) for number in range(4)], [document(9, 2)], "texts")
    write_dataset(workspace, pairs(10)[:8], pairs(10)[8:], "pairs")
    write_dataset(workspace, thumbs(10)[:8], thumbs(10)[8:], "thumbs")
    preset = folder / "preset.yaml"
    plain = {name: value for name, value in PRESET.items() if name != "lora"}
    preset.write_text(yaml.safe_dump(plain | {"batch_size": 4, "max_steps": 2, "epochs": 2}))
    trainer = Trainer(workspace, tiny_base, preset)
    run, _ = trainer.train(data="talk")
    return SimpleNamespace(workspace=workspace, preset=preset, base=tiny_base, run=run)


def trained(roads: SimpleNamespace, model: Path, objective: str, **settings: Any) -> Path:
    data = {"sft": "talk", "grpo": "talk", "distill": "talk", "text": "texts", "kto": "thumbs"}.get(objective, "pairs")
    own = _GRPO if objective == "grpo" else {"distill.teacher": str(roads.base)} if objective == "distill" else {}
    folder: Path = Trainer(roads.workspace, model, roads.preset).train(data=data, objective=objective, **own, **settings)[0]
    return folder


@pytest.mark.parametrize("objective", taking_turns((name for name in OBJECTIVES if name != "reward"), {"dpo", "grpo", "text"}))
def test_every_objective_but_one_goes_on_from_a_run(roads: SimpleNamespace, objective: str) -> None:
    folder = trained(roads, roads.run, objective)
    assert len(losses(folder)) == 2 and all(map(math.isfinite, losses(folder).values()))
    assert read_run(folder).start["run"] == f"{roads.run.parent.name}/{roads.run.name}"


_REFUSED = {("grpo", "eva"): "with 'objective: grpo' there are none before answers are written"}


# What each does by itself is tested beside it; this is about what only meets here.
@pytest.mark.soak
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_takes_other_adapters_and_optimizers(roads: SimpleNamespace, objective: str, part: str) -> None:
    if (objective, part) in _REFUSED:
        with pytest.raises(ConfigError, match=_REFUSED[objective, part]):
            trained(roads, roads.base, objective, **PARTS[part])
        return
    folder = trained(roads, roads.base, objective, **PARTS[part])
    assert len(losses(folder)) == 2 and all(map(math.isfinite, losses(folder).values()))


def test_a_reward_model_wants_a_merged_run(roads: SimpleNamespace) -> None:
    with pytest.raises((ConfigError, UserError), match="'objective: reward' puts a score .* Merge it"):
        trained(roads, roads.run, "reward")


@pytest.mark.parametrize(
    ("objective", "data", "reason"),
    [
        ("dpo", "talk", "not a pair: DPO needs"),
        ("reward", "talk", "not a pair: a reward model needs"),
        ("kto", "talk", "neither liked nor disliked"),
    ],
)
def test_rows_of_another_form_are_told_in_one_sentence(roads: SimpleNamespace, objective: str, data: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"none of the 8 training rows can be learnt from \({reason}.*docs/objectives.md"):
        Trainer(roads.workspace, roads.base, roads.preset).train(data=data, objective=objective)
