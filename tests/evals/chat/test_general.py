"""What was forgotten: answers that are told right by rule, perplexities that equal transformers' own, and a gate that fails."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from studio.core.errors import ConfigError
from studio.evals.chat.tasks.general import is_right
from studio.evals.runner import evaluate_run
from studio.evals.suites import load_suite
from studio.schema.general import GeneralQuestion, GeneralTask

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

FAST = ("resamples=100", "generation.max_new_tokens=8")


@pytest.mark.parametrize(
    ("check", "answer", "text", "right"),
    [
        ("says", ["Paris"], "The capital is paris.", 1.0),
        ("says", ["ice"], "Nice!", 0.0),
        ("says", ["H2O", "H₂O"], "It is H₂O", 1.0),
        ("says", ["Paris"], "", 0.0),
        ("number", "12", "7 + 5 = 12.", 1.0),
        ("number", 1200, "That is 1,200", 1.0),
        ("number", "12", "12 is 7 + 5", 0.0),
        ("number", "12", "twelve", 0.0),
        ("matches", "(?i)yes[.!]?", " Yes.\n", 1.0),
        ("matches", "(?i)yes[.!]?", "Yes, because it is cold.", 0.0),
        ("says", ["Paris"], None, None),
    ],
)
def test_an_answer_is_told_right_by_its_check(check, answer, text, right) -> None:
    assert is_right(GeneralQuestion(ask="?", answer=answer, check=check), text) == right


def test_the_shipped_suite_tells_right_answers_from_others() -> None:
    (task,) = load_suite("general").tasks
    assert isinstance(task, GeneralTask) and len(task.questions) == 48 and len(task.texts) == 16
    for item in task.questions:
        assert is_right(item, "I have no idea, sorry; ask again") == 0.0, item.ask
        if item.check != "matches":
            assert is_right(item, f"The answer is {item.answer[0]}.") == 1.0, item.ask
    assert len({item.ask for item in task.questions}) == 48 and all(30 < len(text.split()) < 80 for text in task.texts)


def test_a_run_is_held_against_its_base(tiny: Tiny) -> None:
    folder, record = evaluate_run(tiny.run, load_suite("general", FAST))
    assert [score.metric.partition(".")[2] for score in record.scores["tuned"]] == [
        "correct",
        "answer_perplexity",
        "text_perplexity",
    ]
    assert {item.metric.partition(".")[2] for item in record.differences} == {"correct", "answer_perplexity", "text_perplexity"}
    assert all(score.low is not None for score in record.scores["tuned"][1:])
    page = (folder / "report.html").read_text()
    assert "Perplexity of plain texts" in page and "nor what the model forgot" not in page


def test_text_perplexity_is_that_of_transformers(tiny: Tiny, lively_base, tmp_path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = ["The door is red.", "A roof is above the wall, and a wall is under the roof."]
    path = tmp_path / "own.yaml"
    task = {"type": "general", "questions": [{"ask": "Why?", "answer": "So."}], "texts": texts}
    path.write_text(f"name: own\ndtype: float32\ntasks:\n  - {json.dumps(task)}\n")
    _, record = evaluate_run(tiny.run, load_suite(path, ("resamples=100", "generation.max_new_tokens=4")))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(lively_base), AutoTokenizer.from_pretrained(lively_base)
    total = count = 0.0
    for text in texts:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.no_grad():
            total += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    base = next(score.value for score in record.scores["base"] if score.metric == "general.text_perplexity")
    assert base == pytest.approx(math.exp(total / count), rel=1e-4)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"ask": "a?", "answer": "many", "check": "number"}, "needs a number as answer"),
        ({"ask": "a?", "answer": "(", "check": "matches"}, "is no regular expression"),
    ],
)
def test_an_answer_that_no_check_can_read_is_refused(question, said, tmp_path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\ntasks:\n  - {json.dumps({'type': 'general', 'questions': [question]})}\n")
    with pytest.raises(ConfigError, match=said):
        load_suite(path)


def test_questions_of_the_suite_are_found_in_a_corpus(tmp_path) -> None:
    from studio.core.workspace import Workspace
    from studio.data.chat.suite_texts import find_suite
    from studio.data.memo import HashMemo

    found, _ = find_suite("general", Workspace(tmp_path), tmp_path, HashMemo(tmp_path / "memo.json"))
    assert len(found[0].lines) == 64 and ("general.questions.0", "What is the capital of France?") in found[0].lines
