"""How a model is kept good after it went into use: what is watched and who is told, and the rules for improving it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from studio.schema.loading import Settings

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=60)]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_seconds(text: str) -> int:
    """``90s``, ``15m``, ``6h`` or ``1d`` in seconds."""
    return int(text[:-1]) * _UNITS[text[-1]]


def _duration(text: str) -> str:
    """A number with a unit of time."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", text):
        raise ValueError(f"{text!r} is no length of time: write a whole number and s, m, h or d, for example 15m.")
    return text


def _web_address(text: str) -> str:
    """Refuse what no webhook can be."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", text):
        raise ValueError(f"{text[:80]!r} is no address: write http:// or https://, without a password in it.")
    return text


class Alerts(Settings):
    """Who is told beside the line and the exit code."""

    webhook: Annotated[str, AfterValidator(_web_address)] | None = None
    """Address that gets a JSON document whenever an alarm begins or ends."""
    webhook_key: Text | None = None
    """Environment variable that holds a key; it is sent as ``Authorization: Bearer``."""
    webhook_seconds: Seconds = 5
    """So long one attempt may take, from the name's look-up to the last byte."""
    webhook_tries: Annotated[int, Field(gt=0, le=10)] = 3
    """Attempts at one look. What was not delivered is sent with the next look."""
    prometheus: Text | None = None
    """File that gets the figures for node_exporter's textfile collector (``.../studio.prom``). A relative path is looked for
    beside ``project.yaml``."""


class Misuse(Settings):
    """What one user may do before somebody is told. None switches a rule off."""

    requests_per_hour: Positive | None = 600
    """Requests of one user within an hour."""
    refusals_per_day: Positive | None = 20
    """Answers to one user within a day that refuse: told where these are also a larger share than that of everybody else."""
    same_question_per_hour: Positive | None = 60
    """The same question of one user within an hour; needs requests that are kept with their words."""
    judgements_per_hour: Positive | None = 60
    """Thumbs, corrections and votes of one user within an hour."""


class NewQuestions(Settings):
    """A measurement that the watch makes by itself: the model in use on what people asked since the last one, and how it should
    have answered (corrections, and answers that were liked).
    """

    suites: Annotated[list[Text], Field(min_length=1)]
    """Suites that are asked: names, or files beside ``project.yaml``."""
    every: Annotated[str, AfterValidator(_duration)] = "1d"
    """Time between two measurements (6h, 1d, 7d)."""
    fewest: Annotated[int, Field(ge=2)] = 20
    """New questions that a measurement needs; with fewer it waits for more."""
    rows: Positive = 200
    """At most so many, the newest ones."""
    minutes: Annotated[float, Field(gt=0)] = 10
    """So long a measurement with one suite may take; what was answered until then is kept for the next try."""

    @model_validator(mode="after")
    def _enough_rows(self) -> NewQuestions:
        """A measurement that needs more rows than it may take would never be made."""
        if self.fewest > self.rows:
            raise ValueError(f"'fewest' is {self.fewest}, and 'rows' allows {self.rows}: no measurement could be made.")
        return self


class WatchRules(Settings):
    """What ``studio watch`` looks at. Each of the newest ``days`` is compared with the same weekdays of the ``weeks`` before."""

    alias: Text = "production"
    """The alias of ``studio serve`` that stands for the model in use."""
    interval: Annotated[str, AfterValidator(_duration)] = "15m"
    """Time between two looks where it runs on (30s, 15m, 6h, 1d)."""
    days: Annotated[int, Field(ge=5, le=28)] = 7
    """Newest days that are looked at."""
    weeks: Annotated[int, Field(ge=3, le=52)] = 4
    """Weeks before them that they are compared with."""
    embeddings: Literal["auto", "off"] = "auto"
    """Whether the meaning of questions is compared too, by a text encoder; ``auto`` where ``encoder`` is on this machine."""
    encoder: Text = "minilm-l6"
    """The text encoder: a starter, or a folder."""
    suites: list[Text] = []
    """Suites whose newest reports of the model in use must have met their thresholds."""
    report_age: Annotated[str, AfterValidator(_duration)] | None = None
    """Told where the newest report of such a suite is older than this (30d)."""
    questions: NewQuestions | None = None
    """What the watch measures by itself on new questions; None measures nothing."""
    misuse: Misuse = Misuse()
    """What one user may do before somebody is told."""
    alerts: Alerts = Alerts()
    """Who is told."""


class CanaryRules(Settings):
    """A trial on a share of the traffic before a round's model stands behind the alias for everybody."""

    share: Share = 0.1
    """Share of people (or conversations) that the new model answers."""
    by: Literal["user", "conversation"] = "user"
    """What keeps its side: the user of the key (and the request's ``user``), or a conversation."""
    hours: Annotated[float, Field(gt=0)] = 24
    """So long the trial takes at least."""
    requests: Positive = 200
    """Requests that the new model must have answered."""
    thumbs: Annotated[int, Field(ge=0)] = 0
    """Thumbs that it must have got."""
    tolerated: Share = 0.1
    """How much larger its share of failed answers, or of thumbs down, may be: the 95% interval must rule out more than this
    before it is promoted. Of thumbs this holds from ten on each side."""
    days_at_most: Positive = 14
    """After so many days without all that the new model goes back."""


class Improve(Settings):
    """The rules of ``studio improve``: when a round is worth it, how it trains, and what must hold before its model is used."""

    judgements: Positive = 30
    """New thumbs, corrections and votes since the last round that make one worth it."""
    people: Positive = 3
    """Different people that they must come from."""
    per_user: Positive = 200
    """At most so many judgements of one person in a training, the newest ones."""
    trust: Literal["checked", "all"] = "checked"
    """``checked`` leaves out people who contradict the others far more often than people do, and hours in which judgements came
    in a flood; ``all`` leaves out blocked users only."""
    sft: Text | None = "chat/lora"
    """Preset that learns corrections and liked answers; None leaves this training out."""
    sft_settings: list[Text] = []
    """Settings of that preset, ``key=value``."""
    preferences: Literal["auto", "dpo", "kto", "none"] = "auto"
    """The second training, from the first one's adapter: ``dpo`` learns from votes and corrections, ``kto`` from thumbs; ``auto``
    takes the one that has more rows."""
    dpo: Text = "chat/dpo"
    """Preset for pairs."""
    kto: Text = "chat/kto"
    """Preset for thumbs."""
    preference_settings: list[Text] = []
    """Settings of the preset that is taken."""
    fewest_rows: Annotated[int, Field(ge=2)] = 8
    """Rows that a training must have; with fewer it is left out, and the round says so."""
    start: Literal["production", "base"] = "production"
    """Where a round begins: at the adapter in use, with old rows replayed, or at its base, with all old rows."""
    max_rank: Positive = 128
    """Each training from an adapter adds its rank; where the sum would be larger than this, the round begins at the base."""
    replay: Share = 0.5
    """Share of old rows in the first training where it begins at the adapter in use."""
    held_out: Share = 0.2
    """Share of the new questions that are never trained on: those that rounds are measured on."""
    near: Share = 0.8
    """Questions that resemble each other this much (Jaccard similarity of 4-character runs) share their fate."""
    suite: Text | None = None
    """Suite whose thresholds must be met beside the model in use; None takes ``evals/NAME.yaml`` of the project, or else
    ``chatbot``."""
    suite_settings: list[Text] = []
    """Changes of the suite, ``key=value``."""
    general: Text | None = "general"
    """Suite that tells what was forgotten; None leaves it out."""
    general_settings: list[Text] = []
    """Changes of that suite, ``key=value``."""
    better: list[Text] = []
    """Metrics of which one at least must be shown better on old or new questions, and none worse; empty takes those of the
    suite's thresholds."""
    promote: Literal["ask", "rule"] = "ask"
    """Who says yes to a better model: a person (``studio improve PROJECT --yes``), or this rule."""
    canary: CanaryRules | None = CanaryRules()
    """The trial on a share of the traffic; None promotes without one."""
    licence: Text = "own data"
    """Licence of what users wrote, as it goes into Datasets and cards."""
