"""The languages that refusals, insults and moods can be told in: one module each, nothing of them anywhere else."""

from __future__ import annotations

from studio.language.lists import chinese, english, french, german, spanish, swedish
from studio.language.lists.base import WordLists

LISTS: dict[str, WordLists] = {
    lists.code: lists for lists in (english.LISTS, chinese.LISTS, french.LISTS, german.LISTS, spanish.LISTS, swedish.LISTS)
}
"""By ISO 639-1 code."""
LISTED_SCRIPTS = frozenset({"Latin", "Han", None})
"""Scripts of those languages, as :func:`studio.language.scripts.script_of` gives them; what has no letters is in none."""
