"""An optional package that is missing is told with the pip line."""

from __future__ import annotations

import pytest

from studio.core.errors import MissingExtraError, nearest
from studio.core.extras import available, require


def test_missing_extra_names_feature_package_and_pip_line():
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_tracker.client", feature="logging to it", extra="tracker")
    sentence = str(caught.value)
    assert sentence.startswith("logging to it needs the package 'no_such_tracker' (")
    assert sentence.endswith("Install it: pip install 'finetuning-studio[tracker]'")
    assert caught.value.exit_code == 2


def test_present_module_is_returned():
    assert require("json", feature="x").loads("1") == 1
    assert available("json")
    assert not available("no_such_tracker")


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("lora", ["loar", "full"]) == " Did you mean 'loar'?"
    assert nearest("xyz", ["lora"]) == ""
