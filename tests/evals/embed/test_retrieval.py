"""Measuring what finds texts: figures equal to those of sentence-transformers, base beside tuned, the gate, leaks told."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from studio.core.workspace import Workspace
from studio.data.passages import read_passages
from studio.evals.embed.words import search_by_words
from studio.models.embed.opening import open_embedding, vectors
from studio.models.embed.ranking import first_passages, mrr_at, ndcg_at, recall_at
from tests.conftest import call_studio
from tests.retrieval import QUESTIONS, build_questions, train_arguments


@pytest.fixture(scope="module")
def space(questions_made: Path, encoder: Path) -> Path:
    """A workspace with a run of each kind. Read only but for its reports."""
    for preset, name in (("embed/pairs", "vectors"), ("embed/reranker", "scores")):
        assert call_studio(*train_arguments(questions_made, preset, "rooms", encoder, "epochs=3"), "--name", name) == 0
    return questions_made / "workspace"


def report(space: Path, name: str) -> dict:
    found = sorted((space / "runs" / name).glob("*/evals/retrieval/*/scores.json"))
    return json.loads(found[-1].read_text())


def values(record: dict, label: str) -> dict[str, float]:
    return {score["metric"].removeprefix("retrieval."): score["value"] for score in record["scores"][label]}


def test_figures_are_those_of_sentence_transformers(space: Path, studio) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.evaluation import InformationRetrievalEvaluator

    done = studio("--workspace", space, "eval", "retrieval", "--model", "vectors")
    assert done.code == 0, done.err
    record = report(space, "vectors")
    [run] = (space / "runs" / "vectors").iterdir()
    dataset = Workspace.open(space).find_dataset("rooms")
    test, train = (read_passages(dataset, split, "answer").rows for split in ("test", "train"))
    corpus = {row.positive: row.positive for row in [*test, *train]}
    evaluator = InformationRetrievalEvaluator(
        {row.id: row.query for row in test}, corpus, {row.id: {row.positive} for row in test},
        precision_recall_at_k=[1, 5, 10], ndcg_at_k=[10], mrr_at_k=[10], accuracy_at_k=[1], map_at_k=[10], write_csv=False,
    )  # fmt: skip
    theirs = evaluator(SentenceTransformer(str(run / "model"), device="cpu"))
    names = {"recall_1": "recall@1", "recall_5": "recall@5", "recall_10": "recall@10", "ndcg_10": "ndcg@10", "mrr_10": "mrr@10"}
    assert values(record, "tuned") == pytest.approx({ours: theirs[f"cosine_{name}"] for ours, name in names.items()}, abs=1e-9)
    assert record["dataset"]["passages"] == len(corpus) == 40 and record["dataset"]["distractors"] == 30


def test_the_base_stands_beside_the_tuned_model(space: Path, encoder: Path, studio) -> None:
    done = studio("--workspace", space, "--json", "eval", "retrieval", "--model", "vectors", "--gate")
    record = report(space, "vectors")
    base = open_embedding(encoder)
    dataset = Workspace.open(space).find_dataset("rooms")
    test, train = (read_passages(dataset, split, "answer").rows for split in ("test", "train"))
    passages = [str(row.positive) for row in [*test, *train]]
    ranked = first_passages(vectors(base, [row.query for row in test], "query"), vectors(base, passages, "document"), 10)
    wanted = sum(ndcg_at(first, {place}, 10) for place, first in enumerate(ranked)) / len(test)
    assert values(record, "base")["ndcg_10"] == pytest.approx(wanted, abs=1e-6)
    assert [item["metric"] for item in record["differences"]][-2:] == ["retrieval.ndcg_10", "retrieval.mrr_10"]
    assert record["tasks"][0]["marks"]["BM25"] and done.code in {0, 3}
    table = pd.read_parquet(sorted((space / "runs" / "vectors").glob("*/evals/retrieval/*/examples/retrieval.parquet"))[-1])
    assert {"question", "tuned_ndcg_10", "base_first"} <= set(table.columns) and len(table) == 10


def test_a_reranker_is_held_against_the_search_it_orders(space: Path, studio) -> None:
    assert studio("--workspace", space, "eval", "retrieval", "--model", "scores").code == 0
    record = report(space, "scores")
    marks = {score["metric"]: score["value"] for score in record["tasks"][0]["marks"]["BM25"]}
    assert values(record, "base") == pytest.approx(marks) and record["models"]["base"]["name"] == "BM25"
    assert any("the first 40 passages of BM25 only" in limit for limit in record["tasks"][0]["limits"])


def test_questions_that_were_trained_on_are_refused(space: Path, tmp_path: Path, studio) -> None:
    folder = space.parent
    build_questions(folder, "again", QUESTIONS[::-1])
    asked = ["--workspace", space, "eval", "retrieval", "--model", "vectors", "--data", "again"]
    done = studio(*asked)
    assert done.code == 2 and "questions with their passages were trained on" in done.err
    suite = tmp_path / "kept.yaml"
    suite.write_text("name: kept\ntasks:\n  - {type: retrieval, data: {training_rows: keep}}\n", encoding="utf-8")
    assert studio("--workspace", space, "eval", suite, *asked[4:]).code == 0
    [kept] = (space / "runs" / "vectors").glob("*/evals/kept/*/scores.json")
    assert any("TRAINED ON" in line for line in json.loads(kept.read_text())["settings"]["warnings"])


@pytest.mark.starter
def test_the_starter_encoder_is_measured_by_its_name(space: Path, studio) -> None:
    done = studio("--workspace", space, "eval", "retrieval", "--model", "minilm-l6", "--data", "rooms", "--limit", "5")
    assert done.code == 0, done.err
    [found] = (space / "reports" / "minilm-l6" / "retrieval").glob("*/scores.json")
    assert json.loads(found.read_text())["models"]["tuned"]["name"] == "minilm-l6"
    asked = studio("--workspace", space, "eval", "chatbot", "--model", "minilm-l6", "--data", "rooms", "--limit", "2")
    assert asked.code == 2 and "as encoders do" in asked.err and "Traceback" not in asked.err, asked.err


def test_what_finds_nothing_is_told(space: Path, tiny_base: Path, studio) -> None:
    done = studio("--workspace", space, "eval", "chatbot", "--model", "vectors")
    assert done.code == 2 and "Traceback" not in done.err


def test_figures_of_one_ranking() -> None:
    ranked, right = [4, 2, 9, 1], {2, 1, 7}
    assert recall_at(ranked, right, 2) == pytest.approx(1 / 3) and recall_at(ranked, right, 4) == pytest.approx(2 / 3)
    assert mrr_at(ranked, right, 10) == 0.5 and mrr_at(ranked, {9}, 2) == 0
    gain = 1 / 1.584962500721156 + 1 / 2.321928094887362
    assert ndcg_at(ranked, right, 10) == pytest.approx(gain / (1 + 1 / 1.584962500721156 + 0.5))
    same = torch.ones(1, 2) / 2**0.5
    assert first_passages(same, same.repeat(3, 1), 3) == [[0, 1, 2]]


def test_the_search_by_words_finds_words() -> None:
    passages = ["the door is wide", "the stair is high", "楼梯扶手的高度", "a door a door"]
    assert search_by_words(["stair"], passages, 2)[0][0] == 1
    assert search_by_words(["扶手"], passages, 1) == [[2]]
    assert search_by_words(["nothing here"], passages, 4) == [[0, 1, 2, 3]]
    assert search_by_words(["word"], ["", "!!"], 2) == [[0, 1]]
