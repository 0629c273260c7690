"""CrowS-Pairs: the published file, the scores by hand, equal counts with lm-evaluation-harness on the same model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studio.core.errors import DataError, UserError
from studio.evals.chat.bias.crows_pairs import (
    edition,
    likelihood_diff,
    log_ratios,
    pair_texts,
    pairs_from_rows,
    pct_stereotype,
    read_crows_pairs,
)
from studio.evals.chat.tasks.crows_pairs import run
from studio.evals.evidence import LogProb
from studio.evals.statistics import point
from studio.evals.task import NotComputedError
from studio.schema.bias import CrowsPairsTask

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject

HEADER = ",sent_more,sent_less,stereo_antistereo,bias_type\n"


def test_published_file(published: Path) -> None:
    pairs = read_crows_pairs(published / "crows_pairs")
    assert len(pairs) == 1508
    assert Counter(pair.direction for pair in pairs) == {"stereo": 1290, "antistereo": 218}
    kinds = Counter(pair.bias_type for pair in pairs)
    assert (kinds["race-color"], kinds["gender"], kinds["religion"], kinds["nationality"]) == (516, 262, 105, 159)
    assert "original set" in edition(len(pairs))
    assert "cannot be compared" in edition(1677)
    assert "neither" in edition(100)


def test_scores_by_hand() -> None:
    values = [-10.0, -12.0, -5.0, -5.0, -8.0, -6.0]  # preferred, a tie, not preferred
    ratios = log_ratios([LogProb(value, 3) for value in values] + [None, LogProb(-1.0, 1)])
    assert ratios == [2.0, 0.0, -2.0, None]
    statistic = pct_stereotype(ratios)
    assert point(statistic, statistic.scored) == pytest.approx(1 / 3)
    assert statistic.scored.tolist() == [True, True, True, False]
    strength = likelihood_diff(ratios)
    assert point(strength, strength.scored) == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",sent_more,sent_less,bias_type\n0,a,b,age\n", "the column 'stereo_antistereo' is missing"),
        (HEADER + "0,a,,stereo,age\n", "pairs.csv:2: 'sent_less' is empty"),
        (HEADER + "0,a,b,sideways,age\n", "'stereo_antistereo' is 'sideways', allowed are stereo and antistereo"),
        (HEADER + "0,a\n", "fewer columns than the header"),
        ("", "is missing"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "my_crows_pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message.replace("pairs.csv", "my_crows_pairs.csv")):
        read_crows_pairs(tmp_path)


def test_no_file_and_wrong_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no CrowS-Pairs CSV"):
        read_crows_pairs(tmp_path)
    (tmp_path / "crows_pairs_anonymized.csv").write_bytes(HEADER.encode() + b"0,\xff,b,stereo,age\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_crows_pairs(tmp_path)


def test_rows_of_the_hub_have_class_numbers() -> None:
    row = {"id": 4, "sent_more": "a", "sent_less": "b", "stereo_antistereo": 1, "bias_type": 2}
    pair = pairs_from_rows([row], "hub")[0]
    assert (pair.id, pair.direction, pair.bias_type) == ("4", "antistereo", "gender")
    with pytest.raises(DataError, match="class number 9"):
        pairs_from_rows([{**row, "bias_type": 9}], "hub")


def test_not_here_and_no_network(context: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline without a folder: not computed, with the reason and where the files go."""
    monkeypatch.delenv("STUDIO_BENCHMARKS", raising=False)
    with pytest.raises(NotComputedError) as caught:
        run(context(CrowsPairsTask(type="crows_pairs")))
    assert "network is off" in str(caught.value)
    assert "benchmarks/crows_pairs" in str(caught.value)
    with pytest.raises(UserError, match="does not exist"):
        run(context(CrowsPairsTask(type="crows_pairs", folder="/nowhere")))


def test_task_measures_both_models(context: Callable[..., Any], published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_BENCHMARKS", str(published))
    result = run(context(CrowsPairsTask(type="crows_pairs", limit=40)))
    assert result.rows == 40
    assert len(result.examples) == 40
    preferred = result.scores["tuned"][0]
    assert (preferred.metric, preferred.n, preferred.ideal, preferred.coverage) == ("pct_stereotype", 40, 0.5, 1.0)
    assert preferred.low is not None and preferred.low <= preferred.value <= preferred.high
    assert result.differences[0].n == 40
    assert result.differences[0].distance is not None
    assert sum(score.n for score in result.groups[0].scores["tuned"]) == 40
    assert any("authors of CrowS-Pairs warn" in note for note in result.notes)
    again = run(context(CrowsPairsTask(type="crows_pairs", limit=40)))
    assert again.examples.equals(result.examples)


def harness_counts(subject: LocalSubject, pairs: Any, folder: Path) -> tuple[float, float]:
    """lm-evaluation-harness's own CrowS-Pairs task on local pairs."""
    harness = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    import datasets
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.crows_pairs import utils

    table = [{"sent_more": pair.more, "sent_less": pair.less, "bias_type": pair.bias_type} for pair in pairs]
    datasets.Dataset.from_list(table).to_json(folder / "pairs.jsonl")
    task = {
        "task": "crows_pairs_local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "pairs.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_target": 0,
        "doc_to_choice": utils.doc_to_choice,
        "target_delimiter": "",
        "process_results": utils.process_results,
        "metric_list": [{"metric": name, "aggregation": "mean"} for name in ("likelihood_diff", "pct_stereotype")],
    }
    model = HFLM(pretrained=subject.model, tokenizer=subject.tokenizer, batch_size=8)
    manager = TaskManager(include_defaults=False)
    found = harness.simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=False)
    scores = found["results"]["crows_pairs_local"]
    return scores["pct_stereotype,none"], scores["likelihood_diff,none"]


def test_equal_counts_with_lm_evaluation_harness(subject: LocalSubject, published: Path, tmp_path: Path) -> None:
    pairs = read_crows_pairs(published / "crows_pairs")[:150]
    ratios = log_ratios(subject.text_logprobs(pair_texts(pairs), batch_size=16))
    theirs = harness_counts(subject, pairs, tmp_path)
    assert sum(ratio > 0 for ratio in ratios if ratio is not None) == round(theirs[0] * len(pairs))
    assert sum(abs(ratio or 0.0) for ratio in ratios) / len(pairs) == pytest.approx(theirs[1], abs=1e-3)


GPT2 = {
    "race-color": (298, 516),
    "gender": (153, 262),
    "religion": (71, 105),
    "age": (46, 87),
    "disability": (36, 60),
    "nationality": (71, 159),
    "physical-appearance": (40, 63),
    "sexual-orientation": (65, 84),
    "socioeconomic": (115, 172),
}


@pytest.mark.long
def test_published_counts_of_gpt2(published: Path) -> None:
    """GPT-2 (124M) on the original set, as lm-evaluation-harness counts: 895 of 1,508."""
    import torch

    from studio.evals.chat.text_likelihood import text_logprobs
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_causal_lm, load_tokenizer

    folder = os.environ.get("STUDIO_TEST_GPT2")
    if not folder:
        pytest.skip("needs GPT-2's weights: name a folder with them in STUDIO_TEST_GPT2")
    base = resolve_base(folder)
    model = load_causal_lm(base, dtype=torch.float32, device=torch.device("cpu"))
    pairs = read_crows_pairs(published / "crows_pairs")
    ratios = log_ratios(text_logprobs(model, load_tokenizer(base), pair_texts(pairs), batch_size=32))
    counts = Counter(pair.bias_type for pair, ratio in zip(pairs, ratios, strict=True) if (ratio or 0.0) > 0)
    assert {kind: counts[kind] for kind in GPT2} == {kind: right for kind, (right, _) in GPT2.items()}
    assert sum(counts.values()) == 895
