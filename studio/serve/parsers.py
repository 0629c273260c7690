"""Which parsers for calls and thoughts an installed vLLM has."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.chat.speech import Parsers, choose_parsers
from studio.core.errors import StudioError

if TYPE_CHECKING:
    from studio.models.vllm_environment import Environment
    from studio.serve.servable import Servable


def parsers_of(servable: Servable, environment: Environment) -> Parsers:
    """The parsers of an installed vLLM for a run's template; none for what writes no answers.

    Raises:
        StudioError: as :func:`known_parsers`.
    """
    if servable.pools:
        return Parsers(None, None)
    return choose_parsers(servable.speech, *known_parsers(environment))


def known_parsers(environment: Environment) -> tuple[set[str], set[str]]:
    """Names of the parsers for calls and for thoughts that a vLLM has, read from its own lists without importing it.

    Raises:
        StudioError: its package is not found, or has no such lists.
    """
    code = "import importlib.util as u; print(u.find_spec('vllm').submodule_search_locations[0])"
    done = subprocess.run([str(environment.python), "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    try:
        package = Path(done.stdout.strip() or "/nowhere")
        return (
            _registered(package / "tool_parsers" / "__init__.py", "_TOOL_PARSERS_TO_REGISTER"),
            _registered(package / "reasoning" / "__init__.py", "_REASONING_PARSERS_TO_REGISTER"),
        )
    except (OSError, SyntaxError) as error:
        raise StudioError(
            f"the parsers of vLLM {environment.version} cannot be listed ({error}). Make it anew: studio serve --install --anew"
        ) from error


def _registered(file: Path, name: str) -> set[str]:
    """Keys of a dictionary that a module assigns; empty where it assigns none of that name."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        named = isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets)
        if named and isinstance(node.value, ast.Dict):  # type: ignore[attr-defined]
            return {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}  # type: ignore[attr-defined]
    return set()
