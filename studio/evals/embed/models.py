"""The models under measurement, as what puts passages into order for each question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from studio.adapters.saved import saved_settings
from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.evals.embed.corpus import Corpus
from studio.evals.targets import Target
from studio.evals.task import NotComputedError
from studio.models.bases import recorded_revision, resolve_base
from studio.models.device import pick_device
from studio.models.embed.opening import (
    PASSAGE,
    QUERY,
    EncoderShape,
    fits,
    has_own_head,
    open_embedding,
    open_reranker,
    vectors,
)
from studio.models.embed.ranking import first_passages
from studio.models.weights import verify_hashes

EMBEDDING, RERANKER = "embedding", "reranker"
MODEL = "model"
WORDS = "BM25"

Ranked = list[list[int]]
"""Places of the first passages for each question."""


@dataclass(frozen=True)
class Searcher:
    """A model that puts passages into order.

    rank: ``rank(corpus, by_words, depth)``, where ``by_words`` are the candidates of the search by words. about: for the report.
    """

    rank: Callable[[Corpus, Ranked, int], Ranked]
    about: dict[str, Any]


def open_searcher(target: Target, run: RunRecord | None, run_folder: Path | None) -> Searcher:
    """What a target is as a search.

    Args:
        run, run_folder: the Run under measurement, whose own base may be asked for.
    Raises:
        NotComputedError: it finds no passages. UserError: it is not finished. StudioError: it is damaged.
    """
    if target.own_base:
        assert run is not None and run_folder is not None
        return _own_base(run, run_folder)
    if target.run is not None:
        return _of_run(target)
    if target.base is not None and has_own_head(target.base.folder):
        return _reranker(target.base.folder, EncoderShape(), _named(target))
    if target.base is not None:
        return _embedding(target.base.folder, EncoderShape(), _named(target))
    raise NotComputedError(f"{target.name} is no run of kind {EMBEDDING} or {RERANKER}, nor an encoder. Give one: --model RUN")


def _of_run(target: Target) -> Searcher:
    """A finished Run."""
    assert target.run is not None
    record = read_run(target.run)
    if record.kind not in {EMBEDDING, RERANKER}:
        raise NotComputedError(
            f"{target.name} is of kind {record.kind}, and this task measures runs of kind {EMBEDDING} and {RERANKER}. "
            "Give one: --model RUN"
        )
    if record.status != "finished":
        raise UserError(
            f"the run {target.name} is {record.status} and cannot be measured. Finish it: studio train --resume {record.id}"
        )
    if target.export is not None:
        return _exported(target, record)
    verify_hashes(target.run, {file: value for file, value in record.files.items() if file.startswith(f"{MODEL}/")})
    about: dict[str, Any] = {"kind": "predictor", "name": target.name, "id": record.id, "path": str(target.run)}
    about |= {"method": record.method, "base": record.base.get("name")}
    opened = _embedding if record.kind == EMBEDDING else _reranker
    return opened(target.run / MODEL, EncoderShape(), about)


def _exported(target: Target, record: RunRecord) -> Searcher:
    """A finished Run as another program reads it."""
    from studio.models.embed.exported import open_exported

    assert target.export is not None
    encoder = open_exported(target.export)
    about: dict[str, Any] = {"kind": "predictor", "name": target.name, "id": record.id, "path": str(target.export)}
    about |= {"method": record.method, "base": record.base.get("name")}
    if record.kind == RERANKER:
        return Searcher(lambda corpus, by_words, depth: _reordered(encoder.fits, corpus, by_words, depth), about)

    def rank(corpus: Corpus, by_words: Ranked, depth: int) -> Ranked:  # noqa: ARG001 - it searches by itself
        found = encoder.vectors(corpus.passages, PASSAGE)
        return first_passages(encoder.vectors([row.query for row in corpus.rows], QUERY), found, depth)

    return Searcher(rank, about)


def _own_base(run: RunRecord, run_folder: Path) -> Searcher:
    """What a Run began from; a reranker's base is the search by words, unless it was a reranker already."""
    base = resolve_base(
        str(run.base["name"] if run.base["source"] != "local" else run.base["path"]),
        recorded_revision(run.base),
        use="text encoder",
    )
    settings = saved_settings(run_folder)
    about = {"kind": "predictor", "name": base.name, "path": str(base.folder), "method": None, "base": base.name}
    if run.kind == EMBEDDING:
        prompts = {QUERY: settings.get("query_prompt", ""), PASSAGE: settings.get("passage_prompt", "")}
        return _embedding(base.folder, EncoderShape(settings["max_length"], settings["pooling"], prompts), about)
    if has_own_head(base.folder):
        return _reranker(base.folder, EncoderShape(settings["max_length"]), about)
    return Searcher(lambda _corpus, by_words, _depth: by_words, {"kind": "predictor", "name": WORDS})


def _embedding(folder: Path, shape: EncoderShape, about: dict[str, Any]) -> Searcher:
    """Cosines of vectors over the whole corpus."""

    def rank(corpus: Corpus, by_words: Ranked, depth: int) -> Ranked:  # noqa: ARG001 - it searches by itself
        model = open_embedding(folder, shape, pick_device())
        found = vectors(model, corpus.passages, PASSAGE)
        return first_passages(vectors(model, [row.query for row in corpus.rows], QUERY), found, depth)

    return Searcher(rank, about)


def _reranker(folder: Path, shape: EncoderShape, about: dict[str, Any]) -> Searcher:
    """The candidates of the search by words in a new order."""

    def rank(corpus: Corpus, by_words: Ranked, depth: int) -> Ranked:
        model = open_reranker(folder, shape, pick_device())
        return _reordered(lambda pairs: fits(model, pairs), corpus, by_words, depth)

    return Searcher(rank, about)


def _reordered(judge: Callable[[list[tuple[str, str]]], Tensor], corpus: Corpus, by_words: Ranked, depth: int) -> Ranked:
    """The candidates of each question by how well a judge says that they answer it."""
    pairs = [(row.query, corpus.passages[place]) for row, first in zip(corpus.rows, by_words, strict=True) for place in first]
    logits, start, found = judge(pairs), 0, []
    for first in by_words:
        order = logits[start : start + len(first)].sort(descending=True, stable=True).indices.tolist()
        found.append([first[place] for place in order][:depth])
        start += len(first)
    return found


def _named(target: Target) -> dict[str, Any]:
    """A base model as the report names it."""
    assert target.base is not None
    return {"kind": "predictor", "name": target.name, "path": str(target.base.folder), "method": None, "base": target.name}
