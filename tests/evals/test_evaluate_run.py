"""A whole evaluation on a real, tiny run: what is written, what is compared, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from transformers import AutoTokenizer

from studio.core.errors import ConfigError, StudioError, UserError
from studio.core.files import write_json
from studio.core.records import ReportRecord, read_record
from studio.data.chat.rows import ChatRow
from studio.evals.report import newest_report
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.suites import load_suite
from studio.evals.targets import find_baseline, find_model
from tests.conftest import build_tiny_base
from tests.evals.conftest import chat_rows, write_dataset, write_run

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

FAST = ("generation.max_new_tokens=12", "resamples=100", "generation.batch_size=4")


def suite(*overrides: str):
    return load_suite("chatbot", (*FAST, *overrides))


def test_the_report_is_whole_and_can_be_opened_without_the_studio(tiny: Tiny) -> None:
    folder, record = evaluate_run(tiny.run, suite())
    assert folder.parent == tiny.run / "evals" / "chatbot"
    assert sorted(file.name for file in folder.iterdir()) == ["examples.parquet", "report.html", "scores.json"]
    saved = read_record(folder / "scores.json", ReportRecord)
    assert saved == record
    assert [score.metric for score in saved.scores["tuned"]] == suite().metrics == [item.metric for item in saved.differences]
    for label in ("tuned", "base"):
        for score in saved.scores[label]:
            assert score.n == 8 and score.coverage == 1.0 and score.made_with and score.unit
            assert score.value is not None
            if score.low is not None:
                assert score.low - 1e-9 <= score.value <= score.high + 1e-9, score
    assert saved.dataset["rows"] == 8 and saved.dataset["split"] == "test" and saved.dataset["trained_on"] == 0
    assert "few" in " ".join(saved.settings["warnings"])
    table = pd.read_parquet(folder / "examples.parquet")
    assert list(table["id"]) == [f"test-{index}" for index in range(8)]
    assert {
        "prompt",
        "reference",
        "tuned_answer",
        "base_answer",
        "tuned_stopped_by_limit",
        "tuned_rougeL",
        "base_perplexity",
    } <= set(table.columns)
    assert (tiny.run / "README.md").is_file()
    assert newest_report(tiny.run) == folder


def test_tuned_and_base_are_really_different_models(tiny: Tiny) -> None:
    _, record = evaluate_run(tiny.run, suite("metrics=[perplexity,length]", "thresholds=[]", "compare_by=perplexity"))
    perplexities = {label: scores[0].value for label, scores in record.scores.items()}
    assert abs(perplexities["tuned"] - perplexities["base"]) > 1
    # The base is the run's own with the adapter off: the same as the base loaded by itself.
    base = record.models["base"]["path"]
    _, again = evaluate_run(tiny.run, suite("metrics=[perplexity]", "thresholds=[]", "compare_by=null"), baseline=base)
    assert again.scores["base"][0].value == pytest.approx(perplexities["base"], abs=1e-6)


def test_batch_size_changes_no_score(tiny: Tiny) -> None:
    values = []
    for size in (1, 16):
        chosen = suite(f"generation.batch_size={size}", f"likelihood.batch_size={size}")
        # Without the cache: the second batch size must not be told what the first found.
        _, record = evaluate_run(tiny.run, chosen, cached=False)
        values.append({label: [score.value for score in scores] for label, scores in record.scores.items()})
    for label in ("tuned", "base"):
        assert values[0][label] == pytest.approx(values[1][label], abs=1e-4)


def test_only_what_the_metrics_need_is_asked(tiny: Tiny) -> None:
    _, record = evaluate_run(tiny.run, suite("metrics=[perplexity]", "thresholds=[]", "compare_by=null"), baseline="none")
    assert set(record.models) == {"tuned"} and set(record.models["tuned"]["seconds"]) == {"likelihood"}
    assert record.differences == []
    _, record = evaluate_run(tiny.run, suite("metrics=[rougeL]", "thresholds=[]"), baseline="none")
    assert set(record.models["tuned"]["seconds"]) == {"answers"}


def test_another_run_as_the_baseline(tiny: Tiny, lively_base: Path) -> None:
    write_run(tiny.workspace, lively_base, tiny.dataset, name="second", seed=2)
    _, record = evaluate_run(tiny.run, suite(), baseline="second")
    assert record.models["base"]["kind"] == "run" and record.models["base"]["name"] == "second"
    assert record.scores["base"][0].value != record.scores["tuned"][0].value
    _, same = evaluate_run(tiny.run, suite(), baseline="tiny")
    assert {item.verdict for item in same.differences} == {"no difference shown"}


def test_a_baseline_that_cuts_text_differently_is_not_compared_per_token(tiny: Tiny, tmp_path: Path) -> None:
    other = build_tiny_base(tmp_path / "other", template=None, seed=5)
    _, record = evaluate_run(tiny.run, suite(), baseline=str(other))
    assert record.differences[0].metric == "perplexity" and record.differences[0].value is not None
    assert record.models["base"]["template_sha256"] == record.models["tuned"]["template_sha256"]
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["zzzz"])
    tokenizer.save_pretrained(other)
    _, record = evaluate_run(tiny.run, suite(), baseline=str(other))
    by_metric = {item.metric: item for item in record.differences}
    assert by_metric["perplexity"].verdict == "not computed" and "different tokens" in by_metric["perplexity"].method
    assert by_metric["rougeL"].value is not None


def test_a_baseline_that_does_not_exist_costs_no_time(tiny: Tiny) -> None:
    with pytest.raises(UserError, match="--baseline nonsense is no run in .* base model 'nonsense'"):
        evaluate_run(tiny.run, suite(), baseline="nonsense")


def test_the_limit_draws_the_same_rows_every_time(tiny: Tiny) -> None:
    ids = []
    for _ in range(2):
        folder, record = evaluate_run(tiny.run, suite("metrics=[length]", "thresholds=[]", "compare_by=null"), limit=3)
        ids.append(list(pd.read_parquet(folder / "examples.parquet")["id"]))
        assert record.dataset["rows"] == 3 and record.dataset["rows_in_split"] == 8
    assert ids[0] == ids[1] and len(set(ids[0])) == 3


def test_a_suite_of_tasks_writes_one_report_with_all_of_them(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "name: two\nresamples: 100\ngeneration: {max_new_tokens: 6}\nlimit: 4\ntasks:\n"
        "  - {type: conversation, name: answers, metrics: [perplexity, rougeL, semantic_similarity]}\n"
        "  - {type: conversation, name: shorter, metrics: [rougeL], generation: {max_new_tokens: 3}, limit: 2}\n"
        "  - {type: fairness}\n"
        "thresholds:\n  - {metric: perplexity, at_most: 1.0}\n  - {metric: shorter.rougeL, at_least: 0}\n"
        "  - {metric: quality_gap, at_most: 1}\n  - {metric: answers.semantic_similarity, at_least: 0}\n"
    )
    folder, record = evaluate_run(tiny.run, load_suite(path))
    assert [task.name for task in record.tasks] == ["answers", "shorter", "fairness"]
    assert [task.rows for task in record.tasks] == [4, 2, 0] and record.dataset["rows"] == 4
    metrics = [score.metric for score in record.scores["tuned"]]
    assert metrics[:4] == ["answers.perplexity", "answers.rougeL", "answers.semantic_similarity", "shorter.rougeL"]
    assert record.scores["tuned"][2].reason.startswith("no embedding model is named")
    assert sorted(file.name for file in (folder / "examples").iterdir()) == ["answers.parquet", "shorter.parquet"]
    missed = record.gate["missed"]
    assert len(missed) == 3 and missed[0].startswith("perplexity is") and "no group column is named" in missed[1]
    assert "answers.semantic_similarity could not be computed: no embedding model" in missed[2]
    assert any(line.startswith("fairness: not computed:") for line in record.settings["warnings"])
    # Holm's correction is over all comparisons of the suite, and never makes a p-value smaller.
    assert len(record.differences) == 3 and all(item.p_holm >= item.p for item in record.differences if item.p is not None)
    page = (folder / "report.html").read_text()
    assert "Not computed." in page and "no group column is named" in page
    card = (tiny.run / "README.md").read_text()
    assert "Bias, risks and evaluation" in card and "no group column is named" in card


def test_a_base_and_a_merged_folder_are_models_too(tiny: Tiny, lively_base: Path) -> None:
    target = find_model(str(lively_base), tiny.workspace)
    chosen = suite("metrics=[perplexity,length]", "thresholds=[]", "compare_by=null")
    assert find_baseline("base", target, tiny.workspace) is None
    folder, record = evaluate_model(target, chosen, workspace=tiny.workspace, data=tiny.dataset)
    assert folder.is_relative_to(tiny.workspace.root / "reports") and record.models["tuned"]["kind"] == "base"
    _, own = evaluate_run(tiny.run, chosen)
    # The run was trained in float32; a base by itself takes the number type that is fast here.
    assert record.scores["tuned"][0].value == pytest.approx(own.scores["base"][0].value, rel=5e-3)
    _, record = evaluate_model(target, chosen, workspace=tiny.workspace, baseline=target, data=tiny.dataset)
    assert {item.verdict for item in record.differences} == {"no difference shown"}
    multi = load_suite("safety", ("thresholds=[]", "resamples=100", "generation.max_new_tokens=4", "tasks.0.limit=2"))
    _, record = evaluate_model(target, multi, workspace=tiny.workspace)
    assert record.tasks[0].reason is None and "not a run" in record.tasks[1].reason
    with pytest.raises(UserError, match="no dataset is named"):
        evaluate_model(target, chosen, workspace=tiny.workspace)


def test_two_reports_in_one_second_stay_both(tiny: Tiny) -> None:
    quick = suite("metrics=[length]", "thresholds=[]", "compare_by=null")
    folders = {evaluate_run(tiny.run, quick, limit=1, baseline="none")[0] for _ in range(3)}
    assert len(folders) == 3 and all((folder / "scores.json").is_file() for folder in folders)


def test_rows_that_were_trained_on_are_refused_dropped_or_told_loudly(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"12 of 12 rows .* training data .* --set data.training_rows=drop"):
        evaluate_run(tiny.run, suite("data.split=train"))
    trained = ChatRow("under-another-id", chat_rows("train", 1, 100)[0].messages, "elsewhere")
    shouted = replace(
        trained, id="shouted", messages=[{**turn, "content": turn["content"].upper() + " "} for turn in trained.messages]
    )
    mixed = write_dataset(tiny.workspace, "mixed", {"test": [trained, shouted, *chat_rows("new", 4, 300)]})
    with pytest.raises(UserError, match=r"2 of 6 rows .* first: under-another-id"):
        evaluate_run(tiny.run, suite(), data=mixed)
    _, record = evaluate_run(tiny.run, suite("data.training_rows=drop"), data=mixed)
    assert record.dataset["rows"] == 4 and any("2 of 6 rows were left out" in line for line in record.settings["warnings"])
    folder, record = evaluate_run(tiny.run, suite("data.training_rows=keep"), data=mixed)
    assert any("2 of 6 rows WERE TRAINED ON" in line for line in record.settings["warnings"])
    assert "2 of 6 rows WERE TRAINED ON" in (folder / "report.html").read_text()


def test_a_question_that_was_trained_on_with_another_answer_is_told(tiny: Tiny) -> None:
    known = chat_rows("train", 1, 100)[0].messages[0]
    row = ChatRow("q", [known, {"role": "assistant", "content": "Something else."}], "elsewhere")
    data = write_dataset(tiny.workspace, "near", {"test": [row, *chat_rows("new", 3, 300)]})
    _, record = evaluate_run(tiny.run, suite(), data=data)
    assert record.dataset["questions_trained_on"] == 1
    assert any("1 rows ask a question" in line for line in record.settings["warnings"])


def test_rows_that_cannot_be_scored_lower_coverage_and_are_told(tiny: Tiny) -> None:
    rows = [
        *chat_rows("new", 3, 300),
        ChatRow("unanswered", [{"role": "user", "content": "Hello?"}], "x"),
        ChatRow("endless", [{"role": "user", "content": "door " * 600}, {"role": "assistant", "content": "Yes."}], "x"),
    ]
    data = write_dataset(tiny.workspace, "hard", {"test": rows})
    folder, record = evaluate_run(tiny.run, suite(), data=data)
    for score in record.scores["tuned"]:
        assert score.n == 3 and score.coverage == pytest.approx(0.6), score.metric
    assert sum("could not be asked" in line for line in record.settings["warnings"]) == 2
    assert "scored 60.0% of rows" in (folder / "report.html").read_text()


def test_one_row_gives_values_without_intervals(tiny: Tiny) -> None:
    _, record = evaluate_run(tiny.run, suite(), limit=1)
    for score in record.scores["tuned"]:
        assert score.value is not None and score.low is None and score.high is None
    assert {item.verdict for item in record.differences} == {"no difference shown"}
    assert all("no interval from 1 example" in item.method for item in record.differences if "McNemar" not in item.method)


def test_a_missing_split_and_a_lost_dataset_are_one_sentence(tiny: Tiny) -> None:
    with pytest.raises(UserError, match="no split 'validation'"):
        evaluate_run(
            tiny.run, suite("data.split=validation"), data=write_dataset(tiny.workspace, "small", {"test": chat_rows("n", 2)})
        )
    with pytest.raises(UserError, match="has no rows"):
        evaluate_run(tiny.run, suite(), data=write_dataset(tiny.workspace, "void", {"test": []}))
    record = json.loads((tiny.run / "run.json").read_text())
    record["dataset"]["fingerprint"] = "gone"
    write_json(tiny.run / "run.json", record)
    with pytest.raises(UserError, match="no longer at .* --data DATASET"):
        evaluate_run(tiny.run, suite())
    # With other rows it goes on, and says what it could not check.
    _, saved = evaluate_run(tiny.run, suite(), data=tiny.dataset)
    assert any("could not be checked" in line for line in saved.settings["warnings"])


def test_nothing_is_left_behind_when_the_disk_refuses(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    import pyarrow.parquet

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(StudioError, match="the disk is full"):
        evaluate_run(tiny.run, suite("metrics=[length]", "thresholds=[]", "compare_by=null"), limit=1, baseline="none")
    assert newest_report(tiny.run) is None
    assert [file for file in (tiny.run / "evals").rglob("*") if file.is_file()] == []


def test_the_number_type_is_told_with_every_score_and_can_be_chosen(tiny: Tiny, lively_base: Path) -> None:
    settings = (
        "metrics=[perplexity,exact_match]",
        "compare_by=null",
        "thresholds=[]",
        "resamples=100",
        "generation.max_new_tokens=2",
    )
    folder, record = evaluate_run(tiny.run, load_suite("chatbot", settings))
    assert {label: model["dtype"] for label, model in record.models.items()} == {"tuned": "float32", "base": "float32"}
    _, half = evaluate_run(tiny.run, load_suite("chatbot", (*settings, "dtype=bfloat16")))
    assert half.models["base"]["dtype"] == "bfloat16" and half.tasks[0].limits[-1].startswith("The models computed in bfloat16")
    for found, name in ((record, "float32"), (half, "bfloat16")):
        made = [score.made_with for scores in found.scores.values() for score in scores]
        assert len(made) == 4 and all(text.endswith(f"the model computed in {name}") for text in made)
    assert half.scores["tuned"][0].value != record.scores["tuned"][0].value
    assert "the model computed in float32" in (folder / "report.html").read_text()
    with pytest.raises(ConfigError, match="dtype: float32 is for language models"):
        load_suite("images", ("dtype=float32",))
    # Beside another run in another type the reader is warned.
    other = write_run(tiny.workspace, lively_base, tiny.dataset, name="second", seed=2)
    (other / "config.yaml").write_text((other / "config.yaml").read_text().replace("float32", "bfloat16"))
    _, mixed = evaluate_run(tiny.run, load_suite("chatbot", settings), baseline="second", limit=2)
    assert any("tuned in float32 and base in bfloat16" in line for line in mixed.settings["warnings"])
