"""``systemd``: units for ``studio serve`` and ``studio watch`` on a machine of one's own, without containers."""

from __future__ import annotations

import getpass
import shutil
import sys
from pathlib import Path

from studio.core.workspace import cache_folder
from studio.deploy.figures import figures_of
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render
from studio.models.vllm_environment import wanted_build


class Systemd(Place):
    """Two services and a timer."""

    what = "systemd: units of studio serve and studio watch on this machine"
    kinds = ("chat", "embedding", "reranker")

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The units."""
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "words": _serve_words(asked),
            "watch": [_studio(), "watch", str(asked.workspace.root.parent / "project.yaml"), "--once"],
            "user": getpass.getuser(),
            "workspace": str(asked.workspace.root),
            "cache": str(cache_folder()),
            "memory": _memory_gib(asked),
            "drain": asked.profile.shutdown_timeout + 30,
            "start_timeout": asked.profile.start_timeout,
        }
        return Written(
            files={
                f"{asked.slug}-serve.service": render("systemd/serve.service.j2", values),
                f"{asked.slug}-watch.service": render("systemd/watch.service.j2", values),
                f"{asked.slug}-watch.timer": render("systemd/watch.timer.j2", values),
            },
            begin=render("systemd/begin.md.j2", values),
            limits=("The units were not started: that takes root and a system with systemd as its first process.",),
            facts={"user": values["user"], "workspace": values["workspace"], "memory_gib": values["memory"]},
        )


def _studio() -> str:
    """The studio's own program, by its whole path: systemd knows no PATH of a person."""
    beside = Path(sys.executable).parent / "studio"
    return str(beside) if beside.is_file() else shutil.which("studio") or str(beside)


def _serve_words(asked: Asked) -> list[str]:
    """The command line that serves the run as it was asked for here; the workspace is named, for a unit has no folder."""
    whole = asked.record.kind != "chat" or asked.record.method == "full" or not (asked.run_folder / "merged").is_dir()
    named = f"{asked.name}={asked.run}" if asked.name != asked.record.name else asked.run
    # A unit has another folder than the person who wrote it.
    profile = str(Path(asked.profile_name).resolve()) if Path(asked.profile_name).is_file() else asked.profile_name
    words = [_studio(), "serve", "start", named, "--workspace", str(asked.workspace.root), "--profile", profile]
    words += [word for setting in asked.settings for word in ("--set", setting)]
    return words if whole else [*words, "--merged"]


def _memory_gib(asked: Asked) -> int | None:
    """Memory for the service, where the model's own files say it; None leaves it to systemd."""
    for name in ("model", "merged"):
        model = asked.run_folder / name
        if model.is_dir():
            profile = asked.profile
            build = wanted_build() if profile.build == "auto" else profile.build
            dtype = "float32" if profile.dtype == "as-trained" else profile.dtype
            figures = figures_of(
                model, dtype=dtype, build=build, cpu_cache_gib=profile.cpu_kv_cache_gib, max_model_len=profile.max_model_len
            )
            # PEFT's answers for the parity check are written in a process of their own before vLLM starts.
            return figures.memory_gib
    return None
