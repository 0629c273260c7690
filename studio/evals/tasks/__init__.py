"""The kinds of task a suite can name. Listing them imports nothing heavy; a new kind is one schema class and one line here."""

from __future__ import annotations

from studio.core.registry import Registry

TASKS = Registry(
    "task",
    {
        "conversation": "studio.evals.chat.tasks.conversation:run",
        "classification": "studio.evals.tasks.classification:run",
        "regression": "studio.evals.tasks.regression:run",
        "fairness": "studio.evals.tasks.fairness:run",
        "safety": "studio.evals.chat.tasks.safety:run",
        "leakage": "studio.evals.chat.tasks.leakage:run",
        "crows_pairs": "studio.evals.chat.tasks.crows_pairs:run",
        "stereoset": "studio.evals.chat.tasks.stereoset:run",
        "winobias": "studio.evals.chat.tasks.winobias:run",
        "winogender": "studio.evals.chat.tasks.winogender:run",
        "bbq": "studio.evals.chat.tasks.bbq:run",
        "counterfactual": "studio.evals.chat.tasks.counterfactual:run",
        "lm_eval": "studio.evals.chat.tasks.lm_eval:run",
        "images": "studio.evals.images.task:run",
    },
)
