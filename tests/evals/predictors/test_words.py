"""Explanations of texts: weights shared among words exactly, words left out, gradients that add up, whole words of an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.data.examples import Examples
from studio.evals.predictors.explanations import check, explain_row, explainer_for
from studio.evals.predictors.explanations.gradients import WordGradients, _whole_words
from studio.evals.predictors.explanations.weights import WordWeights
from studio.evals.predictors.explanations.words import MOST_WORDS, left_out, words_in
from studio.evals.predictors.sanity import weights_matter
from studio.models.predictors.base import Predictor
from studio.models.predictors.features import plain_features
from tests.train.predictors.made import fitted, preset
from tests.train.predictors.network_jobs import one_column, trained

SAID = {
    "roof": ("the tiles of the roof leak", "a gutter is full of leaves", "rain comes through the roof-window"),
    "door": ("the door does not close", "a lock of the front door sticks", "who paints the old door?"),
    "garden": ("the hedge grows too high", "may I plant a tree in the garden", "the garden path is wet"),
}


def made_rows(count: int = 120) -> Examples:
    """Texts on three topics; half of each begins with words that mean nothing."""
    generator = np.random.default_rng(0)
    labels = [list(SAID)[place % 3] for place in range(count)]
    before = ("Hello,", "Good day,", "Please help:", "")
    texts = [
        f"{before[generator.integers(4)]} {SAID[label][generator.integers(3)]} {place % 5}".strip()
        for place, label in enumerate(labels)
    ]
    return one_column("text", texts, labels)


@pytest.fixture(scope="module")
def rows() -> tuple[Examples, Examples]:
    whole = made_rows()
    return whole.part(range(80)), whole.part(range(80, 120))


@pytest.fixture(scope="module")
def network(rows: tuple[Examples, Examples], tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    settings = {"type": "lstm", "epochs": 30, "embedding": 16, "width": 16, "patience": None, "learning_rate": 0.02}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)
        return trained(tmp_path_factory.mktemp("lstm"), rows[0], None, settings)


@pytest.mark.parametrize("texts", [{}, {"characters": False, "word_ngrams": 2}, {"words": False}])
def test_weights_of_words_and_letters_add_up_to_what_the_model_says(rows: Any, texts: dict[str, Any]) -> None:
    train, test = rows
    predictor, _ = fitted(train, preset("logistic", preparation={"texts": texts}))
    odd = ["The ROOF, the roof — and a door", "", "   ", "x", "nothing of this was ever seen 12345"]
    features = pd.concat([test.features.iloc[:6], pd.DataFrame({"text": odd})], ignore_index=True)
    explainer = explainer_for(predictor, train.features)
    assert isinstance(explainer, WordWeights)
    decisions = predictor.pipeline.decision_function(plain_features(features, predictor.info.columns))
    for place in range(len(features)):
        for number, label in enumerate(predictor.info.labels):
            found = explainer.explain(features.iloc[[place]], label)
            others = np.delete(decisions[place], number).mean()
            assert found.value == pytest.approx(decisions[place, number] - others)
            assert found.base + sum(part.contribution for part in found.parts) == pytest.approx(found.value), (place, label)
            assert " ".join(part.feature for part in sorted(found.parts, key=lambda item: item.place)) == " ".join(
                features["text"].iloc[place].split()
            )


def test_the_word_that_tells_the_topic_comes_first_and_leaving_it_out_hurts(rows: Any) -> None:
    train, test = rows
    predictor, _ = fitted(train, preset("logistic"))
    found = explain_row(predictor, pd.DataFrame({"text": ["Hello, who paints the old door?"]}), train.features)
    assert found.of == "door" and found.parts[0].feature == "door?" and found.kind == "linear"
    assert found.faithful.startswith("Check: without the word that speaks most for it") and "as it should be" in found.faithful
    explainer = explainer_for(predictor, train.features)
    labels = [str(value) for value in predictor.predict(test.features).values]
    explained = [explainer.explain(test.features.iloc[[place]], label) for place, label in enumerate(labels)]
    assert check(explainer, test.features, explained, labels, seed=0).shown


def test_other_models_are_explained_by_leaving_words_out(rows: Any) -> None:
    train, _ = rows
    predictor, _ = fitted(train, preset("naive-bayes"))
    row = pd.DataFrame({"text": ["the garden path is wet"]})
    found = explain_row(predictor, row, train.features)
    garden = next(part for part in found.parts if part.feature == "garden")
    without = pd.DataFrame({"text": ["the  path is wet"]})
    place = predictor.info.labels.index("garden")
    assert garden.contribution == pytest.approx(float((predictor.scores(row) - predictor.scores(without))[0, place]))
    assert found.kind == "words" and "do not add up" in found.says
    empty = explain_row(predictor, pd.DataFrame({"text": [None]}), train.features)
    assert empty.parts == () and empty.faithful is None


def test_gradients_along_the_way_add_up_and_name_the_topic(rows: Any, network: Predictor) -> None:
    import torch

    train, test = rows
    explainer = explainer_for(network, train.features)
    assert isinstance(explainer, WordGradients)
    right = 0
    for place in range(12):
        row = test.features.iloc[[place]]
        found = explainer.explain(row)
        logs = np.log(network.scores(row)[0])
        number = network.info.labels.index(found.of)
        assert found.value == pytest.approx(logs[number] - np.delete(logs, number).mean(), abs=1e-4)
        assert found.missed < 0.05 and "the sum misses" in found.how
        right += bool(
            {"roof", "tiles", "gutter", "door", "lock", "garden", "hedge", "tree", "leaves", "rain"}
            & {p.feature for p in found.parts[:3]}
        )
    assert right >= 10
    assert all(parameter.grad is None for parameter in network.network.parameters()) and torch.is_grad_enabled()


def test_of_a_network_without_bends_gradients_are_exact(rows: Any) -> None:
    """One linear layer over the mean of embeddings: weight times embedding, which nothing has to approximate."""
    import torch

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings, self.head = torch.nn.Embedding(50, 4, padding_idx=0), torch.nn.Linear(4, 2)

        def embed(self, numbers: torch.Tensor) -> torch.Tensor:
            return self.embeddings(numbers)

        def judge(self, embedded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.head(embedded.mean(dim=1))

    torch.manual_seed(0)
    predictor, _ = fitted(rows[0], preset("logistic"))

    class Reader:
        padding = 0

        def pieces(self, text: str) -> list[str]:
            return text.split()

    class Fake:
        network, reader, info = Mean().double(), Reader(), predictor.info.model_copy(update={"labels": ["a", "b"]})

        def texts(self, features: pd.DataFrame) -> list[str]:
            return features["text"].tolist()

        def tensors(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            numbers = torch.tensor([[1 + len(word) for word in texts[0].split()]])
            return numbers, torch.ones_like(numbers, dtype=torch.bool)

    fake = Fake()
    found = WordGradients(fake).explain(pd.DataFrame({"text": ["one three fifteen"]}), "b")  # type: ignore[arg-type]
    weight = (fake.network.head.weight[1] - fake.network.head.weight[0]) / 3
    for part, number in zip(sorted(found.parts, key=lambda item: item.place), (4, 6, 8), strict=True):
        assert part.contribution == pytest.approx(float((weight * fake.network.embeddings.weight[number]).sum()))
    assert abs(found.rest) < 1e-12


def test_random_weights_explain_otherwise(rows: Any, network: Predictor) -> None:
    train, test = rows
    explainer = explainer_for(network, train.features)
    asked = test.part(range(8))
    found = [explainer.explain(asked.features.iloc[[place]]) for place in range(8)]
    sentence, fine = weights_matter(network, explainer, found, asked, train, 0)
    assert fine and "rank correlation of the two orders" in sentence
    pipeline, _ = fitted(train, preset("logistic"))
    assert weights_matter(pipeline, explainer_for(pipeline, train.features), [], asked, train, 0) is None


def test_words_of_a_text_and_texts_without_some() -> None:
    text = "Ein Dach, zwei Türen."
    words = words_in(text)
    assert [word.of(text) for word in words] == ["Ein", "Dach,", "zwei", "Türen."]
    assert left_out(text, [words[1], words[3]]) == "Ein  zwei "
    assert [word.of("屋顶漏水 now") for word in words_in("屋顶漏水 now")] == ["屋", "顶", "漏", "水", "now"]
    long = " ".join(str(number) for number in range(1000))
    assert len(words_in(long)) == MOST_WORDS and words_in(long)[0].of(long) == "0 1 2 3 4"


@pytest.mark.parametrize(
    ("pieces", "framed", "words"),
    [
        (["[CLS]", "guard", "##rail", "high", "[SEP]"], [True, False, False, False, True], ["guardrail", "high"]),
        (["<s>", "Guard", "rail", "Ġhigh", "</s>"], [True, False, False, False, True], ["Guardrail", "high"]),
        (["▁guard", "rail", "▁high"], [False] * 3, ["guardrail", "high"]),
        (["the", "roof"], [False] * 2, ["the", "roof"]),
    ],
)
def test_pieces_of_tokenizers_become_whole_words(pieces: list[str], framed: list[bool], words: list[str]) -> None:
    found = _whole_words(pieces, framed)
    assert [word for word, _ in found] == words
    assert sorted(place for _, places in found for place in places) == [place for place, mark in enumerate(framed) if not mark]


def test_an_encoder_is_explained_by_whole_words_from_masks(rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    monkeypatch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(rows[0].features["text"], vocab_size=120, show_progress=False)
    pieces.save(str(tmp_path / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "max_position_embeddings": 40}
    BertModel(BertConfig(vocab_size=len(tokenizer), num_hidden_layers=2, **shape)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    settings = {"type": "bert", "epochs": 6, "max_length": 24, "learning_rate": 0.003, "dropout": 0.0}
    predictor = trained(tmp_path / "run", rows[0], None, settings, model=str(tmp_path))
    found = explain_row(predictor, pd.DataFrame({"text": ["the garden path is wet"]}), rows[0].features)
    assert [part.feature for part in sorted(found.parts, key=lambda item: item.place)] == ["the", "garden", "path", "is", "wet"]
    assert found.missed < 0.05 and found.unit == "log-odds"
    masks = predictor.tensors(["the garden path is wet"])[0]
    masked = torch.where(
        torch.isin(masks, torch.tensor(tokenizer("")["input_ids"])), masks, torch.tensor(tokenizer.mask_token_id)
    )
    with torch.no_grad():
        logits = predictor.network.judge(predictor.network.embed(masked), torch.ones_like(masks, dtype=torch.bool))[0]
    place = predictor.info.labels.index(found.of)
    assert found.base == pytest.approx(float(logits[place] - np.delete(logits.numpy(), place).mean()), abs=1e-4)
