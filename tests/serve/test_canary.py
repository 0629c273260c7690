"""A model on trial behind an alias, users that are blocked and forgotten: the real guard, the real files, no vLLM."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore, Origin, RequestRow
from studio.serve.aliases import (
    alias_reader,
    end_canary,
    list_aliases,
    list_canaries,
    promote,
    rollback,
    start_canary,
)
from studio.serve.blocked import FILE_NAME as BLOCKED
from studio.serve.blocked import block, unblock
from studio.serve.keys import add_key
from studio.serve.state import StatePaths
from tests.conftest import Result
from tests.serve.conftest import Gate

ALL = lambda _name: True  # noqa: E731
ASK = {"model": "production", "messages": [{"role": "user", "content": "How wide?"}]}


def test_a_share_of_people_goes_to_the_canary_and_everyone_stays_on_a_side(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    promote(path, "production", "old", "old/1")
    reader = alias_reader(path)

    def sides() -> dict[str, str]:
        way = reader.value()["production"]
        return {f"user{number}": way.lead(f"user{number}", ASK, ALL) for number in range(2000)}

    start_canary(path, "production", "new", "new/1", share=0.1)
    first = sides()
    assert sides() == first
    assert 150 < Counter(first.values())["new"] < 250
    start_canary(path, "production", "new", "new/1", share=0.3)
    wider = sides()
    assert 530 < Counter(wider.values())["new"] < 670
    assert all(wider[user] == "new" for user, side in first.items() if side == "new")
    end_canary(path, "production")
    assert set(sides().values()) == {"old"}
    start_canary(path, "production", "new", "new/1", share=0.1)
    again = sides()
    assert {user for user, side in again.items() if side == "new"} != {user for user, side in first.items() if side == "new"}


def test_conversations_keep_their_side_from_turn_to_turn(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    promote(path, "production", "old", "old/1")
    start_canary(path, "production", "new", "new/1", share=0.5, by="conversation")
    way = alias_reader(path).value()["production"]
    seen: Counter[str] = Counter()
    for number in range(400):
        turns: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Door {number}?"}]
        side = way.lead("shared key", {"messages": turns}, ALL)
        longer = [*turns, {"role": "assistant", "content": "80 cm."}, {"role": "user", "content": "And window?"}]
        assert way.lead("shared key", {"messages": longer}, ALL) == side
        seen[side] += 1
    assert 150 < seen["new"] < 250
    # Odd bodies are the guard's to refuse; choosing a side never fails.
    for odd in ({}, {"messages": "x"}, {"messages": [1, "a"]}, {"prompt": ["a", {"b": 1}]}, {"input": "\ud800"}):
        assert way.lead("u", odd, ALL) in {"old", "new"}


def test_a_canary_ends_with_a_promotion_or_a_rollback_and_is_refused_where_it_makes_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    with pytest.raises(UserError, match=r"no alias 'production'.*studio serve promote"):
        start_canary(path, "production", "new", "new/1", share=0.1)
    promote(path, "production", "old", "old/1")
    for share in (0, 1, -0.2, float("nan")):
        with pytest.raises(UserError, match="give a number between 0 and 1"):
            start_canary(path, "production", "new", "new/1", share=share)
    with pytest.raises(UserError, match=r"by user or conversation, not by 'users'.*'user'"):
        start_canary(path, "production", "new", "new/1", share=0.1, by="users")
    with pytest.raises(UserError, match="cannot be tried beside itself"):
        start_canary(path, "production", "old", "old/1", share=0.1)
    with pytest.raises(UserError, match="nothing is on trial"):
        end_canary(path, "production")
    start_canary(path, "production", "new", "new/1", share=0.1)
    promote(path, "production", "new", "new/1")
    assert list_canaries(path) == {} and list_aliases(path)["production"]["run"] == "new/1"
    start_canary(path, "production", "third", "third/1", share=0.1)
    rollback(path, "production")
    assert list_canaries(path) == {} and list_aliases(path)["production"]["run"] == "old/1"


def test_the_guard_sends_each_user_to_one_side_and_to_the_old_one_while_the_new_is_not_loaded(gate: Gate) -> None:
    promote(gate.aliases, "production", "one", "one/1")
    start_canary(gate.aliases, "production", "two", "two/1", share=0.5)
    keys = [add_key(gate.keys, f"user{number}")[0] for number in range(24)]
    for _ in range(2):
        for key in keys:
            assert gate.call("POST", "/v1/chat/completions", ASK, key=key).status == 200
    went = [request["body"]["model"] for request in gate.engine.seen]
    assert went[:24] == went[24:] and set(went) == {"one", "two"}
    end_canary(gate.aliases, "production")
    start_canary(gate.aliases, "production", "late", "late/1", share=0.9)  # in the models file, not in vLLM
    gate.engine.seen.clear()
    for key in keys:
        assert gate.call("POST", "/v1/chat/completions", ASK, key=key).status == 200
    assert {request["body"]["model"] for request in gate.engine.seen} == {"one"}


def test_a_blocked_user_is_refused_at_once_and_let_in_again(gate: Gate) -> None:
    path = gate.folder / BLOCKED
    ask = {**ASK, "model": "one"}
    assert gate.call("POST", "/v1/chat/completions", ask).status == 200
    block(path, "ada", "tries to break it")
    refused = gate.call("POST", "/v1/chat/completions", ask)
    assert refused.status == 403 and refused.code == "user_blocked"
    assert gate.call("GET", "/v1/models").status == 403
    fresh, _ = add_key(gate.keys, "ada")  # another key does not help
    assert gate.call("POST", "/v1/chat/completions", ask, key=fresh).status == 403
    assert gate.call("GET", "/metrics", key=gate.operator).status == 200
    with pytest.raises(UserError, match="blocked already"):
        block(path, "ada")
    path.write_text('{"users": {"ada"')  # half written by hand: what was valid stays valid
    assert gate.call("POST", "/v1/chat/completions", ask).status == 403
    path.unlink()
    block(path, "ada")
    unblock(path, "ada")
    assert gate.call("POST", "/v1/chat/completions", ask).status == 200


def test_block_and_forget_on_the_command_line(studio: Callable[..., Result], workspace: Workspace) -> None:
    space = ["--workspace", workspace.root]
    paths = StatePaths.of(workspace)
    add_key(paths.keys, "zoe")
    store = FeedbackStore(workspace.root / FILE_NAME)
    store.change_settings(keep_texts=True)
    for user in ("zoe", "eve"):
        store.record_request(RequestRow(Origin("m", user, "serve"), prompt=[{"role": "user", "content": f"secret of {user}"}]))
    store.close()
    assert "Nobody is blocked" in studio("serve", "block", *space).out
    mistyped = studio("serve", "block", "zooe", *space)
    assert mistyped.code == 2 and "Did you mean 'zoe'?" in mistyped.err
    assert studio("serve", "block", "zoe", "--why", "flood", *space).code == 0
    assert studio("serve", "block", *space, "--json").json["zoe"]["why"] == "flood"
    forgotten = studio("serve", "forget", "zoe", *space)
    assert forgotten.code == 0 and "1 requests, 1 keys deleted" in forgotten.out and "stays blocked" in forgotten.err
    assert studio("serve", "unblock", "zoe", *space).code == 0
    for file in workspace.root.rglob("*"):
        if file.is_file():
            assert b"zoe" not in file.read_bytes(), file
    assert studio("serve", "forget", "zoe", *space).code == 2
    assert b"secret of eve" in (workspace.root / FILE_NAME).read_bytes()


def test_trials_on_the_command_line(studio: Callable[..., Result], workspace: Workspace) -> None:
    path = StatePaths.of(workspace).aliases
    space = ["--workspace", workspace.root]
    assert "Nothing is on trial" in studio("serve", "canary", *space).out
    promote(path, "production", "old", "old/1")
    start_canary(path, "production", "new", "new/1", share=0.25)
    told = studio("serve", "canary", *space)
    assert "25%" in told.out and "new/1" in told.out
    both = studio("serve", "canary", "new", "--end", *space)
    assert both.code == 2 and "leave the run out" in both.err
    wrong = studio("serve", "canary", "new", "--share", 2, *space)
    assert wrong.code == 2 and "between 0 and 1" in wrong.err
    assert studio("serve", "canary", "--end", *space).out == "production = old alone; new was tried\n"
    assert json.loads(path.read_text())["aliases"]["production"].get("canary") is None
