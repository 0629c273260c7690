"""All that is looked for in one go, without overlaps, and how a finding is shown without giving it away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from studio.data.chat.personal.contacts import find_emails, find_phones, find_spoken_emails
from studio.data.chat.personal.national import find_national_ids
from studio.data.chat.personal.numbers import find_cards, find_ibans, find_ips, find_macs, find_places
from studio.data.chat.personal.scripts import Span, searchable
from studio.data.chat.personal.secrets import find_credentials, find_crypto, find_keys

Finder = Callable[[str], Iterable[Span]]
More = Callable[[str], Iterable[tuple[str, int, int]]]


@dataclass(frozen=True)
class Found:
    """One finding: its kind, and the half-open range of characters it takes."""

    kind: str
    start: int
    stop: int


# In order: where two findings overlap, the one whose kind stands earlier is taken, for its form proves more.
KINDS = (
    "key", "credentials", "email", "spoken_email", "iban", "crypto", "mac", "ip", "card", "national_id", "phone", "geo",
)  # fmt: skip
"""What can be looked for."""


class Search:
    """A search for some kinds. It holds settings only, so that it can travel to other processes."""

    def __init__(
        self, what: Sequence[str], phone_region: str | None = None, regions: Sequence[str] = (), more: More | None = None
    ) -> None:
        """``regions``: countries of ``national_id``; ``more``: an engine that finds what else there is, as kind, start, stop."""
        self._what = tuple(kind for kind in KINDS if kind in what)
        self._phone_region = phone_region.upper() if phone_region else None
        self._regions = tuple(dict.fromkeys(regions))
        self._more = more

    def findings(self, text: str) -> list[Found]:
        """What stands in a text, in order, without overlaps."""
        taken = bytearray(len(text))
        found = [one for one in self._all(text) if not _overlaps(one, taken)]
        return sorted(found, key=lambda one: one.start)

    def _all(self, text: str) -> Iterator[Found]:
        """Every finding, those of the kinds that come first before the others."""
        plain = searchable(text)
        finders = self._finders()
        for kind in self._what:
            yield from (Found(kind.removeprefix("spoken_"), start, stop) for start, stop in finders[kind](plain))
        if self._more is not None:
            yield from (Found(*one) for one in self._more(plain))

    def _finders(self) -> dict[str, Finder]:
        """How each kind is found."""
        return {
            "key": find_keys,
            "credentials": find_credentials,
            "email": find_emails,
            "spoken_email": find_spoken_emails,
            "iban": find_ibans,
            "crypto": find_crypto,
            "mac": find_macs,
            "ip": find_ips,
            "card": find_cards,
            "national_id": lambda text: find_national_ids(text, self._regions),
            "phone": lambda text: find_phones(text, self._phone_region),
            "geo": find_places,
        }


def _overlaps(one: Found, taken: bytearray) -> bool:
    """Whether a finding's place is taken already; it is from now on."""
    if any(taken[one.start : one.stop]):
        return True
    taken[one.start : one.stop] = b"\x01" * (one.stop - one.start)
    return False


def same_value(kind: str, text: str) -> str:
    """A finding as it is compared with others of its kind: without case and separators."""
    if kind in {"key", "credentials", "crypto"}:
        return text
    lowered = text.lower()
    return lowered if kind in {"email", "ip", "geo"} else "".join(sign for sign in lowered if sign.isalnum())


def masked(kind: str, text: str) -> str:
    """A finding as it may be shown: its form and no more than a sign or two of it (``a***@e***.com``, ``+46***``)."""
    if kind == "email" and "@" in text:
        name, _, host = text.rpartition("@")
        label, _, ending = host.rpartition(".")
        return f"{name[:1]}***@{label[:1]}***.{ending}"
    shown = {"iban": 2, "phone": 3 if text.startswith("+") else 0, "key": 3, "card": 1, "crypto": 2}.get(kind, 1)
    return f"{text[:shown]}***"
