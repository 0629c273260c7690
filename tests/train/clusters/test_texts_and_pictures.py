"""Texts and pictures in groups: counted words and pixels, and what networks see; real emoji, and texts on three matters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from studio.core.errors import UserError
from studio.data.examples import Examples
from studio.models.clusters.opening import open_clusters, save_clusters
from studio.models.clusters.space import EMBEDDING
from studio.train.clusters.embeddings import embedded_type, find_base, open_embedding
from studio.train.clusters.run import group_rows
from tests.train.clusters.made import QUICK, grouped, preset, values

MATTERS = {
    "roof": ("roof", "tiles", "gutter", "rafters", "leaks"),
    "garden": ("garden", "roses", "lawn", "hedge", "spade"),
    "kitchen": ("kitchen", "oven", "sink", "kettle", "spoons"),
}


def texts(each: int = 40) -> tuple[Examples, list[str]]:
    """Made sentences on three matters, of unlike length, and which each is on."""
    drawn = np.random.default_rng(0)
    said, matter = [], []
    for name, words in MATTERS.items():
        for _ in range(each):
            count = int(drawn.integers(3, 9))
            said.append(f"please look at the {' and the '.join(drawn.choice(words, count).tolist())} soon")
            matter.append(name)
    return values(text=("text", said)), matter


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two small layers with random weights, and a tokenizer of the sentences' words."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(texts()[0].features["text"], vocab_size=200, show_progress=False)
    pieces.save(str(folder / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "max_position_embeddings": 12}
    BertModel(BertConfig(vocab_size=len(tokenizer), num_hidden_layers=2, **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Examples, np.ndarray]:
    """Digits 0, 1 and 6 as files, 30 of each."""
    data, folder = load_digits(), tmp_path_factory.mktemp("digits")
    places = np.concatenate([np.flatnonzero(data.target == digit)[:30] for digit in (0, 1, 6)])
    files = []
    for place in places:
        files.append(str(folder / f"{place}.png"))
        Image.fromarray((data.images[place] * 15.9).astype(np.uint8)).convert("RGB").save(files[-1])
    return values(picture=("picture", files)), data.target[places]


def test_counted_words_find_what_texts_are_about_whatever_their_length() -> None:
    rows, matter = texts()
    found = grouped(rows, "kmeans", "distance=cosine", "estimator.k_max=6", *QUICK)
    info = found.clusters.info
    assert info.choice.k == 3 and info.choice.structure.found
    assert adjusted_rand_score(matter, found.clusters.place(rows.features).groups) > 0.95
    assert any("dimensions were reduced to 100 by" in note for note in found.notes) and info.explained > 0.9
    unknown = found.clusters.place(values(text=("text", ["roses and lawn", "xyzzy"])).features)
    assert unknown.groups[0] == found.clusters.place(rows.features).groups[matter.index("garden")]


def test_pixels_share_one_unit_and_are_not_scaled(pictures: tuple[Examples, np.ndarray]) -> None:
    rows, digits = pictures
    found = grouped(rows, "kmeans", "estimator.k=3", "reduce.type=none").clusters
    matrix = found.space.matrix(rows.features)
    assert matrix.shape == (90, 32 * 32 * 3) and matrix.min() >= 0 and matrix.max() <= 1
    assert adjusted_rand_score(digits, found.place(rows.features).groups) > 0.9


def test_an_encoder_looks_at_texts_and_travels_with_the_run(encoder: Path, tmp_path: Path) -> None:
    rows, _ = texts(10)
    wanted = preset("kmeans", "texts=encoder", f"model={encoder}", "estimator.k=3")
    base = find_base(wanted, rows.columns)
    found = group_rows(wanted, rows, "made", base=base)
    assert any("longer than 12 tokens and were cut" in note for note in found.notes)
    assert found.clusters.info.texts == "encoder" and found.clusters.info.dimensions == 32
    (tmp_path / "model").mkdir()
    save_clusters(found.clusters, tmp_path / "model")
    opened = open_clusters(tmp_path / "model")
    assert (tmp_path / "model" / EMBEDDING / "encoder" / "model.safetensors").is_file()
    assert not list((tmp_path / "model").glob("preparation*")), "no column is left to prepare"
    before, after = found.clusters.place(rows.features), opened.place(rows.features)
    assert (before.groups == after.groups).all() and before.distances == pytest.approx(after.distances, abs=1e-6)


def test_rows_of_a_batch_do_not_change_each_other(encoder: Path) -> None:
    rows, _ = texts(12)
    base = find_base(preset("kmeans", "texts=encoder", f"model={encoder}"), rows.columns)
    said = rows.features["text"].tolist()
    together = open_embedding(base, "text", said, lambda _: None).rows(said)
    alone = np.concatenate([open_embedding(base, "text", said, lambda _: None).rows([one]) for one in said[:3]])
    assert together[:3] == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(said)))


def test_a_picture_network_looks_at_pictures(pictures: tuple[Examples, np.ndarray], tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_100", num_classes=5)
    folder = tmp_path / "network"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    facts = {"architecture": "mobilenetv3_small_100", "pretrained_cfg": {"mean": [0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2]}}
    (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    some = pictures[0].part(np.arange(0, 90, 6))
    wanted = preset("kmeans", "pictures=network", f"model={folder}", "estimator.k=2")
    found = group_rows(wanted, some, "made", base=find_base(wanted, some.columns)).clusters
    (tmp_path / "model").mkdir()
    save_clusters(found, tmp_path / "model")
    opened = open_clusters(tmp_path / "model")
    assert opened.space.embedding.settings["mean"] == [0.4, 0.4, 0.4]
    assert (opened.place(some.features).groups == found.place(some.features).groups).all()


def test_columns_beside_a_text_are_prepared_and_a_text_counts_as_one_number(encoder: Path) -> None:
    rows, _ = texts(20)
    beside = values(
        text=("text", rows.features["text"].tolist()), age=("number", np.random.default_rng(0).normal(size=60).tolist())
    )
    wanted = preset("kmeans", "texts=encoder", f"model={encoder}", "estimator.k=2")
    space = group_rows(wanted, beside, "made", base=find_base(wanted, beside.columns)).clusters.space
    matrix = space.matrix(beside.features)
    assert matrix.shape == (60, 33) and matrix[:, 0].std() == pytest.approx(1)
    assert np.linalg.norm(matrix[:, 1:], axis=1) == pytest.approx(np.ones(60))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("texts=encoder", "pictures=network"), "Set one of them"),
        (("pictures=network",), "no column is of type picture"),
        (("model=minilm-l6",), "for which no model is needed"),
        (("texts=encoder", "model=efficientnet-lite0"), "is a picture network, and a text encoder is asked for"),
        (("texts=encoder", "model=minilm"), "Did you mean 'minilm-l6'?"),
    ],
)
def test_a_network_that_does_not_fit_is_said_before_anything_is_loaded(settings: tuple[str, ...], words: str) -> None:
    rows, _ = texts(5)
    with pytest.raises(UserError) as said:
        find_base(preset("kmeans", *settings), rows.columns)
    assert words in str(said.value), said.value
    assert embedded_type(preset("kmeans"), rows.columns) is None
