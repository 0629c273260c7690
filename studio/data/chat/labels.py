"""Labels with which questions and answers are written out in texts: ``Q1:``, ``**Frage:**``, ``## Answer``, ``问：``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

QUESTION_WORDS = (
    "question", "frage", "pregunta", "pergunta", "domanda", "fråga", "spørgsmål", "spørsmål", "kysymys", "vraag", "pytanie",
    "otázka", "kérdés", "întrebare", "вопрос", "питання", "въпрос", "soru", "ερώτηση", "问", "問", "问题", "問題", "提问", "質問",
    "질문", "문", "سؤال", "پرسش", "שאלה", "प्रश्न", "hỏi", "câu hỏi", "pertanyaan", "tanya", "ถาม", "คำถาม",
)  # fmt: skip
ANSWER_WORDS = (
    "answer", "antwort", "réponse", "reponse", "respuesta", "resposta", "risposta", "svar", "vastaus", "antwoord", "odpowiedź",
    "odpověď", "válasz", "răspuns", "ответ", "відповідь", "отговор", "cevap", "yanıt", "απάντηση", "答", "答案", "回答", "解答",
    "答え", "답", "답변", "جواب", "إجابة", "پاسخ", "תשובה", "उत्तर", "đáp", "trả lời", "jawaban", "jawab", "ตอบ", "คำตอบ",
)  # fmt: skip
_TALKERS = {
    **dict.fromkeys(("user", "human", "customer", "client", "you said", "用户", "用戶", "ユーザー", "사용자"), "user"),
    **dict.fromkeys(
        ("assistant", "bot", "agent", "ai", "chatgpt", "chatgpt said", "claude", "助手", "アシスタント"), "assistant"
    ),
    "system": "system",
}
_WORDS = {**dict.fromkeys(QUESTION_WORDS, "user"), **dict.fromkeys(ANSWER_WORDS, "assistant"), **_TALKERS}
# Letters that stand for question and answer: English, French, Spanish, Italian, German, Swedish, Dutch, Russian, Turkish, Arabic.
_LETTERS = (
    ("q", "a"), ("q", "r"), ("p", "r"), ("d", "r"), ("f", "a"), ("f", "s"), ("v", "a"), ("в", "о"), ("s", "c"),
    ("س", "ج"),
)  # fmt: skip
_ASKING = frozenset({"q", *QUESTION_WORDS})
_ALONE = frozenset(letter for pair in _LETTERS for letter in pair)
_EMPHASIS = r"(?:\*\*|__|\*|_)"
# Letters with the signs that some scripts put over and under them, which are no letters to Python.
_NAME = r"[^\s\d:：.,;()\[\]{}<>|*_#/\\\"'`=+~-]+"
_LABEL = re.compile(
    rf"\s*(?:[-*+•]\s+|\d{{1,4}}[.)]\s+)?(?P<hashes>#{{1,6}}\s*)?(?P<bold>{_EMPHASIS})?\s*"
    rf"(?P<word>{_NAME}(?: {_NAME})?)(?:[ .#-]?(?P<number>\d{{1,4}}))?\s*"
    rf"(?P<close>{_EMPHASIS})?\s*(?P<separator>[:：.．)）]|\Z)\s*(?P<behind>{_EMPHASIS})?\s*(?P<rest>.*)",
    re.DOTALL,
)
_ITEM_B = re.compile(r"\s*(?:[-*+]\s+)?\(?[Bb][.)]\s")


@dataclass(frozen=True)
class Label:
    """A label at the beginning of a line. word: in small letters. separator: ``:``, ``.``, ``)``, or nothing where it stands
    alone. styled: it is a heading or bold. rest: the line behind it.
    """

    word: str
    separator: str
    styled: bool
    rest: str


@dataclass(frozen=True)
class Turn:
    """What one label introduces. line: where it stands. starts: it asks anew, and does not go on with a talk."""

    line: int
    role: str
    starts: bool
    styled: bool
    text: str


def label_of(line: str) -> Label | None:
    """The label that a line begins with; None where it begins with none that is known."""
    found = _LABEL.match(line)
    if found is None:
        return None
    # East Asian texts write Latin letters and signs as wide as their own: Ｑ：.
    word, separator = (unicodedata.normalize("NFKC", found[part]).lower() for part in ("word", "separator"))
    if word not in _WORDS and word not in _ALONE:
        return None
    styled = bool(found["hashes"] or found["bold"])
    rest = found["rest"]
    if found["bold"] and not (found["close"] or found["behind"]):
        # The whole line is bold: ``**Q: Name a bird**``.
        rest = rest.rstrip().removesuffix(found["bold"])
    if not separator and not (styled and len(word) > 1):
        return None
    return Label(word, separator, styled, rest)


def labelled_turns(lines: Sequence[str]) -> list[Turn]:
    """The lines that begin a question or an answer, by one and the same style in the whole text.

    The first question decides what stands behind a letter (``Q:`` or ``Q.``), so that ``A.`` of a list is no answer; letters
    other than Q and A count only where both of a language occur.
    """
    labels = [(number, label) for number, line in enumerate(lines) if (label := label_of(line))]
    style = next((label.separator for _, label in labels if _WORDS.get(label.word) == "user" or label.word == "q"), None)
    if style is None:
        style = next((label.separator for _, label in labels if label.word in {pair[0] for pair in _LETTERS}), ":")
    letters = {label.word for _, label in labels if len(label.word) == 1 and label.word in _ALONE and label.separator == style}
    pair = next((pair for pair in _LETTERS if set(pair) <= letters), ("q", "a"))
    roles = {**_WORDS, pair[0]: "user", pair[1]: "assistant"}
    heads = _list_heads(lines, labels)
    turns = []
    for number, label in labels:
        alone = label.word in _ALONE and label.word not in _WORDS
        # A heading or a bold line that asks is no item of a list, whatever stands behind its letter.
        free = label.styled and roles.get(label.word) == "user"
        if label.word not in roles or (
            label.separator != style if alone and not free else label.separator not in {style, ":", "", "."}
        ):
            continue
        if alone and style != ":" and roles[label.word] == "assistant" and number in heads:
            continue
        role = roles[label.word]
        starts = role == "user" and label.word not in _TALKERS
        turns.append(Turn(number, role, starts, label.styled, label.rest))
    return turns


def _list_heads(lines: Sequence[str], labels: Sequence[tuple[int, Label]]) -> set[int]:
    """Lines whose ``A.`` is followed by a ``B.`` before the next question."""
    heads: set[int] = set()
    waiting: list[int] = []
    by_line = dict(labels)
    for number, line in enumerate(lines):
        label = by_line.get(number)
        if label is not None and label.word in _ASKING:
            waiting = []
        elif label is not None and label.word == "a":
            waiting.append(number)
        elif waiting and _ITEM_B.match(line):
            heads |= set(waiting)
            waiting = []
    return heads


def without_label(text: str, role: str) -> str:
    """A text without a label of that role at its beginning (``Q1: Name a bird``)."""
    label = label_of(text.partition("\n")[0])
    if label is None or not label.separator or label.separator == ")":
        return text
    letters = {"user": "q", "assistant": "a"}
    if _WORDS.get(label.word) != role and label.word != letters.get(role):
        return text
    return "\n".join([label.rest, *text.splitlines()[1:]]).strip()


def is_question_word(name: str) -> bool:
    """True for a column's heading that means the question."""
    return name.strip().strip("*_:").lower() in {"q", *QUESTION_WORDS, *(f"{word}s" for word in QUESTION_WORDS)}


def is_answer_word(name: str) -> bool:
    """True for a column's heading that means the answer."""
    return name.strip().strip("*_:").lower() in {"a", *ANSWER_WORDS, *(f"{word}s" for word in ANSWER_WORDS)}
