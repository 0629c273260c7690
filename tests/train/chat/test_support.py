"""Families of today on their whole road; docs/support.md says what came of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.families import build_family
from tests.support import METHODS, NAMES, Cell, rendered, walk

DOCS = Path(__file__).parents[3] / "docs"
PAGE, KEPT = DOCS / "support.md", DOCS / "support.json"
WRITING = bool(os.environ.get("STUDIO_WRITE_SUPPORT"))
# One of each kind in the usual suite: dense, experts, multimodal, fused layers, state space and attention, state space alone.
USUAL = {("llama", "packed"), ("qwen3_moe", "lora"), ("gemma3_mm", "full"), ("phi3", "qlora"), ("granite_hybrid", "lora")}
FOUND: dict[str, dict[str, Cell]] = {}


def kept() -> dict[str, dict[str, Cell]]:
    """What was found when the page was written, in the page's order."""
    held = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    return {family: {method: Cell(**cell) for method, cell in methods.items()} for family, methods in held.items()}


@pytest.fixture(scope="module", autouse=True)
def page_written() -> Iterator[None]:
    """``make support`` writes the page from what the tests found; what was not tried again stays as it was."""
    yield
    if WRITING:
        held = kept()
        cells = {name: {**held.get(name, {}), **FOUND.get(name, {})} for name in NAMES}
        ordered = {name: {method: found[method] for method in METHODS if method in found} for name, found in cells.items()}
        told = {name: {method: asdict(cell) for method, cell in found.items()} for name, found in ordered.items()}
        KEPT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(rendered(ordered), encoding="utf-8")


def without_paths(cell: Cell, base: Path, family: str) -> Cell:
    """As the page says it: no folder of this machine, nothing that was measured on it, no number of a run."""
    plain = {name: re.sub(r" \(logits differ [^)]*\)", "", value) for name, value in vars(cell).items()}
    return Cell(**{name: re.sub(r"/\S*/", "", value.replace(str(base), family)) for name, value in plain.items()})


@pytest.mark.parametrize(
    ("family", "method"),
    [
        pytest.param(family, method, marks=() if (family, method) in USUAL else pytest.mark.soak)
        for family in NAMES
        for method in METHODS
    ],
)
def test_the_page_says_what_comes_of_it(trainer, tmp_path, family, method):
    trainer.base = build_family(tmp_path / family, family)
    cell = without_paths(walk(trainer, family, method, tmp_path), trainer.base, family)
    FOUND.setdefault(family, {})[method] = cell
    if not WRITING:
        told = kept().get(family, {}).get(method)
        if told is None:
            pytest.skip("not on the page yet: make support")
        assert cell == told


@pytest.mark.skipif(WRITING, reason="being written")
def test_the_page_is_that_of_what_was_found():
    assert PAGE.read_text(encoding="utf-8") == rendered(kept()), "make support"
