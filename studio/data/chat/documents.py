"""Text and markdown documents as conversations: written-out questions and answers, else heading and section."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from studio.data.chat.faqs import FENCE, HEADING, Talk, Written, read_blocks, read_labelled, read_section
from studio.data.chat.labels import without_label

LONGEST_ANSWER = 4_000
"""Characters that a text without questions may have to be one answer; a page or two."""
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title\s*[:=]\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{3,})\s*")
_SHOWN = 3


@dataclass
class DocumentsMet:
    """What a person should know of the documents of a source.

    by_name: texts without questions, asked for by the name of their file. left: characters that belong to no question, by file.
    """

    by_name: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """What is told at the end of a build, a line each."""
        lines = []
        if self.by_name:
            texts, each = ("text", "") if len(self.by_name) == 1 else ("texts", " each")
            lines.append(
                f"{len(self.by_name):,} {texts} without a question or a heading became one answer{each}, asked for by the name "
                f"of the file ({_some(self.by_name)}); prompt: words the question, type: documents writes questions from texts"
            )
        if self.left:
            lines.append(f"{self.left.total():,} characters that belong to no question were left out ({_some(list(self.left))})")
        return lines


def _some(names: list[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


@dataclass
class DocumentRows:
    """Rows of a document. left: text that belongs to none. whole: the text is one answer, asked for by the file's name."""

    rows: list[dict[str, object]]
    left: str = ""
    whole: bool = False


def read_document(text: str, name: str, *, markdown: bool, prompt: str) -> list[dict[str, object]]:
    """Rows of a document; see :func:`rows_of_document`."""
    return rows_of_document(text, name, markdown=markdown, prompt=prompt).rows


def rows_of_document(text: str, name: str, *, markdown: bool, prompt: str) -> DocumentRows:
    """Questions and answers of a document.

    Labelled ones (``Q:``, ``**Frage 1:**``, ``## Answer``) are taken at their word. A markdown file is then cut at its headings:
    of each section the folded, bold, listed or tabled questions, else the heading is the question and the section its answer. Of
    any other text each block or item that is a question with its answer; else it is one row, asked for by its file name.

    Args:
        name: file name without suffix; it is the title of a document that has none.
        prompt: question made from ``{heading}``, ``{title}`` and ``{file}``.
    """
    title = re.sub(r"[-_]+", " ", name).strip()
    if markdown and (front := _FRONT_MATTER.match(text)):
        text = text[front.end() :]
        said = _TITLE.search(front.group(2))
        title = said.group(1) if said else title
    whole = read_labelled(text)
    if whole.talks and len(whole.left) <= len(text) / 2:
        return DocumentRows([_row(talk, title) for talk in whole.talks], whole.left)
    if not markdown:
        found = next((one for one in (read_section(text), read_blocks(text)) if one.talks), Written())
        if found.talks:
            return DocumentRows([_row(talk, title) for talk in found.talks], found.left)
    return _by_sections(text, name, title, markdown=markdown, prompt=prompt)


def _row(talk: Talk, title: str) -> dict[str, object]:
    """A conversation with the heading it stands under."""
    return {"messages": talk.messages, **({"heading": talk.heading, "title": title} if talk.heading else {})}


def _by_sections(text: str, name: str, title: str, *, markdown: bool, prompt: str) -> DocumentRows:
    """The sections of a document, each with its own questions or asked for by its heading."""
    found = DocumentRows([])
    left = []
    for level, heading, body in _sections(text, title) if markdown else [(0, title, text.strip())]:
        if level == 1:
            title = heading
        if not body:
            continue
        written = read_section(body) if markdown else Written()
        if written.talks:
            found.rows += [_row(Talk(talk.messages, talk.heading or heading), title) for talk in written.talks]
            left.append(written.left)
            continue
        asked = without_label(heading, "user")
        question = prompt.replace("{heading}", asked).replace("{title}", title).replace("{file}", name)
        answer = without_label(body, "assistant") if level else body
        found.rows.append({"question": question, "answer": answer, "heading": heading, "title": title})
        found.whole |= not level
    found.left = "\n".join(part for part in left if part)
    return found


def read_transcript(text: str) -> list[list[dict[str, str]]]:
    """Conversations written out line by line with speakers; a new question after an answer starts a new one for ``Q:``.

    Returns an empty list when the text does not start with a speaker or has no answer.
    """
    found = read_labelled(text)
    return [] if found.left else [talk.messages for talk in found.talks]


def _sections(text: str, title: str) -> list[tuple[int, str, str]]:
    """Level, heading and body of each markdown section; code fences may hold lines that look like headings."""
    sections: list[tuple[int, str, list[str]]] = [(0, title, [])]
    fenced = False
    for line in text.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else HEADING.fullmatch(line)
        body = sections[-1][2]
        if heading:
            sections.append((len(heading.group(1)), heading.group(2), []))
        elif not fenced and _is_underlined(body, line):
            above = body.pop().strip()
            sections.append((1 if "=" in line else 2, above, []))
        else:
            body.append(line)
    return [(level, heading, "\n".join(body).strip()) for level, heading, body in sections]


def _is_underlined(body: list[str], line: str) -> bool:
    """True for the line below a heading of one line: ``====`` or ``----``."""
    if not _UNDERLINE.fullmatch(line) or not body or not body[-1].strip():
        return False
    alone = len(body) == 1 or not body[-2].strip()
    return alone and body[-1].lstrip()[:1] not in {"|", "-", "*", "+", ">", "#"} and not body[-1].startswith("    ")
