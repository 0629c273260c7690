"""Questions and answers written out in texts and markdown; what is none is told or refused; what is no data is left out."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from studio.core.errors import DataError
from tests.data.chat.test_exports import read, said

BIRD, FISH = ("Name a bird", "A wren"), ("Name a fish", "A cod")
BOTH = [BIRD, FISH]
TEXTS = {
    "Q and A": "Q: Name a bird\nA: A wren\nQ: Name a fish\nA: A cod\n",
    "numbered": "Q1: Name a bird\nA1: A wren\n\nQ2: Name a fish\nA2: A cod\n",
    "points": "Q. Name a bird\nA. A wren\n\nQ. Name a fish\nA. A cod\n",
    "German": "Frage: Name a bird\nAntwort: A wren\nFrage 2: Name a fish\nAntwort 2: A cod\n",
    "German letters": "F: Name a bird\nA: A wren\nF: Name a fish\nA: A cod\n",
    "French": "Question : Name a bird\nRéponse : A wren\nQuestion : Name a fish\nRéponse : A cod\n",
    "French letters": "Q : Name a bird\nR : A wren\nQ : Name a fish\nR : A cod\n",
    "Spanish": "P: Name a bird\nR: A wren\nPregunta: Name a fish\nRespuesta: A cod\n",
    "Swedish": "Fråga: Name a bird\nSvar: A wren\nF: Name a fish\nS: A cod\n",
    "Russian": "Вопрос: Name a bird\nОтвет: A wren\nВ: Name a fish\nО: A cod\n",
    "Chinese": "问：Name a bird\n答：A wren\n问题2：Name a fish\n答案：A cod\n",
    "Japanese": "質問：Name a bird\n回答：A wren\n質問：Name a fish\n答え：A cod\n",
    "Hindi": "प्रश्न: Name a bird\nउत्तर: A wren\nप्रश्न: Name a fish\nउत्तर: A cod\n",
    "Arabic letters": "س: Name a bird\nج: A wren\nس: Name a fish\nج: A cod\n",
    "wide letters": "Ｑ：Name a bird\nＡ：A wren\nＱ２：Name a fish\nＡ２：A cod\n",
    "tabs": "question\tanswer\nName a bird\tA wren\nName a fish\tA cod\n",
    "commas": 'question,answer\nName a bird,A wren\n"Name a fish",A cod\n',
    "JSON lines": "\n".join(json.dumps({"question": asked, "answer": answered}) for asked, answered in BOTH),
}
MARKDOWN = {
    "bold labels": "**Q:** Name a bird\n**A:** A wren\n\n**Q: Name a fish**\n**A:** A cod\n",
    "bold questions with labels": "**Q: Name a bird**\n\nA wren\n\n**Q: Name a fish**\n\nA cod\n",
    "labels as headings": "# FAQ\n## Question\nName a bird\n## Answer\nA wren\n## Question\nName a fish\n## Answer\nA cod\n",
    "labels in headings": "## Q: Name a bird\n\nA wren\n\n## Q2. Name a fish\n\nA: A cod\n",
    "headings": "# FAQ\n\n## Name a bird\nA wren\n\n### Name a fish\n**Answer:** A cod\n",
    "underlined headings": "FAQ\n===\n\nName a bird\n-----------\n\nA wren\n\nName a fish\n---\nA cod\n",
    "front matter": "---\ntitle: FAQ\nlicense: mit\n---\n\n## Name a bird\nA wren\n## Name a fish\nA cod\n",
    "a heading between": "# FAQ\n\n## Birds\n\nQ: Name a bird\nA: A wren\n\n---\n\n## Fish\n\nQ: Name a fish\nA: A cod\n",
    "folded": "<details>\n<summary><b>Name a bird</b></summary>\n\nA wren\n</details>\n"
    "<details><summary>Name a fish</summary>A cod</details>",
    "quoted": "> **Q:** Name a bird\n>\n> **A:** A wren\n>\n> **Q:** Name a fish\n> **A:** A cod\n",
    "a table": "# FAQ\n\n| No | Question | Answer |\n|---:|:---|---|\n"
    "| 1 | Name a bird | A wren |\n| 2 | Name a fish | A cod |\n",
}
QUESTIONS = {
    "bold items": "# FAQ\n\n- **A bird?** A wren\n- **A fish?**\n  A cod\n",
    "bold lines": "**A bird?**\nA wren\n\n**A fish?**\n\nA cod\n",
    "numbered": "## FAQ\n\n1. A bird?\n   A wren\n2. A fish?\n\n   A cod\n",
    "with dashes": "**A bird?** — A wren\n**A fish?** - A cod\n",
    "Chinese numbers": "一、A bird?\nA wren\n\n（二）A fish?\nA cod\n",
    "numbers with a comma": "1、A bird?\nA wren\n2、A fish?\nA cod\n",
    "definitions": "A bird?\n: A wren\n\nA fish?\n:   A cod\n",
    "numbered and bold": "1. **A bird?**\n   A wren\n2. **A fish?**\n   A cod\n",
}


@pytest.mark.parametrize("form", [*TEXTS, *MARKDOWN])
def test_written_out_questions(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("faq.txt" if form in TEXTS else "faq.md")
    path.write_text((TEXTS | MARKDOWN)[form], encoding="utf-8")
    rows, notes = read(path)
    assert [tuple(turn["content"] for turn in row.messages) for row in rows] == BOTH and notes == []


@pytest.mark.parametrize("suffix", [".md", ".txt"])
@pytest.mark.parametrize("form", QUESTIONS)
def test_questions_without_labels(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"faq{suffix}"
    path.write_text(QUESTIONS[form].removeprefix("# FAQ\n\n").removeprefix("## FAQ\n\n") if suffix == ".txt" else QUESTIONS[form])
    rows, _ = read(path)
    assert [tuple(turn["content"] for turn in row.messages) for row in rows] == [("A bird?", "A wren"), ("A fish?", "A cod")]


def test_blocks_of_a_plain_text_are_questions(tmp_path: Path) -> None:
    (tmp_path / "faq.txt").write_text("Our answers\n\nA bird?\nA wren.\nOr two.\n\nA fish?\nA cod.\n")
    rows, notes = read(tmp_path / "faq.txt")
    assert [said(row)[1][1] for row in rows] == ["A wren.\nOr two.", "A cod."]
    assert notes == ["11 characters that belong to no question were left out (faq.txt)"]


def test_a_list_of_letters_is_no_speaker(tmp_path: Path) -> None:
    path = tmp_path / "faq.txt"
    path.write_text("Q: Which is a fish?\nA. Cod\nB. Wren\nAnswer: A\nQ: Choose\nA: One of\nA. Fish\nB. Soup\n")
    rows, _ = read(path)
    assert [said(row) for row in rows] == [
        [("user", "Which is a fish?\nA. Cod\nB. Wren"), ("assistant", "A")],
        [("user", "Choose"), ("assistant", "One of\nA. Fish\nB. Soup")],
    ]
    path.write_text("Q. Name a bird\nA. A wren\nQ. Pick\nA. one\nB. two\nAnswer: B\n")
    rows, _ = read(path)
    assert said(rows[1]) == [("user", "Pick\nA. one\nB. two"), ("assistant", "B")]


def test_an_answer_before_any_question_is_none(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("about\na.\nback\nquick\nq.\nqueen\n")
    rows, notes = read(tmp_path / "words.txt")
    assert said(rows[0])[0][1] == "words" and "asked for by the name of the file" in notes[0]


def test_headings_preface_and_code(tmp_path: Path) -> None:
    path = tmp_path / "faq.md"
    path.write_text(
        "About us.\n\n## Birds\n\nQ: Name a bird\nA: A wren\n```\nQ: no\nA: no\n```\n\n## Fish\n\nQ: Name a fish\nA: A cod\n"
    )
    rows, notes = read(path)
    assert [row.meta["heading"] for row in rows] == ["Birds", "Fish"]
    assert said(rows[0])[1][1] == "A wren\n```\nQ: no\nA: no\n```"
    assert notes == ["9 characters that belong to no question were left out (faq.md)"]


def test_a_talk_stays_one_conversation(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("System: Be kind.\nUser: hi\nAssistant: hello\nUser: bye\nAssistant: ciao\n")
    rows, _ = read(tmp_path / "talk.txt")
    assert [role for role, _ in said(rows[0])] == ["system", "user", "assistant", "user", "assistant"]


def test_a_talk_that_was_copied_from_a_page(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text(
        "You said:\nName a bird\nChatGPT said:\nA wren\n\nYou said:\nAnother\nChatGPT said:\nA rook\n"
    )
    rows, _ = read(tmp_path / "talk.txt")
    assert [said(row) for row in rows] == [
        [("user", "Name a bird"), ("assistant", "A wren"), ("user", "Another"), ("assistant", "A rook")]
    ]


def test_a_text_without_questions_is_told_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "our-notes.txt"
    path.write_text("Wrens are small.\n")
    rows, notes = read(path)
    assert said(rows[0]) == [("user", "our notes"), ("assistant", "Wrens are small.")]
    assert len(notes) == 1 and "asked for by the name of the file (our-notes.txt)" in notes[0] and "type: documents" in notes[0]
    path.write_text("Wrens are small.\n" * 1000)
    with pytest.raises(DataError, match="17,000 characters and neither a question nor a heading") as error:
        read(path)
    assert "\n    type: documents\n    prompt:" in str(error.value)
    rows, notes = read(path, prompt="What does {file} say?")
    assert said(rows[0])[0][1] == "What does our-notes say?" and notes == []


def test_the_card_of_a_dataset_is_no_row_and_its_test_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "birds"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Birds\n\n## Licensing\nMIT\n")
    (folder / "LICENSE.txt").write_text("MIT License\n")
    (folder / "security.md").write_text("## Is it safe?\nYes.\n")
    for part in ("train", "test"):
        line = json.dumps({"question": f"Name a bird of {part}", "answer": "A wren"})
        (folder / "data" / f"{part}-00000-of-00001.jsonl").write_text(line)
    rows, notes = read(folder)
    assert [said(row)[0][1] for row in rows] == ["Name a bird of test", "Name a bird of train", "Is it safe?"]
    assert notes[0].startswith("LICENSE.txt and README.md say what the data is and were left out")
    assert notes[1].startswith("data/test-00000-of-00001.jsonl is held out by its name") and "'**/*train*'" in notes[1]
    assert [said(row)[0][1] for row in read(folder, pattern="**/*train*")[0]] == ["Name a bird of train"]
    assert read(folder, pattern="README.md")[0][0].messages[1]["content"] == "MIT"


def test_a_folder_of_texts_keeps_its_readme(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "README.md").write_text("## Name a bird\nA wren\n")
    (folder / "fish.md").write_text("## Name a fish\nA cod\n")
    rows, notes = read(folder)
    assert len(rows) == 2 and notes == []


@pytest.mark.parametrize("piece", ["<details><summary>", "<details><summary>a</summary>", "Q. a\nA. b\n", "**a?**\n", "# a\n"])
def test_reading_is_linear_on_hostile_text(piece: str) -> None:
    from studio.data.chat.documents import read_document

    started = time.process_time()
    read_document(piece * (100_000 // len(piece)), "x", markdown=True, prompt="{heading}")
    assert time.process_time() - started < 8, "a second or less where time grows with the length; minutes where with its square"


def test_a_section_after_an_answer_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "faq.md"
    path.write_text(
        "# Help\n\n## Doors\n\nQ: How wide?\nA: 90 cm.\n\nQ: How high?\nA: Two steps:\n\n### Measure\n\n2 m.\n\n"
        "## Windows\n\nOf glass.\n\nQ: How many?\nA: Three.\n\n```\n## no heading\n```\n\n## Imprint\n\nWritten by us.\n"
    )
    rows, notes = read(path)
    answers = [said(row)[1][1] for row in rows]
    assert answers == ["90 cm.", "Two steps:\n\n### Measure\n\n2 m.", "Three.\n\n```\n## no heading\n```"]
    assert any("characters that belong to no question were left out" in note for note in notes), notes
    path.write_text("Q: How wide?\nA: 90 cm.\n\nQ: How high?\nA: 2 m.\n\n## Imprint\n\nWritten by us.\n")
    assert [said(row)[1][1] for row in read(path)[0]] == ["90 cm.", "2 m."]
