"""What users said of answers, as training rows: which forms of rows there are, and which kind of rows makes them."""

from __future__ import annotations

from studio.core.registry import Registry

FORMS = Registry(
    "form",
    {
        "kto": "studio.data.chat.feedback:feedback_lines",
        "dpo": "studio.data.chat.feedback:feedback_lines",
        "sft": "studio.data.chat.feedback:feedback_lines",
    },
)
"""Form to a function of workspace, form and settings that gives the rows and, by reason, how much was left out."""

SPLIT_LINES = Registry("kind of Dataset", {"chat": "studio.data.chat.reused:split_lines"})
"""Kind of Dataset to a function of its folder and a split's name that gives its rows as lines which the readers take."""
