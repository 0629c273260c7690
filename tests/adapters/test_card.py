"""A kind of run that the studio does not know gets a plain card; one that has a room gets that room's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.adapters.card import CARDS, ModelCard, _gate, write_model_card
from studio.core.files import write_json


def toy_run(tmp_path: Path, **values: Any) -> Path:
    """A finished run of a kind that somebody else added, written by hand."""
    dataset = tmp_path / "datasets" / "numbers" / "f00d"
    source = {"name": "primes", "kind": "file", "location": "primes.csv", "licence": "cc0-1.0", "rows": 1200}
    write_json(
        dataset / "dataset.json",
        {
            "kind": "chat", "name": "numbers", "fingerprint": "f00d", "created": "2026", "recipe": {}, "sources": [source],
            "steps": [], "splits": {"train": 1100}, "rows_read": 1200, "rows_removed": 100, "studio_version": "0.1.0",
        },
    )  # fmt: skip
    record = {
        "kind": "toy", "name": "adder", "id": "abc123", "status": "finished", "created": "2026-11-22T05:00:00+00:00",
        "finished": "2026-11-22T05:01:00+00:00", "method": "scratch", "base": {"source": "scratch"}, "seed": 0,
        "dataset": {"path": str(dataset), "name": "numbers", "fingerprint": "f00d"}, "versions": {"torch": "2.14.1"},
        "result": {"final_loss": 0.012345, "steps": 5000, "first_step_at": 1.0}, "machine": {"device": "cpu", "cores": 2},
    }  # fmt: skip
    folder = tmp_path / "runs" / "adder" / "20261122-050000-abc123"
    write_json(folder / "run.json", record | values)
    settings = {"kind": "toy", "layers": 3, "widths": [8, 8], "learning_rate": 0.1, "bias": False, "note": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return folder


def card_of(folder: Path) -> str:
    write_model_card(folder)
    return (folder / "README.md").read_text()


def test_a_kind_from_outside_gets_a_plain_card(tmp_path: Path):
    assert card_of(toy_run(tmp_path)) == (
        "---\ntags:\n- finetuning-studio\n- toy\n- scratch\n---\n\n"
        "# adder\n\n"
        "A model of kind toy, trained from scratch on the dataset `numbers` on 2026-11-22. Run `abc123`, finished.\n\n"
        "## Data\n\nDataset `numbers`, fingerprint `f00d`.\n\n1,200 rows read, 100 removed.\n\n"
        "| split | rows |\n|---|---|\n| train | 1,100 |\n\n"
        "| source | location | revision | licence | rows |\n|---|---|---|---|---|\n"
        "| primes | primes.csv |  | cc0-1.0 | 1,200 |\n\n"
        "## Training\n\n| setting | value |\n|---|---|\n"
        "| kind | toy |\n| layers | 3 |\n| learning_rate | 0.1 |\n| bias | False |\n\n"
        "| result | value |\n|---|---|\n| final loss | 0.01235 |\n| steps | 5,000 |\n\n"
        "Machine: cpu, 2 cores.\nVersions: torch 2.14.1.\n\n"
        "## Bias, risks and evaluation\n\nNot evaluated yet: `studio eval release --model abc123`\n\n"
        "## Limits\n\nNothing has been measured; what is not in the tables above is not known. This card was written from the "
        "records of the run; who the model is for, and who must not use it, are for its maker to add.\n"
    )


def test_a_base_of_a_kind_from_outside_is_named_with_its_licence(tmp_path: Path):
    base = {"name": "owner/model", "source": "hub", "revision": "r1", "sha256": "5" * 64, "licence": "mit"}
    text = card_of(toy_run(tmp_path, base=base, method="full"))
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["base_model"] == "owner/model" and head["base_model_relation"] == "finetune" and head["license"] == "mit"
    assert (
        "`owner/model`, every weight trained on the dataset `numbers`" in text and f"sha256 `{'5' * 64}`, revision `r1`" in text
    )
    assert "The limits of the base model `owner/model` apply." in text


@pytest.mark.parametrize("kind", [*CARDS])
def test_every_kind_with_a_room_has_a_card_of_its_own(kind: str):
    card = CARDS.get(kind)
    assert issubclass(card, ModelCard) and card is not ModelCard and card.shown_settings and card.loss_unit


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        ({"thresholds": 1, "met": 1, "missed": [], "not_shown": []}, "Gate met: the only threshold."),
        ({"thresholds": 3, "missed": [], "not_shown": []}, "Gate met: all 3 thresholds."),
        ({"thresholds": 3, "missed": ["a is 2"], "not_shown": ["b is 0 on 4 rows"]},
         "Gate not met: a is 2. Not shown on so few examples: b is 0 on 4 rows."),
        ({"thresholds": 2, "missed": [], "not_shown": ["b", "c"]}, "Not shown on so few examples: b; c."),
    ],
)  # fmt: skip
def test_the_gate_stands_on_the_card_as_it_stood(gate: dict[str, object], text: str):
    assert _gate(gate) == text
