"""Reading labels: strictly, where a file already holds them, and out of the free answers of a language model.

Both give None rather than guess; what is unread is counted and reported by those who ask.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from studio.language.negation import Span, affirmed
from studio.language.number_reading import strict_number
from studio.language.spelling import bare, folded, unmarked

# What stands before a label that is given as the answer.
_GIVEN = (
    r"(?:answer|label|class|category|classification|sentiment|verdict|prediction|option|choice|letter|rating|score|svar|etikett|"
    r"klass|antwort|klasse|bewertung|réponse|respuesta|clase|etiqueta|答案|标签|類別|类别|情感|分类)"
)
_DECLARED = re.compile(
    r"(?:(?:so|thus|therefore|hence)\W+)?(?:the |my |final |correct |predicted |right |best )*"
    rf"{_GIVEN}\s*(?:is\b|=|:|为|是|är|ist|es|est)\s*:?\s*(.+)",
    re.IGNORECASE,
)
# Before and after a code (a single letter or a number), which is an article or a count in other places.
_BEFORE_CODE = re.compile(
    rf"(?:{_GIVEN}|\b(?:is|be|it's|as|choose|pick|select|say|rate|give)(?: it)?|[:=是选選为])\s*[(\[]?$", re.IGNORECASE
)
_SAID_RIGHT = r"is (?:correct|right|the answer|best)\b"
_AFTER_CODE = re.compile(rf"[)\]]?\s*(?:$|[.,;!。，；]+(?:\s|$)|\n|out of|stars?\b|points?\b|{_SAID_RIGHT})", re.IGNORECASE)
_AT_START = re.compile(r"(?:^|\n)\s*$")
_AFTER_START = re.compile(rf"\s*(?:$|[).:,;!。，、]+(?:\s|$)|\n|{_SAID_RIGHT})", re.IGNORECASE)
# Labels that are words of denial, or of nobody: labels only where they stand alone.
_DENIALS = {"no", "not", "none", "nej", "nein", "non", "não", "never", "neither", "nothing", "ingen", "keine", "ninguno"}
# What may stand beside a label in a script that sets no blanks between words (是…的, は…です), or that hangs endings on it.
_BEFORE_UNSPACED = r"(?:^|(?<=[\W是为為于於选選属屬はが]))"
_AFTER_UNSPACED = r"(?=$|\W|的|です|だ|である|でしょ|と思)"
_AFTER_HANGUL = r"(?=$|\W|적|인|이|은|는|을|를|임|입|으로|로)"


def strict_label(text: str | None, labels: Sequence[str]) -> str | None:
    """The label that a cell is: equal to it, else equal after :func:`studio.language.spelling.folded` and in one case, else the
    same number (1.0 is 1). None where no label or several are meant.
    """
    if text is None:
        return None
    if text in labels:
        return text
    return _label_table(tuple(labels)).find(text)


class _Labels:
    """Labels by their folded spelling and by their value as numbers."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.spelled: dict[str, list[str]] = {}
        self.numbers: dict[float, list[str]] = {}
        for label in labels:
            self.spelled.setdefault(folded(label).casefold(), []).append(label)
            value = strict_number(label, ".")
            if value is not None:
                self.numbers.setdefault(value, []).append(label)

    def find(self, text: str) -> str | None:
        """The only label of that spelling, else of that number."""
        found = self.spelled.get(folded(text).casefold(), [])
        if not found and self.numbers:
            value = strict_number(text, ".")
            found = self.numbers.get(value, []) if value is not None else []
        return found[0] if len(found) == 1 else None


@lru_cache(maxsize=64)
def _label_table(labels: tuple[str, ...]) -> _Labels:
    """The table of a list of labels, made once for all its rows."""
    return _Labels(labels)


def free_label(text: str | None, labels: Sequence[str]) -> str | None:
    """The label that a free answer names; None where it names none or several, or only denies some.

    In this order: the whole answer; lines that give an answer ("Label: spam", or nothing but a label on the first or last line),
    where they agree; the only label that the text affirms (:func:`studio.language.negation.affirmed`).
    """
    if text is None:
        return None
    plain = unmarked(text)
    if (whole := _whole(plain, labels)) is not None:
        return whole
    declared = _declared(plain, labels)
    if declared:
        return declared.pop() if len(declared) == 1 else None
    lines = "\n".join(folded(line) for line in plain.splitlines())
    mentions = mentioned(lines, labels)
    stated = affirmed(lines, list(mentions))
    found = {mentions[span] for span in stated}
    return found.pop() if len(found) == 1 else None


def _whole(text: str, labels: Sequence[str]) -> str | None:
    """The label that a text is, whatever quotes, brackets, stops, hyphens and case are around and in it."""
    if (exact := strict_label(bare(text), labels)) is not None:
        return exact
    joined = _joined(bare(text))
    found = [label for label in labels if joined and _joined(bare(label)) == joined]
    return found[0] if len(found) == 1 else None


def _joined(text: str) -> str:
    """Words in one: ``not_entailment``, ``not entailment`` and ``Not-Entailment`` are one label."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)|_", " ", text)


def _declared(text: str, labels: Sequence[str]) -> set[str]:
    """What the lines that give an answer give."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = set()
    for place, line in enumerate(lines):
        match = _DECLARED.fullmatch(folded(line))
        label = _whole(match.group(1), labels) if match else None
        if label is None and len(lines) > 1 and place in {0, len(lines) - 1} and not line.endswith(("?", "？")):
            label = _whole(line, labels)
        if label is not None:
            found.add(label)
    return found


def mentioned(text: str, labels: Sequence[str]) -> dict[Span, str]:
    """Where labels stand in a text, longer ones first: the "guilty" of "not guilty" is none of its own."""
    found: dict[Span, str] = {}
    for label in sorted(labels, key=lambda item: (-len(item), item)):
        for match in _pattern(label).finditer(text):
            span = match.span()
            if not any(span[0] < stop and start < span[1] for start, stop in found) and _stands(label, text, span):
                found[span] = label
    return found


@lru_cache(maxsize=256)
def _pattern(label: str) -> re.Pattern[str]:
    """What is looked for in a text for a label: its words, in the way its script sets them apart."""
    words = [re.escape(word) for word in re.split(r"[\s_-]+", folded(label)) if word] or [re.escape(folded(label))]
    core = r"[\s_-]+".join(words)
    last = folded(label)[-1:]
    if "\uac00" <= last <= "\ud7a3":
        return re.compile(rf"(?<!\w){core}{_AFTER_HANGUL}", re.IGNORECASE)
    if "\u2e80" <= last <= "\u9fff" or "\u0e00" <= last <= "\u0eff":
        return re.compile(rf"{_BEFORE_UNSPACED}{core}{_AFTER_UNSPACED}", re.IGNORECASE)
    edge = r"(?<!\w)(?<!\w-)(?<![.,+-])" if label[:1].isdigit() else r"(?<!\w)(?<!\w-)"
    after = r"(?!\w)(?![.,:]?\d)(?!%)" if label[-1:].isdigit() else r"(?!\w)(?!-\w)"
    return re.compile(f"{edge}{core}{after}", re.IGNORECASE)


def _stands(label: str, text: str, span: Span) -> bool:
    """True where a label that is also a common word, a letter or a count stands as a label."""
    before, after = text[: span[0]], text[span[1] :]
    code = len(label) == 1 or strict_number(label, ".") is not None
    if not code and label.casefold() not in _DENIALS:
        return True
    if code and len(label) == 1 and label.isalpha():
        bracketed = bool(re.search(r"[(\[]$", before)) and after[:1] in {")", "]"}
        if bracketed:
            return True
        if text[span[0] : span[1]] != label and not _AT_START.search(before):
            return False
    if _AT_START.search(before):
        return bool(
            re.match(r"\s*(?:$|[).:,;!。，、：]+(?:\s|$)|\n|is (?:correct|right|the answer|best)\b)", after, re.IGNORECASE)
        )
    return bool(_BEFORE_CODE.search(before) and _AFTER_CODE.match(after))
