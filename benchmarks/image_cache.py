"""Training with and without the cache of latents and text embeddings, on the same rows, from the same seed.

    python benchmarks/image_cache.py [--steps 24] [--json] [--write-docs]

On a CPU: a small SDXL-like base made from its config (VAE with a factor of 8, two text encoders, UNet), 16 pictures of 128
pixels, batches of 8, through the studio's own training. The two ways take turns, twice each; the losses of every step are
compared, for the cache must change nothing but the time. On a GPU also SDXL's own shape at 1,024 pixels. Exits 1 when a cached
step is not at least 1.5 times as fast.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import image_shapes

import docs

TARGET = 1.5
PICTURES, SIDE, BATCH = 16, 128, 8
_SKIPPED = 4  # first steps of each training, which warm up


@dataclass(frozen=True)
class Result:
    """Seconds of a step (median), what making the cache took once, and how far the losses are apart (relative)."""

    what: str
    cached: float
    uncached: float
    filling: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times as fast a cached step is."""
        return self.uncached / self.cached


def write_small_base(folder: Path) -> Path:
    """An SDXL-like base in which the encoders cost about what they cost beside a UNet in earnest."""
    import diffusers
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = image_shapes.sdxl()
        vae = image_shapes.vae(block_out_channels=[16, 32, 32, 32], norm_num_groups=8, sample_size=SIDE)
        sizes = {"intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 6}
        text = image_shapes.clip_text(pipeline.tokenizer, **sizes)
        second = image_shapes.clip_text(pipeline.tokenizer_2, projection=True, **sizes)
        config = {**pipeline.unet.config, "sample_size": SIDE // 8, "block_out_channels": (16, 32)}
        parts = {"vae": vae, "text_encoder": text, "text_encoder_2": second, "unet": diffusers.UNet2DConditionModel(**config)}
        type(pipeline)(**{**pipeline.components, **parts}, add_watermarker=False).save_pretrained(folder, safe_serialization=True)
    return folder


def write_dataset(folder: Path) -> Path:
    """A Dataset of noise with a caption each; what is in the pictures does not matter for the time."""
    import numpy as np
    from PIL import Image

    from studio.core.files import sha256_file, write_json
    from studio.core.records import DatasetRecord
    from studio.data.images.rows import ImageRow, rows_to_table
    from studio.data.parquet import write_table

    (folder / "images").mkdir(parents=True)
    numbers, rows = np.random.default_rng(0), []
    for number in range(PICTURES):
        file = folder / "images" / f"{number}.png"
        Image.fromarray(numbers.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(
            ImageRow(str(number), f"images/{file.name}", f"picture number {number}", None, None, SIDE, SIDE, None, digest)
        )
    write_table(rows_to_table(rows), folder / "train.parquet")
    record = DatasetRecord(
        kind="image", name="noise", fingerprint="0", created="", recipe={}, sources=[], steps=[], splits={"train": PICTURES},
        rows_read=PICTURES, rows_removed=0, files={"train.parquet": sha256_file(folder / "train.parquet")}, studio_version="",
    )  # fmt: skip
    write_json(folder / "dataset.json", record.model_dump(mode="json"))
    return folder


def train(root: Path, base: Path, dataset: Path, *, cache: str, steps: int) -> list[dict[str, Any]]:
    """One training by the studio; a line for each step."""
    from studio.core.workspace import Workspace, read_dataset
    from studio.models.images.bases import resolve_image_base
    from studio.schema.diffusion import DiffusionAdapter, ImageLoraSettings, SampleSettings
    from studio.train.images.run import train_image_run
    from studio.train.record import open_run
    from studio.train.recording import read_metrics

    adapter = DiffusionAdapter(
        kind="diffusion",
        model=str(base),
        cache=cache,
        steps=steps,
        batch_size=BATCH,
        resolution=SIDE,
        dtype="float32",
        lora=ImageLoraSettings(rank=8, target_modules="all-linear"),
        sample=SampleSettings(count=1, steps=1),
        sample_every=steps,
        save_every=steps,
    )
    run = open_run(
        adapter, Workspace.open(root / "workspace"), name="cache", dataset_folder=dataset, dataset=read_dataset(dataset),
        base=resolve_image_base(str(base)).record(), processes=1, method="lora",
    )  # fmt: skip
    train_image_run(run, resume=False, say=lambda line: print(line, file=sys.stderr))
    return [line for line in read_metrics(run / "metrics.jsonl") if "loss" in line]


def measure(steps: int) -> Result:
    """Both ways in turn, twice; medians over all steps but the first of each training."""
    import time

    with tempfile.TemporaryDirectory(prefix="image-cache-") as place:
        root = Path(place)
        os.environ["STUDIO_CACHE"] = str(root / "cache")
        base, dataset = write_small_base(root / "base"), write_dataset(root / "data")
        seconds: dict[str, list[float]] = {"on": [], "off": []}
        losses: dict[str, list[float]] = {}
        filling = 0.0
        for turn in range(2):
            for cache in ("off", "on"):
                began = time.perf_counter()
                lines = train(root, base, dataset, cache=cache, steps=steps)
                if cache == "on" and turn == 0:
                    filling = max(0.0, time.perf_counter() - began - sum(line["seconds"] for line in lines))
                seconds[cache] += [line["seconds"] for line in lines[_SKIPPED:]]
                losses[cache] = [line["loss"] for line in lines]
    pairs = zip(losses["on"], losses["off"], strict=True)
    difference = max(abs(one - other) / abs(other) for one, other in pairs)
    what = f"small SDXL-like base, {SIDE} px, batch {BATCH}"
    return Result(what, statistics.median(seconds["on"]), statistics.median(seconds["off"]), filling, difference)


def measure_sdxl(steps: int) -> Result:
    """SDXL's own shape on the first GPU at 1,024 px: a step with VAE and both text encoders, and one without."""
    import time

    import gpu_images
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    device, dtype, shape = torch.device("cuda"), torch.bfloat16, gpu_images.SHAPES["sdxl"]
    case = gpu_images.Case("sdxl", 1024, 1)
    large = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32}
    small = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
    with torch.device(device):
        encoders = [
            CLIPTextModel(CLIPTextConfig(projection_dim=768, **small)),
            CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=1280, **large)),
        ]
    encoders = [encoder.to(dtype).eval().requires_grad_(False) for encoder in encoders]
    vae = gpu_images.build("diffusers:AutoencoderKL", shape.vae, device, torch.float32)
    tokens = torch.randint(0, 49_000, (1, 77), device=device)
    pixels = torch.rand(1, 3, 1024, 1024, device=device) * 2 - 1

    @torch.no_grad()
    def encode() -> float:
        """Seconds of what the cache spares a step."""
        torch.cuda.synchronize()
        began = time.perf_counter()
        vae.encode(pixels)
        for encoder in encoders:
            encoder(tokens, output_hidden_states=True)
        torch.cuda.synchronize()
        return time.perf_counter() - began

    spared = statistics.median([encode() for _ in range(gpu_images.WARM_UP + steps)][gpu_images.WARM_UP :])
    step = gpu_images.measure(case, shape=shape, steps=steps).step
    return Result("SDXL, 1,024 px, batch 1, bfloat16", step, step + spared, spared, 0.0)


def table(results: list[Result]) -> str:
    """One row per base."""
    lines = [
        "| base | step, uncached | step, cached | times as fast | made once in | largest difference of a loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        lines.append(
            f"| {result.what} | {result.uncached * 1000:.0f} ms | {result.cached * 1000:.0f} ms | {result.ratio:.2f} | "
            f"{result.filling:.1f} s | {result.difference:.0e} |"
        )
    lines.append(f"\nTarget: at least {TARGET} times. Uncached and cached trainings took turns in one call, same rows and seed.")
    return "\n".join(lines)


def main() -> int:
    """Measure on the CPU, and SDXL's shape where there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    import torch

    results = [measure_sdxl(options.steps)] if torch.cuda.is_available() else []
    results.append(measure(options.steps))
    text = table(results)
    if not torch.cuda.is_available():
        text += "\nSDXL's own shape: not measured, this machine has no CUDA GPU."
    print(json.dumps([asdict(result) | {"ratio": result.ratio} for result in results], indent=2) if options.json else text)
    if options.write_docs:
        docs.write_section("image-cache", text, packages=("torch", "diffusers", "peft"))
    return 0 if all(result.ratio >= TARGET and result.difference < 1e-3 for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
