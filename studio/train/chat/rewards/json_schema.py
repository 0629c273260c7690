"""Reward: the answer is JSON that fits a schema (https://json-schema.org, the draft that ``$schema`` names, else 2020-12)."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from studio.core.errors import UserError
from studio.schema.rewards import JsonSchemaReward
from studio.train.chat.rewards.base import Attempt, Reward, Task, lacks_reference, reference_text

_FENCED = re.compile(r"\s*```[\w-]*[^\S\n]*\n(?P<inside>.*?)\n?\s*```\s*", re.DOTALL)


class JsonSchema(Reward[JsonSchemaReward]):
    """See :class:`studio.schema.rewards.JsonSchemaReward`."""

    def __init__(self, settings: JsonSchemaReward) -> None:
        """Look at the schema, where it is the same for all rows."""
        super().__init__(settings)
        self._schema = None if settings.json_schema is None else json.dumps(settings.json_schema)
        if self._schema is not None and (why := _unusable(self._schema)):
            raise UserError(f"'grpo.rewards' has a json_schema that is none ({why}). See https://json-schema.org.")

    def missing(self, task: Task) -> str | None:
        """A schema."""
        if self._schema is not None:
            return None
        lacking = lacks_reference(task, self.settings.column)
        if lacking is None and (why := _unusable(self._of(task))):
            return f"what stands in the column {self.settings.column!r} is no JSON schema ({why})"
        return lacking

    def _of(self, task: Task) -> str:
        """The schema of a row, as JSON text."""
        value = task.meta.get(str(self.settings.column))
        return json.dumps(value) if isinstance(value, dict) else str(reference_text(task, self.settings.column))

    def score(self, task: Task, attempt: Attempt) -> float:
        """See :meth:`Reward.score`."""
        fenced = _FENCED.fullmatch(attempt.said)
        try:
            value = json.loads(fenced["inside"] if fenced else attempt.said, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return 0.0
        try:
            _validator(self._schema or self._of(task)).validate(value)
        except (ValidationError, Unresolvable, RecursionError):
            return self.settings.parsed
        return 1.0


def _refuse(word: str) -> Any:
    """NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(word)


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    """What checks values; with a registry of its own it fetches no address."""
    value = json.loads(schema)
    return validator_for(value, default=Draft202012Validator)(value, registry=Registry())


@lru_cache(maxsize=1024)
def _unusable(schema: str) -> str | None:
    """What is wrong with a schema, None where nothing is."""
    try:
        value = json.loads(schema)
        validator_for(value, default=Draft202012Validator).check_schema(value)
    except SchemaError as error:
        return str(error.message)
    except ValueError as error:
        return str(error)
    return None
