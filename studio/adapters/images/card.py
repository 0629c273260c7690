"""The parts of a model card that differ for image models: how to use it, what it was made from, what it may owe to whom."""

from __future__ import annotations

from typing import Any

from studio.adapters.card import ModelCard
from studio.core.errors import StudioError
from studio.core.records import ReportRecord
from studio.core.workspace import Workspace, run_dataset
from studio.data.images.rows import read_image_split


class ImageCard(ModelCard):
    """The card of an image model: a diffusion model, a VAE or a GAN."""

    shown_settings = (
        "family", "resolution", "steps", "batch_size", "micro_batch_size", "learning_rate", "schedule", "warmup", "weight_decay",
        "beta2", "max_grad_norm", "optimizer", "caption_dropout", "flip", "shift", "quantization", "dtype", "keep", "seed",
    )  # fmt: skip
    loss_unit = (
        "Losses are mean squared errors of the prediction; held-out and training losses at the end are taken at fixed noise "
        "levels."
    )

    def head(self) -> dict[str, Any]:
        """Loaded by diffusers."""
        return {"library_name": "diffusers", "pipeline_tag": "text-to-image", **super().head()}

    def licence(self) -> str | None:
        """That of the base where it has one, or of the pictures where they have one only."""
        licences = dict.fromkeys(source.licence for source in self.dataset.sources if source.licence) if self.dataset else {}
        licence = super().licence() or (next(iter(licences)) if len(licences) == 1 else None)
        return str(licence).lower() if licence else None

    def usage(self) -> str:
        """Code that works as pasted in the run's folder: diffusers alone where it knows the family, else the studio."""
        word = (self.settings.get("inversion") or {}).get("word") if self.record.method == "inversion" else None
        prompts = (self.settings.get("sample") or {}).get("prompts") or [f"a picture of {word}" if word else self._some_caption()]
        plain = self._with_diffusers(word, prompts[0]) if self._opens_in_diffusers(word) else ""
        return "## Use" + plain + _with_the_studio(prompts[0])

    def _opens_in_diffusers(self, word: str | None) -> bool:
        """Whether diffusers has a pipeline that takes the adapter onto its base."""
        family = self.settings.get("family")
        return (
            self.record.kind == "diffusion"
            and self.record.method not in {"full", "scratch"}
            and (word is None or family == "sd15")  # with two text encoders a word is loaded onto each by hand
            and family not in {"pixel", "unconditional"}
            and self.record.base.get("source") != "scratch"
        )

    def _with_diffusers(self, word: str | None, prompt: str) -> str:
        """The way without the studio."""
        before, place = self.base_code()
        load = f'load_textual_inversion("adapter", token="{word}")' if word else 'load_lora_weights("adapter")'
        code = [
            "from diffusers import DiffusionPipeline",
            "",
            *before,
            f"pipe = DiffusionPipeline.from_pretrained({place})",
            f"pipe.{load}",
            f'pipe("{prompt}").images[0].save("picture.png")',
        ]
        note = "\n\nThis needs a family that diffusers has a pipeline for; the code below works for all.\n"
        told = "\n\nIn this folder, with diffusers:\n\n```python\n" + "\n".join(code) + "\n```"
        return told + (note if self.settings.get("family") == "auto" else "")

    def _some_caption(self) -> str:
        """The first caption it was trained on, while the Dataset can be found."""
        if self.dataset is None:
            return "a picture"
        try:
            rows = read_image_split(run_dataset(self.record, Workspace.around(self.run_folder)), "train")
        except StudioError:
            return "a picture"
        return next((row.caption.replace('"', "'") for row in rows if row.caption), "a picture")

    def data(self) -> str:
        """What it was trained on, and who is to be named for the pictures, as the sources ask."""
        sources = self.dataset.sources if self.dataset else []
        named = dict.fromkeys(getattr(source, "attribution", None) for source in sources)
        lines = [f"- {text}" for text in named if text]
        owed = "\n\nPictures made with it carry what its training pictures ask for:\n\n" + "\n".join(lines) if lines else ""
        return super().data() + owed

    def cautions(self) -> str:
        """What is known of memorising, and the warnings of the training."""
        result = self.record.result
        known, unseen = result.get("training_loss_at_end"), result.get("validation_loss_at_end")
        heart = ""
        if known is not None and unseen is not None and known <= 0.5 * unseen:
            heart = (
                f"It knows its {result.get('pictures', 0):,} training pictures by heart: at the same noise its loss on them is "
                f"{known:.3g}, on pictures it was not shown {unseen:.3g}. What it paints is a training picture or close to one. "
            )
        return heart + "".join(f"Warning: {warning} " for warning in result.get("warnings") or [])

    def unknown(self, reports: list[ReportRecord]) -> str:  # noqa: ARG002 - nothing that is measured takes them away
        """How it does beyond its training, and what it may owe."""
        return "how it does on other captions, whose likeness or work its pictures show"


def _with_the_studio(prompt: str) -> str:
    """The studio's own way, for every family."""
    code = [
        "from pathlib import Path",
        "",
        "from studio.adapters.images import load_image_run",
        "",
        'run = load_image_run(Path("."))',
        f'run.sample(["{prompt}"], seeds=[0])[0].save("picture.png")',
    ]
    return "\n\nIn this folder, with the studio:\n\n```python\n" + "\n".join(code) + "\n```"
