"""The losses are those of sentence-transformers on the same batch, and do not depend on the micro batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from studio.data.passages import Found
from studio.models.embed.opening import EncoderShape, open_embedding, open_reranker
from studio.schema.embed import EmbeddingPreset, RerankerPreset
from studio.train.embed.adapters import merge_adapters, prepare_training
from studio.train.embed.embedding import EmbeddingObjective
from studio.train.embed.reranker import RerankerObjective
from tests.retrieval import PAIRS

ROWS = [Found(str(n), line["prompt"], line["chosen"], (line["rejected"],)) for n, line in enumerate(PAIRS[:6])]
PLAIN = [Found(row.id, row.query, row.positive) for row in ROWS]


def learnt(encoder: Path, rows: list[Found], **settings: Any) -> tuple[float, dict[str, torch.Tensor], Any]:
    """Loss and gradients of one step over all rows."""
    preset = EmbeddingPreset.model_validate({"kind": "embedding", "batch_size": 8, **settings})
    model = open_embedding(encoder, EncoderShape(32))
    trained = prepare_training(model, preset)
    objective = EmbeddingObjective(model, preset, rows, [])
    model.train()
    loss = objective.learn(range(len(rows)), 1)
    return loss, {name: value.grad.clone() for name, value in trained.items() if value.grad is not None}, model


def theirs(model: Any, loss: Any, *columns: list[str]) -> float:
    with torch.no_grad():
        return float(loss([model.preprocess(column) for column in columns], torch.zeros(len(columns[0]))))


def test_losses_are_those_of_sentence_transformers(encoder: Path) -> None:
    from sentence_transformers import losses
    from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

    asked, liked, disliked = ([row.query for row in ROWS], [row.positive for row in ROWS], [row.negatives[0] for row in ROWS])
    ours, _, model = learnt(encoder, PLAIN)
    assert ours == pytest.approx(theirs(model, losses.MultipleNegativesRankingLoss(model), asked, liked), abs=1e-5)
    ours, _, model = learnt(encoder, ROWS, scale=10)
    ranking = losses.MultipleNegativesRankingLoss(model, scale=10)
    assert ours == pytest.approx(theirs(model, ranking, asked, liked, disliked), abs=1e-5)
    ours, _, model = learnt(encoder, ROWS, loss="triplet", negatives="require", margin=0.3)
    triplet = losses.TripletLoss(model, TripletDistanceMetric.COSINE, 0.3)
    assert ours == pytest.approx(theirs(model, triplet, asked, liked, disliked), abs=1e-5)
    ours, _, model = learnt(encoder, ROWS, matryoshka=[16, 8])
    cut = losses.MatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), [32, 16, 8])
    assert ours == pytest.approx(theirs(model, cut, asked, liked, disliked), abs=1e-5)


def test_rows_with_and_without_disliked_answers_share_a_batch(encoder: Path) -> None:
    rows = [ROWS[0], PLAIN[1], PLAIN[2], Found("x", ROWS[3].query, ROWS[3].positive, ("One.", "Two wrong."))]
    ours, _, model = learnt(encoder, rows)
    model.eval()
    with torch.no_grad():
        questions = model.encode([row.query for row in rows], convert_to_tensor=True)
        passages = [row.positive for row in rows] + [text for row in rows for text in row.negatives]
        cosines = 20 * questions @ model.encode(passages, convert_to_tensor=True).T
    assert ours == pytest.approx(float(torch.nn.functional.cross_entropy(cosines, torch.arange(4))), abs=1e-5)


@pytest.mark.parametrize("settings", [{}, {"matryoshka": [16]}])
def test_the_step_does_not_depend_on_the_micro_batch(encoder: Path, settings: dict) -> None:
    whole, gradients, _ = learnt(encoder, ROWS, **settings)
    for size in (1, 4):
        loss, others, _ = learnt(encoder, ROWS, micro_batch_size=size, **settings)
        assert loss == pytest.approx(whole, abs=1e-5) and others.keys() == gradients.keys()
        for name, value in gradients.items():
            torch.testing.assert_close(others[name], value, atol=1e-5, rtol=1e-3)


def judged(encoder: Path, micro: int | None, rows: list[Found]) -> tuple[float, dict[str, torch.Tensor], RerankerObjective]:
    preset = RerankerPreset.model_validate({"kind": "reranker", "batch_size": 8, "micro_batch_size": micro, "negatives": 2})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_reranker(encoder, EncoderShape(32))
    trained = prepare_training(model, preset)
    objective = RerankerObjective(model, preset, rows, [])
    loss = objective.learn(range(len(rows)), 1)
    return loss, {name: value.grad.clone() for name, value in trained.items()}, objective


def test_the_rerankers_loss_is_that_of_sentence_transformers(encoder: Path) -> None:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    loss, gradients, objective = judged(encoder, None, ROWS)
    pairs = [pair for place, row in enumerate(ROWS) for pair in objective.pairs(row, place, 1)]
    assert [label for *_, label in pairs[:4]] == [1.0, 0.0, 0.0, 0.0]  # right, disliked, two drawn ones
    labels = torch.tensor([label for *_, label in pairs])
    with torch.no_grad():
        other = BinaryCrossEntropyLoss(objective.model)([[q for q, *_ in pairs], [p for _, p, _ in pairs]], labels)
    assert loss == pytest.approx(float(other), abs=1e-5)
    parts, others, _ = judged(encoder, 3, ROWS)
    assert parts == pytest.approx(loss, abs=1e-5)
    for name, value in gradients.items():
        torch.testing.assert_close(others[name], value, atol=1e-5, rtol=1e-3)


def test_no_right_answer_is_drawn_as_a_wrong_one(encoder: Path) -> None:
    rows = [*PLAIN, Found("again", PLAIN[0].query.upper(), "A second answer.")]
    _, _, objective = judged(encoder, None, rows)
    for epoch in range(30):
        drawn = [text for _, text, label in objective.pairs(rows[0], 0, epoch) if not label]
        assert len(drawn) == len(set(drawn)) == 2 and not {PLAIN[0].positive, "A second answer."} & set(drawn)


def test_merged_adapters_give_the_same_vectors(encoder: Path) -> None:
    preset = EmbeddingPreset.model_validate({"kind": "embedding", "tune": "lora", "lora": {"rank": 4, "alpha": 8}})
    model = open_embedding(encoder, EncoderShape(32))
    trained = prepare_training(model, preset)
    assert trained and all("lora_" in name for name in trained)
    with torch.no_grad():
        for value in trained.values():
            value.normal_(std=0.1)
    texts = [row.query for row in ROWS]
    before = model.encode(texts, convert_to_tensor=True)
    merge_adapters(model)
    assert not any("lora_" in name for name in model.state_dict())
    torch.testing.assert_close(model.encode(texts, convert_to_tensor=True), before, atol=1e-5, rtol=1e-4)
