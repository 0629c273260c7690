"""The metrics a suite can name. Listing them imports nothing heavy; a new metric is one module and one line here."""

from __future__ import annotations

from studio.core.registry import Registry

METRICS = Registry(
    "metric",
    {
        "perplexity": "studio.evals.metrics.perplexity:PERPLEXITY",
        "bleu": "studio.evals.metrics.translation:BLEU",
        "chrf": "studio.evals.metrics.translation:CHRF",
        "ter": "studio.evals.metrics.translation:TER",
        "rouge1": "studio.evals.metrics.rouge:ROUGE1",
        "rouge2": "studio.evals.metrics.rouge:ROUGE2",
        "rougeL": "studio.evals.metrics.rouge:ROUGEL",
        "exact_match": "studio.evals.metrics.exact_match:EXACT_MATCH",
        "exact_match_squad": "studio.evals.metrics.exact_match:EXACT_MATCH_SQUAD",
        "token_f1": "studio.evals.metrics.token_f1:TOKEN_F1",
        "semantic_similarity": "studio.evals.chat.semantic:SEMANTIC_SIMILARITY",
        "length": "studio.evals.metrics.length:LENGTH",
        "length_ratio": "studio.evals.metrics.length:LENGTH_RATIO",
        "truncated": "studio.evals.metrics.length:TRUNCATED",
        "distinct_1": "studio.evals.metrics.diversity:DISTINCT_1",
        "distinct_2": "studio.evals.metrics.diversity:DISTINCT_2",
    },
)
