"""The language of a text, told by py3langid (n-gram Bayes, Lui and Baldwin 2012); quick, offline, unsure of few words."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from studio.language.scripts import script_of

# Members of a macrolanguage (ISO 639-3) that the identifier tells apart and people name as one: it takes "你好" for Cantonese.
MEMBERS = {"zh": {"yue", "wuu"}, "ar": {"ary", "arz"}, "no": {"nn"}, "lv": {"ltg"}, "uz": {"uzs"}}
WHOLE = {member: whole for whole, members in MEMBERS.items() for member in (whole, *members)}
# Nigerian Pidgin is taken for the English of which the identifier often takes it.
_KIN = {**WHOLE, "pcm": "en"}
# A script that one language has to itself, as far as the identifier's languages go. No model is needed, however short the text.
_OF_SCRIPT = {"Japanese": "ja", "Hangul": "ko", "Thai": "th", "Lao": "lo", "Khmer": "km", "Burmese": "my", "Greek": "el"}
# What the identifier calls a text that is in no language.
_NO_LANGUAGE = "zxx"
# Signs that are looked at; more seldom changes the answer of an n-gram model.
_SAMPLE = 300
# A language is named where the identifier is at least this sure of it; one that is expected is taken from the other value on.
_SURE = 0.5
_POSSIBLE = 0.1
# English names of languages for people; others are told by their code.
NAMES: Mapping[str, str] = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "km": "Khmer", "ko": "Korean", "lo": "Lao", "my": "Burmese",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


@functools.lru_cache(maxsize=1 << 16)
def language_of(text: str, expected: str | None = None) -> str | None:
    """ISO 639-1 code of a text; None where it is too short, or in no language, to tell.

    Args:
        expected: the language it is likely to be in (of its question, of the other texts), taken where the text leaves it open.
    """
    sample = text[:_SAMPLE]
    script = script_of(sample)
    if script is None:
        return None
    if (only := _OF_SCRIPT.get(script)) is not None:
        return only
    # Chinese and Japanese write many nouns with the same signs.
    if script == "Han":
        return "ja" if expected == "ja" and len(sample) < 10 else "zh"
    shares: Counter[str] = Counter()
    for code, share in identifier().rank(sample):
        shares[_KIN.get(code, code)] += share
    code, share = shares.most_common(1)[0]
    if expected is not None and shares[expected] >= _POSSIBLE and share < 1 - _POSSIBLE:
        return expected
    return code if share >= _SURE and code != _NO_LANGUAGE else None


def main_language(texts: Iterable[str]) -> str | None:
    """The language of most of the texts that have one; None where none has."""
    found = Counter(code for text in texts if (code := language_of(text)) is not None)
    return found.most_common(1)[0][0] if found else None


def name_of(code: str) -> str:
    """A language's English name, or its code where this module has none."""
    return NAMES.get(code, code)


@functools.cache
def identifier() -> Any:
    """The identifier with its model, opened once per process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
