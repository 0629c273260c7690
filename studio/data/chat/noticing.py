"""What a person should know of a source as a whole: columns that went unused, labels, marks of a template in the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from studio.core.errors import nearest
from studio.data.chat.documents import DocumentsMet
from studio.data.chat.exports.base import Heard
from studio.data.chat.formats.asking import OTHER_ANSWERS
from studio.data.chat.formats.base import ColumnNames, Shaped, fold, is_filled, is_placeholder
from studio.data.chat.formats.names import KNOWN, LABELS, WEIGHT_KEYS
from studio.data.chat.formats.trees import OTHER_REPLIES
from studio.data.chat.turns import as_json, turn_text

# Marks with which templates write turns; a tokenizer takes them for its own even inside a text.
_MARK = re.compile(
    r"<\|[A-Za-z_]{2,30}\|>|</?s>|<</?SYS>>|<(?:start|end)_of_turn>|<[|\uff5c][^<>|\uff5c]{2,40}[|\uff5c]>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK|gMASK)\]"
    r"|<\|(?:turn|tool|tool_call|tool_response|channel)>|<(?:turn|tool|tool_call|tool_response|channel)\|>"
    r"|<(?:bos|eos|pad|unk|sop|eop|mask|image|audio|video|image_soft_token|extra_id_[0-9]+|/?tool_call|/?tool_response)>"
)
_MARK_HINTS = ("<", "[/", "[I", "[S", "[A", "[T", "[g")
# Ends that OpenAI asked for when it tuned on prompt and completion.
_PROMPT_END = re.compile(r"\s*(?:###|->|=>|\|\|\|)\s*\Z")
_ANSWER_END = re.compile(r"\s*(?:\bEND|\bSTOP|###|<\|endoftext\|>)\s*\Z")
# Words in the name of a column that may hold part of a conversation (``retrieved_passages``, ``image_path``), and last words that
# say it is only about one.
_TELLING = frozenset(
    {
        "context", "contexts", "passage", "passages", "document", "documents", "paragraph", "background", "story", "article",
        "evidence", "facts", "chosen", "rejected", "system", "history", "image", "images", "audio", "video", "tools", "functions",
        "reasoning", "rationale", "thought", "thoughts", "cot",
    }
)  # fmt: skip
_ABOUT = frozenset(
    {"id", "ids", "idx", "index", "type", "source", "name", "title", "url", "model", "score", "date", "lang", "hash"}
)
_GOOD_WORDS = frozenset(
    {"good", "yes", "y", "up", "thumbs_up", "thumbs up", "like", "liked", "positive", "correct", "\U0001f44d"}
)
# Distinct values of a label that are counted; more is no label.
_MOST_LABELS = 20


class Noticed:
    """Counts over the rows of one source.

    shapes: rows by shape. unused: rows by column that looks as if it said something, and was not used. other: rows by any other
    column that was not used. heard: what exports of chat programs held. documents: how texts were read.
    """

    def __init__(self, columns: ColumnNames) -> None:
        self._named = {
            field: name
            for field in ("context", "system", "id", "history", "tools", "label", "chosen", "rejected")
            if (name := getattr(columns, field)) is not None
        }
        self._unmet = dict(self._named)
        self._found: Counter[str] = Counter()
        self._labels: dict[str, Counter[str]] = {}
        self._thumbs: Counter[str] = Counter()
        self._ends: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._plain_prompts = 0
        self._marks: Counter[str] = Counter()
        self._thoughts = self._several = self._replies = 0
        self.rows = 0
        self.heard = Heard()
        self.documents = DocumentsMet()
        self.shapes: Counter[str] = Counter()
        self.unused: Counter[str] = Counter()
        self.other: Counter[str] = Counter()

    def take(self, value: Mapping[str, Any], shaped: Shaped) -> None:
        """Look at one row and what was made of it."""
        self.rows += 1
        self.shapes[shaped.form] += 1
        self._found.update(value.keys() if len(self._unmet) else ())
        for field, name in list(self._unmet.items()):
            if (name in shaped.used or (field == "id" and is_filled(value.get(name)))) or _reaches(value, name, field):
                del self._unmet[field]
        if len(shaped.used) < len(value):
            self._take_unused(value, shaped)
        for key in LABELS:
            if key in value and key not in shaped.used and is_filled(value[key]):
                words = self._labels.setdefault(key, Counter())
                if len(words) < _MOST_LABELS:
                    words[str(value[key])] += 1
        if shaped.label:
            self._thumbs[shaped.label] += 1
        self._several += OTHER_ANSWERS in shaped.meta
        self._replies += shaped.meta.get(OTHER_REPLIES, 0)
        self._take_text(shaped)

    def _take_unused(self, value: Mapping[str, Any], shaped: Shaped) -> None:
        """Count the columns that hold something and were not used, unless the conversation says the same."""
        said: str | None = None
        for key, inner in value.items():
            if key in shaped.used or not is_filled(inner) or is_placeholder(inner) or key in self._named.values():
                continue
            if not _says_something(key, inner):
                self.other[key] += 1
                continue
            if isinstance(inner, str):
                said = (
                    said
                    if said is not None
                    else "\n".join([*(turn["content"] for turn in shaped.messages), shaped.chosen or "", shaped.rejected or ""])
                )
                if inner.strip() in said:
                    continue
            self.unused[key] += 1

    def _take_text(self, shaped: Shaped) -> None:
        """Look for marks of templates, thoughts and old separators in the texts."""
        answers = [text for text in (shaped.chosen, shaped.rejected) if text]
        spoken = [*(turn["content"] for turn in shaped.messages), *answers]
        self._take_ends(spoken, shaped)
        whole = [*(turn_text(turn) for turn in shaped.messages), *answers, *([as_json(shaped.tools)] if shaped.tools else ())]
        marked = [text for text in whole if any(hint in text for hint in _MARK_HINTS)]
        if marked:
            self._marks.update({mark for text in marked for mark in _MARK.findall(text)})
            self._thoughts += any("</think>" in text for text in spoken)

    def _take_ends(self, texts: list[str], shaped: Shaped) -> None:
        """Count the ends of a prompt and its completion that look like separators."""
        if shaped.form == "prompt_completion" and len(texts) == 2:
            self._plain_prompts += 1
            for text, pattern, ends in zip(texts, (_PROMPT_END, _ANSWER_END), self._ends, strict=True):
                if found := pattern.search(text[-40:]):
                    ends[found.group()] += 1

    def problem(self) -> str | None:
        """A sentence where what a person named is not there, or a label can mean two things; None where all is well."""
        for field, name in self._unmet.items():
            if self.rows:
                columns = ", ".join(self._found)
                if name in self._found:
                    return f"the column {name!r} (columns.{field}) has no place in rows of this shape. The columns are {columns}."
                near = nearest(name, list(self._found))
                return f"the column {name!r} (columns.{field}) is in no row.{near} The columns are {columns}."
        return next(filter(None, (self._unclear(key, words) for key, words in self._labels.items())), None)

    def _unclear(self, key: str, words: Counter[str]) -> str | None:
        """What is unclear about a column that may be a judgement."""
        if sum(words.values()) + self._thumbs[key] < self.rows or self.shapes["preference"] == self.rows:
            return None
        other = f"name the rows' format ({self._other_form()}) if it is no judgement"
        if self._thumbs[key]:
            return (
                f"the column {key!r} says in {_rows(self._thumbs[key])} whether an answer was liked, and in the others "
                f"{_list(words)}. Say which words mean liked (liked: [...]), or {other}."
            )
        if len(words) != 2 or not self._undecided:
            return None
        return (
            f"the column {key!r} holds only {_list(words)}, which may say whether an answer was liked. If so, the source says "
            f"columns: {{label: {key}}} and liked: [{_good_word(words)}]; else {other}."
        )

    _undecided = True

    def decided(self) -> None:
        """The recipe names the shape of the rows, so that no column is taken for a judgement."""
        self._undecided = False

    def _other_form(self) -> str:
        """The shape the rows have besides."""
        names = [name for name, _ in self.shapes.most_common() if name != "preference"]
        return f"format: {names[0] if names else 'question_answer'}"

    def notes(self) -> list[str]:
        """What is told at the end of a build, a line each."""
        lines = [*self.heard.notes(), *self.documents.notes()]
        if self.unused:
            columns = ", ".join(f"{name} ({_rows(count)})" for name, count in self.unused.most_common())
            lines.append(f"columns not used: {columns}; they are kept in meta, and the model never sees them")
        for name, count in self._thumbs.items():
            taken = "answer was" if count == 1 else "answers were"
            lines.append(f"{count:,} {taken} taken as liked or disliked by the column {name!r}; name the format if not")
        if self._several:
            lines.append(
                f"{_rows(self._several)} gave several answers: the first one trains, the others are kept in meta under "
                f"{OTHER_ANSWERS!r}"
            )
        if self._replies:
            others = "1 other reply was" if self._replies == 1 else f"{self._replies:,} other replies were"
            lines.append(f"the best path through each tree of replies was read; {others} not used")
        for mark, count in self._marks.most_common(5):
            verb = "hold" if count != 1 else "holds"
            lines.append(f"{_rows(count)} {verb} {mark} as text; a base whose template uses this mark takes it for its own")
        if self._thoughts:
            verb = "hold" if self._thoughts != 1 else "holds"
            lines.append(f"{_rows(self._thoughts)} {verb} a thought (</think>) in the text; 'thoughts: split' takes it apart")
        return [*lines, *self._separators()]

    def _separators(self) -> list[str]:
        """A line for separators that nearly all prompts or completions end with."""
        names = ("prompt_end", "answer_end")
        common = [ends.most_common(1)[0] for ends in self._ends if ends]
        settings = [
            f"{name}: {_quoted(ends.most_common(1)[0][0])}"
            for name, ends in zip(names, self._ends, strict=True)
            if ends and ends.most_common(1)[0][1] >= 0.9 * self._plain_prompts
        ]
        if not settings or not common:
            return []
        return [
            f"prompts or completions end with separators, which would train; the source takes them off: {', '.join(settings)}"
        ]


def _says_something(name: str, value: Any) -> bool:
    """True for a column that looks as if it said something of the conversation: by its name, or by the words in it."""
    key = fold(name)
    if key in KNOWN:
        # A yes or no is a flag of the corpus, unless it may say that the row does not train.
        return not isinstance(value, bool) or key in WEIGHT_KEYS
    words = key.split("_")
    return isinstance(value, str | list | dict) and words[-1] not in _ABOUT and not _TELLING.isdisjoint(words)


def _reaches(value: Mapping[str, Any], name: str, field: str) -> bool:
    """True where a name with dots leads to something that is put to use."""
    if "." not in name or field == "id":
        return False
    return isinstance(value.get(name.partition(".")[0]), Mapping)


def _rows(count: int) -> str:
    """A number of rows in words."""
    return f"{count:,} row{'s' if count != 1 else ''}"


def _good_word(words: Counter[str]) -> str:
    """The word of a label that means liked, as far as it can be told."""
    return next((word for word in words if word.strip().lower() in _GOOD_WORDS), "the words that mean liked")


def _list(words: Counter[str]) -> str:
    """The words of a label."""
    shown = [repr(word) for word, _ in words.most_common(4)]
    return ", ".join(shown) + (" ..." if len(words) > 4 else "")


def _quoted(text: str) -> str:
    """A text as YAML writes it between double quotes."""
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace('"', '\\"') + '"'
