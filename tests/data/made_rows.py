"""Rows made for tests."""

from __future__ import annotations

import random

from studio.data.chat.rows import ChatRow

WORDS = [
    "roof",
    "wall",
    "window",
    "door",
    "stair",
    "rail",
    "balcony",
    "fire",
    "exit",
    "smoke",
    "alarm",
    "pipe",
    "drain",
    "heat",
    "pump",
    "floor",
    "beam",
    "brick",
    "mortar",
    "permit",
    "plan",
    "zone",
    "shore",
    "fence",
    "gate",
    "yard",
    "tree",
    "noise",
    "quiet",
    "hour",
    "neighbour",
    "owner",
    "tenant",
    "rent",
    "lease",
    "repair",
    "paint",
    "tile",
    "bath",
    "kitchen",
    "oven",
]


def sentence(seed: int, words: int = 40) -> str:
    chooser = random.Random(seed)
    return " ".join(chooser.choice(WORDS) + str(chooser.randrange(50)) for _ in range(words))


def pair(id: str, question: str, answer: str, group: str | None = None) -> ChatRow:
    return ChatRow(id, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "made", group)


def changed(text: str, share: float, seed: int) -> str:
    """The text with a share of its words replaced."""
    chooser = random.Random(seed)
    return " ".join(
        f"{chooser.choice(WORDS)}x{chooser.randrange(10**6)}" if chooser.random() < share else word for word in text.split()
    )
