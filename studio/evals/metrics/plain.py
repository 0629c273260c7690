"""The metrics as plain functions of predictions and references, for notebooks and for ``evaluate``'s folder format
(``evals/metrics``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.core.registry import Registry
from studio.evals.evidence import Answer, Evidence, Question
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric
from studio.evals.statistics import Statistic, point

# What takes a model to compute, in the room of its kind.
BY_MODELS = Registry("function", {"text_perplexity": "studio.evals.chat.plain:text_perplexity"})


def text_score(key: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Value of a registered text metric (``bleu``, ``rougeL`` …) and the library and settings that made it.

    Raises:
        UserError: there is no such metric. ValueError: the lists differ in length.
    """
    metric: Metric = METRICS.get(key)
    evidence = [
        Evidence(Question(str(place), (), (), reference), Answer(text, 0, truncated=False))
        for place, (text, reference) in enumerate(zip(predictions, references, strict=True))
    ]
    return {"value": _value(metric.measure(evidence)), "made_with": metric.for_texts(evidence).made_with()}


def label_score(key: str, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
    """A classification figure (``accuracy``, ``f1_macro`` …) over the classes that are true or predicted at least once, as for
    scikit-learn.
    """
    from studio.evals.metrics.classification import classification_statistic

    truth, predicted = [str(value) for value in references], [str(value) for value in predictions]
    return _value(classification_statistic(key, truth, predicted, sorted({*truth, *predicted})))


def number_score(key: str, predictions: Sequence[float], references: Sequence[float]) -> float | None:
    """A regression figure (``mse``, ``r2`` …)."""
    from studio.evals.metrics.regression import regression_statistic

    return _value(regression_statistic(key, list(references), list(predictions)))


def text_perplexity(texts: Sequence[str], model: str, *, batch_size: int = 16) -> dict[str, Any]:
    """Perplexity of plain texts under a causal model, after exactly one BOS or EOS token: pooled over all tokens, and of
    each text.

    Args:
        model: starter name, folder or Hub id.
    """
    found: dict[str, Any] = BY_MODELS.get("text_perplexity")(texts, model, batch_size=batch_size)
    return found


def _value(statistic: Statistic) -> float | None:
    """The plain score."""
    return point(statistic, statistic.scored)
