"""Requests for vectors and for scores, where a run of embeddings or a reranker is served. Standard library only.

Such a server has these routes in place of those that write answers, with the same keys, limits and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.serve.limits import Limits, RefusedError, only_known, whole_number

EMBEDDINGS, RERANK, SCORE = "/v1/embeddings", "/v1/rerank", "/v1/score"
ROUTES: Mapping[str, tuple[str, ...]] = {"embedding": (EMBEDDINGS,), "reranker": (RERANK, SCORE)}
"""Kind of what is served to the routes that it answers."""
PREFIXES = {EMBEDDINGS: "embd-", RERANK: "rerank-", SCORE: "score-"}
"""How the id of an answer begins."""
_TEXTS = {EMBEDDINGS: ("input",), RERANK: ("query", "documents"), SCORE: ("text_1", "text_2", "queries", "documents")}
_ALONE = {"query"}
_FIELDS = {EMBEDDINGS: {"encoding_format", "dimensions"}, RERANK: {"top_n"}, SCORE: set[str]()}


def check_pooled(route: str, request: dict[str, Any], limits: Limits, read: int | None) -> dict[str, Any]:
    """A request within the limits, that reads as much of each text as the run's training did.

    Args:
        read: tokens of a text; None leaves it to vLLM.
    Raises:
        RefusedError: it asks for more, has a field that clients may not set, or holds what is no text.
    """
    only_known(request, {"model", "user", *_TEXTS[route], *_FIELDS[route]})
    whole_number(request, "top_n", limits.texts)
    given = [name for name in _TEXTS[route] if name in request]
    if not given or (route != EMBEDDINGS and len(given) != 2):
        wanted = {EMBEDDINGS: "input", RERANK: "query and documents", SCORE: "text_1 and text_2"}[route]
        raise RefusedError(400, "invalid_value", f"A request to {route} needs {wanted}.", given[0] if given else _TEXTS[route][0])
    many = sum(_texts(request[name], name) for name in given)
    if many > limits.texts:
        raise RefusedError(400, "limit_exceeded", f"{many} texts in one request; this server takes {limits.texts}.", given[-1])
    return request if read is None else {**request, "truncate_prompt_tokens": read}


def _texts(value: Any, name: str) -> int:
    """How many texts a field holds.

    Raises:
        RefusedError: none, or something else: vLLM would also fetch pictures that are named there.
    """
    texts = [value] if isinstance(value, str) else value
    plain = isinstance(texts, list) and bool(texts) and all(isinstance(text, str) and text.strip() for text in texts)
    if not plain or (name in _ALONE and not isinstance(value, str)):
        allowed = "a text" if name in _ALONE else "a text or a list of texts"
        raise RefusedError(400, "not_text", f"{name} must be {allowed}, none of them empty.", name)
    return len(texts)
