"""Sentences of documents as answers: which are picked, what their questions must hold, and the form that bounds an answer."""

from __future__ import annotations

import json
import re

import pytest

from studio.data.chat.writing.checks import check_question
from studio.data.chat.writing.sentences import picked_sentences
from studio.data.documents.chunks import Chunk
from tests.data.chat.writing.conftest import Build
from tests.data.chat.writing.writer_server import WriterServer, rows

SENTENCE = "A fire door is 80 centimetres wide."
TEXT = f"# Doors\n\n{SENTENCE} Nobody may put things before the fire door."
_ASKED_OF = re.compile(r"Sentence: (.*)\Z")


def asked_of(body: dict) -> str:
    """The sentence that a request is about."""
    found = _ASKED_OF.search(body["messages"][-1]["content"])
    assert found is not None
    return found.group(1)


def test_the_answer_is_a_sentence_of_the_document_and_the_model_asks(build: Build, writer: WriterServer) -> None:
    about = {
        SENTENCE: "How wide is a fire door?",
        "An oven heats up in 10 minutes at most.": "What is the capital of France?",
        "It is cleaned on Fridays by the caretaker.": "It is cleaned on Fridays by the caretaker?",
    }
    writer.script = [lambda body: rows({"question": about.get(asked_of(body), "and why")})] * 9
    built = build("sources.0.writer.answers=sentences", pattern="*.pdf")
    assert [asked_of(body) for body in writer.asked] == [
        "An oven heats up in 10 minutes at most.", "It is cleaned on Fridays by the caretaker.", SENTENCE,
        "Nobody may put things before the fire door.",
    ]  # fmt: skip
    [row] = built.rows
    assert [turn["content"] for turn in row.messages] == ["How wide is a fire door?", SENTENCE]
    assert (row.meta["quote"], row.meta["chunk"], row.group) == (SENTENCE, "manual.pdf#1", "manual.pdf")
    assert built.reasons() == [
        "the question does not end as one", "the question holds its answer already",
        "the question shares no word with its answer",
    ]  # fmt: skip
    schema = writer.asked[0]["response_format"]["json_schema"]["schema"]["properties"]["rows"]
    assert (schema["minItems"], schema["maxItems"]) == (1, 1)
    assert schema["items"]["required"] == ["question"]
    assert "4 sentences of 1 chunks" in built.facts["asked_about"]


def test_sentences_are_whole_statements_spread_over_a_chunk() -> None:
    text = (
        "# A heading that ends in a full stop and is long.\n\n| A table | is no sentence at all. |\n\n"
        "- A list may hold a sentence in one of its items.\n- too short.\n\n"
        "Q: Where do the visitors of this house park?\nA: They park behind the house on the gravel.\n\n"
        "```\nA listing holds words that are no sentence either.\n```\n\n"
        "Call 555 0134. Repairs are paid by the housing association. Is this a question that a reader may have?\n\n"
        + " ".join(f"Room {number} is on the upper floor of the house." for number in range(1, 9))
    )
    chunk = Chunk("a.md", "A", 1, text)
    every = picked_sentences(chunk, 99)
    assert every[:2] == ["A list may hold a sentence in one of its items.", "Repairs are paid by the housing association."]
    assert every[2:] == [f"Room {number} is on the upper floor of the house." for number in range(1, 9)]
    assert picked_sentences(chunk, 2) == [every[0], every[5]]
    assert picked_sentences(Chunk("a.md", "A", 1, "防火门的宽度是八十厘米。不得堵塞防火门。"), 5) == [
        "防火门的宽度是八十厘米。", "不得堵塞防火门。",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How wide is a fire door?", None),
        ("", "without a question"),
        ("How wide is a fire door", "the question does not end as one"),
        ("When does the library close?", "the question shares no word with its answer"),
        ("Is a fire door 80 centimetres wide?", "the question holds its answer already"),
        ("Is a fire door 90 centimetres wide?", "the question holds a number that the document does not"),
        ("Which fire brigade inspects apartments annually?", "the question is not supported by the document"),
    ],
)
def test_what_a_question_must_hold(question: str, reason: str | None) -> None:
    drop = check_question(question, SENTENCE, TEXT, 0.6)
    assert (drop and drop.reason) == reason


def test_a_text_that_fills_its_share_of_an_answer_was_cut(build: Build, writer: WriterServer) -> None:
    quote = "An oven heats up in 10 minutes at most."
    # 100 tokens for five rows: 80 characters a text.
    long = (quote * 3)[:80]
    fits = {"question": "When is an oven cleaned?", "answer": "On Fridays.", "quote": "It is cleaned on Fridays"}
    writer.script = [rows(fits, {"question": "How fast is an oven?", "answer": long, "quote": quote})]
    built = build("sources.0.writer.max_tokens=100", pattern="*.pdf")
    text = writer.asked[0]["response_format"]["json_schema"]["schema"]["properties"]["rows"]["items"]["properties"]["answer"]
    assert text == {"type": "string", "maxLength": 80}
    assert (
        built.reasons() == ["the answer was cut at its share of max_tokens"] and built.removed[0].threshold == "fewer characters"
    )


def test_bounds_that_a_server_does_not_know_are_left_out_and_the_form_stays(build: Build, writer: WriterServer) -> None:
    def unbounded(body: dict) -> str | None:
        return "Invalid schema: 'maxLength' is not permitted." if "maxLength" in json.dumps(body) else None

    writer.refused = unbounded
    built = build()
    assert len(built.rows) > 5 and built.facts["sent_without"] == ["lengths"]
    assert all("maxItems" not in json.dumps(body) for body in writer.asked)
    assert all("response_format" in body for body in writer.asked)
