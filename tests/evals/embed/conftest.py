"""The tiny encoder and its Datasets, built once."""

from __future__ import annotations

from studio.core.extras import available
from tests.retrieval import encoder, questions, questions_made  # noqa: F401 - fixtures

# Without the extra `embed` there is nothing to test here.
collect_ignore_glob = [] if available("sentence_transformers") else ["test_*.py"]
