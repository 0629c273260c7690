"""The parts of a model card that differ for embeddings and rerankers: code that uses them, and what they were trained to find."""

from __future__ import annotations

from typing import Any

from studio.adapters.card import ModelCard
from studio.core.records import ReportRecord


class RetrievalCard(ModelCard):
    """The card of an embedding model or a reranker."""

    shown_settings = (
        "loss", "passage", "negatives", "matryoshka", "query_prompt", "passage_prompt", "max_length", "tune", "epochs",
        "batch_size", "micro_batch_size", "learning_rate", "schedule", "dropout", "seed",
    )  # fmt: skip
    loss_unit = "Losses are means over questions (of a reranker: over pairs of a question and a passage), in nats."

    @property
    def embeds(self) -> bool:
        """True for vectors, False for scores."""
        return self.record.kind == "embedding"

    def head(self) -> dict[str, Any]:
        """What hubs call it; adapters are merged, so the folder is a whole model in any case."""
        head = {"library_name": "sentence-transformers", **super().head()}
        head["pipeline_tag"] = "sentence-similarity" if self.embeds else "text-ranking"
        if "base_model" in head:
            head["base_model_relation"] = "finetune"
        return head

    def usage(self) -> str:
        """Code that works as pasted in the run's folder."""
        if self.embeds:
            prompts = ("query_prompt", "passage_prompt")
            code = (
                'model = SentenceTransformer("model")\n'
                'questions = model.encode_query(["How wide must a door be?"])\n'
                'passages = model.encode_document(["A door is at least 80 cm wide.", "A stair has at most 18 steps."])\n'
                "print(model.similarity(questions, passages))"
            )
            note = "\n\nTexts before questions and passages are put there by `encode_query` and `encode_document`."
            note = note if any(self.settings.get(name) for name in prompts) else ""
        else:
            code = (
                'model = CrossEncoder("model")\n'
                'passages = ["A door is at least 80 cm wide.", "A stair has at most 18 steps."]\n'
                'print(model.rank("How wide must a door be?", passages))'
            )
            note = ""
        name = "SentenceTransformer" if self.embeds else "CrossEncoder"
        served = f"\n\nServed by vLLM: `studio serve {self.record.id}`."
        return f"## Use\n\n```python\nfrom sentence_transformers import {name}\n\n{code}\n```{note}{served}"

    def cautions(self) -> str:
        """What no figure shows."""
        return "It finds what is worded like its training passages, and finds something also where no passage holds the answer. "

    def unknown(self, reports: list[ReportRecord]) -> str:  # noqa: ARG002 - nothing that is measured takes them away
        """What stays open."""
        return "how it does on a corpus much larger than the one it was measured on, and in other languages"
