"""``compose``: one machine with Docker: the server, a chat page, Prometheus and Grafana."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from studio.core.errors import UserError
from studio.deploy.dashboard import DATASOURCE, JOB, dashboard
from studio.deploy.places import PORT, Asked, Place, Say, Written
from studio.deploy.quoting import render
from studio.serve.state import is_loopback

if TYPE_CHECKING:
    from studio.deploy.serving import ServerParts

PYTHON_IMAGE = "python:3.12-slim-bookworm"
PROMETHEUS_IMAGE = "prom/prometheus:v3.13.3"
GRAFANA_IMAGE = "grafana/grafana:13.2.1"


class Compose(Place):
    """A Compose project."""

    what = "Docker Compose: vLLM with the studio's guard, a chat page, Prometheus, Grafana"
    kinds = ("chat",)
    starts = "docker"
    prepares = (("./prepare.sh",),)

    def write(self, asked: Asked, say: Say) -> Written:
        """The project's files."""
        from studio.deploy.serving import server_parts

        if not is_loopback(asked.profile.host) and asked.profile.host in {"0.0.0.0", "::"}:
            raise UserError(
                f"host {asked.profile.host} would offer the pages without TLS to whoever reaches this machine. Leave host at "
                "127.0.0.1 and put a proxy with TLS in front, or give the one address that the proxy uses."
            )
        parts = server_parts(asked, say)
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "host": asked.profile.host,
            "port": asked.profile.port or PORT,
            "parts": parts,
            "prometheus_image": PROMETHEUS_IMAGE,
            "grafana_image": GRAFANA_IMAGE,
            "datasource": DATASOURCE,
            "job": JOB,
            "inner": PORT,
            "gpus": gpu_count(parts),
        }
        return Written(
            files={
                **{f"server/{path}": text for path, text in parts.files.items()},
                "compose.yaml": render("compose/compose.yaml.j2", values),
                "prepare.sh": render("compose/prepare.sh.j2", values),
                ".env.example": render("compose/env.j2", values),
                ".compose-lint.yml": render("compose/lint.yml.j2", values),
                ".gitignore": "# Keys, figures and paths stay on this machine.\n.env\nsecrets/\nworkspace/\ndata/\n",
                **chat_page(asked),
                "prometheus/prometheus.yml": render("compose/prometheus.yml.j2", values),
                "prometheus/rules.yml": render("compose/rules.yml.j2", values),
                "grafana/provisioning/datasources/prometheus.yaml": render("compose/datasource.yaml.j2", values),
                "grafana/provisioning/dashboards/studio.yaml": render("compose/dashboards.yaml.j2", values),
                "grafana/dashboards/studio.json": dashboard(f"{asked.name}: answers, waiting, refusals", asked.slug),
            },
            begin=render("compose/begin.md.j2", values),
            limits=(
                "No image was pulled and nothing was started: no Docker engine is asked when this folder is written.",
                "That images of these tags can be pulled, and what their digests are, was not looked up.",
            ),
            facts=parts.facts(),
            start=("docker", "compose", "up", "--detach", "--wait"),
            variables={"STUDIO_MODEL": str(parts.model)},
            executable=("prepare.sh",),
        )


def chat_page(asked: Asked) -> dict[str, str]:
    """A small Gradio page that talks to the server, and the image that it runs in."""
    values = {"name": asked.name, "image": PYTHON_IMAGE, "gradio": version("gradio"), "httpx": version("httpx")}
    return {
        "chat/app.py": render("compose/chat.py.j2", values),
        "chat/requirements.txt": f"gradio=={values['gradio']}\nhttpx=={values['httpx']}\n",
        "chat/Dockerfile": render("compose/chat.Dockerfile.j2", values),
        "chat/.dockerignore": "*\n!app.py\n!requirements.txt\n",
    }


def gpu_count(parts: ServerParts) -> int:
    """GPUs that vLLM's own parallelism asks for."""
    flags = {name.replace("_", "-"): value for name, value in parts.asked.profile.vllm.items()}
    return int(flags.get("tensor-parallel-size") or 1) * int(flags.get("pipeline-parallel-size") or 1)  # type: ignore[arg-type]
