"""Row shapes of public corpora in which nothing is unclear are read, each as the same conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.errors import DataError
from studio.core.workspace import Workspace
from studio.data.chat.formats import ColumnNames, ShapeError, shape_row
from tests.data.chat.test_exports import read
from tests.data.chat.test_meaning import built, kept

QA = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
SHAPES: dict[str, Any] = {
    "capitals": {"Question": "Q?", "Answer": "A."},
    "all capitals": {"QUESTION": "Q?", "ANSWER": "A."},
    "prompt and response in capitals": {"Prompt": "Q?", "Response": "A."},
    "blanks around names": {" question ": "Q?", "answer ": "A."},
    "query and answer": {"Query": "Q?", "Answer": "A."},
    "names with something behind": {"Question (long)": "Q?", "Answer; short": "A."},
    "messages as JSON text": {"messages": json.dumps(QA)},
    "conversations as JSON text": {
        "conversations": json.dumps([{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}])
    },
    "turns in columns": {"messages": {"role": ["user", "assistant"], "content": ["Q?", "A."]}},
    "LangChain": {"messages": [{"type": "human", "content": "Q?"}, {"type": "ai", "content": "A."}]},
    "LangChain stored": {
        "messages": [
            {"type": "human", "data": {"content": "Q?", "additional_kwargs": {}, "type": "human"}},
            {"type": "ai", "data": {"content": "A."}},
        ]
    },
    "roles with a colon": {"messages": [{"role": "Human:", "content": "Q?"}, {"role": "AI:", "content": "A."}]},
    "Chinese roles": {"messages": [{"role": "用户", "content": "Q?"}, {"role": "助手", "content": "A."}]},
    "dialogue": {"dialogue": QA},
    "UltraChat": {"id": "0", "data": ["Q?", "A."]},
    "turns of user and assistant": {"turns": [{"user": "Q?", "assistant": "A."}]},
    "pairs": {"conversation": [["Q?", "A."]]},
    "input_text and output_text": {
        "messages": [
            {"role": "user", "content": [{"type": "input_text", "text": "Q?"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "A."}]},
        ]
    },
    "parts with a value": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "Q?"}]},
            {"role": "assistant", "content": [{"type": "text", "value": "A."}]},
        ]
    },
    "prompt as turns, completion as text": {"prompt": QA[:1], "completion": "A."},
    "prompt as text, completion as turns": {"prompt": "Q?", "completion": QA[1:]},
    "ChatML": {"text": "<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\nA.<|im_end|>\n"},
    "Llama 2": {"text": "<s>[INST] Q? [/INST] A. </s>"},
    "Llama 3": {
        "text": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nQ?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nA.<|eot_id|>"
    },
    "Gemma": {"text": "<bos><start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\nA.<end_of_turn>\n"},
    "Zephyr": {"text": "<|user|>\nQ?</s>\n<|assistant|>\nA.</s>"},
    "Guanaco": {"text": "### Human: Q?### Assistant: A."},
    "Guanaco on one line": {"text": "### Human: Q? ### Assistant: A."},
    "Alpaca in text": {"text": "### Instruction:\nQ?\n\n### Response:\nA."},
    "Gemini": {"contents": [{"role": "user", "parts": [{"text": "Q?"}]}, {"role": "model", "parts": [{"text": "A."}]}]},
    "a completion in parts": {"prompt": [{"type": "text", "text": "Q?"}], "completion": [{"type": "text", "text": "A."}]},
    "messages as Python writes them": {"messages": str(QA)},
    "roles in traditional Chinese": {"messages": [{"role": "使用者", "content": "Q?"}, {"role": "助理", "content": "A."}]},
    "roles in Korean": {"messages": [{"role": "사용자", "content": "Q?"}, {"role": "어시스턴트", "content": "A."}]},
    "roles in Spanish": {"messages": [{"role": "Usuario", "content": "Q?"}, {"role": "Asistente", "content": "A."}]},
    "a tree of replies": {
        "message_tree_id": "t",
        "prompt": {
            "text": "Q?",
            "role": "prompter",
            "replies": [
                {"text": "B.", "role": "assistant", "rank": 1, "replies": []},
                {"text": "A.", "role": "assistant", "rank": 0, "replies": []},
            ],
        },
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_public_shapes(name: str) -> None:
    assert shape_row(SHAPES[name], "auto", ColumnNames()).messages == QA


def test_texts_with_marks_hold_several_turns() -> None:
    llama = "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nQ? [/INST] A. </s><s>[INST] Sure? [/INST] Yes. </s>"
    expected = [("system", "Be kind."), ("user", "Q?"), ("assistant", "A."), ("user", "Sure?"), ("assistant", "Yes.")]
    for text in (
        llama,
        "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in expected),
        " ".join(f"### {role.capitalize().replace('User', 'Human')}: {said}" for role, said in expected),
    ):
        shaped = shape_row({"text": text}, "auto", ColumnNames())
        assert [(turn["role"], turn["content"]) for turn in shaped.messages] == expected


def test_the_lead_of_an_alpaca_text_goes_to_meta() -> None:
    text = "Below is an instruction.\n\n### Instruction:\nAdd.\n\n### Input:\n3, 4\n\n### Response:\n7"
    shaped = shape_row({"text": text}, "auto", ColumnNames())
    assert [turn["content"] for turn in shaped.messages] == ["Add.\n\n3, 4", "7"]
    assert shaped.meta == {"preamble": "Below is an instruction."}


def test_a_part_without_text_is_refused() -> None:
    for part, sentence in [
        ({"type": "text"}, "a part without text in turn 1"),
        ({"type": "image_url", "image_url": "x"}, "a part of the type 'image_url' in turn 1"),
    ]:
        with pytest.raises(ShapeError) as error:
            shape_row({"messages": [{"role": "user", "content": [part]}, QA[1]]}, "auto", ColumnNames())
        assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"sporsmal": "Q?", "svaret": "A. long"}, "columns: {question: sporsmal, answer: svaret}"),
        ({"my_question": "Q?", "number": 3, "the_answer": "A."}, "columns: {question: my_question, answer: the_answer}"),
        ({"talk": QA}, "columns: {messages: talk}"),
        ({"question": "Q?", "label": "bird"}, "columns: {question: question, answer: label}"),
        ({"ask me": "Q?", "responses": ["A.", "B."], "reply; long": "A."}, 'columns: {question: ask me, answer: "reply; long"}'),
    ],
)
def test_an_unknown_shape_offers_the_recipe_that_reads_it(
    tmp_path: Path, workspace: Workspace, row: dict[str, Any], line: str
) -> None:
    with pytest.raises(DataError) as error:
        built(tmp_path, workspace, [row])
    first, form, columns = str(error.value).split("\n")
    assert len(first) < 330 and "Repair it" not in str(error.value)
    assert columns.strip() == line
    found = yaml.safe_load(line)["columns"]
    outcome = built(tmp_path, workspace, [row], format=form.split()[-1], columns=found)
    assert len(kept(outcome)[0].messages) == 2


@pytest.mark.parametrize(("good", "bad"), [("good", "bad"), ("response_a", "response_b"), ("human_ref_1", "human_ref_2")])
def test_rival_answers_are_not_offered_as_one_to_imitate(good: str, bad: str) -> None:
    with pytest.raises(ShapeError) as error:
        shape_row({"asked": "Q?", good: "A.", bad: "B."}, "auto", ColumnNames())
    assert "format: preference" in str(error.value)
    assert f"columns: {{question: asked, chosen: {good}, rejected: {bad}}}" in str(error.value)


def test_a_flat_table_of_replies_is_its_trees(tmp_path: Path, workspace: Workspace) -> None:
    def message(identity: str, parent: str | None, text: str, role: str, **more: Any) -> dict[str, Any]:
        return {"message_id": identity, "parent_id": parent, "text": text, "role": role, "message_tree_id": "t", **more}

    rows = [
        message("1", None, "Q?", "prompter"),
        message("2", "1", "B.", "assistant", rank=1),
        message("3", "1", "A.", "assistant", rank=0),
    ]
    outcome = built(tmp_path, workspace, rows)
    assert [row.messages for row in kept(outcome)] == [QA]
    assert outcome.notes == ["read: the best path through each tree of replies was read; 1 other reply was not used"]
    with pytest.raises(DataError, match="line 4 answers a message that is not in the file"):
        built(tmp_path, workspace, [*rows, message("4", "9", "C.", "assistant")])


def test_other_roles_are_named_in_the_recipe(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"messages": [{"role": "Student", "content": "Q?"}, {"role": "Tutor", "content": "A."}]}]
    with pytest.raises(DataError, match=r"roles: \{student: user\}"):
        built(tmp_path, workspace, rows)
    assert kept(built(tmp_path, workspace, rows, roles={"student": "user", "Tutor": "assistant"}))[0].messages == QA


def test_names_with_something_behind_that_could_be_two_are_asked_for() -> None:
    two = {"Question (long)": "Q?", "Question (short)": "Q", "Answer": "A."}
    with pytest.raises(ShapeError, match="none of the known shapes"):
        shape_row(two, "auto", ColumnNames())


def test_columns_in_other_languages_are_known() -> None:
    for row in (
        {"Frage": "Q?", "Antwort": "A."},
        {"Fråga": "Q?", "Svar": "A."},
        {"问题": "Q?", "回答": "A."},
        {"質問": "Q?", "回答": "A."},
    ):
        assert shape_row(row, "auto", ColumnNames()).messages == QA


def test_a_table_without_names_is_read_by_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,Name a bird,A wren\n2,Name a fish,A cod\n")
    with pytest.raises(DataError, match="read like a row") as error:
        read(path)
    line = str(error.value).split("\n")[1].strip()
    assert line == "columns: {question: 1, answer: 2}"
    rows, _ = read(path, **yaml.safe_load(line))
    assert [[turn["content"] for turn in row.messages] for row in rows] == [["Name a bird", "A wren"], ["Name a fish", "A cod"]]
    assert rows[0].meta == {"0": "1"}
    path.write_text("question,answer\nName a bird,A wren\n")
    with pytest.raises(DataError, match="begins with a line of names"):
        read(path, columns={"question": 0, "answer": 1})


def test_rows_inside_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"intents": [{"tag": "hi", "patterns": ["Hi", "Hey"], "responses": ["Hello", "Good day"]}]}))
    rows, notes = read(path, group="tag")
    assert [[turn["content"] for turn in row.messages] for row in rows] == [["Hi", "Hello"], ["Hey", "Good day"]]
    assert {row.group for row in rows} == {"hi"} and "gave several answers" in notes[0]
    asked = [{"id": "1", "question": "Q?", "answers": [{"text": "A.", "answer_start": 0}, {"text": "A.", "answer_start": 0}]}]
    path.write_text(json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": "About.", "qas": asked}]}]}))
    rows, _ = read(path)
    assert [turn["content"] for turn in rows[0].messages] == ["Q?\n\nAbout.", "A."] and rows[0].id.endswith("/1")


def test_ids_that_come_again_are_told_apart_from_numbers_and_each_other(tmp_path: Path) -> None:
    """A row without an id is called by its number, which another row may have as its id."""
    from studio.data.chat.reading import _Names

    names = _Names()
    given = ["s/1", "s/2", "s/a", "s/2", "s/5", "s/7", "s/7", "s/a", "s/02", "s/1"]
    assert [names.count(name, "s/", number) for number, name in enumerate(given, start=1)] == [1, 1, 1, 2, 1, 1, 2, 2, 1, 2]
