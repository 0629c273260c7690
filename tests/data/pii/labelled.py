"""Texts in seven languages with personal data whose places are known, and with traps that look like it.

Values are made from random digits and check digits worked out here, not by the finders that are measured.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = json.loads((Path(__file__).parent / "templates.json").read_text(encoding="utf-8"))
KINDS = ("email", "phone", "card", "iban", "crypto", "credentials", "ip", "mac", "spoken_email", "geo", "national_id")
PHONES = {
    "en": "+1 212 555 {} {}", "de": "+49 30 9018 {}{}", "fr": "+33 1 42 68 {} {}", "es": "+34 912 34 {} {}",
    "sv": "+46 8 508 {} {}", "zh": "+86 138 1234 {}{}", "ja": "+81-3-3580-{}{}",
}  # fmt: skip
NAMES = ("anna.berg", "j.doe+news", "wei", "m_rossi", "k.tanaka99", "o'neil".replace("'", ""), "lars-erik")
HOSTS = ("example.com", "mail.example.co.uk", "example.se", "firma.example.de", "example.cn", "example.org")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True)
class Labelled:
    """A text with its gold findings: kind, start, stop."""

    language: str
    text: str
    gold: tuple[tuple[str, int, int], ...]


def labelled(repeats: int = 20, seed: int = 7) -> list[Labelled]:
    """Every template, filled so many times."""
    found = []
    for language, given in TEMPLATES.items():
        chance = random.Random(f"{seed} {language}")
        for line in given["lines"]:
            found += [fill(line, language, given["regions"], chance) for _ in range(repeats)]
    return found


def fill(line: str, language: str, regions: list[str], chance: random.Random) -> Labelled:
    """One text of a template."""
    text, gold, position = "", [], 0
    for field in re.finditer(r"\{(\w+)\}", line):
        text += line[position : field.start()]
        value = value_of(field[1], language, regions, chance)
        if field[1] != "trap":
            gold.append((field[1].removeprefix("spoken_"), len(text), len(text) + len(value)))
        text += value
        position = field.end()
    return Labelled(language, text + line[position:], tuple(gold))


def value_of(kind: str, language: str, regions: list[str], chance: random.Random) -> str:
    """A value of a kind."""
    match kind:
        case "national_id":
            return national(chance.choice(regions), chance)
        case "phone":
            return PHONES[language].format(number(chance, 2), number(chance, 2))
        case "trap":
            return trap(chance)
        case _:
            return PLAIN[kind](chance)


def number(chance: random.Random, digits: int) -> str:
    return "".join(str(chance.randrange(10)) for _ in range(digits))


def with_luhn(digits: str) -> str:
    doubled = sum(sum(divmod(int(digit) * 2, 10)) for digit in digits[::-1][::2])
    return digits + str((-doubled - sum(map(int, digits[::-1][1::2]))) % 10)


def card(chance: random.Random) -> str:
    prefix, length = chance.choice([("4", 16), ("52", 16), ("2720", 16), ("37", 15), ("6011", 16)])
    whole = with_luhn(prefix + number(chance, length - 1 - len(prefix)))
    by = chance.choice(["", " ", "-"])
    parts = [whole[:4], whole[4:10], whole[10:]] if length == 15 else [whole[at : at + 4] for at in range(0, 16, 4)]
    return by.join(parts)


def iban(chance: random.Random) -> str:
    country, length = chance.choice([("DE", 22), ("SE", 24), ("FR", 27), ("ES", 24), ("NO", 15), ("NL", 18)])
    body = number(chance, length - 4) if country != "NL" else "ABNA" + number(chance, 10)
    value = int("".join(str(int(sign, 36)) for sign in f"{body}{country}00"))
    whole = f"{country}{98 - value % 97:02d}{body}"
    return " ".join(whole[at : at + 4] for at in range(0, length, 4)) if chance.random() < 0.5 else whole


def crypto(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return "0x" + "".join(chance.choice("0123456789abcdef") for _ in range(40))
    if chance.random() < 0.3:  # The example of BIP 173, and one of BIP 350.
        return chance.choice(
            ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"]
        )
    payload = b"\x00" + chance.randbytes(20)
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    value, text = int.from_bytes(whole, "big"), ""
    while value:
        value, rest = divmod(value, 58)
        text = BASE58[rest] + text
    return "1" * (len(whole) - len(whole.lstrip(b"\x00"))) + text


def ip(chance: random.Random) -> str:
    if chance.random() < 0.2:
        return "2001:db8:" + ":".join(f"{chance.randrange(1, 65536):x}" for _ in range(6))
    return ".".join(str(chance.randrange(1, 224)) for _ in range(4)).replace("127.", "81.")


def mac(chance: random.Random) -> str:
    return chance.choice(":-").join(f"{chance.randrange(256):02x}" for _ in range(6))


def geo(chance: random.Random) -> str:
    return f"{chance.uniform(-89, 89):.5f}, {chance.uniform(-179, 179):.5f}"


def spoken_email(chance: random.Random) -> str:
    name, host = chance.choice(["anna", "john", "lars"]), chance.choice(["example", "mail"])
    return chance.choice(
        ["{} at {} dot com", "{} [at] {} [dot] org", "{}(at){}.de", "{} arroba {} punto es", "{} (at) {} punkt se"]
    ).format(name, host)


PLAIN = {
    "email": lambda chance: f"{chance.choice(NAMES)}@{chance.choice(HOSTS)}",
    "credentials": lambda chance: f"deploy{number(chance, 2)}:{number(chance, 4)}Xy{number(chance, 3)}",
    "card": card, "iban": iban, "crypto": crypto, "ip": ip, "mac": mac, "geo": geo, "spoken_email": spoken_email,
}  # fmt: skip


def national(region: str, chance: random.Random) -> str:
    """A number of a person, with the check digits that the country's rule gives."""
    day = f"{chance.randrange(1950, 2005)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}"
    match region:
        case "US":
            return f"{chance.randrange(1, 600):03d}-{chance.randrange(1, 100):02d}-{chance.randrange(1, 10000):04d}"
        case "GB":
            return f"{chance.choice(['AB', 'JK', 'SP'])}{number(chance, 6)}{chance.choice('ABCD')}"
        case "SE":
            short = with_luhn(day[2:] + number(chance, 3))
            return chance.choice([f"{short[:6]}-{short[6:]}", f"{day[:2]}{short}", f"{day[:2]}{short[:6]}-{short[6:]}"])
        case "DE":
            return tax_number(chance)
        case "FR":
            body = f"{chance.choice('12')}{day[2:6]}{chance.randrange(1, 96):02d}{number(chance, 6)}"
            whole = f"{body}{97 - int(body) % 97:02d}"
            return chance.choice(
                [whole, f"{whole[0]} {whole[1:3]} {whole[3:5]} {whole[5:7]} {whole[7:10]} {whole[10:13]} {whole[13:]}"]
            )
        case "ES":
            body = chance.randrange(10_000_000, 100_000_000)
            return f"{body}{'TRWAGMYFPDXBNJZSQVHLCKE'[body % 23]}"
        case "BR":
            return cpf(chance)
        case "CN":
            body = f"{chance.choice(['110105', '440301'])}{day}{number(chance, 3)}"
            weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
            return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11]
        case "IN":  # UIDAI's test numbers; made ones would need Verhoeff's tables a second time.
            return chance.choice(["9999 4105 7058", "999941057058", "2341-2341-2346"])
        case _:  # Italy: examples of the Agenzia delle Entrate and of Wikipedia.
            return chance.choice(["RSSMRA85T10A562S", "MRTMTT91D08F205J"])


def tax_number(chance: random.Random) -> str:
    """German tax number: nine of ten digits, one of them doubled, and the check digit of ISO 7064 MOD 11,10."""
    digits = chance.sample("0123456789", 9)
    digits.insert(chance.randrange(10), chance.choice(digits))
    if digits[0] == "0":
        return tax_number(chance)
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10
        product = (total or 10) * 2 % 11
    return "".join(digits) + str((11 - product) % 10)


def cpf(chance: random.Random) -> str:
    body = [chance.randrange(10) for _ in range(9)]
    for first in (10, 11):
        rest = sum(digit * weight for digit, weight in zip(body, range(first, 1, -1), strict=True)) % 11
        body.append(0 if rest < 2 else 11 - rest)
    text = "".join(map(str, body))
    return chance.choice([text, f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"])


def trap(chance: random.Random) -> str:
    """What looks like personal data and is none."""
    return chance.choice(
        [
            lambda: f"order number {number(chance, 12)}",
            lambda: f"#{number(chance, 8)}",
            lambda: "978-3-16-148410-0",
            lambda: str(uuid.UUID(bytes=chance.randbytes(16), version=4)),
            lambda: f"version {'.'.join(number(chance, 1) for _ in range(4))}",
            lambda: f"v{'.'.join(number(chance, 1) for _ in range(4))}",
            lambda: f"{chance.randrange(1, 10)},{number(chance, 3)}.{number(chance, 2)} EUR",
            lambda: f"{chance.randrange(1990, 2030)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d} 10:30",
            lambda: f"{chance.randrange(1, 29)}.{chance.randrange(1, 13)}.2024",
            lambda: "".join(chance.choice("0123456789abcdef") for _ in range(40)),
            lambda: f"{number(chance, 6)}",
            lambda: "3.14159265358979",
            lambda: "12:34:56",
            lambda: "@everyone",
            lambda: "127.0.0.1",
            lambda: f"{number(chance, 11)}",
            lambda: f"{number(chance, 16)}",
            lambda: f"AB{number(chance, 9)}CD",
            lambda: "10.1000/182",
            lambda: "git@github.com:team/repo.git",
            lambda: "https://example.com/a?page=12345678",
        ]
    )()
