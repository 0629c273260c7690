"""The parts of a model card that differ for image models: how to use it, what it was made from, what it may owe to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import StudioError
from studio.core.records import DatasetRecord, RunRecord
from studio.core.workspace import Workspace, run_dataset
from studio.data.images.rows import read_image_split

SETTINGS = (
    "family", "resolution", "steps", "batch_size", "micro_batch_size", "learning_rate", "schedule", "warmup", "weight_decay",
    "beta2", "max_grad_norm", "optimizer", "caption_dropout", "flip", "shift", "quantization", "dtype", "keep", "seed",
)  # fmt: skip
LOSSES = (
    "Losses are mean squared errors of the prediction; held-out and training losses at the end are taken at fixed noise levels."
)


def image_front_matter(record: RunRecord, dataset: DatasetRecord | None) -> str:
    """The YAML head that hubs read. The licence is that of the pictures, or of the base where it has one."""
    base, licences = record.base, licences_of(dataset)
    head: dict[str, Any] = {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["finetuning-studio", record.kind, *record.method.split("-")],
    }
    if base.get("source") == "hub":
        head |= {"base_model": base["name"], "base_model_relation": "finetune" if record.method == "full" else "adapter"}
    licence = base.get("licence") or (licences[0] if len(licences) == 1 else None)
    if licence:
        head["license"] = str(licence).lower()
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def image_summary(record: RunRecord) -> str:
    """What was done, in two sentences."""
    when = f" on {record.finished[:10]}" if record.finished else ""
    data = record.dataset.get("name")
    if record.base.get("source") in {"scratch", None}:
        made = f"A model of kind {record.kind}, trained from scratch"
        return f"{made} on the dataset `{data}`{when}. Run `{record.id}`, {record.status}."
    made = "every weight trained" if record.method == "full" else f"tuned with {record.method}"
    return f"`{record.base.get('name')}`, {made} on the dataset `{data}`{when}. Run `{record.id}`, {record.status}."


def image_usage(run_folder: Path, record: RunRecord, settings: dict[str, Any], dataset: DatasetRecord | None) -> str:
    """Code that works as pasted in the run's folder: diffusers alone where it knows the family, else the studio."""
    adapter = record.method not in {"full", "scratch"}
    word = (settings.get("inversion") or {}).get("word") if record.method == "inversion" else None
    prompts = (settings.get("sample") or {}).get("prompts") or [
        f"a picture of {word}" if word else _some_caption(run_folder, record, dataset)
    ]
    family = settings.get("family")
    load = f'load_textual_inversion("adapter", token="{word}")' if word else 'load_lora_weights("adapter")'
    if (
        record.kind == "diffusion"
        and adapter
        and (word is None or family == "sd15")  # with two text encoders a word is loaded onto each by hand
        and family not in {"pixel", "unconditional"}
        and record.base.get("source") != "scratch"
    ):
        place = record.base.get("name") if record.base.get("source") == "hub" else record.base.get("path")
        code = [
            "from diffusers import DiffusionPipeline",
            "",
            f'pipe = DiffusionPipeline.from_pretrained("{place}")',
            f"pipe.{load}",
            f'pipe("{prompts[0]}").images[0].save("picture.png")',
        ]
        note = (
            "\n\nThis needs a family that diffusers has a pipeline for; the code below works for all.\n"
            if family == "auto"
            else ""
        )
        return (
            "## Use\n\nIn this folder, with diffusers:\n\n```python\n"
            + "\n".join(code)
            + "\n```"
            + note
            + _with_the_studio(prompts)
        )
    return "## Use" + _with_the_studio(prompts)


def _some_caption(run_folder: Path, record: RunRecord, dataset: DatasetRecord | None) -> str:
    """The first caption it was trained on, while the Dataset can be found."""
    if dataset is None:
        return "a picture"
    try:
        rows = read_image_split(run_dataset(record, Workspace.around(run_folder)), "train")
    except StudioError:
        return "a picture"
    return next((row.caption.replace('"', "'") for row in rows if row.caption), "a picture")


def _with_the_studio(prompts: list[str]) -> str:
    """The studio's own way, for every family."""
    code = [
        "from pathlib import Path",
        "",
        "from studio.adapters.images import load_image_run",
        "",
        'run = load_image_run(Path("."))',
        f'run.sample(["{prompts[0]}"], seeds=[0])[0].save("picture.png")',
    ]
    return "\n\nIn this folder, with the studio:\n\n```python\n" + "\n".join(code) + "\n```"


def image_limits(record: RunRecord, measured: str) -> str:
    """What these records do not show, and what is known of memorising."""
    result = record.result
    known, unseen = result.get("training_loss_at_end"), result.get("validation_loss_at_end")
    heart = ""
    if known is not None and unseen is not None and known <= 0.5 * unseen:
        heart = (
            f"It knows its {result.get('pictures', 0):,} training pictures by heart: at the same noise its loss on them is "
            f"{known:.3g}, on pictures it was not shown {unseen:.3g}. What it paints is a training picture or close to one. "
        )
    heart += " ".join(f"Warning: {warning}" for warning in result.get("warnings") or []) + " " * bool(result.get("warnings"))
    base = record.base.get("name")
    of_base = "" if record.base.get("source") in {"scratch", None} else f" The limits of the base model `{base}` apply."
    return (
        f"## Limits\n\n{heart}{measured}; what is not in the tables above is not known: how it does on other captions, whose "
        f"likeness or work its pictures show.{of_base} This card was written from the records of the run; who the model is for, "
        "and who must not use it, are for its maker to add."
    )


def licences_of(dataset: DatasetRecord | None) -> list[str]:
    """Licences of the sources, each once."""
    return list(dict.fromkeys(source.licence for source in dataset.sources if source.licence)) if dataset else []


def attribution_of(dataset: DatasetRecord | None) -> str:
    """Who is to be named for the pictures, as the sources ask."""
    named = dict.fromkeys(getattr(source, "attribution", None) for source in dataset.sources) if dataset else {}
    lines = [f"- {text}" for text in named if text]
    return "Pictures made with it carry what its training pictures ask for:\n\n" + "\n".join(lines) if lines else ""
