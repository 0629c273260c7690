"""A recipe for files of conversations: found by reading them, with what the reader itself says would read them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import StudioError
from studio.core.workspace import Workspace
from studio.data.chat.build import ChatBuilder
from studio.data.chat.reading import CHAT_READERS
from studio.data.chat.rows import ChatRow
from studio.data.documents.base import DOCUMENTS
from studio.data.memo import HashMemo
from studio.data.proposals import LOOKED_AT, Attempt, Proposal, Refusal, glimpse, local_source, split_for, steps_of
from studio.data.readers.packed import ARCHIVE, kind_of
from studio.data.stages import StepResult
from studio.schema.recipe import ChatRecipe

_STEPS = ("unicode", "whitespace", "missing", "drop_empty", "roles", "scrub", "exact_duplicates", "near_duplicates")
_TRIES = 5
# Words of scripts with blanks between them, and signs of scripts without.
_WORDS = re.compile(r"[^\W\d_]{2,}")
_SIGNS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
_SHOWN = 2
# What the readers offer within a sentence.
_OFFERED = re.compile(r"\b(encoding|records): ([\w-]+)")


def propose_chat(path: Path) -> Proposal | Refusal | None:
    """A recipe of conversations; None where nothing has an ending that is known."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    endings = {kind_of(file) for file in files}
    if not endings & {*CHAT_READERS, *DOCUMENTS, ARCHIVE}:
        return None
    # Markdown and texts are read as documents too; what else rows lie in is not.
    rows, documents = {*CHAT_READERS, ARCHIVE} - {*DOCUMENTS, ".markdown"}, {*DOCUMENTS} - {*CHAT_READERS}
    if not endings & rows and endings & documents:
        return _of_documents(path)
    attempt = Attempt(local_source(path))
    reason = ""
    for _ in range(_TRIES):
        try:
            result = _read(attempt.source)
        except StudioError as error:
            reason = str(error)
            if "\n    type: documents" in reason:
                return _of_documents(path)
            if not _follow(attempt, reason):
                break
            continue
        if result.rows:
            return _proposal(path, attempt, result)
        reason = reason or f"{path} holds no row that can be read."
        break
    return Refusal("chat", reason)


def _read(source: dict[str, Any]) -> StepResult[ChatRow, Any]:
    """The first rows of a source, read as a build does."""
    recipe = ChatRecipe.model_validate({"kind": "chat", "sources": [source | {"limit": LOOKED_AT}]})
    with tempfile.TemporaryDirectory() as place:
        builder = ChatBuilder(recipe, Workspace.open(place), Path.cwd(), lambda _: None)
        return builder.read(builder.resolve(HashMemo(Path(place) / "memo.json")))


def _follow(attempt: Attempt, reason: str) -> bool:
    """Put into the source what the reader offers; False where it offers nothing new."""
    offered: dict[str, Any] = {}
    for line in [line.strip() for line in reason.split("\n")[1:] if line.startswith("    ")]:
        try:
            said = yaml.safe_load(line)
        except yaml.YAMLError:
            continue
        if isinstance(said, dict) and not (set(said) & set(offered)):
            offered |= said
    found = _OFFERED.search(reason)
    if found and not offered:
        offered = {found.group(1): found.group(2)}
    if not offered and "'damaged: keep'" in reason:
        offered = {"damaged": "keep"}
    if not offered or all(attempt.source.get(key) == value for key, value in offered.items()):
        return False
    offered.pop("type", None)
    attempt.source |= offered
    lines = yaml.safe_dump(offered, allow_unicode=True, default_flow_style=None, sort_keys=False, width=200).strip()
    said = reason.split("\n")[0].removeprefix(f"{attempt.source['path']}").lstrip(": ")
    attempt.choices.append(f"Check {', '.join(lines.splitlines())}: {glimpse(said, 240)}")
    return True


def _of_documents(path: Path) -> Proposal:
    """A recipe that has questions written from documents."""
    source = local_source(path) | {"type": "documents"}
    recipe: dict[str, Any] = {"kind": "chat", "description": f"Questions about {path.name}.", "sources": [source]}
    recipe |= {"steps": steps_of(_STEPS)}
    choice = (
        "Say under writer who writes questions; without one the documents' own questions and headings are read. 'rows: text' "
        "takes them as raw text, for chat/text."
    )
    return Proposal("chat", 0.6, "documents", recipe, (choice,))


def _proposal(path: Path, attempt: Attempt, result: StepResult[ChatRow, Any]) -> Proposal:
    """The recipe that read the rows."""
    rows = result.rows
    shapes = ", ".join(f"{name} ({count:,})" for name, count in result.figures["shapes"].items())
    pairs = sum(row.is_preference for row in rows)
    what = f"{'preferences' if pairs else 'conversations'}, read as {shapes}"
    recipe = {
        "kind": "chat",
        "description": f"{'Preferences' if pairs else 'Conversations'} from {path.name}.",
        "sources": [attempt.source],
        "steps": steps_of(_STEPS),
        "split": split_for(len(rows), 0.05, 0.1),
    }
    choices = [*attempt.choices, *(f"Told at reading: {note}" for note in result.notes)]
    if result.removed:
        choices.append(f"{len(result.removed):,} of the first {len(rows) + len(result.removed):,} rows cannot be used.")
    shown = tuple(_shown(row) for row in rows[:_SHOWN])
    return Proposal("chat", _likeness(attempt, result), what, recipe, tuple(choices), shown)


def _shown(row: ChatRow) -> str:
    """A conversation on a few lines."""
    return "\n".join(f"  {turn['role']}: {glimpse(turn['content'], 90)}" for turn in row.turns[:4])


def _likeness(attempt: Attempt, result: StepResult[ChatRow, Any]) -> float:
    """How much the rows look like conversations: surely where their shape is known, else by the words in them."""
    if "prompt" in attempt.source or any("asked for by the name of the file" in note for note in result.notes):
        return 0.3
    if len(result.removed) > len(result.rows):
        return 0.2
    said = [turn["content"] for row in result.rows for turn in row.turns]
    wordy = sum(len(_WORDS.findall(text)) + len(_SIGNS.findall(text)) // 2 >= 3 for text in said) >= 0.5 * len(said)
    if not {"columns", "format"} & set(attempt.source):
        return 0.9 if any(sign.isalpha() for text in said for sign in text) else 0.3
    return 0.7 if wordy and len(set(said)) > len(said) / 2 else 0.2
