"""Whether decoded text is what people write: words of one script, letters a language has, signs where they belong.

Used to tell a right encoding from a wrong one, which gives letters of other scripts, signs inside words, and capitals in them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# Letters beside a to z of languages with Latin letters (CLDR's main exemplar characters; French and Dutch loan words in English).
_LANGUAGES = {
    "Danish": "åæøé", "Norwegian": "åæøéèêóòôâ", "Swedish": "åäöéàü", "Finnish": "åäöšž", "German": "äöüßéàèêô",
    "Dutch": "áâäèéêëíïîóôöúûü", "French": "àâæçéèêëîïôœùûüÿ", "Spanish": "áéíñóúü", "Portuguese": "àáâãçéêíóôõúü",
    "Italian": "àèéìíîòóùú", "Catalan": "àçèéíïòóúü",
    "Icelandic": "áðéíóúýþæö", "Irish": "áéíóú", "English": "àâäçéèêëîïñôöü", "Polish": "ąćęłńóśźż", "Czech": "áčďéěíňóřšťúůýž",
    "Slovak": "áäčďéíĺľňóôŕšťúýž", "Hungarian": "áéíóöőúüű", "Romanian": "ăâîșțşţ", "Croatian": "čćđšž", "Slovene": "čšž",
    "Turkish": "çğıöşüâîû", "Estonian": "äõöüšž", "Latvian": "āčēģīķļņšūžŗō", "Lithuanian": "ąčęėįšųūž", "Albanian": "çë",
    "Vietnamese": "àáâãèéêìíòóôõùúýăđĩũơư",
}  # fmt: skip
_ALPHABETS = [frozenset(letters) for letters in _LANGUAGES.values()]
# Signs of typography: they belong between words, and some of them (apostrophe, hyphens, middle dot) inside.
_BETWEEN = frozenset("“”„‟«»‹›‘‚–—…•·°§¶†‡©®™€£¥¢¡¿№±×÷µ½¼¾¹²³ªº\u00a0\u200b\u2028‰−≤≥≈√´؟،؛₪฿")
_INSIDE = frozenset("’‘´·\u00ad\u200c\u200d\u200e\u200f‐‑–—…\u00a0")
# Signs that stand behind a letter or a number and before none.
_BEHIND = frozenset("°²³¹ªº®™©½¼¾‰")
_WORD = re.compile(r"\S+")
_CASE = re.compile(r"[^\W\d_]+")


def script_of(letter: str) -> str:
    """Script of a letter as its Unicode name says it; kana and Han apart."""
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "")
    first = name.partition(" ")[0].partition("-")[0]
    return {"CJK": "HAN", "FULLWIDTH": "WIDE"}.get(first, first)


def is_written(text: str) -> bool:
    """True where letters outside ASCII and the signs among them look like what people write in an alphabet.

    East Asian text is judged by :func:`share_of`, for its scripts have no words.
    """
    high = [sign for sign in text if not sign.isascii()]
    if any(unicodedata.category(sign) in {"Cc", "Cn", "Co", "Cs"} for sign in high):
        return False
    letters = Counter(script_of(sign) for sign in high if sign.isalpha())
    if len(letters) > 1 and letters.most_common(2)[1][1] > 0.02 * letters.total():
        return False
    if any(sign not in _BETWEEN and unicodedata.category(sign)[0] in "SPN" and sign not in _INSIDE | _BEHIND for sign in high):
        return False
    script = letters.most_common(1)[0][0] if letters else "LATIN"
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    if not (_is_latin(high, words) if script == "LATIN" else _has_words(words, script)):
        return False
    return sum(not _is_word(word) for word in words) <= 0.02 * len(words)


def _is_latin(high: list[str], words: list[str]) -> bool:
    """True where one language has all these letters, and words are not made of marked ones for the most part."""
    lowered = (sign.lower()[0] for sign in high if sign.isalpha() and sign not in "ªº")
    letters = Counter(letter for letter in lowered if not letter.isascii())
    # Words of one letter (è, à, ó) say nothing of that.
    longer = [sign for word in words for run in _CASE.findall(word) if len(run) > 1 for sign in run]
    if sum(not sign.isascii() for sign in longer) > 0.6 * len(longer):
        return False
    # Names from elsewhere stand in every text.
    return not letters or any(
        sum(count for sign, count in letters.items() if sign not in alphabet) <= 0.02 * letters.total() for alphabet in _ALPHABETS
    )


def _has_words(words: list[str], script: str) -> bool:
    """True where the letters of a script come in words, not alone, as a sign does that was taken for a letter."""
    found = [run for word in words for run in _CASE.findall(word) if script_of(run[0]) == script]
    return sum(map(len, found)) >= 2 * len(found) if script not in {"HAN", "THAI"} else True


def _is_word(word: str) -> bool:
    """True where a word has letters of one script, capitals at its start only (or everywhere), and no sign inside it."""
    for before, sign, after in zip(" " + word, word, word[1:] + " ", strict=False):
        if sign.isascii():
            continue
        if not sign.isalpha() and unicodedata.category(sign)[0] != "M":
            if sign not in _INSIDE and (sign in _BEHIND or before.isalpha()) and after.isalpha():
                return False
        elif unicodedata.category(sign)[0] == "M":
            if not (before.isalpha() or unicodedata.category(before)[0] == "M") or before.isascii():
                return False
        elif "เ" <= sign <= "ไ" and not after.isalpha():
            return False
    for letters in _CASE.findall(word):
        scripts = {script_of(letter) for letter in letters if letter.isalpha()}
        if len(scripts) > 1:
            return False
        lower, upper = sum(map(str.islower, letters)), sum(map(str.isupper, letters))
        if lower and upper and not letters.isascii() and any(map(str.isupper, letters[1:])) and not _is_compound(letters):
            return False
    return True


def _is_compound(letters: str) -> bool:
    """True for words such as McKénzie: the odd capital is an ASCII one."""
    return all(letter.isascii() for letter in letters[1:] if letter.isupper())


def share_of(text: str, *scripts: str) -> float:
    """Share of the letters outside ASCII that belong to some scripts; 0 without such letters."""
    letters = [script_of(sign) for sign in text if not sign.isascii() and sign.isalpha()]
    letters = [script for script in letters if script != "WIDE"]
    return sum(script in scripts for script in letters) / len(letters) if letters else 0.0
