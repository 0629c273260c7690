"""Tiny image pipelines built from their configs with random weights, for tests and CPUs; real shapes are in ``gpu_images.py``.

Nothing is fetched: networks come from configs, tokenizers are made here. A folder that ``write_base`` makes is what diffusers'
``from_pretrained`` and the studio take as a base.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAMILIES = ("sd15", "sdxl", "sd3", "flux", "unconditional")

# Characters are the whole vocabulary of the tokenizers made here: any caption can be written, and two captions differ.
LETTERS = string.ascii_lowercase + string.digits + string.punctuation


def write_base(folder: Path, family: str, *, prediction_type: str = "epsilon", seed: int = 0) -> Path:
    """Write a tiny base of one family as a diffusers folder of safetensors.

    Args:
        prediction_type: ``epsilon`` or ``v_prediction``, for the families whose scheduler has one.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = TINY[family](prediction_type)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def clip_tokenizer(length: int = 77) -> Any:
    """A CLIP tokenizer of single characters, with CLIP's own start and end tokens."""
    from transformers import CLIPTokenizer

    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=length)


def t5_tokenizer(length: int = 512) -> Any:
    """A T5 tokenizer of single characters."""
    from transformers import T5Tokenizer

    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=length)


def clip_text(tokenizer: Any, *, projection: bool = False, **shape: int) -> Any:
    """A CLIP text encoder over that tokenizer; ``shape`` overrides its tiny sizes."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "projection_dim": 16}
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **(sizes | shape),
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_text(tokenizer: Any, **shape: int) -> Any:
    """A T5 encoder over that tokenizer."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    return T5EncoderModel(T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, **(sizes | shape))).eval()


def vae(channels: int = 4, *, quant_conv: bool = True, shift: float | None = None, **shape: Any) -> Any:
    """An autoencoder that halves the picture's sides once per block but the last."""
    import torch
    from diffusers import AutoencoderKL

    sizes: dict[str, Any] = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 16}
    blocks = len((sizes | shape)["block_out_channels"])
    made = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        latent_channels=channels,
        scaling_factor=0.5,
        shift_factor=shift,
        use_quant_conv=quant_conv,
        use_post_quant_conv=quant_conv,
        **(sizes | shape),
    ).eval()
    # A trained encoder is nearly certain of its latents; random weights would give a variance of about 1 and bury the picture.
    last: Any = made.quant_conv if quant_conv else made.encoder.conv_out
    with torch.no_grad():
        last.weight[channels:] = 0
        last.bias[channels:] = -12
    return made


def _scheduler(prediction_type: str) -> Any:
    """Stable Diffusion's noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def sd15(prediction_type: str = "epsilon") -> Any:
    """Stable Diffusion 1.5's parts, tiny."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip_text(tokenizer), tokenizer=tokenizer, unet=unet, scheduler=_scheduler(prediction_type),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(prediction_type: str = "epsilon") -> Any:
    """Stable Diffusion XL's parts, tiny."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

    tokenizer, second = clip_tokenizer(), clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        cross_attention_dim=32,
    )
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip_text(tokenizer), text_encoder_2=clip_text(second, projection=True), tokenizer=tokenizer,
        tokenizer_2=second, unet=unet, scheduler=_scheduler(prediction_type), add_watermarker=False,
    )  # fmt: skip


def sd3(_prediction_type: str = "epsilon") -> Any:
    """Stable Diffusion 3's parts, tiny."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    tokenizer, second, third = clip_tokenizer(), clip_tokenizer(), t5_tokenizer(256)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(quant_conv=False, shift=0.06),
        text_encoder=clip_text(tokenizer, projection=True), tokenizer=tokenizer,
        text_encoder_2=clip_text(second, projection=True), tokenizer_2=second,
        text_encoder_3=t5_text(third, d_model=32), tokenizer_3=third,
    )  # fmt: skip


def flux(_prediction_type: str = "epsilon") -> Any:
    """FLUX.1's parts, tiny; with the guidance embedding of FLUX.1-dev."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    tokenizer, second = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True), vae=vae(quant_conv=False, shift=0.1),
        text_encoder=clip_text(tokenizer), tokenizer=tokenizer, text_encoder_2=t5_text(second), tokenizer_2=second,
        transformer=transformer,
    )  # fmt: skip


def unconditional(prediction_type: str = "epsilon") -> Any:
    """A DDPM of pixels without text, tiny."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return DDPMPipeline(unet=unet, scheduler=DDPMScheduler(prediction_type=prediction_type))


TINY: dict[str, Callable[[str], Any]] = {"sd15": sd15, "sdxl": sdxl, "sd3": sd3, "flux": flux, "unconditional": unconditional}
