"""What a row says is kept as it is meant: judgements, pairs, contexts, system prompts, earlier turns. Nothing is turned round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import DataError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.formats import ColumnNames, ShapeError, shape_row
from studio.data.chat.rows import ChatRow, read_split
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe

ASKED = {"role": "user", "content": "Name a bird"}
GOOD, BAD = {"role": "assistant", "content": "A wren"}, {"role": "assistant", "content": "A cod"}


def built(
    tmp_path: Path, workspace: Workspace, rows: list[Any] | str, steps: list[dict[str, Any]] | None = None, **source: Any
) -> BuildOutcome:
    """A Dataset of some rows (or the text of a csv), all of them for training."""
    path = tmp_path / ("rows.csv" if isinstance(rows, str) else "rows.jsonl")
    path.write_text(rows if isinstance(rows, str) else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    value = {
        "kind": "chat",
        "sources": [{"type": "local", "path": str(path), "licence": "own data", **source}],
        "steps": steps or [],
        "split": {"test": 0, "validation": 0},
    }
    return build_chat_dataset(validate(value, ChatRecipe), workspace, name="made")


def kept(outcome: BuildOutcome) -> list[ChatRow]:
    return read_split(outcome.folder, "train")


def said(value: Any, format: str = "auto", **columns: str) -> list[tuple[str, str]]:
    shaped = shape_row(value, format, ColumnNames(**columns))
    answers = [("chosen", shaped.chosen), ("rejected", shaped.rejected)]
    return [(turn["role"], turn["content"]) for turn in shaped.messages] + [one for one in answers if one[1] is not None]


THUMBS_DOWN = {
    "number": {"prompt": "Name a bird", "completion": "A cod", "label": 0},
    "number with a point": {"prompt": "Name a bird", "completion": "A cod", "label": 0.0},
    "text": {"prompt": "Name a bird", "completion": "A cod", "label": "false"},
    "text in capitals": {"prompt": "Name a bird", "completion": "A cod", "label": "FALSE"},
    "text of a number": {"prompt": "Name a bird", "completion": "A cod", "label": "0"},
    "minus one": {"prompt": "Name a bird", "completion": "A cod", "label": -1},
    "response": {"prompt": "Name a bird", "response": "A cod", "label": False},
    "question and answer": {"question": "Name a bird", "answer": "A cod", "Label": False},
    "LLaMA-Factory alpaca": {"instruction": "Name a bird", "input": "", "output": "A cod", "kto_tag": False},
    "LLaMA-Factory sharegpt": {
        "conversations": [{"from": "human", "value": "Name a bird"}, {"from": "gpt", "value": "A cod"}],
        "kto_tag": False,
    },
    "messages": {"messages": [ASKED, BAD], "label": False},
    "turns": {"prompt": [ASKED], "completion": [BAD], "label": False},
}


@pytest.mark.parametrize("name", THUMBS_DOWN)
def test_a_disliked_answer_is_never_imitated(name: str) -> None:
    assert said(THUMBS_DOWN[name]) == [("user", "Name a bird"), ("rejected", "A cod")]


@pytest.mark.parametrize("name", THUMBS_DOWN)
def test_a_liked_answer_is_a_thumb_too(name: str) -> None:
    row = dict(THUMBS_DOWN[name])
    key = next(key for key in row if key.lower() in {"label", "kto_tag"})
    row[key] = {"false": "true", "FALSE": "TRUE", "0": "1"}.get(row[key], True) if isinstance(row[key], str) else 1
    assert said(row) == [("user", "Name a bird"), ("chosen", "A cod")]


def test_a_csv_of_thumbs(tmp_path: Path, workspace: Workspace) -> None:
    outcome = built(tmp_path, workspace, "prompt,completion,label\nName a bird,A cod,False\nName a fish,A cod,True\n")
    assert [(row.chosen, row.rejected) for row in kept(outcome)] == [(None, "A cod"), ("A cod", None)]
    assert any("2 answers were taken as liked or disliked by the column 'label'" in note for note in outcome.notes)


def test_a_label_of_two_unknown_words_is_asked_for(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"prompt": f"q{number}", "completion": "A cod", "label": ("good", "bad")[number % 2]} for number in range(6)]
    with pytest.raises(DataError, match=r"'label' holds only 'good', 'bad'.*columns: \{label: label\} and liked: \[good\]"):
        built(tmp_path, workspace, rows)
    outcome = built(tmp_path, workspace, rows, columns={"label": "label"}, liked=["good"])
    assert [row.chosen is not None for row in kept(outcome)] == [True, False] * 3
    plain = built(tmp_path, workspace, rows, format="prompt_completion")
    assert [row.is_preference for row in kept(plain)] == [False] * 6
    assert plain.notes == ["read: columns not used: label (6 rows); they are kept in meta, and the model never sees them"]


def test_a_class_number_is_no_thumb(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"prompt": f"q{number}", "completion": "sport", "label": number % 4} for number in range(8)]
    with pytest.raises(
        DataError, match=r"the column 'label' says in 4 rows whether an answer was liked, and in the others '2', '3'"
    ):
        built(tmp_path, workspace, rows)
    assert len(kept(built(tmp_path, workspace, rows, format="prompt_completion"))) == 8
    topics = [{"prompt": f"q{number}", "completion": "a", "label": f"topic {number}"} for number in range(8)]
    assert not kept(built(tmp_path, workspace, topics))[0].is_preference


PAIRS = {
    "TRL": {"prompt": "Name a bird", "chosen": "A wren", "rejected": "A cod"},
    "turns": {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
    "prompt as turns, answers as text": {"prompt": [ASKED], "chosen": "A wren", "rejected": "A cod"},
    "conversations": {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    "UltraFeedback": {
        "prompt": "Name a bird",
        "prompt_id": "x",
        "chosen": [ASKED, GOOD],
        "rejected": [ASKED, BAD],
        "messages": [ASKED, GOOD],
    },
    "LLaMA-Factory sharegpt": {
        "conversations": [{"from": "human", "value": "Name a bird"}],
        "chosen": {"from": "gpt", "value": "A wren"},
        "rejected": {"from": "gpt", "value": "A cod"},
    },
    "LLaMA-Factory alpaca": {"instruction": "Name a bird", "input": "", "chosen": "A wren", "rejected": "A cod"},
    "ms-swift": {"messages": [ASKED, GOOD], "rejected_response": "A cod"},
    "ms-swift whole": {"messages": [ASKED, GOOD], "rejected_messages": [ASKED, BAD]},
    "OpenAI": {"input": {"messages": [ASKED], "tools": []}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    "HH-RLHF": {
        "chosen": "\n\nHuman: Name a bird\n\nAssistant: A wren",
        "rejected": "\n\nHuman: Name a bird\n\nAssistant: A cod",
    },
    "HH-RLHF with a prompt": {"prompt": "\n\nHuman: Name a bird\n\nAssistant:", "chosen": " A wren", "rejected": " A cod"},
    "question": {"question": "Name a bird", "chosen": "A wren", "rejected": "A cod"},
    "query and responses": {"query": "Name a bird", "chosen_response": "A wren", "rejected_response": "A cod"},
    "answer and rejected": {"prompt": "Name a bird", "response": "A wren", "rejected_response": "A cod"},
    "Capitals": {"Prompt": "Name a bird", "Chosen": "A wren", "Rejected": "A cod"},
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_every_tool(name: str) -> None:
    found = [(role, text.strip()) for role, text in said(PAIRS[name])]
    assert found == [("user", "Name a bird"), ("chosen", "A wren"), ("rejected", "A cod")]


def test_several_turns_before_a_pair() -> None:
    before = [{"role": "system", "content": "Be kind."}, ASKED, GOOD, {"role": "user", "content": "Another"}]
    one, two = {"role": "assistant", "content": "A rook"}, {"role": "assistant", "content": "A hat"}
    rows = [
        {"chosen": [*before, one], "rejected": [*before, two]},
        {"messages": [*before, one], "rejected_messages": [*before, two]},
        {"messages": before, "chosen": "A rook", "rejected": "A hat"},
        {
            "system": "Be kind.",
            "history": [["Name a bird", "A wren"]],
            "instruction": "Another",
            "chosen": "A rook",
            "rejected": "A hat",
        },
    ]
    for row in rows:
        assert [text for _, text in said(row)] == ["Be kind.", "Name a bird", "A wren", "Another", "A rook", "A hat"]


def test_pairs_that_answer_different_things_are_refused() -> None:
    other = {"role": "user", "content": "Name a fish"}
    with pytest.raises(ShapeError, match="differ in more than the last answer"):
        said({"chosen": [ASKED, GOOD], "rejected": [other, BAD]})
    with pytest.raises(ShapeError, match="do not repeat"):
        said({"prompt": "Name a tree", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]})


KEPT = {
    "Dolly": (
        {"instruction": "When is the office open?", "context": "Office hours are 9 to 15.", "response": "9 to 15"},
        [("user", "When is the office open?\n\nOffice hours are 9 to 15."), ("assistant", "9 to 15")],
    ),
    "context and question": (
        {"context": "Office hours are 9 to 15.", "question": "When?", "answer": "9 to 15"},
        [("user", "When?\n\nOffice hours are 9 to 15."), ("assistant", "9 to 15")],
    ),
    "SQuAD": (
        {"id": "1", "title": "T", "context": "C.", "question": "Q?", "answers": {"text": ["A", "A2"], "answer_start": [0, 3]}},
        [("user", "Q?\n\nC."), ("assistant", "A")],
    ),
    "OpenOrca": (
        {"id": "1", "system_prompt": "Answer like a pirate.", "question": "Name a bird", "response": "Arr"},
        [("system", "Answer like a pirate."), ("user", "Name a bird"), ("assistant", "Arr")],
    ),
    "ms-swift history": (
        {"query": "Another", "response": "A rook", "history": [["Name a bird", "A wren"]]},
        [("user", "Name a bird"), ("assistant", "A wren"), ("user", "Another"), ("assistant", "A rook")],
    ),
    "history of turns": (
        {"prompt": "Another", "completion": "A rook", "history": [ASKED, GOOD]},
        [("user", "Name a bird"), ("assistant", "A wren"), ("user", "Another"), ("assistant", "A rook")],
    ),
    "null columns of a merged table": (
        {"prompt": None, "completion": None, "question": "Name a bird", "answer": "A wren"},
        [("user", "Name a bird"), ("assistant", "A wren")],
    ),
    "null fields of a turn": (
        {"messages": [{"role": None, "content": None, "from": "human", "value": "hi"}, GOOD]},
        [("user", "hi"), ("assistant", "A wren")],
    ),
    "pandas' nan as an input": (
        {"instruction": "Name a bird", "input": "nan", "output": "A wren"},
        [("user", "Name a bird"), ("assistant", "A wren")],
    ),
    "a number that is none": (
        {"instruction": "Name a bird", "input": float("nan"), "output": "A wren"},
        [("user", "Name a bird"), ("assistant", "A wren")],
    ),
    "a prompt made of the question": (
        {"instruction": "Name a bird", "input": "", "output": "A wren", "prompt": "Below is a task.\nName a bird\n### Response:"},
        [("user", "Name a bird"), ("assistant", "A wren")],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_columns_say_reaches_the_conversation(name: str) -> None:
    row, expected = KEPT[name]
    assert said(row) == expected


TWO_QUESTIONS = {
    "prompt and input": {"prompt": "Translate into French", "input": "good day", "output": "bonjour"},
    "prompt and question": {"prompt": "Answer.", "passage": "Wrens are birds.", "question": "What are wrens?", "answer": "Birds"},
    "instruction and question": {"instruction": "One word.", "question": "What are wrens?", "output": "Birds"},
    "choices": {"question": "Which is a fish?", "choices": ["cod", "wren"], "answer": "A"},
}


@pytest.mark.parametrize("name", TWO_QUESTIONS)
def test_two_columns_that_can_be_the_question_are_asked_for(name: str) -> None:
    with pytest.raises(ShapeError, match=r"has two columns that say what is asked, .*\n    columns: \{question: "):
        said(TWO_QUESTIONS[name])


def test_what_is_asked_for_can_be_answered() -> None:
    translated = said(TWO_QUESTIONS["prompt and input"], question="prompt", context="input", answer="output")
    assert translated[0] == ("user", "Translate into French\n\ngood day")
    chosen = said(TWO_QUESTIONS["choices"], question="question", context="choices", answer="answer")
    assert chosen[0] == ("user", "Which is a fish?\n\nA. cod\nB. wren")


@pytest.mark.parametrize("column", ["images", "image", "audios", "videos"])
def test_questions_about_pictures_are_refused(column: str) -> None:
    row = {"messages": [ASKED, GOOD], column: ["a.png"]}
    with pytest.raises(ShapeError, match=f"has something in '{column}' that a chat model cannot see"):
        said(row)
    assert said({"messages": [ASKED, GOOD], column: []})[0] == ("user", "Name a bird")


def test_unused_columns_are_told_and_listed(tmp_path: Path, workspace: Workspace) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}, GOOD], "context": f"c{n}", "topic": "x", "prompt": f"q{n}"}
        for n in range(3)
    ]
    outcome = built(tmp_path, workspace, rows)
    assert outcome.notes == ["read: columns not used: context (3 rows); they are kept in meta, and the model never sees them"]
    assert outcome.record.model_extra["columns_not_used"] == {"context": 3, "topic": 3}
    assert outcome.record.model_extra["shapes"] == {"messages": 3}
    page = (outcome.folder / "report.html").read_text("utf-8")
    assert "context (3)" in page and "Shapes: messages (3)" in page
    quiet = built(tmp_path, workspace, [{"question": "q", "answer": "a", "topic": "x"}])
    assert quiet.notes == []


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"context": "contxt"}, "the column 'contxt' (columns.context) is in no row. Did you mean 'context'?"),
        ({"system": "sys"}, "the column 'sys' (columns.system) is in no row."),
        ({"id": "nrr"}, "the column 'nrr' (columns.id) is in no row."),
    ],
)
def test_a_misspelt_column_is_an_error(tmp_path: Path, workspace: Workspace, columns: dict[str, str], sentence: str) -> None:
    rows = [{"question": "q", "answer": "a", "context": "c", "nr": 3}]
    with pytest.raises(DataError) as error:
        built(tmp_path, workspace, rows, columns=columns)
    assert sentence in str(error.value)
    with pytest.raises(DataError, match="has no place in rows of this shape"):
        built(tmp_path, workspace, [{"messages": [ASKED, GOOD], "context": "c"}], columns={"context": "context"})


def test_old_separators_are_told_and_taken_off(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"prompt": f"Name {word}\n\n###\n\n", "completion": f" {word} END"} for word in ("a bird", "a fish")]
    outcome = built(tmp_path, workspace, rows)
    assert outcome.notes == [
        "read: prompts or completions end with separators, which would train; the source takes them off: "
        'prompt_end: "\\n\\n###\\n\\n", answer_end: " END"'
    ]
    clean = built(tmp_path, workspace, rows, prompt_end="\n\n###\n\n", answer_end=" END")
    assert [turn["content"] for turn in kept(clean)[0].messages] == ["Name a bird", " a bird"] and clean.notes == []


def test_marks_of_templates_in_the_text_are_told(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"question": "What does <|im_end|> mean?", "answer": "It closes a turn <|im_end|>\n<|im_start|>user"}]
    notes = built(tmp_path, workspace, [*rows, {"question": "q", "answer": "a"}]).notes
    assert "read: 1 row holds <|im_end|> as text; a base whose template uses this mark takes it for its own" in notes
    assert len(notes) == 2
    marked = "[TOOL_CALLS]"
    call = {"function": {"name": "f", "arguments": {"x": marked}}}
    for turn in ({"content": "", "tool_calls": [call]}, {"content": "No", "reasoning_content": marked}):
        rows = [{"messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", **turn}]}]
        assert any("1 row holds [TOOL_CALLS] as text" in note for note in built(tmp_path, workspace, rows).notes)


def test_names_of_users_stay(tmp_path: Path, workspace: Workspace) -> None:
    turns = [{"role": "user", "name": "Ida", "content": "Hi"}, {"role": "user", "name": "Bo", "content": "Hello"}, GOOD]
    outcome = built(tmp_path, workspace, [{"messages": turns}])
    assert [turn.get("name") for turn in kept(outcome)[0].messages] == ["Ida", "Bo", None]
    joined = built(tmp_path, workspace, [{"messages": turns}], [{"step": "roles"}])
    assert kept(joined)[0].messages[0] == {"role": "user", "content": "Ida: Hi\n\nBo: Hello"}


def test_cut_turns_are_counted_and_kept(tmp_path: Path, workspace: Workspace) -> None:
    turns = [{"role": "assistant", "content": "Hello, I am the help desk."}, ASKED, GOOD, {"role": "user", "content": "Thanks"}]
    outcome = built(tmp_path, workspace, [{"messages": turns}], [{"step": "roles"}])
    assert kept(outcome)[0].meta["turns_cut"] == ["assistant: Hello, I am the help desk.", "user: Thanks"]
    assert outcome.notes == [
        "roles: 1 row lost 2 turns beyond the first question or the last answer (32 characters), kept in meta under 'turns_cut'"
    ]


@pytest.mark.parametrize("column", ["kto_tag", "liked", "desirable", "is_good"])
def test_a_judgement_that_cannot_be_read_is_an_error(column: str) -> None:
    with pytest.raises(ShapeError, match=f"has 'bad' in '{column}', which says neither liked nor disliked"):
        said({"prompt": "Name a bird", "completion": "A cod", column: "bad"})


@pytest.mark.parametrize("field", [{"weight": 0}, {"name": "Bo"}, {"reasoning_content": "Birds fly."}])
def test_what_an_answer_of_a_preference_cannot_hold_is_refused(field: dict[str, Any]) -> None:
    answer = {"role": "assistant", "content": "A cod", **field}
    asked = {"role": "user", "content": "Name a bird"}
    for row in (
        {"prompt": [asked], "chosen": "A wren", "rejected": [answer]},
        {"messages": [asked, answer], "label": False},
    ):
        with pytest.raises(ShapeError, match="the answers of a preference are text for now"):
            said(row)


def test_answers_that_repeat_the_question_are_the_rest_of_it() -> None:
    row = {"prompt": "Name a bird.", "chosen": "Name a bird. A wren", "rejected": "Name a bird. A cod"}
    assert said(row)[1:] == [("chosen", " A wren"), ("rejected", " A cod")]
    assert said({**row, "rejected": "A cod"})[1:] == [("chosen", "Name a bird. A wren"), ("rejected", "A cod")]


def test_of_several_answers_the_others_are_told_and_kept(tmp_path: Path, workspace: Workspace) -> None:
    rows = [{"instruction": "Name a bird", "output": ["A wren", "A rook"]}, {"question": "Two", "answers": {"text": ["2", "2"]}}]
    outcome = built(tmp_path, workspace, rows)
    assert [row.meta for row in kept(outcome)] == [{"other_answers": ["A rook"]}, {}]
    assert any(note.startswith("read: 1 row gave several answers: the first one trains") for note in outcome.notes)


def test_columns_that_speak_by_a_part_of_their_name_are_told(tmp_path: Path, workspace: Workspace) -> None:
    row = {
        "question": "Q?",
        "answer": "A.",
        "old_passages": "p",
        "image_path": "x.png",
        "rejected_by": "me",
        "train": False,
    }
    silent = {"context_id": "7", "chosen_score": 3, "history": "nan", "system": "nan", "image": "nan", "city": "Lund"}
    outcome = built(tmp_path, workspace, [row | silent])
    assert [note for note in outcome.notes if "not used" in note] == [
        "read: columns not used: old_passages (1 row), image_path (1 row), rejected_by (1 row), train (1 row); they are kept "
        "in meta, and the model never sees them"
    ]
    assert [turn["role"] for turn in kept(outcome)[0].messages] == ["user", "assistant"]


def test_choices_and_the_number_of_one(tmp_path: Path, workspace: Workspace) -> None:
    columns = {"question": "question", "context": "choices", "answer": "answer"}
    for choices in (["cod", "wren"], {"text": ["cod", "wren"], "label": ["A", "B"]}, {"A": "cod", "B": "wren"}):
        answer = 1 if isinstance(choices, list) else "B"
        row = {"question": "Which is a bird?", "choices": choices, "answer": answer}
        assert said(row, **columns) == [("user", "Which is a bird?\n\nA. cod\nB. wren"), ("assistant", "B")]


def test_files_that_are_not_read_are_told(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("question,answer\nName a bird,A wren\n")
    for name in ("manual.pdf", "faq.docx", "more.docx", ".hidden.pdf"):
        (folder / name).write_text("x")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    outcome = built(tmp_path, workspace, [], path=str(folder))
    assert outcome.notes[0].startswith("read: 4 files were left out: .docx (2), .pdf (1), broken link (1). Known are .csv, ")
