"""What tests of embeddings and rerankers share: a tiny encoder with random weights, and Datasets of questions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import call_studio

ROOMS = ("kitchen", "attic", "cellar", "garage", "hall", "bathroom")
THINGS = ("door", "window", "stair", "rail", "lamp", "pipe", "roof", "wall")
QUESTIONS = [
    {
        "question": f"How wide must the {thing} of the {room} be?",
        "answer": f"A {room} {thing} has {10 * place + number} cm of width.",
    }
    for place, room in enumerate(ROOMS)
    for number, thing in enumerate(THINGS)
]
"""48 questions with answers of their own."""
PAIRS = [
    {"prompt": line["question"], "chosen": line["answer"], "rejected": "Nobody knows about the " + line["question"][18:]}
    for line in QUESTIONS
]
_RECIPE = """kind: chat
sources:
  - {{type: local, path: {name}.jsonl, licence: own data}}
steps: []
split: {{validation: 8, test: 10}}
"""
SMALL = ["epochs=2", "batch_size=8", "max_length=32", "learning_rate=0.003"]
"""Settings under which the tiny encoder learns in seconds."""


def build_tiny_encoder(folder: Path, *, seed: int = 0, width: int = 32) -> Path:
    """A BERT of two small layers with random weights, and a tokenizer of the questions' words."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator([text for line in QUESTIONS for text in line.values()], vocab_size=300, show_progress=False)
    pieces.save(str(folder / "tokenizer.json"))
    tokenizer = BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=64)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_questions(folder: Path, name: str, lines: list[dict[str, Any]]) -> None:
    """A Dataset of lines in ``folder/workspace``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    (folder / f"{name}.yaml").write_text(_RECIPE.format(name=name), encoding="utf-8")
    assert call_studio("--workspace", folder / "workspace", "data", "build", folder / f"{name}.yaml") == 0


def train_arguments(folder: Path, preset: str, data: str, encoder: Path, *settings: str) -> list[object]:
    """The command line of a training."""
    changed = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    return ["--workspace", folder / "workspace", "train", preset, "--data", data, "--model", encoder, *changed]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder; read only."""
    return build_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="session")
def questions_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a workspace of two Datasets, ``rooms`` of questions and ``liked`` of preferences, that tests copy."""
    folder = tmp_path_factory.mktemp("questions")
    build_questions(folder, "rooms", QUESTIONS)
    build_questions(folder, "liked", PAIRS)
    return folder


@pytest.fixture
def questions(questions_made: Path, tmp_path: Path) -> Path:
    """A copy of the test's own."""
    return Path(shutil.copytree(questions_made, tmp_path / "questions"))
