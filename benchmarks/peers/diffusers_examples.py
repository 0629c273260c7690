"""The loops of diffusers' training examples, each written as its script does it, timed from batch to batch.

Both: accelerate, a DataLoader that opens, transforms and tokenises a picture when its turn comes, noise and timesteps for a whole
batch, mean squared error, clipping, AdamW, a learning-rate schedule. Sources: examples/unconditional_image_generation/
train_unconditional.py and examples/text_to_image/train_text_to_image_lora.py of diffusers 0.42.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader

from studio.data.images.rows import ImageRow, read_image_split
from studio.schema.diffusion import DiffusionAdapter


class Rows(list[ImageRow]):
    """A map-style dataset of a split."""

    def __init__(self, dataset: Path, side: int, tokenize: Callable[[str], dict[str, Any]]) -> None:
        """Rows are read, pictures not yet."""
        from torchvision import transforms

        super().__init__(read_image_split(dataset, "train"))
        self.dataset, self.tokenize = dataset, tokenize
        self.change = transforms.Compose(
            [
                transforms.Resize(side, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(side),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )

    def __getitem__(self, index: Any) -> Any:
        """Picture [3, side, side] and what the tokenizer made of its caption."""
        row = super().__getitem__(index)
        return {"input": self.change(Image.open(self.dataset / row.image).convert("RGB")), **self.tokenize(row.caption or "")}


def _batches(loader: Any, steps: int) -> Iterator[tuple[dict[str, Any], float]]:
    """Batches over as many epochs as it takes, each with the time at which it was asked for."""
    left = steps
    while left:
        began = time.perf_counter()
        for batch in loader:
            yield batch, began
            left -= 1
            if not left:
                return
            began = time.perf_counter()


def from_scratch(adapter: DiffusionAdapter, dataset: Path, steps: int) -> list[float]:
    """Seconds of each step that trains the studio's small network. The noise process is the studio's: the same arithmetic."""
    from accelerate import Accelerator
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    from studio.models.device import pick_device, pick_dtype
    from studio.models.images.pixel_network import PixelTransformer
    from studio.models.images.words import Words

    mixed = "bf16" if pick_dtype(adapter.dtype, pick_device()) == torch.bfloat16 else "no"
    accelerator = Accelerator(mixed_precision=mixed, cpu=pick_device().type == "cpu")
    torch.manual_seed(adapter.seed)
    network: Any = PixelTransformer(resolution=adapter.resolution, **adapter.network.model_dump())
    average = EMAModel(network.parameters(), decay=adapter.ema.decay if adapter.ema else 0.999)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=adapter.learning_rate, betas=(0.9, adapter.beta2), weight_decay=adapter.weight_decay
    )
    schedule = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=steps // 10, num_training_steps=steps)
    words = Words(max_words=adapter.network.max_words)

    def tokenize(caption: str) -> dict[str, Any]:
        codes, mask = words.encode([caption])
        return {"word_rows": codes[0], "word_mask": mask[0]}

    rows: Any = Rows(dataset, adapter.resolution or 32, tokenize)
    loader: Any = DataLoader(rows, batch_size=adapter.batch_size, shuffle=True, drop_last=True)
    network, optimizer, loader, schedule = accelerator.prepare(network, optimizer, loader, schedule)
    average.to(accelerator.device)
    seconds: list[float] = []
    network.train()
    for batch, began in _batches(loader, steps):
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
    return seconds


def lora(adapter: DiffusionAdapter, dataset: Path, steps: int) -> list[float]:
    """Seconds of each step that tunes a Stable Diffusion base with LoRA, VAE and text encoder in every step, in float32."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from diffusers.optimization import get_scheduler
    from peft import LoraConfig

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    torch.manual_seed(adapter.seed)
    assert adapter.model is not None
    pipeline: Any = StableDiffusionPipeline.from_pretrained(adapter.model)
    process = DDPMScheduler.from_config(pipeline.scheduler.config)
    unet, vae, text_encoder = pipeline.unet, pipeline.vae, pipeline.text_encoder
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False)
        network.to(accelerator.device)
    rank, alpha = adapter.lora.rank, adapter.lora.alpha
    attention = ["to_k", "to_q", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=attention))
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=adapter.learning_rate, betas=(0.9, adapter.beta2), weight_decay=adapter.weight_decay
    )
    schedule = get_scheduler("constant", optimizer=optimizer)

    def tokenize(caption: str) -> dict[str, Any]:
        length = pipeline.tokenizer.model_max_length
        ids = pipeline.tokenizer(caption, max_length=length, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return {"input_ids": ids[0]}

    rows: Any = Rows(dataset, adapter.resolution or 512, tokenize)
    loader: Any = DataLoader(rows, batch_size=adapter.batch_size, shuffle=True)
    unet, optimizer, loader, schedule = accelerator.prepare(unet, optimizer, loader, schedule)
    seconds: list[float] = []
    unet.train()
    for batch, began in _batches(loader, steps):
        with accelerator.accumulate(unet):
            latents = vae.encode(batch["input"]).latent_dist.sample() * vae.config.scaling_factor
            noise = torch.randn_like(latents)
            times = torch.randint(0, process.config.num_train_timesteps, (latents.shape[0],), device=latents.device).long()
            noisy = process.add_noise(latents, noise, times)
            states = text_encoder(batch["input_ids"], return_dict=False)[0]
            said = unet(noisy, times, states, return_dict=False)[0]
            loss = functional.mse_loss(said.float(), noise.float(), reduction="mean")
            accelerator.gather(loss.repeat(adapter.batch_size)).mean()
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(trained, adapter.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        loss.detach().item()
        seconds.append(time.perf_counter() - began)
    return seconds
