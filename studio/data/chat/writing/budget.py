"""What asking may use up: calls, tokens, money and minutes. Nothing is sent that could go beyond a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


class LimitReachedError(Exception):
    """A limit ends the asking; it is told in the report, and is no failure."""


@dataclass(frozen=True)
class Limits:
    """Fields as in :class:`studio.schema.writer.WriterLimits`."""

    max_calls: int | None = None
    max_tokens_total: int | None = None
    max_minutes: float | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    requests_per_second: float | None = None


def most_tokens(text: str) -> int:
    """More tokens than a text has: one for two bytes. Texts in any language come to less with today's vocabularies, for a word of
    Latin letters is one or two, a Han sign (three bytes) about one.
    """
    return len(text.encode("utf-8", "surrogatepass")) // 2 + 1


@dataclass
class Budget:
    """What was used, and what is set aside for requests under way. Threads may share it.

    calls: requests, further tries included. tokens_in, tokens_out: of prompts and answers. clock: seconds.
    """

    limits: Limits
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _aside_in: int = 0
    _aside_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _own: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._started = self.clock()
        self._next = self._started

    @property
    def cost(self) -> float | None:
        """What the tokens cost; None without prices."""
        return self._cost(self.tokens_in, self.tokens_out)

    def _cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Price of tokens, prices being those of a million."""
        limits = self.limits
        if limits.price_in is None or limits.price_out is None:
            return None
        return (tokens_in * limits.price_in + tokens_out * limits.price_out) / 1e6

    def reached(self, tokens_in: int, tokens_out: int) -> str | None:
        """Which limit a further request could go beyond, as a clause; None where there is room for it."""
        limits = self.limits
        if limits.max_calls is not None and self.calls >= limits.max_calls:
            return f"max_calls ({limits.max_calls:,}) is used up"
        tokens_in += self.tokens_in + self._aside_in
        tokens_out += self.tokens_out + self._aside_out
        if limits.max_tokens_total is not None and tokens_in + tokens_out > limits.max_tokens_total:
            return f"one more request could go beyond max_tokens_total ({limits.max_tokens_total:,})"
        cost = self._cost(tokens_in, tokens_out)
        if limits.max_cost is not None and cost is not None and cost > limits.max_cost:
            return f"one more request could go beyond max_cost ({limits.max_cost:g})"
        return self._late()

    def _late(self) -> str | None:
        """The clause for the time that is over."""
        minutes = self.limits.max_minutes
        over = minutes is not None and self.clock() - self._started >= 60 * minutes
        return f"max_minutes ({minutes:g}) are over" if over else None

    def set_aside(self, tokens_in: int, tokens_out: int) -> None:
        """Count a request and what it may use, before it is sent."""
        with self._lock:
            self.calls += 1
            self._aside_in += tokens_in
            self._aside_out += tokens_out

    def settle(self, aside: tuple[int, int], tokens_in: int, tokens_out: int) -> None:
        """Put what a request used in the place of what was set aside for it."""
        with self._lock:
            self._aside_in -= aside[0]
            self._aside_out -= aside[1]
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out

    def take_kept(self, calls: int, tokens_in: int, tokens_out: int) -> None:
        """Count an answer that is kept from an earlier build."""
        self.calls += calls
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    def begin(self) -> None:
        """A thread is about to send a request that was counted already."""
        self._own.tries = 0

    @property
    def tries(self) -> int:
        """How often this thread sent its request."""
        return int(getattr(self._own, "tries", 0))

    def before_try(self) -> None:
        """Called before every try: counts further ones, and keeps requests apart.

        Raises:
            LimitReachedError: there is no call or no time left for it.
        """
        with self._lock:
            if (late := self._late()) is not None:
                raise LimitReachedError(late)
            if self.tries:
                if self.limits.max_calls is not None and self.calls >= self.limits.max_calls:
                    raise LimitReachedError(f"max_calls ({self.limits.max_calls:,}) is used up")
                self.calls += 1
            self._own.tries = self.tries + 1
            wait = self._turn()
        if wait > 0:
            self.pause(wait)

    def _turn(self) -> float:
        """Seconds until the next request may go out."""
        if self.limits.requests_per_second is None:
            return 0.0
        now = self.clock()
        start = max(now, self._next)
        self._next = start + 1 / self.limits.requests_per_second
        return start - now
