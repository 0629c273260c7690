"""Opening the language models to be measured: a run with its adapter on, its own base with the adapter off, another run, a base
or merged folder, an export, or an endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.loading import ADAPTER_WEIGHTS, LoadedRun, load_run
from studio.adapters.saved import saved_settings
from studio.core.errors import UserError
from studio.core.evidence import EvidenceCache
from studio.core.files import sha256_file
from studio.core.workspace import Workspace
from studio.evals.chat.cache import FILE, CachedSubject
from studio.evals.chat.endpoint import EndpointSubject
from studio.evals.chat.exported import ExportSubject
from studio.evals.chat.subjects import LocalSubject
from studio.evals.subjects import Subject
from studio.evals.targets import Target
from studio.evals.task import NotComputedError
from studio.models.bases import ResolvedBase
from studio.models.chat.arguments import known_arguments
from studio.models.chat.encoding import TrainOn
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.models.chat.templates import PLAIN, ChatTemplate, choose_template
from studio.models.device import number_name, pick_device, pick_dtype
from studio.models.weights import cached_sha256


@dataclass
class Bench:
    """The models under measurement, opened when first asked for and kept until the end.

    targets: label (``tuned``, ``base``) to what was found. cache: None asks everything anew. dtype: number type
    that models in this process compute in; ``auto`` takes that of the training, or what is fast.
    """

    targets: dict[str, Target]
    workspace: Workspace
    cache: EvidenceCache | None = None
    dtype: str = "auto"
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    _beside: dict[str, Target] = field(default_factory=dict)
    _opened: dict[str, Subject] = field(default_factory=dict)
    _identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    _runs: dict[str, LoadedRun] = field(default_factory=dict)

    @property
    def _dtype(self) -> torch.dtype | None:
        """The number type that was asked for, None for ``auto``."""
        return None if self.dtype == "auto" else getattr(torch, self.dtype)

    @contextmanager
    def subject(self, label: str) -> Iterator[Subject]:
        """The model of a label, ready to be asked inside the block."""
        if self._target(label).own_base:
            tuned = self._open("tuned")
            loaded = self._runs["tuned"]
            with loaded.base() as model:
                train_on = tuned.train_on if isinstance(tuned, LocalSubject) else "assistant"
                yield self._kept(label, base_of(loaded, model, train_on), self._own_base_identity(loaded))
        else:
            subject = self._open(label)
            yield self._kept(label, subject, self._identities[label])

    def beside(self, name: str, target: Target) -> AbstractContextManager[Subject]:
        """See :meth:`studio.evals.benches.Bench.beside`."""
        self._beside[name] = target
        return self.subject(name)

    def _target(self, label: str) -> Target:
        """What a label stands for."""
        return self._beside[label] if label in self._beside else self.targets[label]

    def identity(self, label: str) -> dict[str, Any]:
        """What the cache knows the model of a label by; opens the model."""
        with self.subject(label):
            return self._identities[label]

    def close(self) -> None:
        """Forget what an endpoint said: nobody can see whether its weights change before the next evaluation."""
        if self.cache is None:
            return
        for label, subject in self._opened.items():
            if isinstance(subject, EndpointSubject):
                self.cache.forget(CachedSubject(subject, self.cache, self._identities[label]).key)

    def leave(self) -> None:
        """Close the connections to servers and the programs that exports run in."""
        for subject in self._opened.values():
            if isinstance(subject, EndpointSubject | ExportSubject):
                subject.close()

    def _kept(self, label: str, subject: Subject, identity: dict[str, Any]) -> Subject:
        """The subject with its memory, and its description written down."""
        self._identities[label] = identity
        if isinstance(subject, LocalSubject | EndpointSubject | ExportSubject):
            # One description per model, however often its base is switched on and off.
            subject.about = self.about.setdefault(label, dict(subject.about))
        return CachedSubject(subject, self.cache, identity) if self.cache is not None else subject

    def _open(self, label: str) -> Subject:
        """Load the model of a label once."""
        if label in self._opened:
            return self._opened[label]
        target = self._target(label)
        subject: Subject
        if target.run is not None:
            self._runs[label], subject = open_tuned(target.run, label, self._dtype)
            self._identities[label] = run_identity(self._runs[label])
        elif target.base is not None:
            other = self._opened.get("tuned")
            like = other if isinstance(other, LocalSubject) else None
            subject = _open_base(target.base, label, like, self._dtype)
            self._identities[label] = {
                "base": target.base.sha256,
                "tokenizer": _tokenizer_hash(target.base.folder),
                **_asked_with(subject),
            }
        elif target.export is not None:
            subject = ExportSubject.open(label, target.export)
            self._identities[label] = subject.identity
        elif target.endpoint is None:
            raise NotComputedError("no model was named, and this task asks one. Name it with --model.")
        else:
            subject = EndpointSubject.open(label, target.endpoint, self.workspace)
            self._identities[label] = subject.identity
        self._opened[label] = subject
        return subject

    def _own_base_identity(self, loaded: LoadedRun) -> dict[str, Any]:
        """The base's weights under the run's tokenizer and template."""
        whole = run_identity(loaded)
        return {name: value for name, value in whole.items() if name not in {"adapter", "model"}}


@contextmanager
def open_bench(
    targets: dict[str, Target], workspace: Workspace, *, cached: bool, about: dict[str, dict[str, Any]], dtype: str = "auto"
) -> Iterator[Bench]:
    """The models, and the cache where one is wanted; what an endpoint said is forgotten once all tasks are done.

    Args:
        about: gets the description of each model that is opened, by label.
        dtype: number type that models in this process compute in.
    """
    cache = EvidenceCache(workspace.root / "cache" / FILE) if cached else None
    bench = Bench(targets, workspace, cache, dtype, about)
    try:
        yield bench
        bench.close()
    finally:
        bench.leave()
        if cache is not None:
            cache.close()


def run_identity(loaded: LoadedRun) -> dict[str, Any]:
    """What decides the answers of a run: bytes of base and adapter, tokenizer, template, number type, quantisation, device."""
    full = loaded.record.method == "full"
    weights = loaded.folder / ("model" if full else "adapter")
    files = sorted(weights.glob("*.safetensors")) if full else [weights / ADAPTER_WEIGHTS, weights / "adapter_config.json"]
    return {
        "base": loaded.base_source.sha256,
        "model" if full else "adapter": {file.name: cached_sha256(file) for file in files},
        "tokenizer": _tokenizer_hash(weights) or _tokenizer_hash(loaded.base_source.folder),
        "template": loaded.template.sha256,
        "thinking": loaded.template.thinking,
        "settings": {name: str(value) for name, value in loaded._settings.items()},
        "train_on": _train_on(loaded.folder),
    }


def open_tuned(run_folder: Path, label: str = "tuned", dtype: torch.dtype | None = None) -> tuple[LoadedRun, LocalSubject]:
    """Load a run, ready to be asked; without a number type in that of its training."""
    loaded = load_run(run_folder, dtype=dtype)
    record = loaded.record
    about: dict[str, Any] = {
        "kind": "run",
        "name": record.name,
        "id": record.id,
        "path": str(run_folder),
        "method": record.method,
        "base": record.base.get("name"),
        "base_sha256": record.base.get("sha256"),
        "template_sha256": loaded.template.sha256,
        "dtype": _computes_in(loaded),
    }
    return loaded, LocalSubject(label, loaded.model, loaded.tokenizer, loaded.template, _train_on(run_folder), about)


def base_of(loaded: LoadedRun, model: Any, train_on: TrainOn) -> LocalSubject:
    """The run's own base, asked with the run's tokenizer and template, so that both read the very same tokens."""
    record = loaded.record
    about = {
        "kind": "base",
        "name": record.base.get("name"),
        "path": record.base.get("path"),
        "base_sha256": record.base.get("sha256"),
        "template_sha256": loaded.template.sha256,
        "dtype": _computes_in(loaded),
    }
    return LocalSubject("base", model, loaded.tokenizer, loaded.template, train_on, about)


def _open_base(base: ResolvedBase, label: str, tuned: LocalSubject | None, wanted: torch.dtype | None = None) -> LocalSubject:
    """Base weights or a merged folder with their own tokenizer, and their own template where they have one."""
    tokenizer = load_tokenizer(base)
    try:
        template = _own_template(tokenizer, base, tuned)
    except UserError:
        same = tuned is not None and tokenizer.get_vocab() == tuned.tokenizer.get_vocab()
        template = tuned.template if tuned is not None and same else ChatTemplate("plain", PLAIN)
    device = pick_device()
    # Beside another model in its number type, so that a difference of rounding is not taken for one of the weights.
    dtype = getattr(tuned.model, "dtype", None) if tuned is not None else None
    like = dtype if dtype in {torch.float32, torch.bfloat16, torch.float16} else pick_dtype("auto", device)
    model = load_causal_lm(base, dtype=wanted or like, device=device)
    about = {
        "kind": "base",
        "name": base.name,
        "path": str(base.folder),
        "base_sha256": base.sha256,
        "template_sha256": template.sha256,
        "dtype": number_name(model.dtype),
    }
    return LocalSubject(label, model, tokenizer, template, tuned.train_on if tuned else "assistant", about)


def _own_template(tokenizer: PreTrainedTokenizerBase, base: ResolvedBase, tuned: LocalSubject | None) -> ChatTemplate:
    """A base's own template, with the arguments of the tuned model's that it knows, so that both are asked alike.

    Raises:
        UserError: it has none.
    """
    template = choose_template(tokenizer, None, base.name)
    if tuned is None:
        return template
    known = known_arguments(template.text)
    shared = {name: value for name, value in tuned.template.arguments.items() if name in known}
    return choose_template(tokenizer, None, base.name, arguments=shared, thinking=tuned.template.thinking)


def _computes_in(loaded: LoadedRun) -> str:
    """The number type of a run's arithmetic, and how its weights are kept where that is another."""
    name, kept = number_name(loaded._settings["dtype"]), loaded._settings["quantization"]
    return name if kept == "none" else f"{name}, weights in {kept}"


def _asked_with(subject: LocalSubject) -> dict[str, Any]:
    """How a model in this process is asked."""
    return {
        "template": subject.template.sha256,
        "thinking": subject.template.thinking,
        "settings": {"dtype": str(subject.model.dtype), "quantization": "none", "device": str(subject.model.device)},
        "train_on": subject.train_on,
    }


def _tokenizer_hash(folder: Path) -> str | None:
    """Hash of a folder's tokenizer."""
    path = folder / "tokenizer.json"
    return sha256_file(path) if path.is_file() else None


def _train_on(run_folder: Path) -> TrainOn:
    """Which assistant turns are scored: those the run trained. Prompts are never scored, even where they were trained."""
    return "last_assistant" if saved_settings(run_folder).get("train_on") == "last_assistant" else "assistant"
