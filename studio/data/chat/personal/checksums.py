"""Checksums that tell a number of somebody from any other digits. Each cites where it is defined."""

from __future__ import annotations

import hashlib

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
# The constants that a checksum leaves: BIP 173 (bech32) and BIP 350 (bech32m).
_BECH32_LEFT = (1, 0x2BC830A3)
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
# Tables of Verhoeff 1969, "Error Detecting Decimal Codes": multiplication in the dihedral group of order 10, and its permutation.
_DIHEDRAL = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: from the right, every second digit doubled, the sum a multiple of 10."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod97(text: str) -> bool:
    """ISO/IEC 7064, MOD 97-10, as ISO 13616 uses it for IBANs: the first four signs go last, letters count from 10."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Verhoeff 1969, https://en.wikipedia.org/wiki/Verhoeff_algorithm: the product of the permuted digits is 0."""
    value = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(_DIHEDRAL[value][int(_PERMUTED[place % 8][int(digit)])])
    return value == 0


def mod11_10(digits: str) -> bool:
    """ISO/IEC 7064, MOD 11,10 (German tax identification number)."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(digits[-1])


def mod11_2(text: str) -> bool:
    """ISO/IEC 7064, MOD 11-2 (Chinese resident identity card, GB 11643): the last sign may be X for 10."""
    value = 0
    for sign in text[:-1]:
        value = (value + int(sign)) * 2 % 11
    return (12 - value) % 11 == (10 if text[-1] in "xX" else int(text[-1]))


def base58check(text: str) -> bool:
    """Bitcoin's addresses of 25 bytes: the last four begin the doubled SHA-256 of the others."""
    number = 0
    for sign in text:
        place = _BASE58.find(sign)
        if place < 0:
            return False
        number = number * 58 + place
    if number.bit_length() > 200:
        return False
    payload = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(payload[:-4]).digest()).digest()[:4] == payload[-4:]


def bech32(text: str) -> bool:
    """BIP 173 and BIP 350, https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki: checksum over prefix and data."""
    text = text.lower()
    prefix, _, data = text.rpartition("1")
    if not prefix or any(sign not in _BECH32 for sign in data):
        return False
    values = [ord(sign) >> 5 for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix]
    left = 1
    for value in values + [_BECH32.index(sign) for sign in data]:
        top = left >> 25
        left = (left & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            left ^= generator if top >> bit & 1 else 0
    return left in _BECH32_LEFT
