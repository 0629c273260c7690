"""``skypilot``: a rented machine with the server, in whichever cloud has it."""

from __future__ import annotations

from studio.deploy.compose import gpu_count
from studio.deploy.places import PORT, Asked, Place, Say, Written
from studio.deploy.quoting import render

# Cards that clouds rent and their memory in GB, smallest first (NVIDIA's data sheets).
CARDS = {"T4": 16, "L4": 24, "A10G": 24, "L40S": 48, "A100": 40, "A100-80GB": 80, "H100": 80, "H200": 141}


class SkyPilot(Place):
    """A task file."""

    what = "SkyPilot: a task that rents a machine for vLLM with the studio's guard"
    kinds = ("chat",)

    def write(self, asked: Asked, say: Say) -> Written:
        """The task and the server's files, which it carries along."""
        from studio.deploy.serving import server_parts

        parts = server_parts(asked, say)
        count = gpu_count(parts)
        wanted = parts.figures.gpu / count * 1.1 / 1e9
        values = {
            "slug": asked.slug,
            "name": asked.name,
            "parts": parts,
            "port": PORT,
            "gpus": count,
            "cards": [card for card, memory in CARDS.items() if memory >= wanted],
            "disk": max(64, parts.figures.storage_gib + 40),
        }
        return Written(
            files={
                **{f"server/{path}": text for path, text in parts.files.items()},
                "sky.yaml": render("skypilot/sky.yaml.j2", values),
                ".gitignore": "workspace/\nmodel\n",
            },
            begin=render("skypilot/begin.md.j2", values),
            limits=(
                "No cloud was asked, nothing was rented; sky.yaml was read as YAML only, SkyPilot has no schema here.",
                "Which cards are free, and what they cost, SkyPilot says: sky launch --dryrun sky.yaml",
                "The task runs the image as root, as SkyPilot does: the machine is rented for it alone.",
            ),
            facts=parts.facts(),
        )
