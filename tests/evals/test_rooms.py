"""What is shared by all kinds of model knows none of them, and no kind knows another: rooms are reached through tables."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STUDIO = Path(__file__).resolve().parents[2] / "studio"
KINDS = ("chat", "images", "predictors", "forecast", "clusters")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(STUDIO.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in STUDIO.rglob("*.py")}
EVALS = sorted(name for name in MODULES if name.startswith("studio.evals"))


def imports(module: str) -> Iterator[str]:
    """Modules of the studio that a module names, wherever in it and for whatever."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("studio"):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)


def kind_of(module: str) -> str | None:
    """The kind of model whose room a module stands in."""
    return next((kind for kind in KINDS if kind in module.split(".")[2:3]), None)


@pytest.mark.parametrize("module", EVALS)
def test_no_module_reaches_into_another_kinds_room(module: str) -> None:
    own = kind_of(module)
    reached = {name for name in imports(module) if kind_of(name) not in (None, own) or name.startswith("studio.train")}
    assert reached == set()


def test_no_file_needs_one_that_needs_it() -> None:
    needs = {module: set(imports(module)) & set(EVALS) - {module} for module in EVALS}
    while free := [module for module, names in needs.items() if not names & set(needs)]:
        for module in free:
            del needs[module]
    assert needs == {}
