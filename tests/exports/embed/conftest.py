"""The tiny encoder and its Datasets, built once."""

from __future__ import annotations

from tests.retrieval import encoder, questions, questions_made  # noqa: F401 - fixtures
