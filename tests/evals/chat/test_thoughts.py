"""Thoughts are no part of what is scored, whoever writes them and whatever scores them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from studio.data.chat.rows import ChatRow
from studio.evals.chat.likelihood import likelihood_of
from studio.evals.chat.questions import question_from
from studio.evals.evidence import Answer, Evidence, Question, scored_text
from studio.evals.metrics.perplexity import PERPLEXITY
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.suites import load_suite
from studio.evals.targets import find_model
from studio.models.chat.encoding import EncodedRow
from tests.evals.chat.tools import TEMPLATE, set_template, write_what_is_said
from tests.evals.conftest import write_dataset
from tests.servers import OpenAIServer, serving

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject
    from tests.evals.conftest import Tiny

OPENING = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: <think>\\n' }}{% endif %}"
)
ROWS = [
    ChatRow(name, [{"role": "user", "content": f"{name}?"}, {"role": "assistant", "content": answer}], "tiny")
    for name, answer in (("Red", "yes"), ("Blue", "no"), ("Green", "yes"), ("Pink", "no"))
]
SAID: dict[str, str | tuple[str, bool]] = {
    "Red": "<think>\nIs it no? Blue is no.\n</think>\n\nyes",
    "Blue": "no",
    "Green": ("<think>\nLet me see, yes or", True),
    "Pink": "<think>\n\n</think>\n\nno",
}


@pytest.fixture
def thinking(tiny: Tiny) -> Path:
    """The folder of a Dataset of short answers; the tiny run gets a template that knows thoughts."""
    set_template(tiny.run, TEMPLATE)
    return write_dataset(tiny.workspace, "colours", {"train": [], "test": ROWS})


def scores_of(record: Any) -> dict[str, tuple[float | None, int]]:
    return {score.metric.rpartition(".")[2]: (score.value, score.n) for score in record.scores["tuned"]}


def test_only_what_is_said_after_a_thought_is_scored(tiny: Tiny, thinking: Path, lively_base: Path, monkeypatch: Any) -> None:
    write_what_is_said(monkeypatch, lively_base, SAID)
    suite = load_suite("chatbot", ("metrics=[exact_match,rougeL,length,truncated]", "thresholds=[]", "resamples=100"))
    folder, record = evaluate_run(tiny.run, suite, data=thinking, baseline="none", cached=False)
    found = scores_of(record)
    # Green never got beyond its thought: it has no answer, and it was stopped by the limit.
    assert found["exact_match"] == found["rougeL"] == (1.0, 3)
    assert found["truncated"] == (0.25, 4) and found["length"][0] < 3
    warnings = " ".join(record.settings["warnings"])
    assert "3 of 4 answers have a thought" in warnings
    assert "1 of 4 answers are nothing but a thought, 1 of them cut off at 128 tokens" in warnings
    assert "generation.max_new_tokens=512" in warnings
    table = pd.read_parquet(folder / "examples.parquet").set_index("id")
    assert table.loc["Red", "tuned_answer"] == "yes" and table.loc["Red", "tuned_thought"] == "Is it no? Blue is no."
    assert pd.isna(table.loc["Green", "tuned_answer"])
    page = (folder / "report.html").read_text()
    assert "thought before it, not scored" in page and "nothing but a thought: no answer" in page


def test_labels_are_not_read_off_thoughts(
    tiny: Tiny, thinking: Path, lively_base: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    write_what_is_said(monkeypatch, lively_base, SAID)
    (tmp_path / "labels.yaml").write_text("name: labels\nresamples: 100\ntasks:\n  - type: classification\n")
    _, record = evaluate_run(tiny.run, load_suite(str(tmp_path / "labels.yaml")), data=thinking, baseline="none", cached=False)
    found = scores_of(record)
    assert found["accuracy"][0] == 0.75 and found["unparsed"][0] == 0.25
    assert "nothing but a thought" in " ".join(record.settings["warnings"])


def test_a_thought_that_the_prompt_opens(subject: LocalSubject, monkeypatch: Any, lively_base: Path) -> None:
    from dataclasses import replace

    from studio.evals.evidence import Decoding
    from studio.models.chat.templates import ChatTemplate

    asked = [row.messages[:1] for row in ROWS[:3]]
    script = {"Red": "Red is warm.\n</think>\n\nyes", "Blue": ("Is blue", True), "Green": "</think>\n\nyes"}
    write_what_is_said(monkeypatch, lively_base, script)
    opening = replace(subject, template=ChatTemplate("opens", OPENING))
    red, blue, green = opening.answers(asked, Decoding(8), batch_size=4)
    assert (red.text, red.thought, red.only_thought) == ("yes", "Red is warm.", False)
    assert (blue.text, blue.thought, blue.only_thought, scored_text(blue)) == ("", "Is blue", True, None)
    assert (green.text, green.thought) == ("yes", "")


def test_json_is_an_answer_where_no_tool_is_offered(tiny: Tiny, thinking: Path, lively_base: Path, monkeypatch: Any) -> None:
    said = '<tool_call>\n{"name": "Red", "arguments": {}}\n</tool_call>'
    write_what_is_said(monkeypatch, lively_base, dict.fromkeys(SAID, said))
    suite = load_suite("chatbot", ("metrics=[exact_match]", "thresholds=[]", "compare_by=exact_match", "resamples=100"))
    folder, _ = evaluate_run(tiny.run, suite, data=thinking, baseline="none", cached=False)
    table = pd.read_parquet(folder / "examples.parquet")
    assert "tuned_calls" not in table and set(table["tuned_answer"]) == {said}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", None])
def test_the_thoughts_of_a_server(field: str | None, tiny: Tiny, thinking: Path) -> None:
    class Thinker(OpenAIServer):
        def models(self) -> list[dict[str, Any]]:
            return [{"id": "thinker"}]

        def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            asked = body["messages"][-1]["content"]
            truth = next(row.messages[1]["content"] for row in ROWS if row.messages[0]["content"] == asked)
            cut = asked == "Green?"
            message = {"content": "" if cut else truth, field: "Hm"} if field else {"content": f"<think>Hm</think>{truth}"}
            if cut and not field:
                message = {"content": "<think>Hm"}
            return {"choices": [{"message": message, "finish_reason": "length" if cut else "stop"}], "usage": {}}

    suite = load_suite("chatbot", ("metrics=[exact_match,truncated]", "thresholds=[]", "compare_by=exact_match", "resamples=100"))
    with serving(Thinker()) as server:
        target = find_model(f"{server.url}/v1#thinker", tiny.workspace)
        _, record = evaluate_model(target, suite, workspace=tiny.workspace, data=thinking)
    assert scores_of(record) == {"exact_match": (1.0, 3), "truncated": (0.25, 4)}
    assert "1 of 4 answers are nothing but a thought" in " ".join(record.settings["warnings"])


def test_a_reference_is_compared_without_its_thought() -> None:
    asked = {"role": "user", "content": "?"}
    for turn in ({"content": "<think>\nHm\n</think>\n\nNo."}, {"content": "No.", "reasoning_content": "Hm"}):
        assert question_from("1", [asked, {"role": "assistant", **turn}]).reference == "No."
    # A turn that is not to be imitated is no reference.
    bad = {"role": "assistant", "content": "Bad.", "weight": 0}
    assert question_from("1", [asked, {"role": "assistant", "content": "Good."}, asked, bad]).reference == "Good."
    assert question_from("1", [asked, bad]).reference is None


def test_an_empty_answer_is_still_an_answer() -> None:
    assert scored_text(Answer("", 0, False)) == "" and scored_text(Answer("", 0, False, "")) == ""
    assert scored_text(Answer("", 1, True, "")) is None and scored_text(None) is None


def test_weights_count_in_perplexity_as_in_the_loss() -> None:
    ids = [5, 6, 7, 8, 9]
    losses = [1.0, 2.0, 4.0]
    trained = [False, False, True, True, True]
    weighted = EncodedRow(ids, trained, [4], 2, 5, [1.0, 1.0, 0.5, 0.5, 1.0])
    plain = EncodedRow(ids, trained, [4], 2, 5)
    first, second = likelihood_of(weighted, losses), likelihood_of(plain, losses)
    assert first is not None and second is not None
    assert (first.nll, first.tokens, first.mass) == (5.5, 3, 2.0) and (second.nll, second.mass) == (7.0, 3.0)
    question = Question("1", (), (), None)
    statistic = PERPLEXITY.measure([Evidence(question, None, first), Evidence(question, None, second)])
    import numpy as np

    assert float(statistic.at(np.ones((1, 2)))[0]) == pytest.approx(np.exp((5.5 + 7.0) / (2.0 + 3.0)))


def test_a_weight_in_a_row_reaches_its_likelihood(subject: LocalSubject) -> None:
    turns = [{"role": "user", "content": "How wide?"}, {"role": "assistant", "content": "Two metres."}]
    second = [{"role": "user", "content": "How high?"}, {"role": "assistant", "content": "Three metres.", "weight": 0.25}]
    whole, part, both = subject.likelihoods(
        [turns + second, [*turns, second[0], {**second[1], "weight": 0}], [*turns, second[0], {**second[1], "weight": 1}]],
        batch_size=4,
        max_length=None,
    )
    assert whole.nll == pytest.approx(part.nll + 0.25 * (both.nll - part.nll), rel=1e-5)
    assert whole.mass == pytest.approx(part.mass + 0.25 * (both.mass - part.mass)) and whole.tokens == both.tokens
