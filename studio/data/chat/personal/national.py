"""Numbers by which a country knows a person, found by form and proven by checksum or ranges. One finder per region."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date

from studio.data.chat.personal.checksums import luhn, mod11_2, mod11_10, verhoeff
from studio.data.chat.personal.numbers import called_otherwise
from studio.data.chat.personal.scripts import END, NUMBER_END, NUMBER_START, START, Span, digits_of

_FISCAL_MONTHS = "ABCDEHLMPRST"
# Values of the signs in odd places of a codice fiscale, digits as the first ten letters (DM 23 dicembre 1976, table).
_FISCAL_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _is_day(year: int, month: int, day: int) -> bool:
    """True for a day that there was."""
    try:
        return date(year, month, day) <= date.today()
    except ValueError:
        return False


def _sweden(text: str) -> bool:
    """Personnummer and samordningsnummer (day + 60), Skatteverket SKV 704: a day, and Luhn over ten digits."""
    digits = digits_of(text)
    whole, short = (digits[:2], digits[2:]) if len(digits) == 12 else ("", digits)
    if whole not in {"", "18", "19", "20"} or not luhn(short):
        return False
    day = int(short[4:6])
    years = [int(f"{whole}{short[:2]}")] if whole else [1900 + int(short[:2]), 2000 + int(short[:2])]
    return any(_is_day(year, int(short[2:4]), day - 60 if day > 60 else day) for year in years)


def _usa(text: str) -> bool:
    """Social security number: ranges never given out, https://www.ssa.gov/employer/randomizationfaqs.html."""
    digits = digits_of(text)
    area = digits[:3]
    return area not in {"000", "666"} and area[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _britain(text: str) -> bool:
    """National insurance number: prefixes never given out, HMRC manual NIM39110."""
    return text[:2].upper() not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _germany(text: str) -> bool:
    """Steuer-Identifikationsnummer, section 139b AO: one of ten digits stands two or three times, MOD 11,10."""
    digits = digits_of(text)
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    return counts[0] in {2, 3} and counts[1] == 1 and mod11_10(digits)


def _france(text: str) -> bool:
    """Numéro d'inscription au répertoire, INSEE: key 97 minus the rest by 97; 2A and 2B (Corsica) count as 19 and 18."""
    bare = "".join(text.split()).upper()
    number = bare[:13].replace("2A", "19", 1) if bare[5:7] == "2A" else bare[:13]
    number = number.replace("2B", "18", 1) if bare[5:7] == "2B" else number
    month = int(bare[3:5])
    return (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) and number.isdigit() and int(bare[13:]) == 97 - int(number) % 97


def _spain(text: str) -> bool:
    """DNI and NIE: the letter tells the number's rest by 23 (Orden INT/2058/2008); X, Y, Z count as 0, 1, 2."""
    bare = text.replace("-", "").replace(" ", "").replace(".", "").upper()
    first = str("XYZ".index(bare[0])) if bare[0] in "XYZ" else bare[0]
    return bare[-1] == _DNI_LETTERS[int(first + bare[1:-1]) % 23]


def _italy(text: str) -> bool:
    """Codice fiscale, DM 23 dicembre 1976: the last letter is the sum of values by place, by 26."""
    bare = text.replace(" ", "").upper()
    total = 0
    for place, sign in enumerate(bare[:15]):
        value = int(sign) if sign.isdigit() else ord(sign) - ord("A")
        total += value if place % 2 else _FISCAL_ODD[value]
    return bare[15] == chr(ord("A") + total % 26)


def _china(text: str) -> bool:
    """Resident identity number, GB 11643-1999: province, a day, MOD 11-2."""
    return 11 <= int(text[:2]) <= 91 and _is_day(int(text[6:10]), int(text[10:12]), int(text[12:14])) and mod11_2(text)


def _india(text: str) -> bool:
    """Aadhaar, UIDAI: twelve digits, Verhoeff."""
    return verhoeff(digits_of(text))


def _brazil(text: str) -> bool:
    """Cadastro de Pessoas Físicas: two check digits by 11, weights falling to 2; eleven equal digits are nobody's."""
    digits = digits_of(text)
    for length in (9, 10):
        total = sum(int(digit) * (length + 1 - place) for place, digit in enumerate(digits[:length]))
        if int(digits[length]) != total * 10 % 11 % 10:
            return False
    return len(set(digits)) > 1


_D = "[0-9]"
_SSN_SAID = r"(?<=SSN[ :#])|(?<=SSN: )|(?<=SSN is )|(?<=security number )|(?<=security number: )|(?<=security number is )"
REGIONS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "BR": (re.compile(rf"{NUMBER_START}(?:{_D}{{3}}\.{_D}{{3}}\.{_D}{{3}}-{_D}{{2}}|{_D}{{11}}){NUMBER_END}"), _brazil),
    "CN": (re.compile(rf"{NUMBER_START}[1-9]{_D}{{16}}[0-9Xx]{NUMBER_END}"), _china),
    "DE": (re.compile(rf"{NUMBER_START}[1-9]{_D}(?: ?{_D}{{3}}){{3}}{NUMBER_END}"), _germany),
    "ES": (re.compile(rf"{START}(?:{_D}{{8}}|{_D}{{2}}\.{_D}{{3}}\.{_D}{{3}}|[XYZxyz]-?{_D}{{7}})[- ]?[A-Za-z]{END}"), _spain),
    "FR": (
        re.compile(
            rf"{NUMBER_START}[1-478] ?{_D}{{2}} ?{_D}{{2}} ?(?:{_D}{{2}}|2[ABab]) ?{_D}{{3}} ?{_D}{{3}} ?{_D}{{2}}{NUMBER_END}"
        ),
        _france,
    ),
    "GB": (
        re.compile(
            rf"{START}(?![DFIQUVdfiquv])[A-Za-z](?![DFIQUVOdfiquvo])[A-Za-z] ?{_D}{{2}} ?{_D}{{2}} ?{_D}{{2}} ?[A-Da-d]{END}"
        ),
        _britain,
    ),
    "IN": (re.compile(rf"{NUMBER_START}[2-9]{_D}{{3}}([ -]?){_D}{{4}}\1{_D}{{4}}{NUMBER_END}"), _india),
    "IT": (
        re.compile(
            rf"{START}[A-Za-z]{{3}} ?[A-Za-z]{{3}} ?[0-9LMNPQRSTUVlmnpqrstuv]{{2}}[{_FISCAL_MONTHS}{_FISCAL_MONTHS.lower()}]"
            rf"[0-9LMNPQRSTUVlmnpqrstuv]{{2}} ?[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{{3}}[A-Za-z]{END}"
        ),
        _italy,
    ),
    "SE": (re.compile(rf"{NUMBER_START}(?:{_D}{{2}})?{_D}{{6}}[-+]?{_D}{{4}}{NUMBER_END}"), _sweden),
    "US": (
        re.compile(
            rf"{NUMBER_START}(?:{_D}{{3}}-{_D}{{2}}-{_D}{{4}}|(?:{_SSN_SAID}){_D}{{3}} ?{_D}{{2}} ?{_D}{{4}}){NUMBER_END}"
        ),
        _usa,
    ),
}
"""Country to form and proof."""


def find_national_ids(text: str, regions: tuple[str, ...]) -> Iterator[Span]:
    """Character ranges of numbers by which some countries know a person.

    Args:
        regions: keys of :data:`REGIONS`.
    """
    for region in regions:
        pattern, proven = REGIONS[region]
        for match in pattern.finditer(text):
            if proven(match.group()) and not called_otherwise(text, match.start()):
                yield match.span()
