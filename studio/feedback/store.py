"""``feedback.sqlite``: requests, ratings, corrections, votes and annotations, in one SQLite file in WAL mode.

Standard library only, because the server's guard loads it inside vLLM's own environment. A method that has returned has its row
on disk (``synchronous=FULL``): neither twenty writers at once nor a SIGKILL loses it. Texts of requests are kept only when that
was switched on; a rating, a correction or a vote carries its text, because giving one is how a person hands it over.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import DataError, StudioError, UserError
from studio.feedback.answers import Beside
from studio.feedback.database import Database
from studio.feedback.tables import TABLES

FILE_NAME = "feedback.sqlite"

Messages = Sequence[Mapping[str, Any]]
Winner = Literal["a", "b", "tie", "neither"]
Status = Literal["ok", "cut", "stopped", "error", "refused"]

_DAY = 86_400.0


@dataclass(frozen=True)
class Origin:
    """Who answered whom, and how. user: name of the account or of the browser; app: where it happened."""

    model: str
    user: str
    app: str
    adapter_hash: str | None = None
    template_hash: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestRow:
    """One answered, cut, stopped, failed or refused request.

    seconds and first_token_seconds count from the arrival. characters: length of the answer. language: ISO 639-1 of the answer.
    prompt, completion and what stands beside it (:func:`studio.feedback.answers.beside_of`) reach the disk only when the store
    keeps texts.
    """

    origin: Origin
    status: Status = "ok"
    id: str = ""
    created: float | None = None
    seconds: float | None = None
    first_token_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    characters: int | None = None
    language: str | None = None
    refusal: bool | None = None
    prompt: Messages | None = None
    completion: str | None = None
    beside: Beside | None = None


@dataclass(frozen=True)
class StoreSettings:
    """What the store keeps. Days None means until someone is forgotten.

    keep_texts: whether requests are kept with their words. request_days: age at which requests are deleted. feedback_days: the
    same for ratings, corrections, votes and annotations.
    """

    keep_texts: bool = False
    request_days: int | None = 90
    feedback_days: int | None = None


class FeedbackStore:
    """One open feedback file; may be shared by threads, and reopens itself after a fork."""

    def __init__(self, path: str | Path) -> None:
        """Open the file or make it.

        Raises:
            UserError: the file is no feedback store, or was written by a newer studio.
            StudioError: it cannot be opened or made.
        """
        self.path = Path(path)
        self._database = Database(self.path)
        self._purged = 0.0
        self.settings()

    @classmethod
    def existing(cls, path: Path) -> FeedbackStore:
        """Open a file that is there already.

        Raises:
            DataError: there is none yet. UserError, StudioError: as when one is opened.
        """
        if not path.is_file():
            raise DataError(f"there is no feedback in {path} yet. Open an app and rate some answers: studio app chat RUN")
        return cls(path)

    # -- writing -------------------------------------------------------------------------------------------------

    def record_request(self, row: RequestRow) -> str:
        """Write one request; returns its id."""
        return self.record_requests([row])[0]

    def record_requests(self, rows: Iterable[RequestRow]) -> list[str]:
        """Write several requests in one transaction; returns their ids. What is too old by the settings goes at most daily."""
        settings = self.settings()
        lines = []
        for row in rows:
            texts = (_json(row.prompt) if row.prompt is not None else None, row.completion, _beside(row.beside))
            kept = texts if settings.keep_texts else (None, None, None)
            refusal = None if row.refusal is None else int(row.refusal)
            figures = (row.status, row.seconds, row.first_token_seconds, row.prompt_tokens, row.completion_tokens)
            signals = (row.characters, row.language, refusal)
            lines.append((row.id or uuid.uuid4().hex, *_origin(row.origin, row.created), *figures, *signals, *kept))
        with self._database.writing() as connection:
            connection.executemany(f"INSERT INTO requests VALUES ({_marks(19)})", lines)
        if time.time() - self._purged > _DAY:
            self.purge()
        return [str(line[0]) for line in lines]

    def rate(
        self,
        origin: Origin,
        *,
        prompt: Messages,
        completion: str,
        value: Literal[1, 0, -1],
        request: str | None = None,
        comment: str | None = None,
        beside: Beside | None = None,
    ) -> str:
        """Add a thumb up (1) or down (-1), or take back (0) what this user said of this answer before; returns the row's id.

        Args:
            prompt: the messages before the answer, the system turn included.
            request: id of the request; ratings of one request and user follow each other. Without it the texts identify it.
            beside: what the answer is beside its words (:func:`studio.feedback.answers.beside_of`).
        """
        return self._add("ratings", origin, (request, _json(prompt), completion, int(value), comment, _beside(beside)))

    def correct(
        self,
        origin: Origin,
        *,
        prompt: Messages,
        completion: str,
        correction: str,
        request: str | None = None,
        beside: Beside | None = None,
    ) -> str:
        """Add what the answer should have been; returns the row's id. ``beside`` as in :meth:`rate`.

        Raises:
            UserError: the correction is empty or the answer itself.
        """
        if not correction.strip() or correction.strip() == completion.strip():
            raise UserError("a correction is empty or the same as the answer: write what the answer should have been.")
        return self._add("corrections", origin, (request, _json(prompt), completion, correction, _beside(beside)))

    def vote(
        self,
        a: Origin,
        b: Origin,
        *,
        prompt: Messages,
        answers: tuple[str, str],
        winner: Winner,
        left: Literal["a", "b"] = "a",
        beside: tuple[Beside | None, Beside | None] = (None, None),
    ) -> str:
        """Add a comparison of two answers to one prompt; returns the row's id.

        Args:
            answers: that of ``a``, that of ``b``.
            winner: which was better; ``tie`` both good, ``neither`` both bad.
            left: which answer stood on the left.
            beside: of each answer, as in :meth:`rate`.
        """
        other = (b.model, b.adapter_hash, b.template_hash, _json(b.sampling))
        return self._add("votes", a, (*other, _json(prompt), *answers, winner, left, *map(_beside, beside)))

    def annotate(
        self,
        origin: Origin,
        *,
        dataset: str,
        row: str,
        prompt: Messages,
        completion: str,
        label: str | None,
        correction: str | None = None,
        beside: Beside | None = None,
        suggestion: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a person's judgement of a row of a Dataset; a later one of the same person takes its place. Returns the row's id.

        Args:
            dataset: ``name/fingerprint``. row: id of the row in it.
            prompt: empty where the row is no conversation; ``completion`` then is the text that may be corrected.
            label: None takes the judgement back.
            beside: as in :meth:`rate`.
            suggestion: ``label``, ``by`` and ``score`` of what was suggested to the person.
        """
        kept = None if suggestion is None else _json(suggestion)
        line = (dataset, row, _json(prompt), completion, label, correction, _beside(beside), kept)
        return self._add("annotations", origin, line)

    def _add(self, table: str, origin: Origin, values: tuple[Any, ...]) -> str:
        """Append one judgement."""
        identity = uuid.uuid4().hex
        line = (None, identity, *_origin(origin, None), *values)
        with self._database.writing() as connection:
            connection.execute(f"INSERT INTO {table} VALUES ({_marks(len(line))})", line)
        return identity

    # -- reading -------------------------------------------------------------------------------------------------

    def rows(self, table: str, *, since: float | None = None, until: float | None = None) -> list[dict[str, Any]]:
        """Rows of a table, oldest first, as dictionaries; prompts and sampling settings are decoded.

        Args:
            table: requests, ratings, corrections, votes or annotations.
            since, until: half-open range of seconds since 1970.
        """
        if table not in TABLES:
            raise ValueError(f"there is no table {table!r}")
        order = "created, rowid" if table == "requests" else "number"
        limits = (since if since is not None else float("-inf"), until if until is not None else float("inf"))
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT * FROM {table} WHERE created >= ? AND created < ? ORDER BY {order}", limits)
            return [_decoded(row) for row in found]

    def request(self, identity: str) -> dict[str, Any] | None:
        """One request by its id; None where nothing is kept of it."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM requests WHERE id = ?", (identity,)).fetchone()
        return None if row is None else _decoded(row)

    def current_ratings(self) -> list[dict[str, Any]]:
        """What each user holds of each answer now: the last rating, unless it took the others back."""
        held: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.rows("ratings"):
            answer = row["request"] or (_json(row["prompt"]), row["completion"], _beside(row["beside"]))
            # The model belongs to the key: one request id may be answered again by another.
            held.pop(key := (row["user"], row["model"], answer), None)
            held[key] = row
        return [row for row in held.values() if row["value"]]

    def current_annotations(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """What each annotator holds of each row now."""
        held: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in self.rows("annotations"):
            if dataset is None or row["dataset"] == dataset:
                held.pop(key := (row["user"], row["dataset"], row["row"]), None)
                held[key] = row
        return [row for row in held.values() if row["label"] is not None]

    def annotated_answers(self) -> list[dict[str, Any]]:
        """The current annotations of conversations: of other rows there is no answer that a training could learn from."""
        return [row for row in self.current_annotations() if row["prompt"]]

    def counts(self) -> dict[str, int]:
        """Rows per table."""
        with self._database.reading() as connection:
            return {table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES}

    # -- keeping and forgetting ----------------------------------------------------------------------------------

    def settings(self) -> StoreSettings:
        """What is kept, as it stands in the file (another process may have changed it)."""
        known = StoreSettings.__dataclass_fields__
        with self._database.reading() as connection:
            rows = connection.execute("SELECT name, value FROM settings").fetchall()
        return StoreSettings(**{row["name"]: json.loads(row["value"]) for row in rows if row["name"] in known})

    def change_settings(self, **changes: Any) -> StoreSettings:
        """Change some of :class:`StoreSettings`; switching texts off deletes those of requests that are there."""
        changed = StoreSettings(**{**asdict(self.settings()), **changes})
        for name in ("request_days", "feedback_days"):
            days = getattr(changed, name)
            if days is not None and days < 1:
                raise UserError(f"{name} is {days}: give a whole number of days from 1, or none to keep everything.")
        with self._database.writing() as connection:
            lines = [(name, json.dumps(value)) for name, value in asdict(changed).items()]
            connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", lines)
            if not changed.keep_texts:
                connection.execute("UPDATE requests SET prompt = NULL, completion = NULL, beside = NULL WHERE prompt IS NOT NULL")
        self._database.wipe()
        self.purge()
        return self.settings()

    def purge(self, now: float | None = None) -> dict[str, int]:
        """Delete what is older than the settings allow; returns rows deleted per table."""
        settings, now = self.settings(), time.time() if now is None else now
        self._purged = time.time()
        deleted: dict[str, int] = {}
        with self._database.writing() as connection:
            for table in TABLES:
                days = settings.request_days if table == "requests" else settings.feedback_days
                if days is not None:
                    done = connection.execute(f"DELETE FROM {table} WHERE created < ?", (now - days * _DAY,))
                    deleted[table] = done.rowcount
        if any(deleted.values()):
            self._database.wipe()
        return deleted

    def forget(self, user: str) -> dict[str, int]:
        """Delete everything of one user, so that no byte of it stays in the file; returns rows deleted per table.

        Raises:
            StudioError: another process reads so long that the write-ahead log could not be emptied.
        """
        with self._database.writing() as connection:
            deleted = {table: connection.execute(f"DELETE FROM {table} WHERE user = ?", (user,)).rowcount for table in TABLES}
        if not self._database.wipe():
            raise StudioError(
                f"the rows of {user!r} are deleted, but {self.path.name}-wal still holds copies because another process is "
                "reading. Stop the apps and the server, and run the command again."
            )
        return deleted

    def users(self) -> list[str]:
        """Everyone of whom something is kept, in alphabetical order."""
        query = " UNION ".join(f"SELECT user FROM {table}" for table in TABLES)
        with self._database.reading() as connection:
            return [str(row[0]) for row in connection.execute(f"{query} ORDER BY 1")]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _origin(origin: Origin, created: float | None) -> tuple[Any, ...]:
    """The columns that all tables share."""
    when = time.time() if created is None else created
    return (when, origin.user, origin.app, origin.model, origin.adapter_hash, origin.template_hash, _json(origin.sampling))


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    """A row with its JSON read."""
    value = dict(row)
    for name in ("prompt", "sampling", "sampling_b", "beside", "beside_b", "suggestion"):
        if value.get(name) is not None:
            value[name] = json.loads(value[name])
    return value


def _json(value: Any) -> str:
    """JSON text, the same for the same value; mappings and sequences of any kind are taken."""
    if isinstance(value, Mapping):
        value = dict(value)
    elif not isinstance(value, str):
        value = [dict(item) for item in value]
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _beside(value: Beside | None) -> str | None:
    """What stands beside an answer as the file keeps it."""
    return _json(value) if value else None


def _marks(count: int) -> str:
    """So many placeholders."""
    return ", ".join("?" * count)
