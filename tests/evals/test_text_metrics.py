"""Each metric against the library or the definition it comes from, and each corpus metric under resampling."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, TER

from studio.evals.chat.questions import question_from
from studio.evals.evidence import Answer, Evidence, Likelihood, Question
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric
from studio.evals.metrics.exact_match import normalize_answer
from studio.evals.metrics.translation import bleu_tokenizer
from studio.evals.statistics import Statistic, bootstrap_weights, point

PAIRS = [
    ("The guard rail must be one metre high.", "The guard rail of a balcony must be at least one metre high."),
    ("A door must be eighty centimetres wide.", "A door must be at least eighty centimetres wide."),
    ("", "In the building regulations."),
    ("I do not know, I do not know.", "The capital of France is Paris."),
    ("Ask the municipality; it decides.", "The municipality decides, on application."),
    ("The building regulations say so", "In the building regulations."),
]


def evidence(pairs: list[tuple[str | None, str | None]]) -> list[Evidence]:
    return [
        Evidence(
            Question(str(index), (), ({"role": "user", "content": "?"},), reference),
            Answer(answer, len(answer.split()), False) if answer is not None else None,
            reference_tokens=len(reference.split()) if reference is not None else None,
        )
        for index, (answer, reference) in enumerate(pairs)
    ]


def measure(name: str, pairs: list[tuple[str | None, str | None]]) -> Statistic:
    metric: Metric = METRICS.get(name)
    return metric.measure(evidence(pairs))


def value(name: str, pairs: list[tuple[str | None, str | None]]) -> float | None:
    statistic = measure(name, pairs)
    return point(statistic, statistic.scored)


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_is_complete(name: str) -> None:
    metric: Metric = METRICS.get(name)
    assert metric.key == name
    assert metric.better in {"higher", "lower", "neither"} and metric.needs in {"likelihood", "answers"}
    assert metric.unit and metric.explains.endswith(".") and metric.title
    assert metric.made_with()


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_bleu_and_chrf_equal_sacrebleus_command_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "answers.txt").write_text("".join(answer + "\n" for answer, _ in PAIRS))
    (tmp_path / "references.txt").write_text("".join(reference + "\n" for _, reference in PAIRS))
    command = [sys.executable, "-m", "sacrebleu", str(tmp_path / "references.txt"), "-i", str(tmp_path / "answers.txt")]
    out = subprocess.run([*command, "-m", name, "-w", "6", "-f", "text"], capture_output=True, text=True, check=True).stdout
    peer = float(re.search(r"= ([0-9.]+)", out).group(1))
    assert peer > 5
    assert value(name, PAIRS) == pytest.approx(peer, abs=1e-6)
    # The signature that the command prints, up to the version at its end.
    printed = (
        re.search(r"\|(nrefs\S+)\|version", out).group(1) if "|nrefs" in out else re.search(r"(nrefs\S+)\|version", out).group(1)
    )
    assert printed in METRICS.get(name).made_with()


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_equals_rouge_score_on_ascii(name: str) -> None:
    scorer = RougeScorer([name])
    expected = np.mean([scorer.score(reference, answer)[name].fmeasure for answer, reference in PAIRS])
    assert value(name, PAIRS) == pytest.approx(expected, abs=1e-12)


# Question by question: what should be said, and a good paraphrase.
CHINESE = [
    ("图书馆早上九点开门，晚上八点闭馆。", "图书馆每天早上九点开门，晚上八点关门。"),
    ("请在七天内联系客服办理退货，发票请保留。", "退货请在七天内联系客服，并保留发票。"),
    ("会员可以免费寄送。", "会员享受免费配送服务。"),
]
JAPANESE = [("図書館は朝九時に開館します。", "図書館は午前九時に開きます。")]
THAI = [("ห้องสมุดเปิดเวลาเก้าโมงเช้า", "ห้องสมุดเปิดเก้าโมง")]


def test_chinese_is_scored_as_sacrebleu_scores_chinese() -> None:
    answers, references = map(list, zip(*CHINESE, strict=True))
    assert 20 < value("bleu", CHINESE) == pytest.approx(BLEU(tokenize="zh").corpus_score(answers, [references]).score)
    asian = TER(normalized=True, asian_support=True)
    assert 60 > value("ter", CHINESE) == pytest.approx(asian.corpus_score(answers, [references]).score)
    same = [(reference, reference) for _, reference in CHINESE]
    assert value("bleu", same) == pytest.approx(100) and value("ter", same) == 0
    assert all(value(name, same) == 1 for name in ("rouge1", "rougeL", "token_f1"))
    # 13 letters in common of 15 and of 17, counted by hand.
    assert value("rouge1", CHINESE[:1]) == value("token_f1", CHINESE[:1]) == pytest.approx(2 * 13 / (15 + 17))
    assert "tok:zh|" in METRICS.get("bleu").for_texts(evidence(CHINESE)).made_with()
    assert "asian:yes" in METRICS.get("ter").for_texts(evidence(CHINESE)).made_with()
    assert value("distinct_1", [("开门开门", "x")]) == 0.5


@pytest.mark.parametrize("pairs", [JAPANESE, THAI])
def test_japanese_and_thai_are_scored_by_letters_where_no_words_are_at_hand(
    pairs: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.evals.metrics.translation.available", lambda _: False)
    answers, references = map(list, zip(*pairs, strict=True))
    assert 20 < value("bleu", pairs) == pytest.approx(BLEU(tokenize="char").corpus_score(answers, [references]).score)
    assert 0 < value("ter", pairs) < 60 and value("rouge1", pairs) > 0.5
    assert "tok:char|" in METRICS.get("bleu").for_texts(evidence(pairs)).made_with()
    assert "every letter a word" in METRICS.get("ter").for_texts(evidence(pairs)).made_with()


def test_japanese_words_are_mecabs_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.evals.metrics.translation.available", lambda _: True)
    assert [bleu_tokenizer(code) for code in ("ja", "zh", "th", "sv", "hi", None)] == [
        "ja-mecab",
        "zh",
        "char",
        "13a",
        "13a",
        "13a",
    ]


def test_signs_on_letters_make_no_words_and_accents_have_one_form() -> None:
    unrelated = [("पश्चिम में नदी बहती है", "पूर्व दिशा से सूरज निकला")]
    assert value("rouge1", unrelated) == value("token_f1", unrelated) == 0
    swedish = "Räcket på balkongen är högt."
    apart = [(unicodedata.normalize("NFD", swedish), swedish)]
    assert value("bleu", apart) == pytest.approx(100) and value("ter", apart) == 0
    assert value("chrf", apart) == pytest.approx(100)
    assert all(value(name, apart) == 1 for name in ("rougeL", "token_f1", "exact_match"))


def test_references_without_words_say_so_instead_of_zero() -> None:
    assert value("rouge1", [("🙂", "🙂")]) is None
    assert "no reference holds a word" in METRICS.get("rouge1").for_texts(evidence([("🙂", "🙂")])).missing


def test_rouge_reads_letters_that_rouge_score_cuts_words_at() -> None:
    pair = [("Räcket är högt.", "Räcken är höga.")]
    # Words in common: "är" only; rouge-score's own tokenizer sees r, cket, r, h, gt and finds three.
    assert value("rouge1", pair) == pytest.approx(1 / 3)
    assert RougeScorer(["rouge1"]).score(pair[0][1], pair[0][0])["rouge1"].fmeasure > 0.5
    assert value("rouge1", [("Καλημέρα κόσμε", "καλημέρα κόσμε")]) == 1.0


def test_exact_match_normalises_as_squad_does() -> None:
    assert normalize_answer("The  Cat's, a hat!") == "cats hat"
    assert value("exact_match_squad", [("The door.", "door"), ("a Door", "the door!"), ("", "door"), ("", "")]) == 0.75


def test_exact_match_keeps_what_means_something() -> None:
    same = [
        ("“Yes”", "Yes"), ("你好。", "你好"), ("ＡＢＣ", "abc"), ("−5", "-5"), ("a\u0308pple", "äpple"), ("’Tis", "'tis"),
        ("The door.", "the  door"), ("「はい」", "はい"), ("", ""), ("...", "..."),
    ]  # fmt: skip
    other = [
        ("-5", "5"), ("3.5", "35"), ("C++", "C"), ("the", "a"), ("Voy a casa", "Voy casa"), ("10²", "102"), ("(5)", "5"),
        (".5", "5"), ("?", "!"), ("5%", "5"), ("", "door"),
    ]  # fmt: skip
    assert [pair for pair in same if value("exact_match", [pair]) != 1] == []
    assert [pair for pair in other if value("exact_match", [pair]) != 0] == []


def test_an_empty_answer_is_an_answer_and_a_missing_one_is_not() -> None:
    pairs = [("", "The door."), (None, "The door."), ("The door.", None), ("The door.", "The door.")]
    for name in ("bleu", "chrf", "rouge1", "rougeL", "exact_match", "length_ratio"):
        assert measure(name, pairs).scored.tolist() == [True, False, False, True], name
    for name in ("length", "truncated", "distinct_1"):
        assert measure(name, pairs).scored.tolist() == [True, False, True, True], name
    assert value("rouge1", pairs) == 0.5
    assert value("rouge1", [(None, "The door.")]) is None


def test_lengths() -> None:
    pairs = [("one two three", "one two"), ("", "a b c d"), ("one", "one two three four")]
    assert value("length", pairs) == pytest.approx(4 / 3)
    assert value("length_ratio", pairs) == pytest.approx(4 / 10)  # of the sums, not the mean of 1.5, 0 and 0.25
    cut = [Evidence(item.question, Answer("x", 1, index == 0)) for index, item in enumerate(evidence(pairs))]
    statistic = METRICS.get("truncated").measure(cut)
    assert point(statistic, statistic.scored) == pytest.approx(1 / 3)


def test_distinct_counts_ngrams_over_all_answers() -> None:
    pairs = [("the door the door", "x"), ("the window", "x"), ("", "x")]
    assert value("distinct_1", pairs) == pytest.approx(3 / 6)
    assert value("distinct_2", pairs) == pytest.approx(3 / 4)  # the door, door the, the window of four
    assert value("distinct_1", [("", "x")]) is None


def test_perplexity_is_of_the_sums() -> None:
    items = [
        Evidence(question_from("a", []), likelihood=Likelihood(2.0, 1)),
        Evidence(question_from("b", []), likelihood=Likelihood(1.0, 9)),
    ]
    statistic = METRICS.get("perplexity").measure(items)
    assert point(statistic, statistic.scored) == pytest.approx(np.exp(3.0 / 10))
    assert statistic.each == pytest.approx([np.exp(2.0), np.exp(1 / 9)])


def test_a_hopeless_model_has_a_perplexity_that_cannot_be_written_not_a_crash() -> None:
    statistic = METRICS.get("perplexity").measure([Evidence(question_from("a", []), likelihood=Likelihood(5000.0, 2))])
    assert point(statistic, statistic.scored) is None


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge2", "distinct_2", "length_ratio", "exact_match"])
def test_a_resample_is_the_metric_of_the_examples_drawn(name: str) -> None:
    """The heart of the bootstrap: weights give what measuring the drawn examples anew gives."""
    statistic = measure(name, PAIRS)
    weights = bootstrap_weights(statistic.scored, 40, seed=3)
    values = statistic.at(weights)
    for row, resampled in zip(weights, values, strict=True):
        drawn = [pair for pair, count in zip(PAIRS, row.astype(int), strict=True) for _ in range(count)]
        expected = value(name, drawn)
        if expected is None:
            assert np.isnan(resampled)
        else:
            assert resampled == pytest.approx(expected, abs=1e-9)
    if name in {"bleu", "chrf"}:
        each = np.array(statistic.each)
        assert not np.allclose(values, weights @ each / weights.sum(axis=1), rtol=0.01), "averages sentence scores"
