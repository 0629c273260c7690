"""Image models as plain folders of diffusers draw the pictures of the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from benchmarks.image_shapes import write_base
from studio.core.extras import available
from studio.exports.images import folder as module
from studio.exports.images import single_file
from studio.models.exported import read_export, read_exports
from studio.train.images.run import train_image_run
from tests.conftest import Result
from tests.train.images.made import make_dataset, open_image_run

PLAIN = {"batch_size": 2, "resolution": 16, "steps": 2, "learning_rate": 0.1, "dtype": "float32", "cache": "off"}
PLAIN |= {"sample": {"count": 1, "steps": 1}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("folder") / "data")


def trained(family: str, workspace: Any, dataset: Path, tmp_path: Path) -> tuple[Path, Path]:
    base = write_base(tmp_path / family, family)
    run = open_image_run(
        workspace, dataset, PLAIN | {"lora": {"rank": 2, "alpha": 3, "text_encoder": family != "unconditional"}}, base
    )
    train_image_run(run, resume=False, say=print)
    return run, base


@pytest.mark.parametrize("family", ["sd15", "unconditional"])
def test_the_folder_is_proven(family: str, workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    run, base = trained(family, workspace, dataset, tmp_path)
    done = studio("export", run, "--to", "diffusers", "--workspace", workspace.root)
    assert done.code == 0, done.err
    folder = run / "diffusers"
    record = read_export(folder)
    assert max(record.proof.values()) < 1e-3 and [line.form for line in read_exports(run)] == ["diffusers"]
    one, two = (load_file(next((place / "unet").glob("*.safetensors"))) for place in (folder, base))
    assert one.keys() == two.keys(), "no adapter is left"
    assert any((one[name] != two[name]).any() for name in one), "the training is in the weights"


@pytest.mark.long
def test_it_stands_beside_the_run(workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    run, _ = trained("unconditional", workspace, dataset, tmp_path)
    assert studio("export", run, "--to", "diffusers", "--workspace", workspace.root).code == 0
    beside = studio("export", run, "--compare", "--json", "--workspace", workspace.root)
    assert beside.code == 0, beside.err
    lines = json.loads(beside.out)["exports"]
    assert [line["form"] for line in lines] == ["the run itself", "diffusers"]
    assert all(line["rate"] > 0 and line["peak"] > 50e6 and line["difference"] < 1e-3 for line in lines), lines


def test_a_lora_in_the_layout_of_kohya_is_noted(
    workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result]
) -> None:
    run, _ = trained("sd15", workspace, dataset, tmp_path)
    done = studio("export", run, "--to", "kohya", "--workspace", workspace.root)
    assert done.code == 0 and "of a base of family sd15" in done.out, done.err
    [line] = read_exports(run)
    assert line.form == "kohya" and Path(line.path).stat().st_size == line.bytes and line.runtime.startswith("diffusers ")


def test_another_model_is_not_written(
    workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = trained("sd15", workspace, dataset, tmp_path)
    monkeypatch.setattr(module, "fuse", _without)
    done = studio("export", run, "--to", "diffusers", "--workspace", workspace.root)
    assert done.code == 1 and "is not the model that was trained" in done.err
    assert not (run / "diffusers").exists() and not read_exports(run)


def _without(networks: Any) -> None:
    """Take adapters away without folding them in."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for network in networks.values():
        for name, layer in list(network.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                parent, _, own = name.rpartition(".")
                setattr(network.get_submodule(parent), own, layer.get_base_layer())
        vars(network).pop("peft_config", None)
        network._hf_peft_config_loaded = False


@pytest.mark.export
@pytest.mark.skipif(not available("onnxscript"), reason="the extra onnx is not installed")
@pytest.mark.parametrize("family", ["unconditional", "sd15"])
def test_the_denoiser_as_onnx(
    family: str, workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    if family == "sd15":  # as one whose weights are more than a message of protobuf can hold
        monkeypatch.setattr("studio.exports.formats.onnx._ONE_FILE", 0)
    run, _ = trained(family, workspace, dataset, tmp_path)
    done = studio("export", run, "--to", "onnx", "--workspace", workspace.root)
    assert done.code == 0, done.err
    record = read_export(run / "onnx")
    assert record.proof["difference"] < 1e-3 and record.inputs["noisy"]["shape"][0] == "batch"
    assert (run / "onnx" / "runtime.py").is_file() and (run / "onnx" / "model.onnx.data").is_file() == (family == "sd15")
    conditions = set(record.inputs) - {"noisy", "times"}
    assert bool(conditions) == (family == "sd15"), "what the text encoder gives goes in beside noise and times"


def test_one_file_with_everything(workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result]) -> None:
    run, _ = trained("sd15", workspace, dataset, tmp_path)
    done = studio("export", run, "--to", "single-file", "--workspace", workspace.root)
    assert done.code == 0, done.err
    [line] = read_exports(run)
    file = Path(line.path)
    assert line.form == "single-file" and file.stat().st_size == line.bytes and list(file.parent.iterdir()) == [file]
    weights = load_file(file)
    # As AUTOMATIC1111 and ComfyUI find out what a file is.
    assert "model.diffusion_model.input_blocks.0.0.weight" in weights and "first_stage_model.encoder.conv_in.weight" in weights
    assert "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight" in weights
    assert not [name for name in weights if "lora" in name]
    again = studio("export", run, "--to", "single-file", "--workspace", workspace.root)
    assert again.code == 2 and "exists already and is not overwritten" in again.err


def test_what_one_file_cannot_say_is_refused(
    workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = trained("unconditional", workspace, dataset, tmp_path)
    done = studio("export", run, "--to", "single-file", "--workspace", workspace.root)
    assert done.code == 2 and "of family unconditional, and --to single-file writes" in done.err
    assert "Allowed for it: --to diffusers" in done.err and not (run / "single-file").exists()


def test_another_file_is_not_written(
    workspace: Any, dataset: Path, tmp_path: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = trained("sd15", workspace, dataset, tmp_path)
    real = single_file.single_file

    def wrong(*arguments: Any) -> Any:
        tensors = real(*arguments)
        name = "model.diffusion_model.middle_block.0.in_layers.2.weight"
        return tensors | {name: tensors[name] + 1e-3}

    monkeypatch.setattr(single_file, "single_file", wrong)
    done = studio("export", run, "--to", "single-file", "--workspace", workspace.root)
    assert done.code == 1 and "mid_block.resnets.0.conv1.weight is another one" in done.err
    assert not list((run / "single-file").iterdir()) and not read_exports(run)
