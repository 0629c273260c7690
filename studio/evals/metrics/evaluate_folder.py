"""The studio's metrics in the folder format of the package ``evaluate``: what the folders under ``evals/metrics`` have in common.

A folder has one module, and that makes one class with a function of this module. People copy the folders away, so what the
functions here take may be added to and not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.evals.metrics.plain import label_score, number_score, text_perplexity, text_score

_SCIKIT_LEARN = "Pedregosa et al. 2011, scikit-learn"
# Columns and their types in terms of `datasets`.
_TEXTS = {"predictions": "string", "references": "string"}
_NUMBERS = {"predictions": "float64", "references": "float64"}


def label_metric(module: str, name: str, key: str, *, title: str, description: str, gives: str) -> type[Any]:
    """A figure of labels against true labels.

    Args:
        module: ``__name__`` of the folder's module. name: of the class there, by which ``evaluate`` knows the metric.
        key: the studio's name of the figure, for example ``f1_macro``. gives: its name in the result.
    """

    def compute(_: object, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {gives: label_score(key, predictions, references)}

    inputs = _inputs("predictions: list of labels.", "references: list of true labels.", returns=(f"{gives}: the score.",))
    words = {"description": description, "citation": _SCIKIT_LEARN, "inputs_description": inputs}
    return _metric_class(module, name, title, compute, _TEXTS, words)


def number_metric(module: str, name: str, key: str, *, title: str, description: str, gives: str) -> type[Any]:
    """A figure of numbers against true numbers; see :func:`label_metric`."""

    def compute(_: object, predictions: list[float], references: list[float]) -> dict[str, Any]:
        return {gives: number_score(key, predictions, references)}

    inputs = _inputs("predictions: list of numbers.", "references: list of true numbers.", returns=(f"{gives}: the score.",))
    words = {"description": description, "citation": _SCIKIT_LEARN, "inputs_description": inputs}
    return _metric_class(module, name, title, compute, _NUMBERS, words)


def text_metric(module: str, name: str, key: str, *, title: str, description: str, citation: str, gives: str) -> type[Any]:
    """A score of texts against one reference each, with library and settings beside it; see :func:`label_metric`."""

    def compute(_: object, predictions: list[str], references: list[str]) -> dict[str, Any]:
        found = text_score(key, predictions, references)
        return {gives: found["value"], "made_with": found["made_with"]}

    inputs = _text_inputs(f"{gives}: the score.", "made_with: library and settings.")
    words = {"description": description, "citation": citation, "inputs_description": inputs}
    return _metric_class(module, name, title, compute, _TEXTS, words)


def text_metrics(
    module: str, name: str, keys: Sequence[str], *, title: str, description: str, citation: str, unit: str
) -> type[Any]:
    """Several scores of texts, each under the studio's name for it and in the same unit; see :func:`label_metric`."""

    def compute(_: object, predictions: list[str], references: list[str]) -> dict[str, Any]:
        return {key: text_score(key, predictions, references)["value"] for key in keys}

    words = {"description": description, "citation": citation, "inputs_description": _text_inputs(f"{', '.join(keys)}: {unit}.")}
    return _metric_class(module, name, title, compute, _TEXTS, words)


def perplexity_metric(module: str, name: str, *, title: str, description: str, citation: str) -> type[Any]:
    """Perplexity of texts under a model that the person names; see :func:`label_metric`."""

    def compute(_: object, predictions: list[str], model_id: str, batch_size: int = 16) -> dict[str, Any]:
        return text_perplexity(predictions, model_id, batch_size=batch_size)

    inputs = _inputs(
        "predictions: list of texts.",
        "model_id: starter name, folder or Hub id of a causal model.",
        "batch_size: texts per forward pass.",
        returns=("perplexity: over all tokens pooled.", "perplexities: of each text, None where there is nothing to score."),
    )
    words = {"description": description, "citation": citation, "inputs_description": inputs}
    return _metric_class(module, name, title, compute, {"predictions": "string"}, words)


def _text_inputs(*returns: str) -> str:
    """What a score of texts takes and gives."""
    return _inputs("predictions: list of texts.", "references: list of texts, one per prediction.", returns=returns)


def _inputs(*arguments: str, returns: Sequence[str]) -> str:
    """What a metric takes and gives, as ``evaluate`` shows it."""
    return "\n".join(["", "Args:", *(f"    {line}" for line in arguments), "Returns:", *(f"    {line}" for line in returns), ""])


def _metric_class(
    module: str,
    name: str,
    title: str,
    compute: Callable[..., dict[str, Any]],
    columns: Mapping[str, str],
    words: Mapping[str, str],
) -> type[Any]:
    """The class that ``evaluate.load`` looks for in the folder's module, named as if it were written there."""
    import datasets
    import evaluate

    def info(_: object) -> Any:
        features = datasets.Features({column: datasets.Value(kind) for column, kind in columns.items()})
        return evaluate.MetricInfo(features=features, **words)

    compute.__qualname__ = f"{name}._compute"  # Python's messages about wrong arguments show it
    return type(name, (evaluate.Metric,), {"__module__": module, "__doc__": f"{title}.", "_info": info, "_compute": compute})
