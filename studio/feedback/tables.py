"""The tables of ``feedback.sqlite`` as SQL. Rows of people's judgements cannot be changed, only added or forgotten."""

from __future__ import annotations

SCHEMA_VERSION = 3

JUDGEMENTS = ("ratings", "corrections", "votes", "annotations")
TABLES = ("requests", *JUDGEMENTS)

# beside: JSON of what the answer is beside its words (reasoning_content, tool_calls) and of the tools it could call; NULL where
# it is words only.
# What every row knows: when, whom, where, and which model answered how.
# created: seconds since 1970, UTC. app: chat, compare, image, serve. sampling: JSON (temperature, max_new_tokens, seed, ...).
_ORIGIN = """
    created REAL NOT NULL, user TEXT NOT NULL, app TEXT NOT NULL, model TEXT NOT NULL,
    adapter_hash TEXT, template_hash TEXT, sampling TEXT NOT NULL,
"""

# prompt is a JSON list of messages and is NULL, as is the completion, unless texts are kept. characters: length of the answer.
# seconds: from the request to the last token. status: ok, cut, stopped, error, refused.
_REQUESTS = f"""
CREATE TABLE requests (
    id TEXT PRIMARY KEY, {_ORIGIN}
    status TEXT NOT NULL, seconds REAL, first_token_seconds REAL, prompt_tokens INTEGER, completion_tokens INTEGER,
    characters INTEGER, language TEXT, refusal INTEGER, prompt TEXT, completion TEXT, beside TEXT
);
CREATE INDEX requests_by_time ON requests (created);
"""

# value: 1 up, -1 down, 0 takes back what this user said about this answer before.
_RATINGS = f"""
CREATE TABLE ratings (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, {_ORIGIN}
    request TEXT, prompt TEXT NOT NULL, completion TEXT NOT NULL, value INTEGER NOT NULL CHECK (value IN (-1, 0, 1)),
    comment TEXT, beside TEXT
);
"""

_CORRECTIONS = f"""
CREATE TABLE corrections (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, {_ORIGIN}
    request TEXT, prompt TEXT NOT NULL, completion TEXT NOT NULL, correction TEXT NOT NULL, beside TEXT
);
"""

# The origin's columns are those of answer a. left_side says which answer stood on the left.
_VOTES = f"""
CREATE TABLE votes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, {_ORIGIN}
    model_b TEXT NOT NULL, adapter_hash_b TEXT, template_hash_b TEXT, sampling_b TEXT NOT NULL,
    prompt TEXT NOT NULL, completion TEXT NOT NULL, completion_b TEXT NOT NULL,
    winner TEXT NOT NULL CHECK (winner IN ('a', 'b', 'tie', 'neither')), left_side TEXT NOT NULL CHECK (left_side IN ('a', 'b')),
    beside TEXT, beside_b TEXT
);
"""

# The newest row of a user about a row of a Dataset is what they hold now; label NULL takes it back. suggestion: JSON of what was
# suggested (label, by, score), NULL where nothing was. prompt is empty where the row is no conversation.
_ANNOTATIONS = f"""
CREATE TABLE annotations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, {_ORIGIN}
    dataset TEXT NOT NULL, row TEXT NOT NULL, prompt TEXT NOT NULL, completion TEXT NOT NULL, label TEXT,
    correction TEXT, beside TEXT, suggestion TEXT
);
CREATE INDEX annotations_by_row ON annotations (dataset, row);
"""

_SETTINGS = "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);"

_APPEND_ONLY = "".join(
    f"CREATE TRIGGER {table}_append_only BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
    for table in JUDGEMENTS
)

CREATE = "".join([_REQUESTS, _RATINGS, _CORRECTIONS, _VOTES, _ANNOTATIONS, _SETTINGS, _APPEND_ONLY])

# A file of version 1 kept the words of answers only; one of version 2 not what was suggested to annotators.
UPGRADES = {
    1: "".join(f"ALTER TABLE {table} ADD COLUMN beside TEXT;\n" for table in TABLES)
    + "ALTER TABLE votes ADD COLUMN beside_b TEXT;",
    2: "ALTER TABLE annotations ADD COLUMN suggestion TEXT;",
}
