"""Labels and numbers read off cells and answers: each right, or None; none is guessed."""

from __future__ import annotations

import pytest

from studio.evals.label_reading import free_label, strict_label
from studio.language.number_reading import free_number, strict_number

SPAM, MOOD, LETTERS = ("spam", "ham"), ("positive", "negative"), ("A", "B", "C", "D")

ANSWERS: list[tuple[tuple[str, ...], dict[str, str | None]]] = [
    (SPAM, {
        "SPAM!": "spam", "**Spam**": "spam", "I think this is spam.": "spam", "It is ham, not spam": "ham",
        "Not spam but ham": "ham",
        "The answer is **ham**.": "ham", "About spam filters.\n\nAnswer: ham": "ham",
        "Spam\n\nNot ham, as it asks for money.": "spam",
        "rather than ham, spam": "spam", "This is not spam.": None, "It is not, in my view, spam.": None, "Spam, no": None,
        "Spam: no": None, "Is it spam? No.": None, "spam or ham": None, "spam-like": None,
        "If it were spam, I would say so": None,
        "There is nothing that suggests spam": None, "It isn’t spam": None, "I doubt it is spam": None,
        "Das ist kein Spam": None,
        "Det är inte spam": None, "C'est pas du spam": None, "No es spam": None, "": None, "Spammer": None,
    }),
    (MOOD, {
        "There is nothing negative here, so positive": "positive", "$\\text{positive}$": "positive",
        "\\boxed{negative}": "negative",
        "Sentiment：positive": "positive", "Positive – definitely": "positive", "Not positive": None, "not only positive": None,
        "Neither positive nor negative": None, "anything but positive": None,
    }),
    (("toxic", "neutral"), {"Toxic.": "toxic", "Non-toxic": None, "not toxic": None, "toxic-free": None}),
    (("toxic", "non-toxic"), {"Non-toxic": "non-toxic", "It is non-toxic.": "non-toxic", "not toxic": None}),
    (("entailment", "not_entailment"), {
        "not entailment": "not_entailment", "Not-Entailment.": "not_entailment",
        "The relation is not entailment.": "not_entailment",
        "entailment": "entailment", "It does not show entailment": None,
    }),
    (("guilty", "not guilty", "unknown"), {
        " Guilty. ": "guilty", "I say: not guilty!": "not guilty", "**unknown**": "unknown", "guilty or unknown": None,
        "guiltyish": None,
    }),
    (LETTERS, {
        "(A)": "A", "a": "A", "A) dog": "A", "**B**": "B", "$B$": "B", "The answer is (c)": "C", "I choose B.": "B",
        "Option D is right": "D", "Answer: D. because": "D", "\\boxed{C}": "C", "It is a dog.": None, "A dog barks": None,
        "Vitamin A is good.": None, "Plan B.": None, "A or B": None, "not A": None,
    }),
    (("yes", "no"), {
        "No.": "no", "Yes, of course": "yes", "No, it isn't.": "no", "The answer is no.": "no", "There is no doubt.": None,
        "No one knows": None, "I have no idea": None, "Yes and no": None, "It is not a yes": None,
    }),
    (("正面", "负面"), {
        "这条评论是正面的": "正面", "负面。": "负面", "情感：负面": "负面", "不是负面，而是正面的": "正面",
        "这条评论不是正面的": None,
        "公司正面临困难": None, "正面评价和负面评价": None,
    }),
    (("肯定的", "否定的"), {"このレビューは肯定的です": "肯定的", "肯定的ではない": None}),
    (("긍정", "부정"), {"긍정적입니다": "긍정", "부정적이지 않습니다": None, "부정확합니다": None}),
    (("1", "2", "3", "4", "5"), {
        "4.0": "4", "Rating: 3 stars": "3", "I'd rate it 4.": "4", "４": "4", "2.5": None, "4/5": None,
        "5 people liked it": None,
        "There is 1 dog": None, "-1": None, "1 or 2": None, "2.5.1": None, "not 1": None, "10": None,
    }),
    (("C++", "C", "C#"), {"It is C++.": "C++", "C": "C"}),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "answers"), ANSWERS, ids=lambda value: "/".join(value) if isinstance(value, tuple) else "")
def test_free_answers_are_read_right_or_not_at_all(labels: tuple[str, ...], answers: dict[str, str | None]) -> None:
    assert {text: free_label(text, labels) for text in answers} == answers


def test_a_column_of_labels_is_compared_and_not_searched() -> None:
    read = {
        ("0.0", ("0", "1")): "0", ("1.0", ("0", "1")): "1", ("1e0", ("0", "1")): "1", ("１", ("0", "1")): "1",
        ("−1", ("-1", "1")): "-1",
        ("1", ("1.0", "0.0")): "1.0", ("Spam ", SPAM): "spam", ("1", ("01", "1")): "1", ("1.0", ("01", "1")): None,
        ("not spam", SPAM): None, ("spam.", SPAM): None, ("True", ("0", "1")): None, ("", ("0", "1")): None,
        ("2", ("0", "1")): None,
    }  # fmt: skip
    assert {case: strict_label(*case) for case in read} == read
    assert strict_label(None, SPAM) is free_label(None, SPAM) is None


def test_numbers_in_cells() -> None:
    """As read without a decimal sign, with the comma, with the point."""
    read: dict[str, tuple[float | None, float | None, float | None]] = {
        "5": (5, 5, 5), "−5": (-5, -5, -5), "–5": (-5, -5, -5), ".5": (0.5, None, 0.5), "-.5": (-0.5, None, -0.5),
        "2.5.1": (None, None, None), "12,500": (None, 12.5, 12500), "12.500": (12.5, 12500, 12.5), "3,5": (3.5, 3.5, None),
        "0,500": (0.5, 0.5, None), "1,200,000": (1.2e6, None, 1.2e6), "1.200.000": (1.2e6, 1.2e6, None),
        "1,23,456": (None, None, None),
        "1,234.5": (1234.5, None, 1234.5), "1.234,5": (1234.5, 1234.5, None), "12 500": (12500, 12500, 12500),
        "12\u00a0500,5": (12500.5, 12500.5, None), "1'200": (1200, 1200, 1200), "1e3": (1000, 1000, 1000),
        "٣٫٥": (3.5, None, 3.5),
        "minus 5": (-5, -5, -5), "5 kg": (None, None, None), "5%": (None, None, None), "- 5": (None, None, None),
        "nan": (None, None, None), "1e999": (None, None, None), "": (None, None, None),
    }  # fmt: skip
    assert {text: (strict_number(text), strict_number(text, ","), strict_number(text, ".")) for text in read} == read


def test_numbers_in_answers() -> None:
    read = {
        "12": 12, "about -3.5 m": -3.5, "1,200.50 kr": 1200.5, "2 or 3": None, "none": None, "1e3": 1000, "m2": None, "4. 4": 4,
        "It is −5.": -5, "(–5)": -5, "Answer: - 5": None, "minus 5 degrees": -5, "零下5度": -5, "答案是5个": 5, "**7**": 7,
        "$5$": 5,
        "1.5 million": None, "1/2": None, "10²": None, "5kg": None, "4th of 5": None, "not 5": None, "It's not 5 but 7": 7,
        "12 500 kr": None, "1,200 kr": None, "The price is 3,5": 3.5, "3-5": None, "v2.0": None, "2.5.1": None,
    }  # fmt: skip
    assert {text: free_number(text) for text in read} == read
    assert (free_number("12 500,5 kr", ","), free_number("1,200 kr", "."), free_number(None)) == (12500.5, 1200, None)
