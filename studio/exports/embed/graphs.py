"""Encoders as graphs: tokens in, vectors of length 1 or scores out.

Legend: b texts or pairs, s tokens of the longest, e numbers of a vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studio.exports.graph import Graph, Port
from studio.models.embed.exported import READER
from studio.models.embed.opening import open_embedding, open_reranker

_SAMPLE = (2, 7)
"""Texts and tokens that the graph is followed with."""
MODEL = "model"


def open_run(run_folder: Path) -> Any:
    """The model of a finished Run, on the CPU."""
    from studio.core.workspace import read_run

    opened = open_reranker if read_run(run_folder).kind == "reranker" else open_embedding
    return opened(run_folder / MODEL, device=torch.device("cpu")).eval()


class Vectors(nn.Module):
    """All modules of a SentenceTransformer, one after the other."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """int64 [b, s] each to float32 [b, e]."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            features["token_type_ids"] = token_type_ids
        for part in self.parts:
            features = part(features)
        return features["sentence_embedding"]


class Scores(nn.Module):
    """The logit of a CrossEncoder's one label."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network = model.model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """int64 [b, s] each to float32 [b]."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask, **given).logits
        return logits[:, 0]


def takes_types(model: Any) -> bool:
    """Whether an encoder tells a question's tokens from a passage's."""
    return "token_type_ids" in model.tokenizer.model_input_names


def graph_of(model: Any, kind: str) -> Graph:
    """The graph of an opened model; numbers of texts and tokens are left open."""
    meanings = {
        "input_ids": "numbers of tokens (tokenizer.json), filled up on the right",
        "attention_mask": "1 where a number stands, 0 where it was filled up",
        "token_type_ids": "0 for the first text, 1 for the second",
    }
    names = list(meanings)[: 3 if takes_types(model) else 2]
    inputs = tuple(Port(name, "int64", ("batch", "length"), meanings[name]) for name in names)
    sample = [torch.full(_SAMPLE, 1 if name != "token_type_ids" else 0) for name in names]
    sample[1][-1, _SAMPLE[1] // 2 + 1 :] = 0
    if kind == "reranker":
        answer = Port("scores", "float32", ("batch",), "how well the passage answers the question; higher is better")
        return Graph(inputs, (answer,), Scores(model).eval(), tuple(sample))
    with torch.inference_mode():
        width = Vectors(model).eval()(*sample).shape[1]
    answer = Port("vectors", "float32", ("batch", int(width)), "vectors of length 1, compared by their inner product")
    return Graph(inputs, (answer,), Vectors(model).eval(), tuple(sample))


def reading_of(model: Any, kind: str, folder: Path) -> dict[str, Any]:
    """Write what reads texts into an export's folder, and give back the ``reading`` of its record."""
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return {
        "reader": READER,
        "output": "scores" if kind == "reranker" else "vectors",
        "max_length": int(model.max_seq_length),
        "padding": int(model.tokenizer.pad_token_id or 0),
        "types": takes_types(model),
        "prompts": {} if kind == "reranker" else {name: text for name, text in model.prompts.items() if text},
    }
