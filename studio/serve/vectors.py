"""Proof that a server gives the vectors or scores that the run gives: the same texts through sentence-transformers and vLLM.

The reference is written in the process of :mod:`studio.serve.reference`, before vLLM starts, and kept.

Legend: n texts or pairs, e numbers of a vector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from studio.core.errors import GateNotMetError, StudioError
from studio.core.files import sha256_json, write_json
from studio.serve.client import Client
from studio.serve.pooled import EMBEDDINGS, SCORE
from studio.serve.servable import Servable

# Two right implementations in float32 differ by about 1e-6, in 16 bits by up to this.
MOST_APART = 1e-3
_MOST_APART_SCORES = {"float32": 1e-3}
_MOST_APART_SCORES_16_BITS = 2e-2
_VERSION = 1
_ROWS = 8
_PLAIN = (
    "How wide must a door be?", "A door must be at least eighty centimetres wide.", "Wie hoch ist ein Geländer?",
    "楼梯扶手的高度是多少？", "x",
)  # fmt: skip
_LONG = "The guard rail of a balcony must be at least one metre high, and the gap between two bars is ten centimetres. " * 60


@dataclass(frozen=True)
class VectorParity:
    """What the check saw. apart: the largest 1 minus cosine of two vectors, or difference of two scores, of ``texts``."""

    model: str
    texts: int
    apart: float
    what: str

    def sentence(self) -> str:
        """One line for people."""
        return f"parity {self.model}: {self.texts} {self.what} as sentence-transformers', at most {self.apart:.1e} apart"


def kept_vectors(servable: Servable, dtype: str, cache: Path, *, device: str | None = None) -> dict[str, Any]:
    """The reference of a run from the cache, or a new one.

    Raises:
        StudioError: the model cannot be opened.
    """
    texts = _texts_of(Path(servable.folder))
    about: dict[str, Any] = {
        "version": _VERSION,
        "model": servable.adapter_hash,
        "kind": servable.kind,
        "texts": texts,
        "libraries": {name: metadata.version(name) for name in ("torch", "transformers", "sentence-transformers")},
    }
    path = cache / f"{sha256_json(about)[:32]}.json"
    if path.is_file():
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept | {"dtype": dtype}
        except ValueError:
            path.unlink()
    print(f"say: computing the reference of {servable.name} with sentence-transformers, once", flush=True)  # noqa: T201
    reference = about | {"run": servable.run, "rows": _computed(servable, texts, device)}
    write_json(path, reference)
    return reference | {"dtype": dtype}


def _texts_of(run_folder: Path) -> list[str]:
    """Questions and passages of the run's test split, then plain ones, one of them far longer than is read."""
    from studio.core.workspace import Workspace, read_run, run_dataset
    from studio.data.passages import read_passages

    try:
        folder = run_dataset(read_run(run_folder), Workspace.around(run_folder))
        rows = read_passages(folder, "test", "answer").rows[:_ROWS]
    except StudioError:  # a Run without its Dataset is served all the same
        rows = []
    return [*(text for row in rows for text in (row.query, row.positive) if text), *_PLAIN, _LONG]


def _computed(servable: Servable, texts: Sequence[str], device: str | None) -> list[dict[str, Any]]:
    """Vectors of the texts, or scores of each with the next one."""
    import torch

    from studio.models.device import pick_device
    from studio.models.embed.opening import fits, open_embedding, open_reranker

    place = torch.device(device) if device is not None else pick_device()
    if servable.kind == "embedding":
        model = open_embedding(Path(servable.path), device=place)
        # As clients send them: what is to stand before a text is theirs to put there.
        found = model.encode(list(texts), prompt="", convert_to_tensor=True, show_progress_bar=False)
        return [{"text": text, "vector": row} for text, row in zip(texts, found.float().cpu().tolist(), strict=True)]
    pairs = list(zip(texts, [*texts[1:], texts[0]], strict=True))
    scores = torch.sigmoid(fits(open_reranker(Path(servable.path), device=place), pairs)).tolist()
    return [{"pair": list(pair), "score": value} for pair, value in zip(pairs, scores, strict=True)]


def check_vectors(
    client: Client, model: str, reference: dict[str, Any], *, advance: Callable[[int], None] | None = None
) -> VectorParity:
    """Compare a served model with its reference, all texts in one batch.

    Args:
        client: with an operator's key. model: name it is served under. advance: called with the number of texts.
    Raises:
        GateNotMetError: something differs. StudioError: the server fails to answer.
    """
    rows = reference["rows"]
    if reference["kind"] == "embedding":
        answer = client.must(EMBEDDINGS, {"model": model, "input": [row["text"] for row in rows]})
        served = [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
        apart = [1 - _cosine(row["vector"], vector) for row, vector in zip(rows, served, strict=True)]
        limit, what, texts = MOST_APART, "vectors", [row["text"] for row in rows]
    else:
        asked = {"text_1": [row["pair"][0] for row in rows], "text_2": [row["pair"][1] for row in rows]}
        answer = client.must(SCORE, {"model": model, **asked})
        scores = [entry["score"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
        apart = [abs(row["score"] - score) for row, score in zip(rows, scores, strict=True)]
        limit = _MOST_APART_SCORES.get(reference["dtype"], _MOST_APART_SCORES_16_BITS)
        what, texts = "scores", [" / ".join(row["pair"]) for row in rows]
    if advance is not None:
        advance(len(rows))
    worst = max(range(len(apart)), key=lambda place: apart[place] if math.isfinite(apart[place]) else math.inf)
    if not apart[worst] <= limit:
        raise GateNotMetError(
            f"the server does not give the {what} of the run {reference['run']}: they are {apart[worst]:.2e} apart, and "
            f"{limit:g} is allowed, in: {texts[worst][:120]!r}"
        )
    return VectorParity(model, len(rows), apart[worst], what)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors; not a number where the lengths differ or one is 0."""
    if len(one) != len(other):
        return math.nan
    product = sum(first * second for first, second in zip(one, other, strict=True))
    length = math.sqrt(sum(value * value for value in one)) * math.sqrt(sum(value * value for value in other))
    return product / length if length else math.nan
