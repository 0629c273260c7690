"""Numbers that name an account, a machine or a place: cards, IBANs, IP and MAC addresses, coordinates."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from studio.data.chat.personal.checksums import luhn, mod97
from studio.data.chat.personal.scripts import LETTERS, NUMBER_END, NUMBER_START, START, Span, digits_of

# First digits and lengths of the large issuers, ISO/IEC 7812 as https://en.wikipedia.org/wiki/Payment_card_number lists them.
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-59]|[689][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    r"|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|62[0-9]{14}|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{8,15}"
)
_CARD = re.compile(
    rf"{NUMBER_START}[2-6](?:[0-9]{{11,18}}|[0-9]{{3}}(?P<by>[ -])"
    rf"(?:[0-9]{{4}}(?P=by)[0-9]{{4}}(?P=by)[0-9]{{4}}(?:(?P=by)[0-9]{{3}})?|[0-9]{{6}}(?P=by)[0-9]{{4,5}})){NUMBER_END}"
)
# Cards and accounts hold such a run however they are written; texts without one are passed over quickly.
_FOUR_DIGITS = re.compile("[0-9]{4}")
# A number that its own text calls something else.
_OTHER_NUMBER = re.compile(
    r"(?:order|invoice|tracking|ticket|parcel|article|part|serial|reference|isbn|ean|imei|bestell|rechnung|sendung|commande|"
    r"facture|pedido|factura|beställning|faktura|kolli)[\w.]{0,8}"
    r"(?:[ \t-](?:number|nummer|no\.?|nr\.?|num[eé]ro|id|code|n[°º]))?[ \t]{0,2}[:#=]?[ \t]{0,2}(?:is |ist |est |es |är )?\Z"
    r"|(?:订单|单号|编号|注文|伝票)(?:号|番号|号码)?(?:是|为|は)?:?\s?\Z",
    re.IGNORECASE,
)
_LOOK_BACK = 40
# ISO 13616: two letters of a country, two check digits, and as many signs as the SWIFT registry (release 99) says.
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_IBAN = re.compile(rf"{START}[A-Za-z]{{2}}[0-9]{{2}}(?:[ -]?[A-Za-z0-9]){{11,30}}")
_IPV4 = re.compile(rf"(?<![{LETTERS}.])(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}(?![{LETTERS}]|\.[0-9])")
_IPV6 = re.compile(rf"(?<![{LETTERS}:.])(?:[0-9a-fA-F]{{0,4}}:){{2,7}}[0-9a-fA-F]{{0,4}}(?![{LETTERS}:])")
_VERSION = re.compile(
    rf"(?:{START}(?:v|ver|version|versions|release|build|firmware|rev|revision|versión|versione|versionen|utgåva)\.?|版本|版|バージョン)"
    r"[号:\s]{0,3}\Z",
    re.IGNORECASE,
)
_MAC = re.compile(
    rf"(?<![{LETTERS}:-])(?:[0-9A-Fa-f]{{2}}(?P<by>[:-])(?:[0-9A-Fa-f]{{2}}(?P=by)){{4}}[0-9A-Fa-f]{{2}}"
    rf"|(?:[0-9A-Fa-f]{{4}}\.){{2}}[0-9A-Fa-f]{{4}})(?![{LETTERS}:-])"
)
# Latitude and longitude with at least four decimals (ten metres), or in degrees, minutes and seconds. Two numbers of a longer
# row of numbers are no place.
_GEO = re.compile(
    rf"(?<![{LETTERS}.,-])(?<![0-9][,;\s])(?<![0-9][,;]\s)(?P<lat>[+-]?[0-9]{{1,2}}\.[0-9]{{4,12}})°?\s?[NS]?\s?[,;]\s?"
    rf"(?P<lon>[+-]?[0-9]{{1,3}}\.[0-9]{{4,12}})°?(?:\s?[EWO]\b)?(?![{LETTERS}]|\.[0-9]|[,;]?\s?[+-]?[0-9]+\.[0-9])"
)
_DEGREES = r"[0-9]{1,3}\s?°\s?[0-9]{1,2}\s?['′’]\s?(?:[0-9]{1,2}(?:\.[0-9]{1,6})?\s?(?:\"|″|”|''))?\s?"
_GEO_DEGREES = re.compile(rf"(?<![0-9]){_DEGREES}[NS]\s?[,;]?\s?{_DEGREES}[EWO](?![{LETTERS}])")


def called_otherwise(text: str, start: int) -> bool:
    """True where the words before a number say that it is an order, an invoice, a book or the like."""
    return _OTHER_NUMBER.search(text[max(0, start - _LOOK_BACK) : start]) is not None


def find_cards(text: str) -> Iterator[Span]:
    """Character ranges of payment card numbers: an issuer's digits and a right checksum."""
    if not _FOUR_DIGITS.search(text):
        return
    for match in _CARD.finditer(text):
        digits = digits_of(match.group())
        if _ISSUERS.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1 and not called_otherwise(text, match.start()):
            yield match.span()


def find_ibans(text: str) -> Iterator[Span]:
    """Character ranges of international bank account numbers; what follows one and is not of it is left."""
    if not _FOUR_DIGITS.search(text):
        return
    for match in _IBAN.finditer(text):
        wanted = _IBAN_LENGTHS.get(text[match.start() : match.start() + 2].upper())
        end, signs = match.start(), ""
        while wanted is not None and end < match.end() and len(signs) < wanted:
            signs += text[end] if text[end] not in " -" else ""
            end += 1
        ends = end == len(text) or not re.match(f"[{LETTERS}]", text[end])
        if wanted == len(signs) and ends and mod97(signs):
            yield match.start(), end


def find_ips(text: str) -> Iterator[Span]:
    """Character ranges of IP addresses; not of versions, and not of those that name no machine (``127.0.0.1``, net masks)."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            address = _address(match.group())
            # C++ and hexadecimal words know a::b too.
            short = ":" in match.group() and (len(match.group()) < 7 or not any(map(str.isdigit, match.group())))
            if address is None or short or _VERSION.search(text[max(0, match.start() - 20) : match.start()]):
                continue
            yield match.span()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, unless it names no machine."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    nobody = address.is_loopback or address.is_unspecified or address.is_multicast or (text[0] == "0" and "." in text)
    return None if nobody or text.startswith("255.") else address


def find_macs(text: str) -> Iterator[Span]:
    """Character ranges of hardware addresses (IEEE 802), but for the empty and the one for all."""
    for match in _MAC.finditer(text):
        if len(set(match.group().lower()) - set(":-.")) > 1:
            yield match.span()


def find_places(text: str) -> Iterator[Span]:
    """Character ranges of coordinates (ISO 6709 in decimals, or degrees, minutes, seconds)."""
    for match in _GEO.finditer(text):
        if abs(float(match["lat"])) <= 90 and abs(float(match["lon"])) <= 180:
            yield match.span()
    if "°" in text:
        yield from (match.span() for match in _GEO_DEGREES.finditer(text))
