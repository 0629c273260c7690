"""Personal and secret data in texts: what is found by its form and proven by its checksum, and how it is replaced."""

from studio.data.chat.personal.finding import KINDS, Found, Search

__all__ = ["KINDS", "Found", "Search"]
