"""Asks this export: python predict.py "a text" ... gives vectors; of a reranker, python predict.py "a question" "a passage" ...

One line of JSON for each text or passage. From a program of yours: Model().vectors(texts, role="query") for what people ask,
role="document" for what is searched, and compare by the inner product, for all vectors have length 1. Of a reranker:
Model().scores(question, passages); higher is better.
"""

import json
import sys
from pathlib import Path

import numpy as np
import reading
import runtime

AT_ONCE = 32


class Model:
    """An export, opened."""

    def __init__(self, folder=Path(__file__).resolve().parent):
        self.record = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.about = self.record["extra"]["reading"]
        self.read = reading.Reader(folder, self.about)
        self.run = runtime.load(folder, self.record)

    def vectors(self, texts, role="query"):
        """Vectors of length 1, float32 [texts, numbers]. role: query or document, whose words go before each text."""
        return self.ask([self.about["prompts"].get(role, "") + text for text in texts], "vectors")

    def scores(self, question, passages):
        """How well each passage answers a question, float32 [passages]."""
        return self.ask([[question, passage] for passage in passages], "scores")

    def ask(self, items, output):
        """What the file says of items in batches."""
        parts = [self.run(self.read(items[first : first + AT_ONCE]))[output] for first in range(0, len(items), AT_ONCE)]
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])

    def predict(self, items):
        """The same of plain items: texts as documents, or [question, passage]; one dict each."""
        if self.about["output"] == "scores":
            return [{"score": float(score)} for score in self.ask(items, "scores")]
        return [{"vector": vector.tolist()} for vector in self.vectors(items, "document")]


if __name__ == "__main__":
    model = Model()
    if len(sys.argv) < (3 if model.about["output"] == "scores" else 2):
        sys.exit(__doc__)
    if model.about["output"] == "scores":
        answers = [{"score": float(score)} for score in model.scores(sys.argv[1], sys.argv[2:])]
    else:
        answers = [{"vector": vector.tolist()} for vector in model.vectors(sys.argv[1:])]
    for answer in answers:
        print(json.dumps(answer))
