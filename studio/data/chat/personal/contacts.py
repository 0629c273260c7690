"""Ways to reach somebody: e-mail addresses, written out or not, and phone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from studio.data.chat.personal.scripts import BEYOND_ASCII, END, LETTERS, NUMBER_START, Span

# The look-behind keeps the search linear: a match starts only where a run of address characters starts.
_EMAIL = re.compile(
    rf"(?<![{LETTERS}.%+-])(?!git@)[{LETTERS}.%+-]++@(?:[{LETTERS}-]{{1,63}}\.){{1,8}}[A-Za-z{BEYOND_ASCII}]{{2,24}}"
    rf"(?![{LETTERS}-])"
)
# How an address is said or hidden, in the languages of the lists: "anna at example dot org", "anna (at) example.org". Between
# blanks both signs have to be words of one language: "face at some point in life" and "now at example.com" are no addresses.
_BRACKETED_AT = r"\s{0,2}[\[({<]\s?(?:at|@|ät|arroba|arobase|snabel-a)\s?[\])}>]\s{0,2}"
_ANY_DOT = r"(?:\s{0,2}[\[({<]\s?(?:dot|\.|punkt|punto|point|pt)\s?[\])}>]\s{0,2}|\s(?:dot|punkt|punto|point)\s|\.)"
_SAID = (("at", "dot"), ("at|ät|snabel-a", "punkt"), ("arroba", "punto"), ("arobase", "point"))
_LABEL = rf"[{LETTERS}-]{{1,63}}"
# Said aloud, only these are taken for the end of an address: "at noon dot the" is none.
_ENDING = (
    "(?:com|org|net|edu|gov|io|info|biz|co|ai|dev|app|me|eu|uk|us|de|fr|es|it|se|no|dk|fi|nl|be|ch|at|pl|pt|br|cn|jp|in|kr|ru|tw|mx|"
    "ar|cl|au|ca|nz|ie|cz|gr|tr|hu|ro)"
)


def _said_email(at: str, dot: str) -> str:
    """An address whose signs are said."""
    return rf"(?:\s(?:{dot})\s{_LABEL}){{0,3}}\s(?:{at})\s(?:{_LABEL}\s(?:{dot})\s){{1,4}}"


_SPOKEN_EMAIL = re.compile(
    rf"(?<![{LETTERS}.%+-])[{LETTERS}.%+-]{{1,64}}+(?<![.%+-])"
    rf"(?:(?:{_ANY_DOT}{_LABEL}){{0,3}}{_BRACKETED_AT}(?:{_LABEL}{_ANY_DOT}){{1,4}}"
    rf"|{'|'.join(_said_email(*pair) for pair in _SAID)})"
    rf"{_ENDING}{END}",
    re.IGNORECASE,
)
_SPOKEN_HINT = re.compile(r"\b(?:at|ät|arroba|arobase|snabel-a)\b|[\[({<]\s?@", re.IGNORECASE)
_PHONE = re.compile(rf"(?<![{LETTERS}+])\+?\(?[0-9][0-9\s()./\-\u2010-\u2013]{{5,20}}[0-9]{END}")
# A day in front of a number, or instead of one ("2024-05-01 10"), belongs to no number.
_DAY = re.compile(
    rf"{NUMBER_START}(?:(?:19|20)[0-9]{{2}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}|[0-9]{{1,2}}[-/.][0-9]{{1,2}}[-/.](?:19|20)[0-9]{{2}})"
    r"(?![0-9]|[-/.][0-9])"
)
# A number with a currency beside it is a price.
_PRICE_AFTER = re.compile(r"\s{0,2}(?:元|圆|円|块|원|บาท|[$€£¥₩₹฿]|(?:kr|kronor|SEK|NOK|DKK|USD|EUR|GBP|CNY|RMB|JPY|KRW|INR)\b)")
_PRICE_BEFORE = re.compile(r"(?:[$€£¥₩₹฿￥]|\b(?:SEK|NOK|DKK|USD|EUR|GBP|CNY|RMB|JPY|KRW|INR|Rs\.?))\s{0,2}\Z")


def find_emails(text: str) -> Iterator[Span]:
    """Character ranges of e-mail addresses; ``git@host:`` of a repository is none."""
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def find_spoken_emails(text: str) -> Iterator[Span]:
    """Character ranges of addresses with their signs in words (``anna at example dot org``)."""
    if _SPOKEN_HINT.search(text):
        yield from (match.span() for match in _SPOKEN_EMAIL.finditer(text))


def find_phones(text: str, region: str | None) -> Iterator[Span]:
    """Character ranges of valid phone numbers.

    A cheap pattern finds runs of digits, Google's number plans (phonenumbers) decide.

    Args:
        region: country whose national numbers are known; None finds international ones (``+46 ...``) only.
    """
    if region is None and "+" not in text:
        return
    text = _DAY.sub(lambda day: "x" * len(day.group()), text) if region is not None else text
    for match in _PHONE.finditer(text):
        candidate, start = match.group(), match.start()
        if (region is None and not candidate.startswith("+")) or not 7 <= sum(sign.isdigit() for sign in candidate) <= 15:
            continue
        if _PRICE_AFTER.match(text, match.end()) or _PRICE_BEFORE.search(text[max(0, start - 6) : start]):
            continue
        import phonenumbers

        for number in phonenumbers.PhoneNumberMatcher(candidate, region):
            yield start + number.start, start + number.end
