"""Questions and answers written out in texts and markdown, in the forms people use for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import dedent

from studio.data.chat.labels import Turn, is_answer_word, is_question_word, labelled_turns, without_label

HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*")
FENCE = re.compile(r"\s*(```|~~~)")
_RULE = re.compile(r"\s*(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,}|=+)\s*")
_ASKS = ("?", "？", "؟", "⁇", "?**", "？**")
# What numbers an item: 1. 2) (3), and in Chinese and Japanese 4、 （五） 六、.
_NUMBER = r"[(（]?(?:\d{1,4}|[一二三四五六七八九十百]{1,4})(?:[.)]\s+|[、．）]\s*)"
_BOLD = re.compile(
    rf"(?P<mark>\s{{0,3}}(?:[-*+]\s+|{_NUMBER})?)(?P<bold>\*\*|__)(?P<asked>[^*\n]+?)(?P=bold)"
    r"\s*(?::|[—–-](?=\s))?\s*(?P<rest>.*)"
)
_ITEM = re.compile(rf"\s{{0,3}}(?:[-*+•]\s+|{_NUMBER})(?P<asked>.*)")
_QUOTED = re.compile(r"^[ ]{0,3}>[ ]?", re.MULTILINE)
_DEFINITION = re.compile(r"[ ]{0,3}:[ \t]+(?P<said>.+)")
_FOLD = re.compile(r"<(/?(?:details|summary))\b[^<>]{0,200}>", re.I)
_TAG = re.compile(r"</?(?:b|strong|i|em|u|h[1-6]|span|p|code|br)\b[^>]*>", re.I)
_DIVIDER = re.compile(r"\s*\|?\s*:?-{3,}:?\s*(?:\|\s*:?-{3,}:?\s*)+\|?\s*")
_CELL_END = re.compile(r"(?<!\\)\|")


@dataclass
class Talk:
    """A conversation that was written out. heading: the one it stands under."""

    messages: list[dict[str, str]]
    heading: str | None = None


@dataclass
class Written:
    """Conversations of a text, and what of it belongs to none of them."""

    talks: list[Talk] = field(default_factory=list)
    left: str = ""


def read_labelled(text: str) -> Written:
    """Conversations whose questions and answers have labels; a new question after an answer begins a new one.

    A heading between two of them belongs to neither. Answers without a label count where the questions are bold or headings.
    Nothing is found where a question or an answer is missing.
    """
    lines = _unquoted(text).strip().splitlines()
    turns = labelled_turns(_without_code(lines))
    roles = {turn.role for turn in turns}
    if "assistant" not in roles and "user" in roles and all(turn.styled for turn in turns):
        return _asked_only(lines, [(turn.line, turn.text) for turn in turns])
    if any(turn.starts for turn in turns):
        # An answer before the first question answers nothing: a word of a list, a letter in a table.
        turns = list(itertools.dropwhile(lambda turn: turn.role == "assistant", turns))
    if not {"user", "assistant"} <= {turn.role for turn in turns}:
        return Written()
    found = Written()
    before, heading = _cut_headings(lines[: turns[0].line])
    found.left = "\n".join(before).strip()
    bodies = _bodies(lines, turns)
    ends = _section_ends(lines[: turns[0].line], [body for _, body in bodies])
    for (turn, whole), (following, _) in zip(bodies, [*bodies[1:], (None, [])], strict=True):
        body, next_heading = whole, None
        if following is None or following.role != "assistant":
            if (end := ends(whole, last=following is None)) is not None:
                body, after = whole[:end], whole[end:]
                next_heading = _cut_headings(after)[1] or _title(after[0])
                found.left = "\n".join(part for part in (found.left, "\n".join(_cut_headings(after)[0]).strip()) if part)
            body, trailing = _cut_headings(body)
            next_heading = next_heading or trailing
        if not found.talks or (turn.starts and any(one["role"] != "system" for one in found.talks[-1].messages)):
            found.talks.append(Talk([], heading))
        alone = turn.starts and turn.styled and turn.text.strip() and "".join(body).strip()
        if alone and (following is None or following.starts):
            # A bold question or a heading with text below it, which needs no label to be the answer.
            found.talks[-1].messages += _pair(turn.text, "\n".join(body))
        else:
            found.talks[-1].messages.append({"role": turn.role, "content": "\n".join([turn.text, *body]).strip()})
        heading = next_heading or heading
    return found


def _bodies(lines: Sequence[str], turns: Sequence[Turn]) -> list[tuple[Turn, list[str]]]:
    """Each turn with the lines below its first, up to the next."""
    ends = [turn.line for turn in turns[1:]] + [len(lines)]
    return [(turn, list(lines[turn.line + 1 : end])) for turn, end in zip(turns, ends, strict=True)]


def _section_ends(before: Sequence[str], bodies: Sequence[Sequence[str]]) -> Callable[..., int | None]:
    """What says where in a body the answer ends and a new section of the page begins, None where it does not.

    A heading that stands as high as one that is known to head questions ends an answer. The last answer is ended by any heading,
    if no other answer holds one.

    Args:
        before: lines before the first question. bodies: lines below each question and answer.
    """
    trailing = [body[len(_cut_headings(body)[0]) :] for body in [before, *bodies[:-1]]]
    known = [level for lines in trailing for line in lines if (level := _level(line))]
    deepest = max(known, default=0)
    inner = [_cut_headings(body)[0] for body in bodies[:-1]]
    plain = len(bodies) > 2 and not any(_headings(body) for body in inner)

    def end(body: Sequence[str], *, last: bool) -> int | None:
        kept = _cut_headings(body)[0]
        places = [place for place, level in _headings(kept) if level <= deepest or (last and plain)]
        return places[0] if places else None

    return end


def _headings(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Place and level of each heading outside of code."""
    return [(place, level) for place, line in enumerate(_without_code(lines)) if (level := _level(line))]


def _level(line: str) -> int:
    """Level of a heading, 0 of any other line."""
    found = HEADING.fullmatch(line.strip())
    return len(found.group(1)) if found else 0


def _title(line: str) -> str | None:
    """Text of a heading."""
    found = HEADING.fullmatch(line.strip())
    return found.group(2) if found else None


def _unquoted(text: str) -> str:
    """A text whose every line stands in a block quote of markdown, out of it; any other as it is."""
    quoted = all(_QUOTED.match(line) for line in text.splitlines() if line.strip())
    return _QUOTED.sub("", text) if quoted else text


def _asked_only(lines: Sequence[str], asked: Sequence[tuple[int, str]]) -> Written:
    """Questions by the line they stand in, each answered by what follows it."""
    before, heading = _cut_headings(lines[: asked[0][0]])
    found = Written(left="\n".join(before).strip())
    for (line, question), following in zip(asked, [*asked[1:], None], strict=True):
        body, next_heading = _cut_headings(lines[line + 1 : following[0] if following else len(lines)])
        found.talks.append(Talk(_pair(question, "\n".join(body)), heading))
        heading = next_heading or heading
    return found if all(talk.messages[1]["content"] for talk in found.talks) else Written()


def _pair(question: str, answer: str) -> list[dict[str, str]]:
    """A question and its answer, without labels of their own."""
    asked = without_label(question.strip(), "user")
    return [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": without_label(dedent(answer).strip(), "assistant")},
    ]


def _without_code(lines: Sequence[str]) -> list[str]:
    """Lines with those of code left empty: a label in a listing is none."""
    kept, fenced = [], False
    for line in lines:
        mark = FENCE.match(line)
        kept.append("" if fenced or mark else line)
        fenced ^= bool(mark)
    return kept


def _cut_headings(lines: Sequence[str]) -> tuple[list[str], str | None]:
    """Lines without the headings, rules and empty lines at their end; the text of the last of these headings."""
    kept, heading = list(lines), None
    while kept:
        last = kept[-1]
        found = HEADING.fullmatch(last.strip())
        if found:
            heading = heading or found.group(2)
        elif _RULE.fullmatch(last) and len(kept) > 1 and kept[-2].strip() and set(last.strip()) <= {"=", "-"}:
            # Below a line of its own, a rule makes it a heading.
            alone = len(kept) == 2 or not kept[-3].strip()
            if not alone:
                break
            heading = heading or kept[-2].strip()
            kept.pop()
        elif last.strip() and not _RULE.fullmatch(last):
            break
        kept.pop()
    return kept, heading


def read_section(text: str) -> Written:
    """Questions and answers below one heading: folded (``<details>``), in a table of two columns, bold, or items of a list."""
    for reader in (_details, _table, read_labelled, _bold, _items, _definitions):
        found = reader(_unquoted(text))
        if found.talks:
            return found
    return Written(left=text)


def _details(text: str) -> Written:
    """``<details><summary>question</summary>answer</details>``; one inside another belongs to the outer answer."""
    found = Written()
    marks: list[re.Match[str]] = []
    depth = last = 0
    left = []
    for mark in _FOLD.finditer(text):
        name = mark.group(1).lower()
        if name == "details":
            depth += 1
        if depth == 1:
            marks.append(mark)
        if name != "/details":
            continue
        depth = max(0, depth - 1)
        if depth == 0 and [one.group(1).lower() for one in marks] == ["details", "summary", "/summary", "/details"]:
            pair = _pair(_TAG.sub("", text[marks[1].end() : marks[2].start()]), text[marks[2].end() : marks[3].start()])
            if pair[1]["content"]:
                found.talks.append(Talk(pair))
                left.append(text[last : marks[0].start()])
                last = mark.end()
        marks = marks if depth else []
    found.left = "".join([*left, text[last:]]).strip()
    return found


def _table(text: str) -> Written:
    """A table with a column of questions and one of answers."""
    lines = text.splitlines()
    found, used = Written(), set[int]()
    for number in range(len(lines) - 1):
        if not _DIVIDER.fullmatch(lines[number + 1]) or "|" not in lines[number]:
            continue
        names = _cells(lines[number])
        asked = next((place for place, name in enumerate(names) if is_question_word(name)), None)
        answered = next((place for place, name in enumerate(names) if is_answer_word(name)), None)
        if asked is None or answered is None:
            continue
        used |= {number, number + 1}
        for row in range(number + 2, len(lines)):
            cells = _cells(lines[row]) if "|" in lines[row] else []
            if len(cells) <= max(asked, answered):
                break
            used.add(row)
            found.talks.append(Talk(_pair(cells[asked], cells[answered])))
    found.left = "\n".join(line for number, line in enumerate(lines) if number not in used).strip()
    return found


def _cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [re.sub(r"<br\s*/?>", "\n", cell.replace("\\|", "|").strip()) for cell in _CELL_END.split(inner)]


def _bold(text: str) -> Written:
    """Bold questions, alone or at the beginning of an item; what follows each is its answer."""
    lines = text.splitlines()
    starts = []
    for number, line in enumerate(_without_code(lines)):
        found = _BOLD.fullmatch(line)
        if found and found["asked"].rstrip().endswith(_ASKS):
            starts.append((number, found["asked"], found["rest"]))
    return _spread(lines, starts)


def _items(text: str) -> Written:
    """Items of a list that are questions, each with its answer below it; a list of nothing but questions is none."""
    lines = text.splitlines()
    starts = []
    for number, line in enumerate(_without_code(lines)):
        found = _ITEM.fullmatch(line)
        if found and found["asked"].rstrip().endswith(_ASKS):
            starts.append((number, found["asked"].strip("*_ "), ""))
    return _spread(lines, starts)


def _definitions(text: str) -> Written:
    """Questions on a line of their own, each with its answer below it as a definition (``: A small bird.``)."""
    lines = text.splitlines()
    pairs = itertools.pairwise([*enumerate(_without_code(lines)), (len(lines), "")])
    defined = [(at, line.strip()) for (at, line), (_, below) in pairs if _DEFINITION.match(below)]
    asked = [(at, line, "") for at, line in defined if line.endswith(_ASKS)]
    return _spread([_DEFINITION.sub(r"\g<said>", line) for line in lines], asked)


def _spread(lines: Sequence[str], starts: Sequence[tuple[int, str, str]]) -> Written:
    """Questions by line, with what stands behind them on it; nothing where one has no answer."""
    if not starts:
        return Written()
    found = Written(left="\n".join(lines[: starts[0][0]]).strip())
    for (line, asked, rest), following in zip(starts, [*starts[1:], None], strict=True):
        body = lines[line + 1 : following[0] if following else len(lines)]
        answer = "\n".join(part for part in (rest.strip(), dedent("\n".join(body)).strip("\n")) if part.strip())
        found.talks.append(Talk(_pair(asked, answer)))
    return found if all(talk.messages[1]["content"] for talk in found.talks) else Written()


def read_blocks(text: str) -> Written:
    """A plain text whose every block is a question on a line of its own with its answer below it."""
    blocks = [block.strip().splitlines() for block in re.split(r"\n\s*\n", text.strip())]
    asked = [len(block) > 1 and block[0].rstrip().endswith(_ASKS) for block in blocks]
    if sum(asked) < 2 or not all(asked[asked.index(True) :]):
        return Written()
    first = asked.index(True)
    talks = [Talk(_pair(block[0], "\n".join(block[1:]))) for block in blocks[first:]]
    return Written(talks, "\n".join("\n".join(block) for block in blocks[:first]))
