"""The project file: complete or told what is missing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from studio.core.errors import ConfigError
from studio.schema.loading import validate
from studio.schema.project import Project

WHOLE: dict[str, Any] = {
    "name": "rules",
    "task": "Answer questions on building rules.",
    "audience": "Craftsmen on site.",
    "success": [{"metric": "perplexity", "at_most": 20}, {"metric": "chrf", "not_worse_than_base": True}],
    "data": {"recipe": "chat/rules", "rights": "CC BY 4.0", "personal": "none"},
    "watch": {"owner": "me", "signals": ["thumbs down"], "stop_when": "a threshold is missed twice"},
}


def test_whole_project_is_read():
    project = validate(WHOLE, Project)
    assert [threshold.metric for threshold in project.success] == ["perplexity", "chrf"]
    assert project.watch.every == "month"


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("name",), "my rules", "'name' is 'my rules', but string should match pattern"),
        (("success",), [], "'success' is [], but list should have at least 1 item"),
        (("success", 0), {"metric": "bleu"}, "the threshold on 'bleu' has no bound."),
        (("success", 0), {"metric": "bleu", "at_least": 1, "at_most": 2}, "has at_least and at_most."),
        (("data", "personal"), "present", "'data.personal' is 'present', but 'risks' is empty."),
        (("data", "personal"), "scrubed", "Did you mean 'scrubbed'?"),
        (("watch", "signals"), [], "'watch.signals' is [], but list should have at least 1 item"),
        (("task",), "FILL IN: what?", "'task' is still to be filled in (what?)."),
        (("watch", "signals"), ["FILL IN"], "'watch.signals.0' is still to be filled in"),
    ],
)
def test_what_is_missing_is_named(place: tuple[Any, ...], value: Any, sentence: str):
    project = copy.deepcopy(WHOLE)
    target = project
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    with pytest.raises(ConfigError) as caught:
        validate(project, Project)
    assert sentence in str(caught.value)
