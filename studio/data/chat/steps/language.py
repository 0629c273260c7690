"""The step that keeps conversations in some languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from studio.core.errors import UserError, nearest
from studio.data.chat.prose import without_code
from studio.data.chat.rows import ChatRow, spoken_text
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.verdicts import Drop
from studio.language.identify import MEMBERS, WHOLE, identifier

# Characters that are looked at; more does not change the answer of an n-gram model. A glance that finds an allowed language for
# sure is enough, which makes the usual row six times cheaper; a row is never dropped on a glance.
_SAMPLE = 2000
_GLANCE = 300
_SURE = 0.8
# Chinese and Japanese write many nouns with the same signs: a few of them, without kana, prove neither.
_FEW_HAN = re.compile(r"(?:[\W\d_]*[\u3400-\u4dbf\u4e00-\u9fff]){1,9}[\W\d_]*")
_WRITE_HAN = {"zh", "ja", "yue", "wuu"}


class Language(RowStep):
    """Rows in a language that is not allowed, told by py3langid (97 languages, n-gram Bayes, Lui and Baldwin 2012).

    Code blocks and tools are left out of the judgement. An unsure verdict keeps the row. A macrolanguage holds its members:
    ``zh`` is Cantonese and Wu too, ``ar`` Egyptian and Moroccan Arabic; who names ``yue`` gets ``yue`` alone.
    """

    def __init__(self, allowed: Sequence[str], min_confidence: float = 0.5) -> None:
        """``allowed``: ISO 639-1 codes; ``min_confidence``: how sure of another language a drop must be, 0 to 1."""
        self._named = sorted(set(allowed))
        self._allowed = frozenset(allowed).union(*(MEMBERS.get(code, set()) for code in allowed))
        self._least = min_confidence
        known = set(identifier().labels)
        for code in allowed:
            if code not in known:
                usual = ", ".join(sorted({"en", "sv", "de", "fr", "es", "it", "zh", "ja", "ar", "hi", "pt", "ru"} & known))
                raise UserError(
                    f"unknown language {code!r} in step 'language'.{nearest(code, known)} Allowed: {len(known)} ISO 639-1 codes "
                    f"such as {usual}."
                )

    def judge(self, row: ChatRow) -> Verdict:
        """Keep or drop one row."""
        text = spoken_text(row)
        sample = without_code(text[: 4 * _SAMPLE])[:_SAMPLE].strip()
        if not any(sign.isalpha() for sign in sample):
            return row
        code, confidence = identifier().classify(sample[:_GLANCE])
        if len(sample) > _GLANCE and not (code in self._allowed and confidence >= _SURE):
            code, confidence = identifier().classify(sample)
        if code in self._allowed or (self._allowed & _WRITE_HAN and _FEW_HAN.fullmatch(sample)):
            return row
        code, confidence = self._whole(code, float(confidence), sample)
        if confidence < self._least:
            return row
        allowed = ", ".join(self._named)
        return Drop("other language", f"{code} ({confidence:.2f})", f"{allowed} (or below {self._least:g})")

    def _whole(self, code: str, confidence: float, sample: str) -> tuple[str, float]:
        """A language with its siblings: three unsure votes for kinds of Chinese are one sure vote against English."""
        if (whole := WHOLE.get(code)) is None:
            return code, confidence
        family = {whole, *MEMBERS[whole]} - self._allowed
        return whole, sum(float(share) for label, share in identifier().rank(sample) if label in family)
