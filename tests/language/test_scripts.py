"""Scripts, words and languages of texts."""

from __future__ import annotations

import unicodedata

import pytest

from studio.language.identify import language_of
from studio.language.scripts import composed, script_of, spaced, words_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("The door", "Latin"),
        ("Räcket", "Latin"),
        ("图书馆几点开门 iOS", "Han"),
        ("广告里这个の字用得不少，读起来一样", "Han"),
        ("図書館は何時", "Japanese"),
        ("เปิดกี่โมง", "Thai"),
        ("도서관", "Hangul"),
        ("библиотека", "Cyrillic"),
        ("पूर्व", "Devanagari"),
        ("42 % 🙂", None),
        ("", None),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str | None) -> None:
    assert script_of(text) == script


def test_words_keep_the_signs_on_their_letters() -> None:
    assert words_of("पूर्व दिशा") == ["पूर्व", "दिशा"]
    assert words_of("বাংলা ভাষা") == ["বাংলা", "ভাষা"]
    assert words_of("தமிழ் மொழி") == ["தமிழ்", "மொழி"]
    assert words_of("كِتَابٌ جَدِيد") == ["كِتَابٌ", "جَدِيد"]
    assert words_of("ที่นี่") == ["ที่", "นี่"], "a vowel and a tone above a letter are no words"
    assert spaced("ที่นี่ OK").split() == ["ที่", "นี่", "OK"]
    assert composed(unicodedata.normalize("NFD", "Räcket")) == "Räcket"


@pytest.mark.parametrize(
    ("text", "expected", "language"),
    [
        ("The door must be wide.", None, "en"),
        ("Tyvärr kan jag inte hjälpa till", "en", "sv"),
        ("Dra åt helvete", "sv", "sv"),
        ("Yes.", None, None),
        ("你好", None, "zh"),
        ("東京", "ja", "ja"),
        ("こんにちは", "zh", "ja"),
        ("uk thfmuqjrmly firikopqhwbqpiroga vdmwol dp wmc", None, None),
        ("42", "en", None),
    ],
)
def test_a_language_is_told_where_the_text_tells_it(text: str, expected: str | None, language: str | None) -> None:
    assert language_of(text, expected) == language
