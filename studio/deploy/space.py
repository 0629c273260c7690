"""``space``: a Hugging Face Space with a Gradio page."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version

from studio.deploy.exported import merged_model
from studio.deploy.figures import context_of, read_model_config
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render

_HARDWARE = (
    (2_000_000_000, "cpu-basic"),
    (12_000_000_000, "t4-small"),
    (36_000_000_000, "l40sx1"),
    (70_000_000_000, "a100-large"),
)
"""Bytes of weights that each of the Hub's machines holds with room to spare, smallest first."""


class Space(Place):
    """A Gradio app with its front matter."""

    what = "a Hugging Face Space: a Gradio chat page that runs the merged model itself"
    kinds = ("chat",)
    starts = sys.executable

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The app, its requirements and the Space's settings."""
        model = merged_model(asked)
        size = sum(shard.stat().st_size for shard in model.glob("*.safetensors"))
        values = {
            "name": asked.name,
            "slug": asked.slug,
            "run": asked.run,
            "gradio": version("gradio"),
            "hardware": next((name for most, name in _HARDWARE if size <= most), None),
            "licence": _licence(asked.record.base.get("licence")),
            "most_tokens": min(1024, asked.profile.limits.max_tokens),
            "temperature": asked.profile.default_temperature,
            "context": context_of(read_model_config(model)),
        }
        packages = ("torch", "transformers", "accelerate", "safetensors")
        return Written(
            files={
                "app.py": render("space/app.py.j2", values),
                "requirements.txt": "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in packages),
                ".gitattributes": "".join(
                    f"{name} filter=lfs diff=lfs merge=lfs -text\n" for name in ("*.safetensors", "tokenizer.json")
                ),
                ".gitignore": "__pycache__/\n",
            },
            begin=render("space/begin.md.j2", values),
            limits=(
                "Nothing was uploaded, and the Hub's build of it was not seen; its front matter was read as YAML only.",
                "A public Space answers anybody without a key; its visibility is set on the Hub.",
            ),
            facts={"weights_bytes": size, "hardware": values["hardware"], "gradio": values["gradio"]},
            front=render("space/front.md.j2", values),
            start=(sys.executable, "app.py"),
            variables={"STUDIO_MODEL": str(model), "STUDIO_LISTEN": "127.0.0.1"},
        )


def _licence(text: object) -> str | None:
    """A licence as the Hub takes it, in its own short names; None for any other words."""
    return text.lower() if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", text) else None
