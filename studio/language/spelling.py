"""One spelling for what is written in several ways, so that comparing texts compares what they say.

Compatibility forms that mean something are left alone: 10² is not 102.
"""

from __future__ import annotations

import re
import unicodedata

# U+FF01 to U+FF5E are ASCII in full width, U+3000 the blank of that width.
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}
_QUOTES = dict.fromkeys(map(ord, "‘’‚‛′`´"), "'") | dict.fromkeys(map(ord, "“”„‟″«»「」『』"), '"')
_DASHES = dict.fromkeys(map(ord, "−‐‑‒﹣"), "-")
# Zero-width characters, soft hyphen and marks of direction.
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF])
_TABLE = {**_WIDE, **_QUOTES, **_DASHES, **_INVISIBLE}
# A command of LaTeX around its text, fences of formulas, and the signs of Markdown.
_COMMANDS = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf|mathit|emph)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\\[()\[\]]|\*\*|__|[*$`]|(?m:^\s{0,3}(?:#{1,6}|>)\s+)")
_ENDS = " .!?…。！？｡,;:、，；："


def folded(text: str) -> str:
    """Composed form, plain quotes, hyphens and minus signs, no full-width or invisible characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_TABLE).split())


def unmarked(text: str) -> str:
    """The text without the marks of Markdown and LaTeX around its words; lines stay lines."""
    before = None
    while before != text:
        before, text = text, _COMMANDS.sub(r"\1", text)
    return "\n".join(" ".join(line.split()) for line in _MARKUP.sub("", text).splitlines())


def bare(text: str, *, brackets: bool = True) -> str:
    """The folded text in one case, without quotes (and brackets) around it or stops at its end; never empty by that alone."""
    inner = plain = folded(text).casefold()
    while inner and (shorter := _peeled(inner, "\"\"''(){}[]<>" if brackets else "\"\"''")) != inner:
        inner = shorter
    return inner or plain


def _peeled(text: str, pairs: str) -> str:
    """One layer less of stops at the end and of what stands around in pairs."""
    text = text.strip().rstrip(_ENDS)
    for opening, closing in zip(pairs[::2], pairs[1::2], strict=True):
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(text[1:-1]):
            return text[1:-1].strip()
    return text
