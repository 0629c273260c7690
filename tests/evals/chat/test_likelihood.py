"""Perplexity: assistant tokens only, the same in any batch, equal to a naive loop."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from studio.evals.chat.likelihood import batches_by_length, score_rows
from studio.evals.chat.questions import question_from
from studio.evals.chat.subjects import LocalSubject
from studio.evals.evidence import Evidence
from studio.evals.metrics.perplexity import PERPLEXITY
from studio.evals.statistics import point
from studio.models.chat.encoding import EncodedRow, encode_conversation
from studio.models.chat.templates import ChatTemplate

CONVERSATIONS = [
    [{"role": "user", "content": "How high?"}, {"role": "assistant", "content": "One metre high."}],
    [
        {"role": "user", "content": "How wide must a door be in a building with a fire exit?"},
        {"role": "assistant", "content": "A door must be at least eighty centimetres wide."},
        {"role": "user", "content": "And a window?"},
        {"role": "assistant", "content": "There is no rule about that."},
    ],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Roof?"}, {"role": "assistant", "content": "Yes."}],
    *(
        [{"role": "user", "content": "stairs " * count}, {"role": "assistant", "content": "depth " * (17 - count)}]
        for count in range(1, 15)
    ),
]


def perplexity(subject: LocalSubject, batch_size: int) -> float:
    scored = subject.likelihoods(CONVERSATIONS, batch_size=batch_size, max_length=None)
    evidence = [
        Evidence(question_from(str(i), c), likelihood=s) for i, (c, s) in enumerate(zip(CONVERSATIONS, scored, strict=True))
    ]
    statistic = PERPLEXITY.measure(evidence)
    return point(statistic, statistic.scored)


def naive(subject: LocalSubject) -> float:
    """One row at a time, all logits, a loop over positions."""
    total, count = 0.0, 0
    for conversation in CONVERSATIONS:
        row = encode_conversation(subject.tokenizer, subject.template, conversation)
        with torch.inference_mode():
            logs = subject.model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
        for place in range(1, len(row.input_ids)):
            if row.trained[place]:
                total -= float(logs[place - 1, row.input_ids[place]])
                count += 1
    return math.exp(total / count)


def test_batch_1_and_16_and_a_naive_loop_agree(subject: LocalSubject) -> None:
    alone = perplexity(subject, 1)
    assert perplexity(subject, 16) == pytest.approx(alone, abs=1e-4)
    assert naive(subject) == pytest.approx(alone, abs=1e-4)


def test_prompts_do_not_count_and_every_assistant_turn_does(subject: LocalSubject) -> None:
    scored = subject.likelihoods(CONVERSATIONS[:2], batch_size=2, max_length=None)
    tokenizer = subject.tokenizer
    two_turns = [turn["content"] for turn in CONVERSATIONS[1] if turn["role"] == "assistant"]
    # Each turn's own tokens and its end token.
    assert scored[1].tokens == sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in two_turns)
    last_only = replace(subject, train_on="last_assistant").likelihoods(CONVERSATIONS[1:2], batch_size=1, max_length=None)
    assert 0 < last_only[0].tokens < scored[1].tokens


def test_rows_without_targets_have_no_likelihood_and_lower_coverage(subject: LocalSubject) -> None:
    unanswered = [{"role": "user", "content": "Hello?"}]
    cut_away = [{"role": "user", "content": "door " * 60}, {"role": "assistant", "content": "Yes."}]
    scored = subject.likelihoods([unanswered, cut_away, CONVERSATIONS[0]], batch_size=3, max_length=40)
    assert scored[0] is None and scored[1] is None and scored[2] is not None
    statistic = PERPLEXITY.measure([Evidence(question_from("x", []), likelihood=item) for item in scored])
    assert statistic.scored.tolist() == [False, False, True]
    assert point(statistic, statistic.scored) == pytest.approx(math.exp(scored[2].nll / scored[2].tokens))


def test_a_row_cut_by_the_limit_says_how_much(subject: LocalSubject) -> None:
    whole = subject.likelihoods(CONVERSATIONS[1:2], batch_size=1, max_length=None)[0]
    cut = subject.likelihoods(CONVERSATIONS[1:2], batch_size=1, max_length=80)[0]
    assert whole.cut == 0 and cut.cut > 0 and cut.tokens < whole.tokens


def test_a_template_that_refuses_a_row_lowers_coverage_instead_of_stopping(subject: LocalSubject) -> None:
    strict = ChatTemplate(
        "strict",
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + subject.template.text,
    )
    scored = replace(subject, template=strict).likelihoods(CONVERSATIONS[:3], batch_size=3, max_length=None)
    assert [item is None for item in scored] == [False, False, True]


def test_the_first_token_of_a_row_is_never_scored(subject: LocalSubject) -> None:
    row = EncodedRow([5, 6, 7], [True, True, True], [], 1, 3)
    assert score_rows(subject.model, [row], batch_size=1)[0].tokens == 2


def test_batches_keep_the_budget_of_logits() -> None:
    rows = [
        EncodedRow([1] * size, [False] * (size - answer) + [True] * answer, [], 1, size)
        for size, answer in [(10, 2), (30, 20), (28, 5), (12, 2), (11, 3)]
    ]
    batches = list(batches_by_length(rows, 4, max_positions=12))
    assert sorted(index for batch in batches for index in batch) == [0, 1, 2, 3, 4]
    assert batches[0] == [1]  # wider than the budget, so alone
    for batch in batches[1:]:
        assert max(sum(rows[index].trained) for index in batch) * len(batch) <= 12
