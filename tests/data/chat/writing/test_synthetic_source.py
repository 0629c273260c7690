"""Rows made of rows: new wordings and new questions, held against their seeds, in one split with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import read_split
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe
from tests.data.chat.writing.conftest import Built
from tests.data.chat.writing.writer_server import WriterServer, rows, saying

SEEDS = [
    {"question": f"How wide is {name} number {number}?", "answer": f"It is {number} metres wide."}
    for number, name in enumerate(("a door", "the window", "our gate", "that shelf", "one stair", "every rail"), start=1)
]
Made = Callable[..., Built]


@pytest.fixture
def make(tmp_path: Path, writer: WriterServer, workspace: Workspace) -> Made:
    file = tmp_path / "seeds.jsonl"
    talk = {"messages": [{"role": role, "content": role * 2} for role in ("user", "assistant", "user", "assistant")]}
    file.write_text("\n".join(map(json.dumps, [*SEEDS, talk])) + "\n", encoding="utf-8")

    def made(form: str, *changes: str, **source: Any) -> Built:
        asked = {"base_url": f"{writer.url}/v1", "model": "writer-1", "at_once": 1}
        place = {} if "dataset" in source else {"path": str(file)}
        told = {"type": "synthetic", "form": form, "name": "docs", "licence": "own data", "writer": asked, **place, **source}
        recipe = {"kind": "chat", "sources": [told], "split": {"validation": 0, "test": 0}}
        return Built(build_chat_dataset(load_value(recipe, ChatRecipe, changes), workspace, name="docs"))

    return made


def test_paraphrases_keep_answer_group_and_numbers(make: Made, writer: WriterServer) -> None:
    wordings = ("Tell me the width of door 1, please.", "how WIDE is a door number 1", "What is the width of door 2?", "")
    writer.script = [rows(*({"question": wording} for wording in wordings)), *[rows()] * 5]
    built = make("paraphrase", "split.test=1")
    by_question = {row.messages[0]["content"]: row for row in built.rows}
    new, seed = by_question[wordings[0]], by_question["How wide is a door number 1?"]
    assert new.messages[1]["content"] == "It is 1 metres wide." and new.group == seed.group == "seed/1"
    assert new.meta["seed"] == "seed/1" and new.meta["writer"] == "writer-1"
    assert built.reasons() == [
        "the numbers of the question have changed", "the question is asked already", *["the writer wrote nothing"] * 5,
        "without a question",
    ]  # fmt: skip
    assert any("1 of 7 rows are no single question and answer" in note for note in built.outcome.notes)
    for split in built.outcome.record.splits:
        groups = {row.group for row in read_split(built.outcome.folder, split)}
        assert not groups & {row.group for row in built.rows if row not in read_split(built.outcome.folder, split)}


def test_new_questions_are_unlike_all_others(make: Made, writer: WriterServer) -> None:
    alike = {"question": "How wide is the window number 9?", "answer": "No one knows that."}
    fresh = {"question": "Who paints the fence in spring?", "answer": "The caretaker paints it."}
    writer.script = [rows(alike, fresh), rows(fresh, {"question": "Who mows the lawn?", "answer": "the caretaker paints it"})]
    built = make("self_instruct", keep_seeds=False)
    assert [row.messages[0]["content"] for row in built.rows] == [fresh["question"]]
    assert built.reasons() == [
        "the answer is given already", "the question is asked already", "the question is nearly one that is asked already",
    ]  # fmt: skip
    assert "Example 3\nQuestion: How wide is our gate number 3?" in writer.asked[0]["messages"][-1]["content"]
    assert len(writer.asked) == 2


def test_a_dataset_gives_its_training_rows_only(make: Made, writer: WriterServer, workspace: Workspace, tmp_path: Path) -> None:
    lines = [{"question": f"{word}?", "answer": f"{word} it is."} for word in ("Red", "Blue", "Green", "White", "Black", "Pink")]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    local = {"type": "local", "path": str(tmp_path / "own.jsonl"), "licence": "own data"}
    recipe = {"kind": "chat", "sources": [local], "split": {"validation": 0, "test": 2}}
    own = build_chat_dataset(load_value(recipe, ChatRecipe), workspace, name="own")
    held_out = {row.messages[0]["content"] for row in read_split(own.folder, "test")}
    writer.script = [rows()] * 9
    built = make("paraphrase", dataset="own")
    assert len(built.rows) == len(writer.asked) == 4
    assert not held_out & {row.messages[0]["content"] for row in built.rows}


def test_answers_are_written_anew_and_marked(make: Made, writer: WriterServer) -> None:
    top = [{"token": "Two", "logprob": -0.5, "bytes": [84, 119, 111]}, {"token": "\ufffd", "logprob": -2.0, "bytes": [195]}]
    content = [{"token": "Two", "logprob": -0.5, "bytes": [84, 119, 111], "top_logprobs": top}]
    said = saying("Two metres.")
    said["choices"][0]["logprobs"] = {"content": content}
    writer.script = [said, *[saying(f"It measures {number}.") for number in range(5)], saying("cut", finish="length")]
    asked = {"base_url": f"{writer.url}/v1", "model": "writer-1", "at_once": 1, "top_logprobs": 2}
    built = make("answers", writer=asked)
    by_seed = {row.meta["seed"]: row for row in built.rows}
    first = by_seed["seed/1"]
    assert [turn["content"] for turn in first.messages] == ["How wide is a door number 1?", "Two metres."]
    assert first.meta["writer"] == "writer-1" and first.meta["teacher_logprobs"] == [
        ["Two", -0.5, [["Two", -0.5], ["\0c3", -2.0]]]
    ]
    assert "teacher_logprobs" not in by_seed["seed/2"].meta
    assert built.reasons() == ["cut off at max_tokens"] and len(built.rows) == 6
    body = writer.asked[0]
    assert body["top_logprobs"] == 2 and body["logprobs"] is True and "response_format" not in body
    assert body["messages"] == [{"role": "user", "content": "How wide is a door number 1?"}]
    # The last turn of a conversation of two exchanges is asked with all before it.
    assert [turn["content"] for turn in writer.asked[6]["messages"]] == ["useruser", "assistantassistant", "useruser"]
    assert len(make("answers", writer=asked).rows) == 6 and len(writer.asked) == 7, "nothing is asked twice"


def test_a_server_without_log_probabilities_is_asked_without(make: Made, writer: WriterServer) -> None:
    writer.refuses = {"logprobs": "logprobs are not supported by this model"}
    writer.script = [saying("Two metres.")] * 7
    asked = {"base_url": f"{writer.url}/v1", "model": "writer-1", "at_once": 1, "top_logprobs": 2}
    built = make("answers", writer=asked)
    assert len(built.rows) == 7 and built.facts["sent_without"] == ["logprobs"]
    with pytest.raises(UserError, match=r"top_logprobs belongs to form: answers"):
        make("paraphrase", writer=asked)


def test_a_source_needs_one_place(make: Made) -> None:
    with pytest.raises(UserError, match="give either a path or a dataset"):
        make("paraphrase", path=None)
