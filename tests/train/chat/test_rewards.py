"""Rewards one by one: what they are given, what they say, and what a row must have for them."""

from __future__ import annotations

import json
import socket

import pytest
from pydantic import TypeAdapter

from studio.core.errors import UserError
from studio.models.chat.answers import Answered
from studio.schema.rewards import Reward
from studio.train.chat.rewards.base import Attempt, Task
from studio.train.chat.rewards.table import REWARDS, named_rewards

ASKED = [{"role": "user", "content": "How wide must a door be, in centimetres? Please answer in one sentence."}]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 3}}}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"properties": {"city": {}, "days": {"default": 3}, "unit": {}}}},
}


def reward(name, **settings):
    return next(iter(named_rewards([TypeAdapter(Reward).validate_python({"reward": name, **settings})]).values()))


def task(reference=None, *, calls=(), meta=None, tools=(), prompt=ASKED):
    turn = None if reference is None else {"role": "assistant", "content": reference}
    return Task("row", prompt, {**turn, "tool_calls": list(calls)} if turn and calls else turn, tools, meta or {})


def said(text, *, thought=None, calls=(), broken=(), ids=()):
    return Attempt(Answered(text, thought, list(calls), list(broken)), list(ids))


def test_exact():
    exact = reward("exact")
    assert exact.score(task("Eighty."), said("“eighty”")) == 1
    assert exact.score(task("Eighty."), said("eighty one")) == 0
    assert exact.missing(task()) == "no assistant turn at its end, with which to compare"
    due = reward("exact", column="due", after="Answer:")
    assert due.score(task(meta={"due": "B"}), said("It is not A. Answer: b")) == 1
    assert due.score(task(meta={"due": "B"}), said("B")) == 0, "what is asked for before the answer is part of it"
    assert due.missing(task("B")) == "no value in the column 'due'"


def test_number():
    number = reward("number")
    assert number.score(task("It must be 80 wide."), said("**80**")) == 1
    assert number.score(task("80"), said("80, or 90")) == 0
    assert number.score(task("80"), said("not 80 at all")) == 0
    assert number.missing(task("Between 80 and 90.")).startswith("no single number")
    sums = reward("number", after="####", tolerance=0.5)
    assert sums.score(task("40 + 40 = 80 #### 80"), said("First 3, then 4. #### 80.4")) == 1
    assert sums.score(task("#### 80"), said("#### 81")) == 0
    assert sums.missing(task("40 + 40 = 80 #### 80")) is None


def test_regex():
    assert reward("regex", pattern=r"^\d+ cm").score(task(), said("80 cm wide")) == 1
    whole = reward("regex", pattern=r"\d+ cm", whole=True)
    assert (whole.score(task(), said(" 80 cm\n")), whole.score(task(), said("80 cm wide"))) == (1, 0)


def test_json_schema():
    shape = {"type": "object", "required": ["width"], "properties": {"width": {"type": "number"}}, "additionalProperties": False}
    fits = reward("json_schema", json_schema=shape, parsed=0.2)
    assert fits.score(task(), said('{"width": 80}')) == 1
    assert fits.score(task(), said('```json\n{"width": 80}\n```')) == 1
    assert fits.score(task(), said('{"width": "80"}')) == 0.2
    assert fits.score(task(), said('It is {"width": 80}')) == 0
    assert fits.score(task(), said('{"width": NaN}')) == 0, "JSON knows no NaN"
    own = reward("json_schema", column="shape")
    assert own.score(task(meta={"shape": json.dumps(shape)}), said('{"width": 80}')) == 1
    assert own.missing(task(meta={"shape": '{"type": 5}'})).startswith("what stands in the column 'shape' is no JSON schema")
    with pytest.raises(UserError, match="json_schema that is none"):
        reward("json_schema", json_schema={"type": "nothing"})


def test_a_schema_never_reaches_for_the_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it reached for the network"))
    far = reward("json_schema", json_schema={"$ref": "https://example.org/schema.json"})
    assert far.score(task(), said("{}")) == 0


def test_tool_call():
    calls = reward("tool_call", named=0.3)
    due = task("", calls=[CALL], tools=[TOOL])
    assert calls.score(due, said("", calls=[CALL])) == 1
    without_default = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    assert calls.score(due, said("", calls=[without_default])) == 1
    other = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    assert calls.score(due, said("", calls=[other])) == 0.3
    assert calls.score(due, said("It rains.")) == 0
    assert calls.score(due, said("", calls=[CALL], broken=["<tool_call>{"])) == 0
    quiet = task("It rains.", tools=[TOOL])
    assert (calls.score(quiet, said("It rains.")), calls.score(quiet, said("", calls=[CALL]))) == (1, 0)
    assert calls.missing(task("It rains.")).startswith("no tools are offered")


def test_length():
    words = reward("length", unit="words", max=4, slack=2)
    assert [words.score(task(), said("a " * count)) for count in (0, 4, 5, 6, 9)] == [1, 1, 0.5, 0, 0]
    tokens = reward("length", min=2, max=3)
    assert [tokens.score(task(), said("", ids=range(count))) for count in (1, 2, 3, 4)] == [0, 1, 1, 0]


def test_language():
    asked = reward("language")
    assert asked.score(task(), said("A door must be eighty centimetres wide.")) == 1
    assert asked.score(task(), said("Eine Tür muss achtzig Zentimeter breit sein.")) == 0
    assert reward("language", language="de").score(task(), said("Eine Tür muss achtzig Zentimeter breit sein.")) == 1
    assert asked.missing(task(prompt=[{"role": "user", "content": "42"}])) == "the language of its last user turn cannot be told"


def test_repetition_and_thought():
    repetition = reward("repetition", size=2)
    assert repetition.score(task(), said("", ids=[1, 2, 1, 2, 1])) == 0.5
    assert repetition.score(task(), said("", ids=[1, 2, 3])) == 1
    thought = reward("thought")
    assert thought.score(task(), said("80", thought="Doors are wide.")) == 1
    assert thought.score(task(), said("80")) == 0
    assert thought.score(task(), said("", thought="It never ends")) == 0


def test_every_reward_of_the_schema_is_in_the_table_and_twice_has_two_names():
    schema = TypeAdapter(Reward).json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(REWARDS)
    twice = [TypeAdapter(Reward).validate_python({"reward": "regex", "pattern": sign}) for sign in "ab"]
    assert list(named_rewards(twice)) == ["regex", "regex_2"]
