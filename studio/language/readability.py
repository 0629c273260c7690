"""How easily a text is read, by formulas that count words, sentences and syllables."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|\Z|[\"'”’»)])|\n\s*\n|\n(?=\s*[-*•\d])")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOWELS = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœ]+", re.IGNORECASE)
# Words of more letters are long ones to Björnsson.
_LONG = 6
# Constant, weight of words per sentence, weight of syllables per word.
_FLESCH = {
    "en": (206.835, 1.015, 84.6),  # Flesch 1948, "A new readability yardstick"
    "de": (180.0, 1.0, 58.5),  # Amstad 1978, "Wie verständlich sind unsere Zeitungen?"
    "fr": (207.0, 1.015, 73.6),  # Kandel and Moles 1958, "Application de l'indice de Flesch à la langue française"
    "es": (206.84, 1.02, 60.0),  # Fernández Huerta 1959, "Medidas sencillas de lecturabilidad"
}
READABLE = frozenset(_FLESCH)
"""Languages with a formula of Flesch's form."""


def flesch(text: str, language: str) -> float | None:
    """Flesch's reading ease: about 100 for very easy text, 0 for very hard; None without words or a formula of that language."""
    words = _WORD.findall(text)
    if not words or language not in _FLESCH:
        return None
    constant, per_sentence, per_word = _FLESCH[language]
    count = sum(syllables(word, language) for word in words)
    return constant - per_sentence * len(words) / sentences(text) - per_word * count / len(words)


def lix(text: str) -> float | None:
    """Björnsson's readability index (1968, "Läsbarhet"): words per sentence and per cent of words of more than six letters; below
    25 very easy, above 60 very hard. None without words.
    """
    words = _WORD.findall(text)
    if not words:
        return None
    return len(words) / sentences(text) + 100 * sum(len(word) > _LONG for word in words) / len(words)


def sentences(text: str) -> int:
    """Sentences, a line of a list being one; at least one."""
    return max(1, sum(1 for part in _SENTENCE_END.split(text) if part and _WORD.search(part)))


def syllables(word: str, language: str) -> int:
    """Groups of vowels, at least one; of English without the silent e at the end, of French without a silent -e or -es."""
    lowered = word.lower()
    count = len(_VOWELS.findall(lowered))
    if count > 1 and (
        (language == "en" and lowered.endswith("e") and not lowered.endswith(("le", "ee")))
        or (language == "fr" and lowered.endswith(("e", "es", "ent")))
    ):
        count -= 1
    return max(1, count)
