"""Pretrained encoders: tuned whole, from a layer on, by adapters, or with a new head only; saved as plain folders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from studio.core.errors import ConfigError, DataError, StudioError, UserError
from studio.models.predictors.encoder import EncoderNetwork, load_encoder
from studio.models.predictors.opening import open_predictor, save_predictor
from studio.schema.loading import validate
from studio.schema.predictors import ClassifierPreset
from studio.train.predictors.checks import base_of
from studio.train.predictors.encoders import resolve_encoder
from studio.train.predictors.learning import Learner
from tests.train.predictors.network_jobs import fit, network_job, one_column, questions, same_weights, trained
from tests.train.predictors.test_learning import Signals

TINY = {"type": "bert", "epochs": 1, "batch_size": 16, "max_length": 24, "learning_rate": 0.001}
SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "max_position_embeddings": 40}


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
def encoder(rows, tmp_path_factory):
    """A BERT of three small layers with random weights, and a tokenizer of the questions' words."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(rows[0].features["text"], vocab_size=500, show_progress=False)
    pieces.save(str(folder / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), num_hidden_layers=3, **SHAPE)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def started(folder):
    """The encoder's weights before any training, under the names of a network."""
    return {f"encoder.{name}": value for name, value in load_encoder(folder).state_dict().items() if "pooler" not in name}


def changed(predictor, folder):
    """Names of the encoder's tensors that training has changed."""
    after = predictor.network.state_dict()
    return {name for name, value in started(folder).items() if not torch.equal(after[name], value)}


def test_every_layer_is_tuned(rows, encoder, tmp_path):
    predictor = trained(tmp_path, *rows, TINY, model=str(encoder))
    assert changed(predictor, encoder) == set(started(encoder)) - {"encoder.embeddings.position_ids"}


def test_layers_below_a_number_stay_as_they_are(rows, encoder, tmp_path):
    predictor = trained(tmp_path, *rows, TINY | {"tune": "frozen", "freeze_below": 2}, model=str(encoder))
    assert changed(predictor, encoder) == {name for name in started(encoder) if ".layer.2." in name}
    result = predictor.info.extra["result"]
    assert result["trained_parameters"] < result["parameters"] / 3


def test_frozen_layers_drop_nothing(rows, encoder, tmp_path, monkeypatch):
    seen = []
    step = Learner._step

    def watched(self, batch):
        layers = self.network.layers()
        seen.append([layer.training for layer in layers] + [self.network.encoder.embeddings.training])
        step(self, batch)

    monkeypatch.setattr(Learner, "_step", watched)
    trained(tmp_path, *rows, TINY | {"tune": "frozen", "freeze_below": 2, "epochs": 2}, model=str(encoder))
    assert seen and all(modes == [False, False, True, False] for modes in seen)


def test_the_head_alone_reads_every_text_once(rows, encoder, tmp_path, monkeypatch):
    calls = []
    read = EncoderNetwork.read
    monkeypatch.setattr(
        EncoderNetwork, "read", lambda self, numbers, mask: (calls.append(len(numbers)), read(self, numbers, mask))[1]
    )
    predictor = trained(tmp_path / "none", *rows, TINY | {"tune": "frozen", "epochs": 5, "patience": None}, model=str(encoder))
    assert not changed(predictor, encoder) and sum(calls) == len(rows[0]) + len(rows[1])
    # The same by the number of all layers; and the head sees what the whole network gives.
    all_layers = TINY | {"tune": "frozen", "freeze_below": 3, "epochs": 5, "patience": None}
    assert same_weights(trained(tmp_path / "three", *rows, all_layers, model=str(encoder)), predictor)
    accuracy = np.mean(predictor.predict(rows[1].features).values == rows[1].target)
    from tests.train.predictors.network_jobs import losses

    assert losses(tmp_path / "none", "eval_accuracy")[predictor.info.extra["result"]["best_epoch"] - 1] == accuracy


def test_adapters_are_merged_into_a_plain_encoder(rows, encoder, tmp_path):
    predictor = trained(tmp_path / "run", *rows, TINY | {"tune": "lora", "rank": 4}, model=str(encoder))
    touched = changed(predictor, encoder)
    assert touched and all(name.endswith(".weight") and ("layer" in name) for name in touched)
    result = predictor.info.extra["result"]
    assert result["trained_parameters"] < result["parameters"]
    wider = trained(tmp_path / "wider", *rows, TINY | {"tune": "lora", "rank": 8}, model=str(encoder))
    assert wider.info.extra["result"]["trained_parameters"] > result["trained_parameters"]
    place = tmp_path / "saved"
    place.mkdir()
    save_predictor(predictor, place)
    assert not (place / "encoder" / "adapter_config.json").exists()
    assert np.allclose(open_predictor(place).scores(rows[1].features), predictor.scores(rows[1].features), atol=1e-6)


def test_a_saved_one_needs_nothing_but_its_folder(rows, encoder, tmp_path):
    base = shutil.copytree(encoder, tmp_path / "base")
    predictor = trained(tmp_path / "run", *rows, TINY, model=str(base))
    place = tmp_path / "saved"
    place.mkdir()
    save_predictor(predictor, place)
    shutil.rmtree(base)
    opened = open_predictor(place)
    assert np.array_equal(opened.scores(rows[1].features), predictor.scores(rows[1].features))
    assert opened.reader.pieces("A door?") == predictor.reader.pieces("A door?")
    from transformers import AutoModel

    plain = AutoModel.from_pretrained(place / "encoder", add_pooling_layer=False)
    name = "encoder.layer.2.output.dense.weight"
    assert torch.equal(plain.state_dict()[name], predictor.network.encoder.state_dict()[name])
    (place / "encoder" / "model.safetensors").unlink()
    with pytest.raises(StudioError, match="cannot be opened as an encoder"):
        open_predictor(place)


def test_the_two_halves_that_explanations_use_are_the_whole(rows, encoder, tmp_path):
    predictor = trained(tmp_path, *rows, TINY, model=str(encoder))
    numbers, mask = predictor.tensors(["How wide must a door be?", "Why?"])
    network = predictor.network
    assert torch.allclose(network.judge(network.embed(numbers), mask), network(numbers, mask), atol=1e-6)
    alone = predictor.network(*predictor.tensors(["Why?"]))
    assert torch.allclose(network(numbers, mask)[1:], alone, atol=1e-5)


@pytest.mark.parametrize("tune", ["all", "lora"])
def test_stopped_and_resumed_is_exact(tune, rows, encoder, tmp_path):
    settings = TINY | {"tune": tune, "epochs": 2, "dropout": 0.2}
    whole = trained(tmp_path / "whole", *rows, settings, model=str(encoder))
    job = network_job(tmp_path / "parts", *rows, settings, model=str(encoder))
    job.stop = Signals(tmp_path / "parts", 8)
    assert fit(job) is None
    resumed = fit(network_job(tmp_path / "parts", *rows, settings, model=str(encoder), resume=True))
    assert same_weights(resumed, whole)


@pytest.mark.parametrize(
    ("setting", "value"), [("dropout", 0.5), ("max_length", 6), ("l2", 0.9), ("label_smoothing", 0.3), ("learning_rate", 0.01)]
)
def test_every_setting_changes_what_is_learned(setting, value, rows, encoder, tmp_path):
    one = trained(tmp_path / "one", *rows, TINY, model=str(encoder))
    assert not same_weights(trained(tmp_path / "two", *rows, TINY | {setting: value}, model=str(encoder)), one)


def test_texts_that_are_cut_are_counted(rows, encoder, tmp_path):
    job = network_job(tmp_path, *rows, TINY | {"max_length": 8}, model=str(encoder))
    predictor = fit(job)
    [said] = [said for said in job.told if "training texts" in said]
    whole = predictor.reader.tokenizer(list(rows[0].features["text"]))["input_ids"]
    assert int(said.split()[0]) == sum(len(row) > 8 for row in whole)
    assert predictor.tensors(list(rows[0].features["text"]))[0].shape[1] == 8


def refused(rows, tmp_path, error=UserError, **settings):
    preset = {"model": settings.pop("model")}
    with pytest.raises(error) as caught:
        fit(network_job(tmp_path, *rows, TINY | settings, **preset))
    return str(caught.value)


def test_what_cannot_be_is_one_sentence(rows, encoder, tiny_base, tmp_path):
    assert "has 3 layers" in refused(rows, tmp_path, model=str(encoder), tune="frozen", freeze_below=4)
    assert "reads 40 tokens at most" in refused(rows, tmp_path, model=str(encoder), max_length=64)
    assert "writes texts (llama)" in refused(rows, tmp_path, model=str(tiny_base))
    assert "is a language model, and a text encoder is asked for" in refused(rows, tmp_path, model="smollm2-135m-instruct")
    assert "none is named" in refused(rows, tmp_path, model=None)
    with pytest.raises(ConfigError, match="tune: frozen"):
        network_job(tmp_path, *rows, TINY | {"freeze_below": 1})
    empty = one_column("text", ["", " ", None, "\n"], ["a", "b", "a", "b"])
    assert "nothing to read" in refused((empty, None), tmp_path, DataError, model=str(encoder))


def test_settings_that_do_not_fit_the_encoder_are_refused_before_a_run_is_opened(encoder):
    for estimator, words in (({"tune": "frozen", "freeze_below": 4}, "has 3 layers"), ({"max_length": 64}, "reads 40 tokens")):
        settings = validate({"kind": "classifier", "estimator": TINY | estimator, "model": str(encoder)}, ClassifierPreset)
        with pytest.raises(UserError, match=words):
            base_of(settings)


def test_other_models_are_refused_before_their_weights_are_opened(encoder, tmp_path):
    job = network_job(tmp_path, one_column("text", ["a"], ["b"]), None, TINY, model=str(tmp_path / "base"))
    for config, said in (
        ({"model_type": "t5", "is_encoder_decoder": True}, "writes texts"),
        ({"model_type": "vit"}, "does not read texts"),
        ({"model_type": "no-such-model"}, "no model that transformers knows"),
    ):
        base = shutil.copytree(encoder, tmp_path / "base", dirs_exist_ok=True)
        (base / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=said):
            resolve_encoder(job.preset)


@pytest.mark.starter
def test_the_starter_encoder_is_better_than_counting_words_alone(rows, tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = rows
    settings = {"type": "bert", "tune": "frozen", "learning_rate": 3e-3, "epochs": 60, "patience": 8, "batch_size": 16}
    predictor = trained(tmp_path, train, None, settings, model="minilm-l6")
    words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000))
    words.fit(train.features["text"], train.target)
    right = np.mean(predictor.predict(test.features).values == test.target)
    assert right >= np.mean(words.predict(test.features["text"]) == test.target)
