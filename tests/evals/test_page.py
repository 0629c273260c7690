"""The report page: self-contained, safe, and saying what the records say."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from studio.core.records import Difference, GroupScores, Score, TaskRecord
from studio.evals.charts import bars, difference_picture, scale_of
from studio.evals.chat.questions import question_from
from studio.evals.chat.showing import example_table
from studio.evals.chat.tasks.conversation import _cards, _limits, choose_comparison
from studio.evals.evidence import Answer, Evidence, Likelihood
from studio.evals.numbers import interval_text, number
from studio.evals.page import render_page
from studio.evals.runner import assemble
from studio.evals.scoring import difference, most_changed, score
from studio.evals.suites import load_suite, metric
from studio.evals.targets import Target
from studio.evals.task import Card, CardGroup, Part, TaskResult

NASTY = "<script>alert('x')</script> & <img src=http://example.com/x.png>"


def page(*overrides: str, with_base: bool = True) -> str:
    suite = load_suite("chatbot", overrides)
    (task,) = suite.all_tasks()
    metrics = [metric(name) for name in suite.metrics]
    questions = [
        question_from(
            f"q{i}",
            [{"role": "user", "content": f"Question {i} {NASTY}"}, {"role": "assistant", "content": f"answer {i} is yes"}],
        )
        for i in range(6)
    ]
    texts = {
        "tuned": ["answer 0 is yes", "answer 1 is yes", "", "no", "answer 4 is yes", NASTY],
        "base": ["maybe", "who knows", "answer 2 is yes", "no", "answer 4", "answer 5 is yes"],
    }
    labels = ("tuned", "base") if with_base else ("tuned",)
    evidence = {
        label: [
            Evidence(q, Answer(t, len(t.split()), False), Likelihood(3.0 + i, 4), 4)
            for i, (q, t) in enumerate(zip(questions, texts[label], strict=True))
        ]
        for label in labels
    }
    measured = {label: {m.key: m.measure(items) for m in metrics} for label, items in evidence.items()}
    compared = [
        difference(m, measured["tuned"][m.key], measured["base"][m.key], resamples=200, seed=0) for m in metrics if with_base
    ]
    lines = example_table(evidence, measured)
    result = TaskResult(
        scores={label: [score(m, values[m.key], resamples=200, seed=0) for m in metrics] for label, values in measured.items()},
        differences=compared,
        notes=["6 of 6 rows WERE TRAINED ON."],
        limits=_limits(metrics, 6),
        cards=_cards(lines, choose_comparison(task, metrics), task.examples_shown, with_base),
        data={"name": "faq", "fingerprint": "f0", "split": "test", "rows": 6, "rows_in_split": 6},
        rows=6,
    )
    about = {"name": "<b>run</b>", "kind": "run", "base_sha256": None, "template_sha256": "cd" * 32, "seconds": {"answers": 1.0}}
    task_record = TaskRecord(name=task.key, type=task.type, title="Answers", rows=6, notes=result.notes, limits=result.limits)
    record = assemble(
        suite, [(task_record, result)], {label: dict(about) for label in labels}, {label: Target(label) for label in labels}
    )
    return render_page(record, {task.key: result.cards}, suite)


class Links(HTMLParser):
    """Everything a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.fetched.append(tag)
        self.fetched += [f"{name}={value}" for name, value in attrs if name in {"src", "href"} or name.startswith("on")]


def test_the_page_fetches_and_runs_nothing_even_when_models_write_html() -> None:
    text = page()
    links = Links()
    links.feed(text)
    assert links.fetched == []
    assert "url(" not in text and "@import" not in text
    assert "&lt;script&gt;" in text and "&lt;b&gt;run&lt;/b&gt;" in text


def test_the_summary_counts_verdicts_and_the_warning_is_seen() -> None:
    text = page()
    assert "No difference shown on" in text and "6 of 6 rows WERE TRAINED ON." in text
    assert text.index("WERE TRAINED ON") < text.index("<h2>Scores")
    for heading in (
        "Scores",
        "Differences with 95% intervals",
        "Examples",
        "How each number was made",
        "What this does not show",
    ):
        assert f"<h2>{heading}</h2>" in text
    assert "sacrebleu" in text and "nrefs:1" in text and "studentised from" in text and "McNemar" in text


def test_examples_are_the_most_changed_and_an_empty_answer_is_shown_as_one() -> None:
    text = page("examples_shown=2")
    text, _, worst = text.partition("Worst answers, by ROUGE-L")
    assert re.findall(r'<div class="soft">(q\d)</div>', worst) == ["q2", "q3"]
    improved, worsened = text.index("Most improved, by ROUGE-L"), text.index("Most worsened, by ROUGE-L")
    ids = re.findall(r'<div class="soft">(q\d)</div>', text)
    assert ids == ["q0", "q1", "q2", "q5"] and improved < worsened
    assert "an empty answer" in text[worsened:]


def test_lower_is_better_turns_the_ranking_round() -> None:
    lines = [
        {"tuned_perplexity": 4.0, "base_perplexity": 8.0},
        {"tuned_perplexity": 9.0, "base_perplexity": 3.0},
        {"tuned_perplexity": None, "base_perplexity": 3.0},
    ]
    assert most_changed(lines, metric("perplexity"), 5) == ([0], [1])


def test_without_a_base_there_is_no_comparison() -> None:
    text = page(with_base=False)
    assert "Differences" not in text and "Worst answers, by ROUGE-L" in text and "nothing to compare it with" in text
    # A threshold that needs the base is not met by its absence.
    assert "Gate not met: 2 of 2 thresholds." in text


@pytest.mark.parametrize(("better", "right"), [("higher", True), ("lower", False)])
def test_the_plot_puts_better_on_the_right(better: str, right: bool) -> None:
    item = Difference(metric="m", value=2.0, low=1.0, high=4.0, n=9, method="", verdict="better" if right else "worse")
    place = float(re.search(r'cx="([0-9.]+)"', difference_picture(item, better)).group(1))
    assert (place > 160) is right and place == pytest.approx(160 + (74 if right else -74))
    assert difference_picture(item.model_copy(update={"low": None}), better) == ""


def test_numbers_for_people() -> None:
    assert [number(value) for value in (None, 0.0, 0.1234, 1.234, 12.34, 123.4, -0.5)] == [
        "–",
        "0",
        "0.123",
        "1.23",
        "12.3",
        "123",
        "−0.500",
    ]
    assert number(0.5, signed=True) == "+0.500" and number(1234567.0) == "1,234,567"
    assert interval_text(None, 1.0) == "–" and interval_text(-1.0, 2.0, signed=True) == "−1.00 to +2.00"


def several(*, missing: str | None = None) -> str:
    """A page of two tasks: one with an ideal value and groups, one that was not computed."""
    suite = load_suite("bias", ("thresholds=[]",))

    def value(name: str, found: float | None, **more) -> Score:
        return Score(
            metric=name,
            value=found,
            unit="share",
            better="neither",
            n=50,
            low=0.3,
            high=0.8,
            made_with="by hand",
            ideal=0.5,
            **more,
        )

    result = TaskResult(
        scores={
            label: [value("pct", found, title="Share of stereotypes")] for label, found in (("tuned", 0.6), ("base", 0.7))
        },
        differences=[
            Difference(metric="pct", value=-0.1, low=-0.2, high=-0.01, n=50, method="by hand", verdict="better", p=0.001,
                       distance=-0.1, distance_low=-0.2, distance_high=-0.01)
        ],
        groups=[
            GroupScores(title="By type", unit="share", ideal=0.5, scores={
                label: [value("age", 0.4), value(NASTY, None, note="small group", reason="none")] for label in ("tuned", "base")})
        ],
        cards=[CardGroup("Pairs", [Card("p1", [Part("sentence", NASTY)], [Part("base", "x"), Part("tuned", None)])])],
        rows=50,
    )  # fmt: skip
    first = TaskRecord(name="crows", type="crows_pairs", title="CrowS-Pairs", rows=50, limits=["The authors warn."])
    second = TaskRecord(name="bbq", type="bbq", title="BBQ", reason="The files are not here. Put them into benchmarks/bbq.")
    empty = TaskResult(scores={label: [value("acc", None, reason="not here")] for label in ("tuned", "base")})
    record = assemble(suite, [(first, result), (second, empty)], {}, {label: Target(label) for label in ("tuned", "base")})
    assert [score.metric for score in record.scores["tuned"]] == ["crows.pct", "bbq.acc"]
    return render_page(record, {"crows": result.cards}, suite)


def test_a_page_of_several_tasks_shows_groups_ideals_and_what_is_missing() -> None:
    text = several()
    links = Links()
    links.feed(text)
    assert [item for item in links.fetched if not item.startswith("href=#")] == []
    assert "Not computed." in text and text.count("Put them into benchmarks/bbq.") >= 2
    assert "BBQ: not computed." in text and "Better than the base: CrowS-Pairs (Share of stereotypes)." in text
    assert 'class="ideal"' in text and "small group" in text and "from the ideal" in text
    assert "The authors warn." in text and "Not measured here:" in text and "<details>" in text
    assert "<script>" not in text


def test_bars_share_a_scale_that_holds_zero_the_ideal_and_every_interval() -> None:
    scores = [Score(metric="a", value=0.4, unit="", better="higher", n=9, low=0.2, high=0.9, made_with="")]
    assert scale_of(scores, 0.5) == (0.0, 0.9)
    assert scale_of(scores, 1.5) == (0.0, 1.5)
    assert scale_of([], None) == (0.0, 1.0)
    negative = Score(metric="b", value=-0.5, unit="", better="higher", n=9, made_with="")
    picture = bars({"tuned": negative, "base": scores[0]}, (-0.5, 0.9))
    assert picture.count("<rect") == 2 and picture.count("whisker") == 1
    widths = [float(item) for item in re.findall(r'width="([0-9.]+)"', picture)]
    assert widths[0] == pytest.approx(312 * 0.5 / 1.4, abs=0.1) and widths[1] == pytest.approx(312 * 0.4 / 1.4, abs=0.1)
    assert "not computed" in bars({"tuned": negative.model_copy(update={"value": None})}, (0.0, 1.0))
