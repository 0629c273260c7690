"""One optimizer step of ours beside the step of diffusers' training example, on the same network, pictures and precision.

    .venv/bin/python benchmarks/image_step.py --data openmoji-small

The peer is written as diffusers' train_unconditional.py and train_text_to_image.py do it: accelerate, a DataLoader with
torchvision transforms over picture files, noise and timesteps of a whole batch, mean squared error, clipping, AdamW, a
learning-rate schedule, EMAModel. Both sides train the studio's small network in turn, several times, each time in a process of
its own (the studio changes how its process keeps memory); the median of the later steps counts. Their noise process is the same
rectified flow, so that both do the same arithmetic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import nn

import docs
from studio.core.allocator import keep_freed_memory
from studio.core.content import find_content
from studio.core.workspace import Workspace
from studio.data.images.rows import read_image_split
from studio.models.images.words import Words
from studio.schema.diffusion import DiffusionAdapter
from studio.schema.loading import load_yaml
from studio.train.images.loop import one_step
from studio.train.images.pictures import image_windows
from studio.train.images.prepare import prepare


def _alone(side: Callable[[DiffusionAdapter, Path, int], list[float]], *given: Any) -> list[float]:
    """Seconds of the side's steps but the first two, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(side, *given).result()[2:]


def our_steps(adapter: DiffusionAdapter, dataset: Path, steps: int) -> list[float]:
    """Seconds of each step of the studio's loop, decoding and augmentation included."""
    keep_freed_memory()
    job = prepare(adapter, None, dataset, say=lambda _text: None)
    windows = image_windows(job.training.shapes, batch_size=adapter.batch_size, steps=steps, seed=0)
    return [one_step(job.family, job.learner, job.training, window, adapter, step).seconds for step, window in enumerate(windows)]


def their_steps(adapter: DiffusionAdapter, dataset: Path, steps: int) -> list[float]:
    """Seconds of each step of the example's loop."""
    from accelerate import Accelerator
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from torch.nn import functional
    from torch.utils.data import DataLoader

    from studio.models.images.pixel_network import PixelTransformer
    from studio.models.loading import pick_device, pick_dtype

    mixed = "bf16" if pick_dtype(adapter.dtype, pick_device()) == torch.bfloat16 else "no"
    accelerator = Accelerator(mixed_precision=mixed, cpu=pick_device().type == "cpu")
    torch.manual_seed(adapter.seed)
    network: nn.Module = PixelTransformer(resolution=adapter.resolution, **adapter.network.model_dump())
    average = EMAModel(network.parameters(), decay=adapter.ema.decay if adapter.ema else 0.999)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=adapter.learning_rate, betas=(0.9, adapter.beta2), weight_decay=adapter.weight_decay
    )
    schedule = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=steps // 10, num_training_steps=steps)
    rows: Any = _pictures(adapter, dataset)
    loader = DataLoader(rows, batch_size=adapter.batch_size, shuffle=True, drop_last=True)
    network, optimizer, loader, schedule = accelerator.prepare(network, optimizer, loader, schedule)
    average.to(accelerator.device)
    seconds: list[float] = []
    network.train()
    while len(seconds) < steps:
        began = time.perf_counter()
        for batch in loader:
            clean = batch["input"]
            noise = torch.randn(clean.shape, device=clean.device)
            times = torch.sigmoid(torch.randn(clean.shape[0], device=clean.device) * 0.8 + 0.8)
            wide = times.view(-1, 1, 1, 1)
            noisy = (1 - wide) * clean + wide * noise
            with accelerator.accumulate(network):
                said = network(noisy, times, batch["word_rows"], batch["word_mask"])
                flow = (noisy - said.float()) / wide.clamp(min=0.05)
                loss = functional.mse_loss(flow.float(), (noise - clean).float())
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(network.parameters(), adapter.max_grad_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                average.step(network.parameters())
            loss.detach().item()
            seconds.append(time.perf_counter() - began)
            if len(seconds) == steps:
                break
            began = time.perf_counter()
    return seconds


def _pictures(adapter: DiffusionAdapter, dataset: Path) -> list[Any]:
    """A map-style dataset whose rows are opened, transformed and tokenised when asked for, as the example does."""
    from PIL import Image
    from torchvision import transforms

    size = adapter.resolution or 32
    change = transforms.Compose(
        [
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    rows = read_image_split(dataset, "train")
    words = Words(max_words=adapter.network.max_words)

    class Rows(list[Any]):
        """Rows of the split."""

        def __getitem__(self, index: Any) -> Any:
            row = rows[index]
            codes, mask = words.encode([row.caption])
            picture = change(Image.open(dataset / row.image).convert("RGB"))
            return {"input": picture, "word_rows": codes[0], "word_mask": mask[0]}

    return Rows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="openmoji-small", help="Dataset of pictures: name or folder")
    parser.add_argument("--steps", type=int, default=12, help="steps per turn")
    parser.add_argument("--turns", type=int, default=3, help="how often each side trains")
    docs.add_option(parser)
    given = parser.parse_args()
    dataset = Workspace.open().find_dataset(given.data)
    adapter = load_yaml(find_content("adapters", "diffusion/pixel"), DiffusionAdapter)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(given.turns):
        ours += _alone(our_steps, adapter, dataset, given.steps)
        theirs += _alone(their_steps, adapter, dataset, given.steps)
    one, other = statistics.median(ours), statistics.median(theirs)
    result = {"studio_step_s": round(one, 4), "diffusers_step_s": round(other, 4), "ratio": round(other / one, 3)}
    result |= {"batch": adapter.batch_size, "steps_each": len(ours), "threads": torch.get_num_threads()}
    print(json.dumps(result, indent=2))
    if given.write_docs:
        table = (
            "| side | seconds per step |\n|---|---|\n"
            f"| studio | {one:.3f} |\n| diffusers' example | {other:.3f} |\n\n"
            f"Ratio {other / one:.2f}: batch {adapter.batch_size}, {len(ours)} steps each in turn, "
            f"{torch.get_num_threads()} threads, the network of diffusion/pixel."
        )
        docs.write_section("image-step", table, packages=("torch", "diffusers", "accelerate"))


if __name__ == "__main__":
    main()
