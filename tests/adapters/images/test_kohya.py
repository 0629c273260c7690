"""kohya's layout: what is written is read back, by diffusers where it can, to the same updates and the same pictures."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from benchmarks.image_shapes import TINY
from studio.adapters.images.kohya import Factors, from_kohya_sd3, kohya_metadata, read_factors, read_lora_file, to_kohya
from studio.core.errors import UserError

NETWORK = {"sd15": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}
TARGETS = {
    "sd15": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "time_emb_proj"],
    "sdxl": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"],
    "sd3": ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "ff.net.0.proj", "ff_context.net.2"],
    "flux": [r"transformer_blocks\.\d+\.(attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)|ff(_context)?\.net\.(0\.proj|2))"],
}
CLIP = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1"]
TEXT = {"sd15": ["text_encoder"], "sdxl": ["text_encoder", "text_encoder_2"], "sd3": ["text_encoder"], "flux": ["text_encoder"]}


def pipeline_of(family):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = TINY[family]("epsilon")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def picture(pipeline):
    generator = torch.Generator().manual_seed(3)
    kwargs = {"max_sequence_length": 16} if hasattr(pipeline, "transformer") else {}
    return pipeline(
        "a red door", height=16, width=16, num_inference_steps=2, generator=generator, output_type="np", **kwargs
    ).images


def tuned_file(family, folder):
    """A LoRA with random weights of both factors in network and text encoders, saved by diffusers itself; and its picture."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = pipeline_of(family)
    targets = TARGETS[family] if family != "flux" else TARGETS[family][0]
    parts = {NETWORK[family]: targets} | dict.fromkeys(TEXT[family], CLIP)
    torch.manual_seed(1)
    layers, metadata = {}, {}
    for name, modules in parts.items():
        network = getattr(pipeline, name)
        network.add_adapter(LoraConfig(r=2, lora_alpha=5, target_modules=modules))
        for key, parameter in network.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        layers[f"{name}_lora_layers"] = get_peft_model_state_dict(network)
        metadata[f"{name}_lora_adapter_metadata"] = network.peft_config["default"].to_dict()
    type(pipeline).save_lora_weights(folder, **layers, **plain(metadata))
    return pipeline, folder / "pytorch_lora_weights.safetensors"


def plain(metadata):
    return {
        name: {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        for name, config in metadata.items()
    }


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_diffusers_reads_the_export_to_the_same_picture(family, tmp_path):
    tuned, file = tuned_file(family, tmp_path)
    expected = picture(tuned)
    tensors = to_kohya(read_factors(*read_lora_file(file)), family)
    assert all(key.startswith(("lora_unet_", "lora_te")) for key in tensors)

    fresh = pipeline_of(family)
    assert np.abs(picture(fresh) - expected).max() > 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh.load_lora_weights(dict(tensors))
    assert np.abs(picture(fresh) - expected).max() < 1e-4


def test_sd3_is_read_back_by_rows(tmp_path):
    tuned, file = tuned_file("sd3", tmp_path)
    expected = picture(tuned)
    tensors = to_kohya(read_factors(*read_lora_file(file)), "sd3")
    assert "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight" in tensors
    fresh = pipeline_of("sd3")
    fresh.load_lora_weights(from_kohya_sd3(tensors))
    assert np.abs(picture(fresh) - expected).max() < 1e-4


def test_flux_single_blocks_survive_at_the_real_width():
    """diffusers' reader knows the single blocks only at FLUX.1's width of 3,072; only the factors are needed, not the base."""
    from diffusers import FluxPipeline

    torch.manual_seed(0)
    width, rank = 3072, 2
    sizes = {"attn.to_q": width, "attn.to_k": width, "attn.to_v": width, "proj_mlp": 4 * width, "proj_out": width}
    factors = {
        f"transformer.single_transformer_blocks.7.{part}": Factors(
            torch.randn(rank, 5 * width if part == "proj_out" else width), torch.randn(rows, rank)
        )
        for part, rows in sizes.items()
    }
    back = FluxPipeline.lora_state_dict(to_kohya(factors, "flux"))
    for module, found in factors.items():
        torch.testing.assert_close(back[f"{module}.lora_A.weight"], found.down)
        torch.testing.assert_close(back[f"{module}.lora_B.weight"], found.up)
    assert len(back) == 2 * len(factors)

    # Attention alone: the feed-forward part of the fused matrix is there, and changes nothing.
    attention = {module: found for module, found in factors.items() if ".attn." in module}
    back = FluxPipeline.lora_state_dict(to_kohya(attention, "flux"))
    assert back["transformer.single_transformer_blocks.7.proj_mlp.lora_B.weight"].abs().max() == 0
    torch.testing.assert_close(
        back["transformer.single_transformer_blocks.7.attn.to_k.lora_B.weight"],
        attention["transformer.single_transformer_blocks.7.attn.to_k"].up,
    )


def test_what_has_no_place_is_refused():
    factors = {"transformer.x_embedder": Factors(torch.zeros(2, 4), torch.zeros(4, 2))}
    with pytest.raises(UserError, match="x_embedder has no name"):
        to_kohya(factors, "flux")
    with pytest.raises(UserError, match="'pixel'"):
        to_kohya(factors, "pixel")
    with pytest.raises(UserError, match="DoRA"):
        read_factors({"unet.a.to_q.lora_magnitude_vector.weight": torch.ones(4)}, None)


def test_the_scale_is_folded_in():
    weights = {"unet.a.to_q.lora_A.weight": torch.ones(4, 3), "unet.a.to_q.lora_B.weight": torch.ones(3, 4)}
    plain_scale = read_factors(weights, {"unet.r": 4, "unet.lora_alpha": 8})["unet.a.to_q"]
    stable = read_factors(weights, {"unet.r": 4, "unet.lora_alpha": 8, "unet.use_rslora": True})["unet.a.to_q"]
    assert plain_scale.up[0, 0] == 2 and stable.up[0, 0] == 4
    header = kohya_metadata(to_kohya({"unet.a.to_q": plain_scale}, "sdxl"), "sdxl", name="doors", base="sdxl-base")
    assert header["ss_network_dim"] == header["ss_network_alpha"] == "4"
