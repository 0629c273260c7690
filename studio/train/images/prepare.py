"""From a preset, a base and a Dataset to what the loop takes: an opened base, what trains in it, and the pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from studio.adapters.images.inversion import attach_inversion
from studio.adapters.images.lora import attach_image_lora
from studio.core.errors import UserError
from studio.data.images.rows import ImageRow, read_image_split
from studio.models.bases import ResolvedBase
from studio.models.device import pick_device, pick_dtype
from studio.models.images.families.base import Family, family_of, open_family
from studio.models.images.families.pixel import PixelFamily
from studio.models.images.noise import DiscreteProcess, FlowProcess
from studio.schema.diffusion import DiffusionAdapter, NoiseSettings
from studio.train.images.dreambooth import class_rows, with_prompt
from studio.train.images.latents import keep_features
from studio.train.images.loop import Learner
from studio.train.images.optimization import build_optimizer, build_schedule
from studio.train.images.pictures import LivePictures, Pictures
from studio.train.images.trained import Ema, Trained

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """An opened base with what trains in it, and the pictures."""

    family: Family
    carriers: dict[str, nn.Module]
    learner: Learner
    training: Pictures
    validation: Pictures | None
    prompts: list[str]
    of_class: int = 0
    """How many of the training pictures, the last ones, keep a class (prior preservation)."""


def prepare(adapter: DiffusionAdapter, base: ResolvedBase | None, dataset_folder: Path, *, say: Say) -> Prepared:
    """Open or make the network, read the pictures, attach what trains.

    Raises:
        UserError: the Dataset, the base and the preset do not go together.
    """
    device = pick_device()
    dtype = pick_dtype(adapter.dtype, device, half=False)
    family = open_base(adapter, base, device=device, dtype=dtype)
    apply_noise_settings(family, adapter.noise)
    prompt = one_prompt(adapter)
    rows = with_prompt(read_image_split(dataset_folder, "train"), prompt)
    refuse_without_captions(family, adapter, rows)
    tell_words(family, adapter, base, rows, say)

    kind = drawn_class(adapter, family, base, say)
    training = _pictures(family, adapter, dataset_folder, [*rows, *kind], augmented=True, of_class=len(kind))
    held_out = read_image_split(dataset_folder, "validation") if (dataset_folder / "validation.parquet").is_file() else []
    held_out = with_prompt(held_out, prompt)
    validation = _pictures(family, adapter, dataset_folder, held_out, augmented=False) if held_out else None
    if validation is None and adapter.early_stopping is not None:
        raise UserError(
            "early_stopping needs a validation split, which this Dataset does not have. Remove it, or split the Dataset."
        )

    prompts = sample_prompts(adapter, rows)
    kept, kept_validation = keep_features(adapter, training, validation, prompts, say=say)
    carriers = attach(family, adapter)
    trained = Trained(carriers)
    optimizer = build_optimizer(adapter, trained.parameters.values())
    ema = Ema(trained, decay=adapter.ema.decay, warmup=adapter.ema.warmup) if adapter.ema else None
    learner = Learner(trained, optimizer, build_schedule(adapter, optimizer), ema)
    return Prepared(family, carriers, learner, kept, kept_validation, prompts, len(kind))


def open_base(adapter: DiffusionAdapter, base: ResolvedBase | None, *, device: torch.device, dtype: torch.dtype) -> Family:
    """The base's family, or a new network with random values.

    Raises:
        UserError: the base is of another family than the preset says.
    """
    if base is None:
        assert adapter.resolution is not None  # the schema asks for it
        settings = adapter.network.model_dump()
        return PixelFamily.create(
            settings, resolution=adapter.resolution, process=FlowProcess(), device=device, dtype=dtype, seed=adapter.seed
        )
    found = family_of(base.folder)
    if adapter.family not in {"auto", found}:
        raise UserError(
            f"{base.name} is of the family {found}, the preset says 'family: {adapter.family}'. Set family to {found}."
        )
    # What trains whole is kept in float32.
    kept = torch.float32 if adapter.method == "full" and found != "pixel" else dtype
    return open_family(found, base.folder, device=device, dtype=kept, quantization=adapter.quantization)


def apply_noise_settings(family: Family, settings: NoiseSettings) -> None:
    """Let the preset's noise settings act on the base's process.

    Raises:
        UserError: they are of the other kind of process.
    """
    process = family.process
    wanted = process.objective if settings.prediction == "auto" else settings.prediction
    if (wanted == "flow") != (process.objective == "flow"):
        raise UserError(
            f"noise.prediction {wanted} cannot be trained on this base, which predicts {process.objective}: noise is mixed in "
            "another way. Set it to auto."
        )
    process.objective = wanted
    if isinstance(process, FlowProcess):
        process.uniform = settings.times == "uniform"
        process.mean, process.std = settings.logit_mean, settings.logit_std
        process.shift = settings.shift if settings.shift is not None else process.shift
    elif isinstance(process, DiscreteProcess) and (settings.times == "logit_normal" or settings.shift is not None):
        raise UserError(
            f"noise.times and noise.shift are for flows; this base predicts {process.objective} at fixed levels. Remove them."
        )


def refuse_without_captions(family: Family, adapter: DiffusionAdapter, rows: Sequence[ImageRow]) -> None:
    """A network that listens to text must not be trained on silence.

    Raises:
        UserError: no picture has a caption.
    """
    if family.conditional and not any((row.caption or "").strip() for row in rows) and adapter.caption_dropout < 1:
        raise UserError(
            "none of the training pictures has a caption, and this family paints from text. Add captions in the recipe, "
            "or take a base without text (family: unconditional)."
        )


def tell_words(family: Family, adapter: DiffusionAdapter, base: ResolvedBase | None, rows: Sequence[ImageRow], say: Say) -> None:
    """Note the words of the captions, and say which are new to the base and which are not read."""
    captions = [row.caption or "" for row in rows]
    new = family.learn_words(captions)
    if new and base is not None:
        more = f" and {len(new) - 12} more" if len(new) > 12 else ""
        say(f"{len(new)} words of the captions are new to the base: {', '.join(new[:12])}{more}")
    elif new:
        say(f"{len(rows)} pictures, {len(set(captions))} captions of {len(new)} different words")
    if isinstance(family, PixelFamily):
        long = sum(len(caption.split()) > family.words.max_words for caption in captions)
        if long:
            say(
                f"{long} captions have more than {family.words.max_words} words; the rest of each is not read (network.max_words)"
            )
        unknown = family.unknown_words(adapter.sample.prompts or [])
        if unknown:
            say(f"these words of sample.prompts stand in no caption, the model can only guess them: {', '.join(unknown)}")


def attach(family: Family, adapter: DiffusionAdapter) -> dict[str, nn.Module]:
    """What trains: adapters on a frozen base, or the denoising network itself."""
    network: Any = family.networks()[family.tuned]
    if adapter.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    if adapter.method == "lora":
        carriers = attach_image_lora(family, adapter.lora, seed=adapter.seed)
    elif adapter.method == "inversion":
        carriers = attach_inversion(family, adapter.inversion)
    else:
        for other in family.networks().values():
            other.requires_grad_(False)
        network.requires_grad_(True)
        carriers = {family.tuned: network}
    if adapter.compile == "on" or (adapter.compile == "auto" and family.device.type == "cuda"):
        network.compile(dynamic=False)
    for module in carriers.values():
        module.train()
    return carriers


def one_prompt(adapter: DiffusionAdapter) -> str | None:
    """The caption that every training picture gets in the place of its own, None where they keep theirs."""
    if adapter.method == "inversion" and adapter.inversion.prompt is not None:
        return adapter.inversion.prompt.replace("{word}", adapter.inversion.word)
    return adapter.dreambooth.prompt if adapter.dreambooth is not None else None


def drawn_class(adapter: DiffusionAdapter, family: Family, base: ResolvedBase | None, say: Say) -> list[ImageRow]:
    """Pictures of the class that the untouched base drew, where the preset wants its prior preserved."""
    settings = adapter.dreambooth
    if settings is None or settings.class_prompt is None or base is None:
        return []
    return class_rows(settings, family, base.sha256, adapter.resolution or family.default_size, say=say)


def sample_prompts(adapter: DiffusionAdapter, rows: Sequence[ImageRow]) -> list[str]:
    """The prompts of the sample grid: those of the preset, or captions taken from each label in turn."""
    count = adapter.sample.count
    chosen = list(adapter.sample.prompts or [])
    if not chosen:
        by_label: dict[str, dict[str, None]] = defaultdict(dict)
        for row in rows:
            by_label[row.label or ""].setdefault(row.caption or "")
        queues = [list(captions) for _, captions in sorted(by_label.items())]
        depth = max(len(queue) for queue in queues)
        chosen = [queue[place] for place in range(depth) for queue in queues if place < len(queue)]
    return [chosen[place % len(chosen)] for place in range(count)]


def _pictures(
    family: Family,
    adapter: DiffusionAdapter,
    dataset_folder: Path,
    rows: Sequence[ImageRow],
    *,
    augmented: bool,
    of_class: int = 0,
) -> LivePictures:
    """A split as the loop reads it; the last ``of_class`` rows weigh what the preset says of the class."""
    weight = adapter.dreambooth.weight if adapter.dreambooth is not None else 1.0
    return LivePictures(
        family,
        dataset_folder,
        rows,
        resolution=adapter.resolution or family.default_size,
        flip=adapter.flip and augmented,
        shift=adapter.shift if augmented else 0,
        weights=[1.0] * (len(rows) - of_class) + [weight] * of_class,
    )
