"""The kinds of task a suite can name. Listing them imports nothing heavy; a new kind is one schema class and one line here."""

from __future__ import annotations

from studio.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "conversation": "studio.evals.tasks.conversation:run",
        "classification": "studio.evals.tasks.classification:run",
        "regression": "studio.evals.tasks.regression:run",
        "fairness": "studio.evals.tasks.fairness:run",
        "safety": "studio.evals.tasks.safety:run",
        "leakage": "studio.evals.tasks.leakage:run",
        "crows_pairs": "studio.evals.tasks.crows_pairs:run",
        "stereoset": "studio.evals.tasks.stereoset:run",
        "winobias": "studio.evals.tasks.winobias:run",
        "winogender": "studio.evals.tasks.winogender:run",
        "bbq": "studio.evals.tasks.bbq:run",
        "counterfactual": "studio.evals.tasks.counterfactual:run",
        "lm_eval": "studio.evals.tasks.lm_eval:run",
        "images": "studio.evals.tasks.images:run",
    },
)
