"""``ray``: a configuration of Ray Serve's LLM application."""

from __future__ import annotations

import json
from typing import Any

from studio.deploy.compose import gpu_count
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render


class RayServe(Place):
    """``serve.yaml`` for ``ray.serve.llm``."""

    what = "Ray Serve LLM: replicas of vLLM on a Ray cluster (without the studio's guard)"
    kinds = ("chat",)

    def write(self, asked: Asked, say: Say) -> Written:
        """The configuration."""
        from studio.deploy.serving import server_parts

        parts = server_parts(asked, say)
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "parts": parts,
            "engine": engine_settings(parts.command),
            "gpus": gpu_count(parts) if parts.build == "cuda" else 0,
        }
        return Written(
            files={
                "serve.yaml": render("ray/serve.yaml.j2", values),
                "chat_template.jinja": parts.files["chat_template.jinja"],
                "generation_config.json": parts.files["generation/generation_config.json"],
            },
            begin=render("ray/begin.md.j2", values),
            limits=(
                "No Ray cluster was asked, and Ray's check knows the frame of the file, not the settings of the model.",
                "The studio's guard does not run under Ray Serve: no keys, no limits, no record of requests.",
                "Ray brings a vLLM of its own version; the parity check (studio serve --check) was not made with it.",
            ),
            facts={name: value for name, value in parts.facts().items() if name not in {"image", "command"}},
        )


def engine_settings(command: tuple[str, ...]) -> dict[str, Any]:
    """The server's flags that are vLLM's engine's, as keyword arguments; those of its HTTP server have no meaning here."""
    ours = {
        "--model", "--served-model-name", "--host", "--port", "--chat-template", "--generation-config", "--shutdown-timeout",
        "--middleware", "--disable-uvicorn-access-log", "--disable-fastapi-docs", "--tool-call-parser",
        "--enable-auto-tool-choice", "--reasoning-parser", "--reasoning-parser-plugin",
    }  # fmt: skip
    found: dict[str, Any] = {}
    words = list(command[3:])
    while words:
        flag, values = words.pop(0), []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        if flag in ours:
            continue
        name = flag.removeprefix("--").replace("-", "_")
        if not values:
            found[name.removeprefix("no_")] = not name.startswith("no_")
        else:
            found[name] = _value(values[0]) if len(values) == 1 else [_value(value) for value in values]
    return found


def _value(text: str) -> Any:
    """A flag's word as the value it stands for."""
    try:
        return json.loads(text)
    except ValueError:
        return text
