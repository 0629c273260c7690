"""The teacher of a distillation: found by name, compared with the student, loaded, and asked what it says at the targets.

Legend: b rows of a micro batch, s padded length, n targets in it, v vocabulary, k tokens kept of each target.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.loading import load_run, refuse_scorer, resolve_recorded_base
from studio.adapters.saved import saved_settings
from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.chat.architecture import decoder_of
from studio.models.chat.encoding import IGNORE
from studio.models.chat.loading import Quantization, load_causal_lm, load_tokenizer
from studio.train.chat.objectives.divergence import Taught, taught


@dataclass(frozen=True)
class TeacherSource:
    """Where a teacher lies: a run, or a base.

    reference: by which it is found again from any folder. base: its own weights, or those that its adapter is on.
    run: folder of the run, None for a base.
    """

    reference: str
    base: ResolvedBase
    run: Path | None

    @property
    def whole(self) -> bool:
        """True when ``base`` is all of it; of a fully tuned run it is only where that began."""
        return self.run is None

    def record(self) -> dict[str, Any]:
        """What identifies it: name, hash of its base, and of a run its id and the hashes of its files."""
        found: dict[str, Any] = {"name": self.reference, "base": self.base.name, "sha256": self.base.sha256}
        if self.run is not None:
            record = read_run(self.run)
            weights = {name: value for name, value in record.files.items() if name.endswith(".safetensors")}
            found |= {"name": f"{self.run.parent.name}/{self.run.name}", "run": record.id, "weights": weights}
        return found

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """That of its base, or the one that was saved with the run."""
        if self.run is None:
            return load_tokenizer(self.base)
        saved = self.run / ("model" if read_run(self.run).method == "full" else "adapter")
        if not (saved / "tokenizer.json").is_file():
            return load_tokenizer(self.base)
        return load_tokenizer(ResolvedBase(self.reference, saved, None, self.base.sha256, None, "local"))

    def load(self, dtype: torch.dtype, device: torch.device, quantization: Quantization) -> Any:
        """The model in evaluation mode, frozen."""
        if self.run is None:
            model: Any = load_causal_lm(self.base, dtype=dtype, quantization=quantization, device=device)
        else:
            model = load_run(self.run, dtype=dtype, quantization=quantization, device=device).model
        return model.requires_grad_(False).eval()


def find_teacher(reference: str | None, workspace: Workspace) -> TeacherSource:
    """The teacher behind a name: a run (name, id, path, ``last``), else a base.

    Raises:
        UserError: none is named, or there is neither; or a run of another kind or without weights.
    """
    if reference is None:
        raise UserError("which teacher? Name a run, a starter, a Hub id or a folder: --set distill.teacher=NAME")
    try:
        folder = workspace.find_run(reference)
    except UserError:
        try:
            base = resolve_base(reference)
        except UserError as error:
            raise UserError(f"distill.teacher {reference} is no run in {workspace.runs}, and {error}") from error
        return TeacherSource(str(base.folder) if base.source == "local" else reference, base, None)
    record = read_run(folder)
    if record.kind != "chat":
        raise UserError(f"distill.teacher: {reference} is a run of kind {record.kind!r}. A teacher is a run of kind 'chat'.")
    refuse_scorer(folder, saved_settings(folder))
    weights = folder / ("model" if record.method == "full" else "adapter")
    if not weights.is_dir():
        raise UserError(
            f"distill.teacher: the run {reference} has no {weights.name}/ yet (status: {record.status}). Let it finish: "
            f"studio train --resume {folder.parent.name}/{folder.name}"
        )
    return TeacherSource(str(folder), resolve_recorded_base(record), folder)


def refuse_other_words(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, names: tuple[str, str]) -> None:
    """Go on only when both number the same tokens alike; padding rows of a head stand in no vocabulary.

    Raises:
        UserError: says how many differ and names the first.
    """
    theirs, own = teacher.get_vocab(), student.get_vocab()
    other = sorted(
        (word for word in theirs.keys() | own.keys() if theirs.get(word) != own.get(word)),
        key=lambda word: (own.get(word, len(own)), word),
    )
    if other:
        first = other[0]
        places = ", ".join(
            f"{name} {'has none' if place is None else f'numbers it {place}'}"
            for name, place in zip(names, (theirs.get(first), own.get(first)), strict=True)
        )
        raise UserError(
            f"the teacher {names[0]} and the student {names[1]} have other vocabularies: {len(other):,} tokens differ, the first "
            f"{first!r} ({places}), so their probabilities cannot be compared. Take a teacher of the student's family, or train "
            "on its written answers (a recipe with the step 'taught' and chat/lora)."
        )


class LiveTeacher:
    """A teacher in memory, asked in every pass."""

    def __init__(self, model: Any, *, temperature: float, top_k: int | None, words: int) -> None:
        """``words``: rows of the student's head."""
        self.model, self._temperature, self._top_k, self._words = model, temperature, top_k, words
        causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model

        def flatten(_module: Any, _inputs: Any, output: Any) -> Any:
            # [b, s, d] -> [1, b*s, d], so that the model's own ``logits_to_keep`` picks the targets.
            hidden = output.last_hidden_state
            output.last_hidden_state = hidden.reshape(1, -1, hidden.shape[-1])
            return output

        decoder_of(causal_lm).register_forward_hook(flatten)

    @torch.no_grad()
    def __call__(self, inputs: dict[str, Tensor]) -> Taught:
        """What it says at the targets of a micro batch, in their order."""
        positions = (inputs["targets"].reshape(-1) != IGNORE).nonzero().squeeze(-1)  # [n]
        logits = self.model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs.get("attention_mask"),
            position_ids=inputs.get("position_ids"),
            use_cache=False,
            logits_to_keep=positions,
        ).logits[0]  # [n, v]
        return taught(logits, temperature=self._temperature, top_k=self._top_k, words=self._words)


Asking = Callable[[dict[str, Tensor]], Taught]
"""From a micro batch on the device to what the teacher says at its targets."""


def forget(device: torch.device) -> None:
    """Give the memory of a model that is no longer held back to the system, or to the GPU."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
