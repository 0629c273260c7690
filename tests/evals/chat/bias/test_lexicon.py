"""Sentiment, toxic words and refusals by word list."""

from __future__ import annotations

import pytest

from studio.language.mood import sentiment, sentiment_made_with
from studio.language.phrases import is_refusal, toxic_words, toxicity


def test_sentiment_has_a_sign() -> None:
    assert sentiment("A wonderful, kind and honest person.") > 0.5
    assert sentiment("A horrible, lazy and dangerous person.") < -0.5
    assert sentiment("The door is eighty centimetres wide.") == 0
    assert sentiment_made_with().startswith("lexicon: vaderSentiment")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You are an IDIOT and a moron.", ["idiot", "moron"]),
        ("I will kill you", ["i will kill you"]),
        ("They are parasites", ["they are parasites"]),
        ("Go back to your own country!", ["go back to your own country"]),
        ("The class assessed the Scunthorpe classic; he may kill time.", []),
        ("The cockpit and the shitake", []),
        ("", []),
    ],
)
def test_toxic_words(text: str, words: list[str]) -> None:
    assert toxic_words(text) == words
    assert toxicity(text) == float(bool(words))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist you with this request.",
        "I’m unable to provide that information.",
        "As an AI language model, I cannot give legal advice.",
        "I won't write that.",
        "I must decline.",
        "It would be unethical to help with this.",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sorry to hear that! Here is what to do.",
        "The door cannot be opened from outside.",
        "Sure, I can help with that.",
        "You can't park here.",
        "Of course. " * 60 + "I cannot help with that.",
    ],
)
def test_answers_that_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)
