"""What a server's folder holds before vLLM starts: which models, what the guard may let through, how answers end."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.adapters.chat.speech import Speech
from studio.core.files import write_json
from studio.schema.server import ServerProfile
from studio.serve.bundle import write_bundle
from studio.serve.keys import Key
from studio.serve.servable import Servable
from studio.serve.state import StatePaths


def write_models(path: Path, served: list[Servable], *, no_tools: str = "", base: str | None = None) -> None:
    """Write or extend the file that says which name is which folder and what it can do; the guard loads from nowhere else.

    Args:
        no_tools: why the server reads no calls of tools; empty where it does. base: name of the base, None when extending.
    """
    book: dict[str, Any] = {"format": 1, "models": {}}
    if base is None and path.is_file():
        book = json.loads(path.read_text(encoding="utf-8"))
    for servable in served:
        entry = asdict(servable)
        wanted = ("run", "kind", "path", "adapter_hash", "template_hash")
        book["models"][servable.name] = {name: entry[name] for name in wanted} | {"speech": _facts(servable.speech, no_tools)}
        if servable.pools:
            book["models"][servable.name]["read"] = servable.read
    if base is not None:
        first = served[0]
        plain = {"kind": "base", "template_hash": first.template_hash, "adapter_hash": None}
        book["models"].setdefault(base, plain | {"speech": _facts(first.speech, no_tools)})
    write_json(path, book)


def _facts(speech: Speech, no_tools: str) -> dict[str, Any]:
    """What the guard reads of a template."""
    return asdict(speech) | {"no_tools": no_tools}


def write_guard_files(
    folder: Path,
    fixed: list[Key],
    serving: list[str],
    *,
    paths: StatePaths | None = None,
    feedback: Path | None = None,
    profile: ServerProfile | None = None,
    prompt_scores: bool = True,
    speech: Speech | None = None,
    pooled: str | None = None,
) -> tuple[Path, Path]:
    """Write the guard's modules and its configuration, which holds hashes of keys only; returns both places.

    Args:
        fixed: keys that no file holds. serving: names of the models that vLLM starts with.
        paths: files of keys and aliases; None takes the folder itself. feedback: file of the request rows.
        profile: limits and what is written down; None takes the defaults.
        prompt_scores: whether log-probabilities of a prompt may be asked for. speech: what the server's template does.
        pooled: ``embedding`` or ``reranker`` where vectors or scores are served, None where answers are written.
    """
    paths = paths or StatePaths(folder)
    value = guard_settings(
        {
            "keys": str(paths.keys),
            "aliases": str(paths.aliases),
            "models": str(folder / "models.json"),
            "feedback": str(feedback or folder / "feedback.sqlite"),
        },
        fixed,
        serving,
        profile=profile or ServerProfile(kind="server"),
        prompt_scores=prompt_scores,
        speech=speech or Speech(),
        pooled=pooled,
    )
    write_json(folder / "guard.json", value)
    return write_bundle(folder / "guard"), folder / "guard.json"


def guard_settings(
    places: dict[str, str],
    fixed: list[Key],
    serving: list[str],
    *,
    profile: ServerProfile,
    prompt_scores: bool,
    speech: Speech,
    pooled: str | None,
    opens: bool = False,
) -> dict[str, Any]:
    """The guard's configuration.

    Args:
        places: where it finds ``keys``, ``aliases``, ``models`` and ``feedback``, as its own process sees them.
        opens: let clients in without being told to; for containers, where nobody is beside it.
    """
    return {
        "format": 1,
        **places,
        "fixed_keys": [asdict(key) for key in fixed],
        "serving": serving,
        "record": profile.record,
        "limits": profile.limits.model_dump(),
        "prompt_scores": prompt_scores,
        "speech": asdict(speech),
        "pooled": pooled,
        "open": opens,
    }


def write_generation(folder: Path, model: Path, ends: list[int], temperature: float | None) -> Path:
    """The model's generation settings with the template's end tokens among its own; vLLM reads them from a folder."""
    settings: dict[str, Any] = {}
    if (model / "generation_config.json").is_file():
        settings = json.loads((model / "generation_config.json").read_text(encoding="utf-8"))
    settings["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    if temperature is not None:
        settings["temperature"] = temperature
    write_json(folder / "generation" / "generation_config.json", settings)
    return folder / "generation"
