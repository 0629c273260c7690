"""SDXL's and FLUX.1's shapes on one GPU: steps per second and memory of LoRA training with latents and embeddings cached.

    python benchmarks/gpu_images.py [--only sdxl] [--steps 10] [--json] [--write-docs]

LoRA r16 on the attention layers, AdamW, gradient checkpointing. The weights are random (neither time nor memory depends on them)
and built on the card; everything after that is the studio's own: families, adapters, loss, loop. Without a CUDA GPU it says so,
measures nothing and exits 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docs

WARM_UP = 3

# From the configurations published with the models (stabilityai/stable-diffusion-xl-base-1.0, black-forest-labs/FLUX.1-dev).
SDXL_UNET: dict[str, Any] = {
    "sample_size": 128, "block_out_channels": (320, 640, 1280), "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20), "cross_attention_dim": 2048, "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
FLUX_TRANSFORMER: dict[str, Any] = {
    "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}  # fmt: skip
VAE: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
SDXL_VAE = VAE | {"latent_channels": 4, "scaling_factor": 0.13025, "force_upcast": True}
FLUX_VAE = VAE | {
    "latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159,
    "use_quant_conv": False, "use_post_quant_conv": False,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A family's networks, and what its cached text looks like (per caption)."""

    family: str
    tuned: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, tuple[int, ...]]


SHAPES = {
    "sdxl": Shape("sdxl", SDXL_UNET, SDXL_VAE, {"embeds": (77, 2048), "pooled": (1280,)}),
    "flux": Shape("flux", FLUX_TRANSFORMER, FLUX_VAE, {"embeds": (512, 4096), "pooled": (768,)}),
}


@dataclass(frozen=True)
class Case:
    """One row of the table. batch: pictures in a step, all in one forward pass."""

    shape: str
    resolution: int
    batch: int
    quantization: str = "none"


CASES = (
    Case("sdxl", 1024, 1),
    Case("sdxl", 1024, 4),
    Case("sdxl", 1024, 1, "nf4"),
    Case("flux", 512, 1),
    Case("flux", 1024, 1),
    Case("flux", 512, 1, "nf4"),
)


@dataclass(frozen=True)
class Measured:
    """step: median seconds after the warm-up. memory: most bytes PyTorch had allocated while training (0 on a CPU)."""

    case: Case
    parameters: int
    step: float
    memory: int
    losses: list[float]


def in_memory(shape: Shape, folder: Path, device: Any, dtype: Any, quantization: Any = "none") -> Any:
    """The studio's family over networks that were never on a disk: configurations in the folder, random weights on the device."""
    import torch

    from studio.models.images.families.base import FAMILIES
    from studio.models.images.families.quantize import quantize_blocks

    cls = FAMILIES.get(shape.family)
    scheduler: dict[str, Any] = {"prediction_type": "epsilon", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler |= {"beta_schedule": "scaled_linear"}
    if shape.family == "flux":
        scheduler = {"shift": 3.0, "use_dynamic_shifting": True}
    index = {"_class_name": cls.pipeline_class, "scheduler": ["diffusers", "DDPMScheduler"]}
    for name, value in {
        "model_index.json": index,
        "scheduler/scheduler_config.json": scheduler,
        f"{cls.tuned}/config.json": shape.tuned,
        "vae/config.json": shape.vae,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    family = cls(folder, device=device, dtype=dtype, quantization=quantization)
    network = build(cls.classes[cls.tuned], shape.tuned, device, dtype)
    if quantization != "none":
        quantize_blocks(network, quantization, dtype=dtype, device=torch.device(device))
    family._parts[cls.tuned] = network
    family.release(name for name in cls.classes if name != cls.tuned)
    return family


def build(kind: str, config: dict[str, Any], device: Any, dtype: Any) -> Any:
    """A diffusers network with random weights, made in its number type on the device; frozen."""
    import diffusers
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network = getattr(diffusers, kind.partition(":")[2])(**config)
    finally:
        torch.set_default_dtype(before)
    return network.requires_grad_(False).eval()


class KeptPictures:
    """Pictures and captions as a cache gives them: random numbers of the right shapes, kept on the device."""

    def __init__(self, family: Any, shape: Shape, *, count: int, resolution: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        channels, height, width = family.latent_shape(resolution, resolution)
        self.captions, self.weights, self.identities = [""] * count, [1.0] * count, [str(row) for row in range(count)]
        self.shapes = [(resolution, resolution)] * count
        self._moments = torch.randn(count, 2 * channels, height, width, generator=generator).to(family.device)
        self._text = {
            name: torch.randn(count, *sizes, generator=generator).to(family.device, family.dtype)
            for name, sizes in shape.text.items()
        }

    def moments(self, rows: Sequence[int], _draws: Any) -> Any:
        """See :class:`studio.train.images.pictures.Pictures`."""
        return self._moments[list(rows)]

    def text(self, rows: Sequence[int], _dropped: Sequence[bool]) -> Any:
        """See :class:`studio.train.images.pictures.Pictures`."""
        return {name: value[list(rows)] for name, value in self._text.items()}

    def sizes(self, rows: Sequence[int]) -> Any:
        """See :class:`studio.train.images.pictures.Pictures`."""
        from studio.models.images.families.base import Size

        return [Size(self.shapes[row], (0, 0), self.shapes[row]) for row in rows]


def preset(case: Case, steps: int) -> Any:
    """What a person's preset would say."""
    from studio.schema.diffusion import DiffusionAdapter, ImageLoraSettings

    return DiffusionAdapter(
        kind="diffusion",
        lora=ImageLoraSettings(rank=16, alpha=16, target_modules="attention"),
        quantization=case.quantization,
        resolution=case.resolution,
        batch_size=case.batch,
        steps=steps,
        gradient_checkpointing=True,
        compile="off",
    )


def measure(case: Case, *, shape: Shape, steps: int, device: Any = "cuda", dtype: Any = None) -> Measured:
    """Train some steps with the studio's loop and time them, after :data:`WARM_UP` others."""
    import torch

    from studio.train.images.loop import Learner, train_steps
    from studio.train.images.optimization import build_optimizer, build_schedule
    from studio.train.images.prepare import attach
    from studio.train.images.trained import Trained

    total = WARM_UP + steps
    adapter = preset(case, total)
    where = torch.device(device)
    with tempfile.TemporaryDirectory(prefix="gpu-images-") as folder:
        family = in_memory(shape, Path(folder), where, dtype or torch.bfloat16, case.quantization)
        parameters = sum(
            value.numel() for value in build(family.classes[family.tuned], shape.tuned, "meta", torch.float32).parameters()
        )
        trained = Trained(attach(family, adapter))
        optimizer = build_optimizer(adapter, trained.parameters.values())
        learner = Learner(trained, optimizer, build_schedule(adapter, optimizer), None)
        pictures = KeptPictures(family, shape, count=case.batch, resolution=case.resolution)
        found: list[Any] = []
        if where.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        # The loss of each step is read by the loop, which waits for the card; so its seconds are whole.
        train_steps(
            family, learner, pictures, [list(range(case.batch))] * total, adapter,
            start=0, after=lambda result: found.append(result) or False,
        )  # fmt: skip
        memory = torch.cuda.max_memory_allocated() if where.type == "cuda" else 0
    seconds = statistics.median(result.seconds for result in found[WARM_UP:])
    return Measured(case, parameters, seconds, memory, [result.loss for result in found])


def table(results: Sequence[Measured], card: str) -> str:
    """One row per case."""
    lines = [
        "| shape | parameters | pixels | base | pictures in a step | steps/s | pictures/s | memory |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for result in results:
        case = result.case
        kept = "nf4" if case.quantization == "nf4" else "bfloat16"
        lines.append(
            f"| {case.shape} | {result.parameters / 1e9:.1f} billion | {case.resolution} | {kept} | {case.batch} | "
            f"{1 / result.step:.2f} | {case.batch / result.step:.2f} | {result.memory / 1e9:.1f} GB |"
        )
    lines.append(
        f"\n{card}. LoRA r16 on the attention layers, gradient checkpointing, latents and embeddings cached (no VAE and no text "
        "encoder in memory), random weights."
    )
    return "\n".join(lines)


def main() -> int:
    """Measure every case on the first GPU, or say that there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(SHAPES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        text = "Not measured: this machine has no CUDA GPU."
        print(json.dumps({"measured": False, "reason": "no CUDA GPU"}) if options.json else text)
        if options.write_docs:
            docs.write_section("gpu-images", text, packages=("torch", "diffusers", "peft"))
        return 0
    results = []
    for case in CASES:
        if options.only in {None, case.shape}:
            results.append(measure(case, shape=SHAPES[case.shape], steps=options.steps))
            torch.cuda.empty_cache()
    text = table(results, torch.cuda.get_device_name(0))
    print(json.dumps([asdict(result) for result in results], indent=2) if options.json else text)
    if options.write_docs:
        docs.write_section("gpu-images", text, packages=("torch", "diffusers", "peft"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
