"""The half of a VAE or GAN that draws, in the forms of other programs: noise and a label in, a picture out, in one pass.

Legend: b pictures, d latent size, s side in pixels.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from studio.adapters.images.loading import load_image_run
from studio.core.environments import quiet_environment
from studio.core.errors import StudioError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import read_run
from studio.exports.formats.base import FORMATS, Format
from studio.exports.formatted import finished_run
from studio.exports.graph import Graph, Port
from studio.exports.writing import described, finish_export, hold, new_export, told, versions_of
from studio.models.exported import ExportRecord, write_export
from studio.models.images import programs
from studio.models.images.families.labelled import LabelledFamily
from studio.models.runtimes.sessions import RUNTIMES, copy_program, open_session, runtime_name

_EXACT = 1e-3
"""Most that a colour may differ by, of -1..1."""
_BATCHES = (3, 1)
PROGRAM = "draw.py"


def check_decoder(run_folder: Path, form: str) -> None:
    """Refuse before any work.

    Raises:
        UserError: the run is not finished, or a package is not installed.
    """
    finished_run(run_folder)
    writer: Format = FORMATS.get(form)()
    writer.check()


def export_decoder(run_folder: Path, target: Path, form: str) -> Told:
    """Write, draw with it, and compare the pictures of the same noise, every label once.

    Raises:
        StudioError: it draws otherwise; nothing is left behind.
    """
    family = load_image_run(run_folder, device=torch.device("cpu")).family
    assert isinstance(family, LabelledFamily)
    writer: Format = FORMATS.get(form)()
    graph = graph_of(family)
    with new_export(target) as folder:
        extra = writer.write(graph, folder)
        copy_program(form, folder)
        shutil.copyfile(Path(programs.__path__[0]) / PROGRAM, folder / PROGRAM)
        record = graph.described(
            ExportRecord(
                form=form,
                kind=read_run(run_folder).kind,
                run=described(run_folder),
                runtime=runtime_name(form),
                limits={"difference": _EXACT},
                versions=versions_of(*writer.packages),
                extra={**extra, "labels": family.labels},
            )
        )
        write_export(folder, record)  # the program beside it reads it
        worst, pictures = _difference(family, folder, record)
        hold("the largest difference of a colour", worst, _EXACT, form=form)
        side = _drawn_by_program(folder, family.labels[0])
        record = record.model_copy(update={"proof": {"pictures": pictures, "difference": worst, "program": side}})
        words = [
            (
                "pictures drawn by both",
                f"{pictures}, every label and none, in batches of {', '.join(map(str, sorted(_BATCHES)))}",
            ),
            ("largest difference of a colour", f"{worst:.1e} of -1..1 (at most {_EXACT:.0e})"),
            (f"{PROGRAM} beside it", f"draws {side} x {side} pixels"),
        ]
        finish_export(folder, record, words, _use(form, family.labels[0]))
        size = folder_size(folder)
    return told(run_folder, target, record, words, size, f"python {target / PROGRAM} '{family.labels[0]}' PICTURE.png")


def graph_of(family: LabelledFamily) -> Graph:
    """The network with the number of pictures left open."""
    latent, side = int(family.config["latent"]), family.default_size
    numbers = ", ".join(f"{number} {label}" for number, label in enumerate(family.labels))
    inputs = (
        Port("latents", "float32", ("batch", latent), "noise of the normal distribution"),
        Port("labels", "int64", ("batch",), f"{numbers}, {len(family.labels)} for no label"),
    )
    answer = Port("pixels", "float32", ("batch", 3, side, side), "pictures, red, green and blue, -1..1")
    network = family.network.cpu().float().eval()
    return Graph(inputs, (answer,), network, (torch.zeros(2, latent), torch.zeros(2, dtype=torch.int64)))


@torch.inference_mode()
def _difference(family: LabelledFamily, folder: Path, record: ExportRecord) -> tuple[float, int]:
    """Largest difference of a colour, and how many pictures were drawn."""
    session, count = open_session(folder, record), len(family.labels) + 1
    latents = torch.randn(count, int(family.config["latent"]), generator=torch.Generator().manual_seed(0))
    labels, worst = torch.arange(count), 0.0
    truth = family.network(latents, labels).numpy()
    for size in _BATCHES:
        for first in range(0, count, size):
            given = {"latents": latents[first : first + size].numpy(), "labels": labels[first : first + size].numpy()}
            worst = max(worst, float(np.max(np.abs(session(given)["pixels"] - truth[first : first + size]))))
    return worst, count


def _drawn_by_program(folder: Path, label: str) -> int:
    """Let the program beside an export draw, as people will; gives back the side of its picture.

    Raises:
        StudioError: it fails.
    """
    with tempfile.TemporaryDirectory() as place:
        picture = Path(place) / "drawn.png"
        command = [sys.executable, str((folder / PROGRAM).resolve()), label, str(picture)]
        bare = quiet_environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=bare, cwd=folder)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
            raise StudioError(f"{PROGRAM} of the export fails ({last}), so nothing was written.")
        with Image.open(picture) as drawn:
            return drawn.width


def _use(form: str, label: str) -> str:
    """How the files are used, as Markdown."""
    return (
        f"```sh\npip install {RUNTIMES[form].package} numpy pillow\npython {PROGRAM} '{label}' PICTURE.png 7\n```\n\n"
        f"The last number is a seed of numpy, whose noise is another than the studio's. `{PROGRAM}` needs nothing of the studio; "
        "`export.json` says names, shapes and meanings of the tensors, and under `extra.labels` the labels in the order of their "
        "numbers. The half that reads pictures is not in it."
    )
