"""Registries import nothing until asked, refuse doubles, and offer the nearest name."""

from __future__ import annotations

import sys

import pytest

from studio.core.errors import UserError
from studio.core.registry import Registry


def test_entries_are_imported_when_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    registry = Registry("saying", {"zen": "this:s", "ink": "os.path:sep"})
    assert list(registry) == ["ink", "zen"]
    assert "zen" in registry
    assert "this" not in sys.modules
    assert registry.get("ink") == "/"


def test_unknown_name_offers_the_nearest():
    registry = Registry("metric", {"perplexity": "os:sep", "bleu": "os:sep"})
    with pytest.raises(UserError) as caught:
        registry.get("perplexty")
    assert str(caught.value) == "unknown metric 'perplexty'. Did you mean 'perplexity'? Allowed: bleu, perplexity"


def test_double_registration_is_refused():
    registry = Registry("metric", {"bleu": "os:sep"})
    with pytest.raises(ValueError, match="'bleu' is registered twice: os:sep and os:linesep"):
        registry.add("bleu", "os:linesep")


def test_a_dotted_path_is_no_name():
    with pytest.raises(UserError, match="unknown step 'os:system'"):
        Registry("step").get("os:system")
