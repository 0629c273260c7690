"""Networks over words learn from real questions, in every script, and every setting of theirs changes something."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.errors import DataError
from studio.models.predictors.opening import open_predictor, save_predictor
from tests.train.predictors.network_jobs import fit, network_job, one_column, questions, same_weights, trained

TINY = {"epochs": 2, "embedding": 8, "min_rows": 1, "batch_size": 16, "learning_rate": 0.01}
SHAPES = {
    "lstm": {"type": "lstm", "width": 8},
    "gru": {"type": "gru", "width": 8},
    "text-cnn": {"type": "text-cnn", "filters": 8},
}


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    monkeypatch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Questions of the four commonest chapters."""
    train, test = questions(tmp_path_factory.mktemp("workspace"))
    names, counts = np.unique(train.target, return_counts=True)
    common = names[np.argsort(-counts)[:4]]
    return tuple(part.part(np.flatnonzero(np.isin(part.target, common))) for part in (train, test))


@pytest.fixture(scope="module")
def plain(rows, tmp_path_factory):
    """A training of each type that all others are compared with."""
    return {name: trained(tmp_path_factory.mktemp(name), *rows, TINY | shape) for name, shape in SHAPES.items()}


CHANGES = [(name, setting, value) for name in ("lstm", "gru") for setting, value in (("depth", 2), ("activation", "relu"))]
CHANGES += [
    ("lstm", "width", 4),
    ("lstm", "bidirectional", False),
    ("lstm", "embedding", 4),
    ("lstm", "vocabulary", 20),
    ("lstm", "min_rows", 3),
    ("lstm", "max_length", 3),
    ("lstm", "dropout", 0.5),
    ("text-cnn", "widths", [2]),
    ("text-cnn", "filters", 4),
    ("text-cnn", "activation", "sigmoid"),
    ("text-cnn", "dropout", 0.5),
]


@pytest.mark.parametrize(("name", "setting", "value"), CHANGES)
def test_every_setting_changes_what_is_learned(name, setting, value, rows, plain, tmp_path):
    assert not same_weights(trained(tmp_path, *rows, TINY | SHAPES[name] | {setting: value}), plain[name])


@pytest.mark.parametrize("name", SHAPES)
def test_they_learn_and_are_opened_as_they_were(name, rows, tmp_path):
    predictor = trained(tmp_path / "run", *rows, SHAPES[name] | TINY | {"epochs": 25, "embedding": 32, "patience": None})
    train, test = rows
    majority = max(np.mean(test.target == label) for label in set(test.target))
    assert np.mean(predictor.predict(train.features).values == train.target) > 0.9
    assert np.mean(predictor.predict(test.features).values == test.target) > majority
    save_predictor(predictor, tmp_path)
    assert np.array_equal(open_predictor(tmp_path).scores(test.features), predictor.scores(test.features))


@pytest.mark.parametrize("name", SHAPES)
def test_a_text_is_read_the_same_whatever_stands_beside_it(name, rows, plain):
    texts = ["Is a lift needed?", "Door", "How wide must the door of a flat on the second floor be at the very least today?", ""]
    together = torch.softmax(plain[name].network(*plain[name].tensors(texts)), dim=1)
    alone = torch.cat([torch.softmax(plain[name].network(*plain[name].tensors([text])), dim=1) for text in texts])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_the_two_halves_that_explanations_use_are_the_whole(name, plain):
    numbers, mask = plain[name].tensors(["How wide must a door be?"])
    network = plain[name].network
    assert torch.equal(network.judge(network.embed(numbers), mask), network(numbers, mask))
    assert len(plain[name].reader.pieces("How wide must a door be?")) == numbers.shape[1]


@pytest.mark.parametrize(
    ("likes", "dislikes"),
    [
        ("这个很好吃", "那里太吵闹"),
        ("อร่อยมาก", "เสียงดัง"),
        ("とても美味しい", "うるさい"),
        ("très bon dîner", "bruit énorme"),
        ("खाना अच्छा", "शोर बहुत"),
    ],
)
def test_scripts_without_blanks_between_words_are_learnt(likes, dislikes, tmp_path):
    rows = one_column("text", [likes, dislikes] * 12, ["good", "bad"] * 12)
    predictor = trained(tmp_path, rows, None, {"type": "lstm", "width": 8, "epochs": 12, "learning_rate": 0.02})
    assert len(predictor.reader.words) >= 4
    assert predictor.predict(rows.features).values.tolist() == rows.target.tolist()


def test_texts_that_are_cut_are_counted(rows, tmp_path):
    job = network_job(tmp_path, *rows, SHAPES["lstm"] | TINY | {"max_length": 8, "epochs": 1})
    fit(job)
    long = sum(len(text.replace("-", " ").split()) > 8 for text in rows[0].features["text"])
    [said] = [said for said in job.told if "training texts" in said]
    assert abs(int(said.split()[0]) - long) <= 3 and "max_length" in said


def test_texts_without_words_are_one_sentence(tmp_path):
    lstm = {"type": "lstm"}
    with pytest.raises(DataError, match="holds a word"):
        trained(tmp_path, one_column("text", ["", " ", "?!", None], ["a", "b", "a", "b"]), None, lstm)
    with pytest.raises(DataError, match=r"min_rows=1"):
        trained(tmp_path, one_column("text", ["one", "two", "three", "four"], ["a", "b", "a", "b"]), None, lstm)


def test_a_row_without_text_gets_an_answer(plain, rows):
    features = rows[1].features.head(2).copy()
    features["text"] = [None, ""]
    scores = plain["lstm"].scores(features)
    assert np.isfinite(scores).all() and np.array_equal(scores[0], scores[1])
    assert plain["lstm"].scores(features.head(0)).shape == (0, 4)
