"""Settings of the task in which one model judges the answers of others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.tasks import Count, Positive, SuiteData, TaskSettings, Text


class JudgeTask(TaskSettings):
    """A model as a judge of answers to held-out questions: which of two is better, or how many points one is worth."""

    type: Literal["judge"]
    """Kind of task."""
    judge: str | None = None
    """The model that judges: ``http://host:port/v1#name`` of any OpenAI-compatible server, a run, a base or a folder. None means
    that none was named, and the task is not computed."""
    ask: Literal["pairs", "points"] = "pairs"
    """``pairs``: which answer is better, the tuned model's or the base's; each pair is asked twice, in both orders. ``points``:
    how many points each answer is worth."""
    criteria: Text = (
        "The better answer is right, says what was asked for, and leaves out what was not. Being longer, more polite "
        "or better laid "
        "out is no merit by itself."
    )
    """What the judge is told to look for: the rubric."""
    points: Annotated[int, Field(ge=2, le=100)] = 10
    """Most points; the least is 1."""
    reference: bool = True
    """Show the judge the reference answer of the row, where it has one."""
    max_new_tokens: Positive = 1024
    """Longest reply of the judge, its thought included."""
    at_once: Positive = 8
    """Replies of the judge asked for side by side."""
    max_requests: Positive = 2000
    """More requests to the judge than this are refused before any is made; their number is told before the first."""
    votes: Count | None = None
    """So many pairs of answers that people voted on in the compare app, the newest, are judged too, and with ``points`` so many
    answers that they labelled good or bad in the annotation app, to see how far the judge agrees with people. None means 50 where
    the judge is on this machine and 0 where what people wrote would be sent elsewhere."""
    data: SuiteData = SuiteData()
    """The rows that are asked."""

    def metric_names(self) -> list[str]:
        """What is told of the answers, then what is told of the judge."""
        if self.ask == "pairs":
            return ["win_rate", "ties", "order_disagreement", "words", "unread", "prefers_longer", "agreement"]
        return ["points", "words", "unread", "agreement", "agreement_labels"]
