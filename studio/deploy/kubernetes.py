"""``kubernetes``: manifests for a cluster, with the same server as ``compose``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.deploy.checking import UNPROVEN
from studio.deploy.compose import gpu_count
from studio.deploy.dashboard import JOB, dashboard
from studio.deploy.places import PORT, Asked, Place, Say, Written
from studio.deploy.quoting import render

if TYPE_CHECKING:
    from studio.deploy.serving import ServerParts

# Kubernetes takes a ConfigMap of at most 1 MiB in all.
_MANIFESTS = (
    "namespace",
    "serviceaccount",
    "storage",
    "guard",
    "deployment",
    "service",
    "disruption",
    "hpa",
    "networkpolicy",
    "watch",
)
_UNPROVEN = ("inferenceservice", "servicemonitor", "adapter-values")


class Kubernetes(Place):
    """Manifests."""

    what = "Kubernetes: manifests of the same server, scaling by its queue; a KServe variant"
    kinds = ("chat",)

    def write(self, asked: Asked, say: Say) -> Written:
        """The manifests."""
        from studio.deploy.serving import server_parts

        parts = server_parts(asked, say)
        values = _values(asked, parts)
        files = {f"manifests/{name}.yaml": render(f"kubernetes/{name}.yaml.j2", values) for name in _MANIFESTS}
        files |= {f"{UNPROVEN}/{name}.yaml": render(f"kubernetes/{name}.yaml.j2", values) for name in _UNPROVEN}
        files["dashboards/studio.json"] = dashboard(f"{asked.name}: answers, waiting, refusals", asked.slug)
        files[".gitignore"] = "# Hashes of keys and the keys of people stay out of git.\nworkspace/\nsecrets/\n"
        return Written(
            files=files,
            begin=render("kubernetes/begin.md.j2", values),
            limits=(
                "No cluster was asked: admission, scheduling, storage classes and the network plug-in are that cluster's.",
                f"{UNPROVEN}/: KServe, the Prometheus Operator and the metrics adapter have no schema here.",
                "The autoscaler needs an adapter that gives it vllm:num_requests_waiting; without one it keeps one replica.",
                "That images of these tags can be pulled, and what their digests are, was not looked up.",
            ),
            facts={**parts.facts(), "storage_gib": parts.figures.storage_gib, "most_replicas": values["replicas"]},
        )


def _values(asked: Asked, parts: ServerParts) -> dict[str, Any]:
    """What the templates know."""
    # A ConfigMap's keys have no slashes: each file's path stands in the volume that is made of it.
    keys = {path: path.replace("/", "__") for path in parts.files}
    return {
        "slug": asked.slug,
        "name": asked.name,
        "parts": parts,
        "keys": keys,
        "port": PORT,
        "job": JOB,
        "gpus": gpu_count(parts),
        # The file that requests are written into has one writer.
        "replicas": 1 if parts.records else 4,
        "studio_image": f"finetuning-studio:{__version__}-cpu",
        "startup_tries": max(1, asked.profile.start_timeout // 10),
    }
