"""Rows made for tests."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from studio.data.rows import ChatRow

WORDS = (
    "roof wall window door stair rail balcony fire exit smoke alarm pipe drain heat pump floor beam brick mortar permit plan "
    "zone shore fence gate yard tree noise quiet hour neighbour owner tenant rent lease repair paint tile bath kitchen oven"
).split()


def sentence(seed: int, words: int = 40) -> str:
    chooser = random.Random(seed)
    return " ".join(chooser.choice(WORDS) + str(chooser.randrange(50)) for _ in range(words))


def pair(id: str, question: str, answer: str, group: str | None = None) -> ChatRow:
    return ChatRow(id, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "made", group)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder of question-answer rows, 60 different ones."""
    folder = tmp_path / "own"
    folder.mkdir()
    lines = ["question,answer,topic"]
    lines += [f'"What about case {number}?","{sentence(number)}",t{number % 7}' for number in range(60)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
