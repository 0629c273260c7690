"""Embedding models and rerankers in the forms of other programs give the vectors and scores of the run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from studio.core.extras import available
from studio.exports.embed import graphs
from studio.models.embed.opening import QUERY, fits, vectors
from studio.models.exported import read_export, read_exports
from tests.conftest import Result
from tests.retrieval import train_arguments

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(not available("sentence_transformers"), reason="the extra embed is not installed"),
]
ONNX = pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed")
RUNS = {"embedding": ("embed/pairs", "rooms", ["query_prompt='ask: '"]), "reranker": ("embed/reranker", "liked", [])}


@pytest.mark.parametrize(
    ("kind", "form"),
    [pytest.param("embedding", "onnx", marks=ONNX), pytest.param("reranker", "onnx", marks=ONNX), ("embedding", "pt2")],
)
def test_an_export_says_what_the_run_says(
    kind: str,
    form: str,
    questions: Path,
    encoder: Path,
    studio: Callable[..., Result],
) -> None:
    preset, data, settings = RUNS[kind]
    space = questions / "workspace"
    assert studio(*train_arguments(questions, preset, data, encoder, *settings), "--name", "made").code == 0
    done = studio("export", "made", "--to", form, "--workspace", space)
    assert done.code == 0, done.err
    [run] = (space / "runs" / "made").iterdir()
    folder = run / form
    record = read_export(folder)
    assert [line.form for line in read_exports(run)] == [form] and record.proof["split"] == "test"
    assert record.proof["difference"] < 1e-3 and record.proof["program"] < 1e-3
    model = graphs.open_run(run)
    asked = ["How wide must the door of the attic be?", "It is 3 cm.", "x " * 200]
    told = subprocess.run([sys.executable, folder / "predict.py", *asked], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    if kind == "reranker":
        wanted = fits(model, [(asked[0], passage) for passage in asked[1:]]).numpy()
        np.testing.assert_allclose([line["score"] for line in lines], wanted, atol=1e-4)
    else:
        np.testing.assert_allclose([line["vector"] for line in lines], vectors(model, asked, QUERY).numpy(), atol=1e-4)
        assert record.extra["reading"]["prompts"] == {"query": "ask: "}
    if form == "pt2":
        return
    for target in (folder, run):
        measured = studio("eval", "retrieval", "--model", target, "--data", data, "--baseline", "none", "--workspace", space)
        assert measured.code == 0, measured.err
    scores = [
        json.loads(next(place.glob("evals/retrieval/*/scores.json")).read_text())["scores"]["tuned"] for place in (folder, run)
    ]
    assert [(s["metric"], s["value"]) for s in scores[0]] == [(s["metric"], s["value"]) for s in scores[1]]
    if kind == "reranker":
        return
    beside = studio("export", "made", "--compare", "--json", "--workspace", space)
    assert beside.code == 0 and all(line["rate"] > 0 for line in json.loads(beside.out)["exports"]), beside.out
