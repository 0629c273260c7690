"""What a VAE or GAN draws with, in the forms of other programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.core.extras import available
from studio.core.workspace import read_dataset
from studio.models.exported import read_export, read_exports
from studio.schema.generative import GanAdapter, VaeAdapter
from studio.schema.loading import validate
from studio.train.images.labelled import train_labelled_run
from studio.train.record import open_run
from tests.conftest import Result
from tests.train.images.made import make_dataset

THINGS = [("red", "a red door"), ("blue", "a blue door"), ("green", "a green door"), ("black", "a black door")] * 2
ONNX = pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed")


@pytest.mark.export
@pytest.mark.parametrize(("kind", "form"), [pytest.param("vae", "onnx", marks=ONNX), ("gan", "pt2")])
def test_the_same_noise_draws_the_same_picture(
    kind: str, form: str, workspace: Any, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    dataset = make_dataset(tmp_path / "data", THINGS, labels=["warm", "cold", "cold", "warm"] * 2, validation=2)
    settings = {"resolution": 16, "latent": 8, "width": 8, "batch_size": 4, "steps": 4, "sample": {"count": 2}}
    adapter = validate({"kind": kind, **settings}, VaeAdapter if kind == "vae" else GanAdapter)
    run = open_run(
        adapter, workspace, name=kind, dataset_folder=dataset, dataset=read_dataset(dataset),
        base={"source": "scratch"}, processes=1, method="scratch",
    )  # fmt: skip
    train_labelled_run(run, resume=False, say=print)
    done = studio("export", run, "--to", form, "--workspace", workspace.root)
    assert done.code == 0, done.err
    folder = run / form
    record = read_export(folder)
    assert record.proof["difference"] < 1e-4 and record.proof["pictures"] == 3 and record.proof["program"] == 16
    assert [line.form for line in read_exports(run)] == [form] and record.extra["labels"] == ["cold", "warm"]
    if form == "pt2":
        return
    pictures = []
    for label, seed in (("warm", "7"), ("warm", "7"), ("warm", "8")):
        subprocess.run([sys.executable, folder / "draw.py", label, tmp_path / "drawn.png", seed], check=True)
        pictures.append(np.asarray(Image.open(tmp_path / "drawn.png")))
    assert (pictures[0] == pictures[1]).all() and (pictures[0] != pictures[2]).any()
    wrong = subprocess.run([sys.executable, folder / "draw.py", "hot", "x.png"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "no label 'hot'. Labels: cold, warm" in wrong.stderr
    beside = studio("export", run, "--compare", "--json", "--workspace", workspace.root)
    assert beside.code == 0 and all(line["rate"] > 0 for line in json.loads(beside.out)["exports"]), beside.out
