"""Training networks that read texts: LSTM, GRU and convolutions from scratch; pretrained encoders in ``encoders.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studio.core.errors import DataError
from studio.data.examples import Examples
from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.text_layers import build_word_network
from studio.models.predictors.text_network import TextNetworkPredictor, texts_of
from studio.models.predictors.words import WordReader
from studio.schema.networks import Bert, Gru, Lstm, TextCnn
from studio.train.predictors.job import Job
from studio.train.predictors.learning import learn, seeded
from studio.train.predictors.objective import balance, label_objective
from studio.train.predictors.reading import readable_texts

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset


def fit_text_network(job: Job, info: PredictorInfo) -> TextNetworkPredictor | None:
    """Train a network on texts; None when a signal stopped it after saving a checkpoint.

    Raises:
        DataError: no training text holds a word.
    """
    settings = job.preset.estimator
    if isinstance(settings, Bert):
        from studio.train.predictors.encoders import fit_encoder

        return fit_encoder(job, info, settings)
    assert isinstance(settings, Lstm | Gru | TextCnn)
    texts = texts_of(job.train.features[info.columns[0].name])
    reader = WordReader.learn(texts, most=settings.vocabulary, min_rows=settings.min_rows, max_length=settings.max_length)
    refuse_wordless(reader, texts, job.train, settings.min_rows)
    plain = word_network_settings(settings, words=len(reader), labels=len(job.labels))
    with seeded(job.preset.seed):
        network = build_word_network(plain)
    train, held = readable_texts(job, reader)
    rows = balance(job)
    objective, told_balance = label_objective(job, rows, settings.label_smoothing)
    figures = learn(job, network, train, held, objective, rows.matrix)
    if figures is None:
        return None
    told = info.model_copy(
        update={
            "form": TextNetworkPredictor.form,
            "extra": {**info.extra, "result": {**figures, **told_balance, "words": len(reader.words)}},
        }
    )
    return TextNetworkPredictor(told, network, reader, plain)


def encoder_record(preset: AnyPredictorPreset) -> dict[str, Any]:
    """The record of the encoder that ``bert`` starts from; see :func:`studio.train.predictors.checks.base_of`."""
    from studio.train.predictors.encoders import encoder_base

    return encoder_base(preset).record()


def word_network_settings(settings: Lstm | Gru | TextCnn, *, words: int, labels: int) -> dict[str, Any]:
    """What :func:`studio.models.predictors.text_layers.build_word_network` takes."""
    shared = {
        "type": settings.type,
        "words": words,
        "labels": labels,
        "embedding": settings.embedding,
        "activation_name": settings.activation,
        "dropout": settings.dropout,
    }
    if isinstance(settings, TextCnn):
        return shared | {"widths": settings.widths, "filters": settings.filters}
    return shared | {"depth": settings.depth, "width": settings.width, "bidirectional": settings.bidirectional}


def refuse_wordless(reader: WordReader, texts: Sequence[str], train: Examples, min_rows: int) -> None:
    """Go on only with something to read.

    Raises:
        DataError: no text holds a word, or no word is frequent enough.
    """
    if not any(reader.pieces(text) for text in texts):
        raise DataError(
            f"no text in the column {train.columns[0].name} of the {len(texts)} training rows holds a word: there is nothing to "
            "read. Look at the Dataset: studio data show"
        )
    if not reader.words:
        raise DataError(
            f"no word occurs in {min_rows} of the {len(texts)} training texts, so none would be known. "
            "Set --set estimator.min_rows=1, or give more rows."
        )
