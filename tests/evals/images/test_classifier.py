"""The studio's own classifier: it learns, says how well, carries its hash, and is trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio.core.errors import StudioError, UserError
from studio.evals.images import classifier as module
from studio.evals.images.classifier import ClassifierSettings, StudioClassifier, classifier_for
from studio.evals.images.network import see
from tests.evals.images.shapes import draw, parts

SETTINGS = ClassifierSettings(side=24, epochs=12, batch_size=16)


def labelled(numbers: range, label: str | None = None) -> list:
    return [(lambda number=number: draw(*parts(number), number), label or parts(number)[0]) for number in numbers]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(scope="module")
def trained(home: Path) -> StudioClassifier:
    return classifier_for(home, "shapes0", labelled(range(90)), labelled(range(90, 126)), SETTINGS)


def test_it_learns_the_categories_and_says_how_well(trained: StudioClassifier) -> None:
    record = trained.record
    assert record.labels == ["cross", "disc", "square"] and (record.trained_on, record.held_out) == (90, 36)
    assert record.accuracy is not None and record.accuracy > 0.8 and record.majority == pytest.approx(1 / 3)
    text = trained.describe()
    assert trained.sha256[:8] in trained.name and f"held-out accuracy {record.accuracy:.3f} on 36 pictures" in text
    seen = see(trained, [draw(*parts(number), number) for number in range(200, 230)], batch_size=7)
    assert seen.features.shape == (30, 128) and seen.logits.shape == (30, 3)
    right = [record.labels[guess] == parts(number)[0] for number, guess in enumerate(seen.logits.argmax(1), 200)]
    assert sum(right) / 30 > 0.8


def test_the_second_asking_reads_it_back_and_other_settings_train_anew(
    home: Path, trained: StudioClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it was trained again")

    state = torch.random.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_train", refuse)
        again = classifier_for(home, "shapes0", labelled(range(90)), [], SETTINGS)
        assert again.sha256 == trained.sha256 and again.record == trained.record
        with pytest.raises(AssertionError, match="trained again"):
            classifier_for(home, "shapes1", labelled(range(90)), [], SETTINGS)
    other = classifier_for(home, "shapes0", labelled(range(30)), [], ClassifierSettings(side=16, epochs=1))
    assert other.sha256 != trained.sha256 and other.record.accuracy is None
    assert "no held-out picture has a label" in other.describe()
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's random state was touched"


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    settings = ClassifierSettings(side=16, epochs=2, batch_size=16)
    first, second = (classifier_for(tmp_path / name, "x", labelled(range(30)), [], settings) for name in ("a", "b"))
    assert first.sha256 == second.sha256


def test_one_label_is_no_classifier_and_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 2 labels, the training pictures have 1"):
        classifier_for(tmp_path, "x", labelled(range(9), "disc"), [], SETTINGS)
    classifier_for(tmp_path, "y", labelled(range(6)), [], ClassifierSettings(side=16, epochs=1))
    file = next(tmp_path.glob("y-*/classifier.safetensors"))
    file.write_bytes(b"cut")
    with pytest.raises(StudioError, match="is damaged .* Delete that folder; it is trained anew"):
        classifier_for(tmp_path, "y", labelled(range(6)), [], ClassifierSettings(side=16, epochs=1))
