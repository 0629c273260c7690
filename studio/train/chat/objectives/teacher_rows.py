"""A teacher behind a server: what it said of each token of its answers stands in the rows, and is used where the tokens agree.

The rows come from a recipe with a source ``synthetic``, ``form: answers`` and ``writer.top_logprobs``. A server gives tokens as
texts; they are compared byte by byte with those of the student.

Legend: t targets of all rows, k tokens kept of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from studio.core.errors import DataError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import read_split
from studio.models.chat.encoding import EncodedRow
from studio.train.chat.objectives.base import Opened
from studio.train.chat.objectives.divergence import ABSENT
from studio.train.chat.objectives.teacher_cache import UNKNOWN, new_cache

OF_ROWS = "rows"
"""The teacher whose words stand in the rows."""
MOST_KEPT = 20
"""Most tokens that a server gives at each place."""
KEY = "teacher_logprobs"
"""What they stand under in the ``meta`` of a row."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a byte of its own in vocabularies of SentencePiece
Said = Sequence[tuple[str, float, Sequence[tuple[str, float]]]]


class Words:
    """The student's tokens by their bytes, and back."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Read the vocabulary once."""
        backend: Any = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
        by_byte = "ByteLevel" in f"{backend.pre_tokenizer} {backend.decoder}"
        table = {sign: number for number, sign in bytes_to_unicode().items()} if by_byte else None
        added = set(tokenizer.added_tokens_decoder)
        self._bytes = {
            index: word.encode() if index in added else _bytes_of(word, table) for word, index in tokenizer.get_vocab().items()
        }
        self._ids = {value: index for index, value in sorted(self._bytes.items(), reverse=True)}

    def of(self, index: int) -> bytes:
        """The bytes of a token."""
        return self._bytes.get(index, b"")

    def named(self, said: str) -> int | None:
        """The token of a text, or of the bytes of one; None where the student has none."""
        return self._ids.get(_said_bytes(said))


def fill_from_rows(opened: Opened, folder: Path) -> None:
    """Write what the rows hold of a teacher's words as a cache, and say of how many rows the tokens agree.

    Raises:
        DataError: no row holds any, or none agrees.
    """
    source = run_dataset(read_run(opened.folder), Workspace.around(opened.folder))
    splits = [("train", opened.training), ("validation", opened.validation)]
    said: list[Said | None] = []
    for name, split in splits:
        kept = {row.id: row.meta for row in read_split(source, name)} if split.ids else {}
        said += [kept[identity].get(KEY) for identity in split.ids]
    rows = [*opened.training.rows, *opened.validation.rows]
    width = max((len(tops) for each in said if each for _, _, tops in each), default=0)
    if not width:
        raise DataError(
            "no row holds log-probabilities of a teacher. Build the rows with writer.top_logprobs (a source synthetic, form: "
            "answers), or learn the answers alone with chat/lora."
        )
    words, agreeing = Words(opened.tokenizer), 0
    about: dict[str, Any] = {"name": "in the rows", "top_k": width, "temperature": 1.0, "agreeing_rows": 0}
    with new_cache(folder, rows, about) as (ids, logprobs, starts):
        ids[:], logprobs[:] = UNKNOWN, ABSENT
        for place, (row, each) in enumerate(zip(rows, said, strict=True)):
            found = _aligned(row, each, words) if each else None
            if found is None:
                continue
            agreeing += 1
            for offset, tops in found.items():
                known = [(words.named(token), value) for token, value in tops]
                for slot, (index, value) in enumerate((index, value) for index, value in known if index is not None):
                    ids[starts[place] + offset, slot], logprobs[starts[place] + offset, slot] = index, value
        about["agreeing_rows"] = agreeing
        if not agreeing:
            raise DataError(
                "in no row are the teacher's tokens those of the student, so its log-probabilities are of no use. Take a student "
                "of the teacher's family, or learn the answers alone with chat/lora."
            )
    opened.say(
        f"{agreeing:,} of {len(rows):,} rows hold log-probabilities of a teacher whose tokens are the student's; of the "
        "others the answers are learnt as they stand"
    )


def _bytes_of(word: str, table: Mapping[str, int] | None) -> bytes:
    """The bytes of a word of the vocabulary.

    Args:
        table: what each sign stands for, of a byte-level vocabulary; None for one that marks blanks (SentencePiece).
    """
    if table is not None and all(sign in table for sign in word):
        return bytes(table[sign] for sign in word)
    alone = _BYTE.fullmatch(word)
    return bytes([int(alone.group(1), 16)]) if alone else word.replace("\u2581", " ").encode()


def _said_bytes(said: str) -> bytes:
    """The bytes of a token as a row keeps it, see :func:`studio.data.chat.writing.replies.logprobs_of`."""
    return bytes.fromhex(said[1:]) if said.startswith("\0") else said.encode()


def _aligned(row: EncodedRow, said: Said, words: Words) -> dict[int, Sequence[tuple[str, float]]] | None:
    """What the teacher says of the last answer's targets, by their place among those of the row; None where tokens differ.

    The mark that ends the answer has an entry only if the teacher wrote the same one.
    """
    places = [place for place, trained in enumerate(row.trained) if trained and place > 0]
    first = len(places)
    while first > 0 and (first == len(places) or places[first - 1] == places[first] - 1):
        first -= 1
    answer = places[first:]
    own = [words.of(row.input_ids[place]) for place in answer]
    theirs = [_said_bytes(token) for token, _, _ in said]
    end = [own.pop()] if answer and answer[-1] in row.ends else []
    begins = [start for start in range(len(theirs) - len(own) + 1) if theirs[start : start + len(own)] == own]
    if not own or not begins:
        return None
    count = len(own) + (theirs[begins[-1] + len(own) :][:1] == end != [])
    return {first + number: said[begins[-1] + number][2] for number in range(count)}
