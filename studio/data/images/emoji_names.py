"""Unicode's names and subgroups of emoji, by the code points in a file's name (``1F34E.svg``).

Names are CLDR's English short names out of the package ``emoji``. Subgroups are those of Unicode's emoji-test.txt, in the small
table beside this module. Make the table anew for a later Unicode: ``python -m studio.data.images.emoji_names emoji-test.txt``.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

from studio.core.files import write_text

_TABLE = Path(__file__).with_name("emoji_subgroups.txt")
_CODES = re.compile(r"^[0-9A-Fa-f]{2,6}(?:[-_][0-9A-Fa-f]{2,6})*$")
_SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
_LINE = re.compile(r"^([0-9A-F ]+?)\s*; (?:fully-qualified|component)")


def name_of(stem: str) -> str | None:
    """English name of the emoji a file is named after (``red apple``), None where Unicode has none.

    Source: Unicode CLDR, through the package ``emoji``.
    """
    import emoji

    codes = _codes(stem)
    if codes is None:
        return None
    text = "".join(chr(int(code, 16)) for code in codes)
    bare = text.replace("\ufe0f", "")
    for spelling in (text, bare, bare + "\ufe0f"):
        entry = emoji.EMOJI_DATA.get(spelling)
        if entry:
            return str(entry["en"]).strip(":").replace("_", " ")
    return None


def subgroup_of(stem: str) -> str | None:
    """Unicode's subgroup (``food-fruit``) of the emoji a file is named after."""
    codes = _codes(stem)
    return _subgroups().get(_plain(codes)) if codes else None


def without_skin_tone(stem: str) -> str:
    """The same for all skin tones of one emoji, so that they stay in one split."""
    codes = _codes(stem)
    return _plain(codes) if codes else stem


def _codes(stem: str) -> list[str] | None:
    """Code points in a file's name."""
    return re.split("[-_]", stem.upper()) if _CODES.match(stem) else None


def _plain(codes: list[str]) -> str:
    """Code points without skin tones and without the mark that asks for a coloured look; a lone skin tone stays."""
    kept = [code for code in codes if code not in _SKIN_TONES and code != "FE0F"]
    return "-".join(kept or codes)


@cache
def _subgroups() -> dict[str, str]:
    """Code points to subgroup."""
    found: dict[str, str] = {}
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        subgroup, _, codes = line.partition("\t")
        if not line.startswith("#"):
            found |= dict.fromkeys(codes.split(), subgroup)
    return found


def make_table(emoji_test: str) -> str:
    """The small table out of the text of Unicode's emoji-test.txt."""
    groups: dict[str, dict[str, None]] = {}
    subgroup, version = "", ""
    for line in emoji_test.splitlines():
        version = line.partition("Version: ")[2] or version
        subgroup = line.partition("# subgroup: ")[2] or subgroup
        found = _LINE.match(line)
        if found:
            groups.setdefault(subgroup, {})[_plain(found.group(1).split())] = None
    head = [
        f"# Subgroups of Unicode's emoji-test.txt, version {version}: subgroup, tab, code points without skin tones.",
        "# © Unicode, Inc., under the Unicode licence v3 (https://www.unicode.org/license.txt).",
    ]
    return "\n".join([*head, *(f"{name}\t{' '.join(codes)}" for name, codes in groups.items())]) + "\n"


if __name__ == "__main__":
    write_text(_TABLE, make_table(Path(sys.argv[1]).read_text(encoding="utf-8")))
