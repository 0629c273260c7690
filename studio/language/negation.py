"""Which of the things that an answer mentions it affirms: not those that it denies, asks about or supposes.

By rule, in English, Chinese, Japanese, Korean, German, French, Spanish and Swedish. It errs on the side of "not affirmed": what
is doubtful is then reported as unread and never taken for a label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Span = tuple[int, int]

_DENYING = re.compile(
    r"""
    \b(?:not|no|non|none|never|neither|nor|nothing|nobody|without|cannot|hardly|barely|scarcely|unlikely|doubt\w*|except|lacks?|
    den(?:y|ies|ied)|reject\w*|exclud\w*|wrong\w*|incorrect\w*|false|opposite|contrary|nowhere|fails?|failed|excluding|
    rather\ than|instead\ of|far\ from|anything\ but|rules?\ out|ruled\ out|other\ than|as\ opposed\ to|unlike|if|whether|unless|
    dont|doesnt|isnt|arent|wasnt|cant|wont|
    nicht|kein\w*|nie|niemals|weder|noch|ohne|wenn|ob|
    ne|pas|jamais|ni|sans|aucune?|si|
    nunca|tampoco|não|nem|sin|ningun[oa]?|ningún|
    inte|ej|icke|aldrig|varken|utan\ att|knappast|om|ingen|inget|inga)\b
    | n't\b | \b[nN]'(?:est|a|était|y)\b | \bnon(?=-) | \bun(?=-)
    | 不 | 没 | 沒 | 無 | 无 | 非(?!常) | 未 | 否 | 如果 | 是否
    | ない | なく | ません | ではな | じゃな
    | 않 | 아니 | 아닌 | 없
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What leaves open all that follows in its clause.
_OPEN = re.compile(r"\b(?:whether|if|neither|ob|si|om)\b|是否|如果", re.IGNORECASE)
# The few words before a mention; a denial before words between commas ("not, in my view, spam"); what refutes it behind it.
_SHORTLY = re.compile(r"(?:[\w']+[^\w,，]+){0,5}[^\w,，]*$")
_ASIDE = re.compile(r"(?:\b(?:not|never)|n't),[^,]*,\s*(?:(?:the|an?)\s)?$", re.IGNORECASE)
_REFUTED = re.compile(
    r"\s*(?:is|was|seems|looks|can be|would be)?\s*(?:wrong|incorrect|false|ruled out|excluded|impossible|"
    r"not (?:right|correct|true|it|the answer))\b",
    re.IGNORECASE,
)
# Where one statement ends and another begins; a comma ends only what has already said something.
_CLAUSE = re.compile(
    r"[.!;。！；\n]+(?=\s|$|[^\d\s])|[?？]|(?<!anything )\b(?:but|however|sondern|sino|mais|men)\b|而是|但是?|而"
)
_COMMA = re.compile(
    r"[,，、]|\s[–—-]\s|\b(?:because|since|as|so|hence|therefore|weil|parce\s+que|porque|eftersom|because\s+of)\b"
)
# "Spam, no": said of what stands before.
_TAKEN_BACK = re.compile(
    r"\W*(?:(?:definitely|certainly|absolutely|really|surely|of course)\W+)?(?:no|not|never|nope|nej|inte|nein|nicht|non|pas)"
    r"(?:\W+(?:really|at all|true|so|the case|alls|gar))?\W*",
    re.IGNORECASE,
)


def affirmed(text: str, mentions: Sequence[Span], *, restated: bool = False) -> set[Span]:
    """The mentions (half-open places in the text) that it states.

    A mention is not stated when its clause holds a word of denial, question or supposing, or when the clause before it ends in
    one without having said anything ("It is not, in my view, spam").

    Args:
        restated: sentences may repeat a question that denies something itself ("The grandfather was not comfortable"), so that
            only denial shortly before a mention counts.
    """
    found: set[Span] = set()
    for start, stop in _parts(text, _CLAUSE, 0, len(text), mentions):
        asked = text[stop : stop + 1] in {"?", "？"}
        if restated:
            found |= {span for span in mentions if start <= span[0] < stop and not asked and _stated(text, mentions, start, span)}
            continue
        waiting, said = False, set[Span]()
        for first, last in _parts(text, _COMMA, start, stop, mentions):
            inside = [span for span in mentions if first <= span[0] and span[1] <= last]
            rest = _without(text, inside, first, last)
            denied = waiting or bool(_DENYING.search(rest))
            if not inside and _TAKEN_BACK.fullmatch(rest):
                said = set()
            elif not denied and not asked:
                said |= set(inside)
            waiting = denied and not inside
        found |= said
    return found


def _stated(text: str, mentions: Sequence[Span], start: int, span: Span) -> bool:
    """True where neither the clause up to a mention asks or excludes, nor the few words before it deny."""
    before = _without(text, [other for other in mentions if start <= other[0] and other[1] <= span[0]], start, span[0])
    near = _SHORTLY.search(before)
    denied = _ASIDE.search(before) or (near and _DENYING.search(near.group())) or _REFUTED.match(text, span[1])
    return not denied and not _OPEN.search(before)


def _parts(text: str, ends: re.Pattern[str], start: int, stop: int, mentions: Sequence[Span]) -> list[Span]:
    """The stretches between matches of a pattern; what stands inside a mention (the comma of 3,5) ends none."""
    edges = [start]
    for match in ends.finditer(text, start, stop):
        if not any(first < match.end() and match.start() < last for first, last in mentions):
            edges += [match.start(), match.end()]
    edges.append(stop)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _without(text: str, spans: Sequence[Span], start: int, stop: int) -> str:
    """A stretch of a text with the mentions in it blanked out: the "not" of "not guilty" denies nothing."""
    letters = list(text[start:stop])
    for first, last in spans:
        letters[first - start : last - start] = " " * (last - first)
    return "".join(letters)
