"""The pages in Chinese: what stands on them is, all of it, and nothing but names is left in English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from studio.apps import annotate, chat, compare, data, monitor
from studio.core.translation import set_language
from studio.core.workspace import Workspace
from tests.servers import Scripted

# Names: of splits, of labels that are kept as they are, of what has one name everywhere.
NAMES = re.compile(
    r"\b(train|validation|test|removed|id|good|bad|unclear|doors|Finetuning Studio|LoRA|Cohen|Enter|Shift|JSON)\b|<[^>]+>"
)
SHOWN = ("label", "placeholder", "info", "value", "headers", "title", "choices", "color_title")


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    set_language(None)


def texts(page: gr.Blocks) -> set[str]:
    """What the components of a page show when it opens."""
    found: set[str] = set()

    def take(value: Any) -> None:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, list | tuple):
            # A choice is its text and the value behind it, which nobody sees.
            for item in value:
                take(item[0] if isinstance(item, list | tuple) and len(item) == 2 else item)
        elif isinstance(value, dict):
            take(list(value.values()))

    for component in page.get_config_file()["components"]:
        kind, settings = component["type"], component["props"]
        if kind in {"browserstate", "state", "timer"} or not settings.get("visible", True):
            continue
        # The value of a list to choose from is the one behind its text.
        for name in SHOWN:
            if not (name == "value" and "choices" in settings):
                take(settings.get(name))
    return found


def english(page: gr.Blocks) -> set[str]:
    return {text for text in texts(page) if re.search(r"[A-Za-z]{3}", NAMES.sub("", text))}


def test_pages_of_datasets_and_figures(stocked: Workspace) -> None:
    set_language("zh")
    for page in (data.build(stocked, "doors"), annotate.build(stocked, "doors"), monitor.build(stocked)):
        shown = texts(page)
        assert len([text for text in shown if re.search(r"[\u4e00-\u9fff]", text)]) >= 8
        assert english(page) <= {"good, bad, unclear"}
    [colours] = [part["props"]["color_map"] for part in page.get_config_file()["components"] if part["props"].get("color_map")]
    assert set(colours) == {"赞", "踩"}


def test_pages_of_models(house: Workspace, endpoint: Scripted) -> None:
    set_language("zh")
    for page in (chat.build(house, endpoint.url), compare.build(house, endpoint.url)):
        shown = texts(page)
        assert "发送" in shown or "同时问" in shown
        assert english(page) == set()
