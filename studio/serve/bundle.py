"""The guard's own small tree of modules, copied beside the server, so that vLLM's Python sees those and nothing else of ours.

Putting the studio's own folder on that Python's path would, in an installed studio, put all of training's packages there too.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import write_text

MIDDLEWARE = "studio.serve.guard.Guard"
PLUGIN = "studio/serve/vllm_thoughts.py"
_PLUGIN_IMPORTS = {"vllm"}
_PACKAGE = Path(__file__).resolve().parents[1]


def write_bundle(folder: Path) -> Path:
    """Write the guard and everything it imports below a folder; returns the folder, for ``PYTHONPATH``."""
    for relative, text in bundle_files().items():
        write_text(folder / relative, text)
    return folder


def bundle_files() -> dict[str, str]:
    """Relative path to source of the guard, of the plug-in, and of every module of the studio that they import.

    Raises:
        StudioError: one of them imports what is not in the standard library, which vLLM's Python may lack.
    """
    wanted, found = ["studio.serve.guard", PLUGIN.removesuffix(".py").replace("/", ".")], dict[str, str]()
    while wanted:
        module = wanted.pop()
        for parent in _parents(module):
            relative = _file_of(parent)
            if relative in found:
                continue
            found[relative] = (_PACKAGE.parent / relative).read_text(encoding="utf-8")
            for name in _imports(found[relative]):
                top = name.partition(".")[0]
                if top == "studio":
                    wanted.append(name)
                elif top not in sys.stdlib_module_names and not (relative == PLUGIN and top in _PLUGIN_IMPORTS):
                    raise StudioError(f"{relative} imports {top}, which is not in the standard library.")
    return dict(sorted(found.items()))


def _parents(module: str) -> list[str]:
    """``a.b.c`` as ``a``, ``a.b``, ``a.b.c``."""
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _file_of(module: str) -> str:
    """Path of a module below the folder that holds the package."""
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (_PACKAGE.parent / path).is_dir() else f"{path}.py"


def _imports(source: str) -> list[str]:
    """Modules that a source imports; of ``from a import b`` also ``a.b`` where that is a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in inner if name.startswith("studio.") and (_PACKAGE.parent / _file_of(name)).is_file()]
    return found
