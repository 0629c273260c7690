"""The forms that a run can be written in besides its own, found through one table; the command line names none of them.

Nothing here, nor the modules that the table names, imports a heavy library before something is written: help texts are made of
what a form says of itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from studio.core.environments import OwnEnvironment
from studio.core.errors import UserError, nearest
from studio.core.registry import Registry
from studio.core.telling import Told
from studio.core.workspace import read_run

NumberType = Literal["float32", "bfloat16"]
NUMBER_TYPES: tuple[NumberType, ...] = ("float32", "bfloat16")

EXPORTS = Registry(
    "export",
    {
        "merged": "studio.exports.chat.plain:Merged",
        "lora": "studio.exports.chat.plain:PlainLora",
        "gguf": "studio.exports.chat.gguf.form:Gguf",
        "gguf-lora": "studio.exports.chat.gguf.form:GgufLora",
        "onnx": "studio.exports.chat.onnx.form:Onnx",
        "openvino": "studio.exports.chat.openvino.form:OpenVino",
        "vllm": "studio.exports.chat.vllm.form:Vllm",
        "kohya": "studio.exports.images.plain:Kohya",
        "single-file": "studio.exports.images.plain:SingleFile",
        "diffusers": "studio.exports.images.plain:Diffusers",
        "onnx@images": "studio.exports.images.plain:OnnxDenoiser",
        "onnx@clusters": "studio.exports.clusters.form:Onnx",
        "onnx@decoders": "studio.exports.images.plain:OnnxDecoder",
        "openvino@decoders": "studio.exports.images.plain:OpenVinoDecoder",
        "pt2@decoders": "studio.exports.images.plain:Pt2Decoder",
        "onnx@embed": "studio.exports.embed.form:Onnx",
        "openvino@embed": "studio.exports.embed.form:OpenVino",
        "pt2@embed": "studio.exports.embed.form:Pt2",
        "onnx@forecast": "studio.exports.forecast.forms:Onnx",
        "torchscript@forecast": "studio.exports.forecast.forms:TorchScript",
        "pt2@forecast": "studio.exports.forecast.forms:Pt2",
        "onnx@predictors": "studio.exports.predictors.forms:Onnx",
        "torchscript@predictors": "studio.exports.predictors.forms:TorchScript",
        "pt2@predictors": "studio.exports.predictors.forms:Pt2",
        "tflite@forecast": "studio.exports.forecast.forms:TfLite",
        "savedmodel@forecast": "studio.exports.forecast.forms:SavedModel",
        "openvino@forecast": "studio.exports.forecast.forms:OpenVino",
        "executorch@forecast": "studio.exports.forecast.forms:ExecuTorch",
        "tflite@predictors": "studio.exports.predictors.forms:TfLite",
        "savedmodel@predictors": "studio.exports.predictors.forms:SavedModel",
        "openvino@predictors": "studio.exports.predictors.forms:OpenVino",
        "executorch@predictors": "studio.exports.predictors.forms:ExecuTorch",
    },
)
"""Name of a form to the class that writes it. Where several kinds of Runs have a form of one name, each has a line of its own:
``onnx`` for one kind, ``onnx@predictors`` and so on for the others; a person writes the name alone."""
DEFAULT = "merged"
_CORE_ML = (
    "Core ML runs on macOS only, so nothing that is written elsewhere could be proven, and the studio writes nothing unproven. "
    "Take --to onnx or --to executorch, which run on Apple's devices too."
)
_LITERT_LM = (
    "LiteRT-LM cannot write the turns of common chat templates, SmolLM2's among them (LiteRT-LM #2078, #3021), so a model would "
    "be asked otherwise than it was trained. For chats on phones take --to gguf, for classifiers --to tflite."
)
NOT_OFFERED = {
    "coreml": _CORE_ML,
    "mlpackage": _CORE_ML,
    "litert-lm": _LITERT_LM,
    "litertlm": _LITERT_LM,
    "awq": "It is a kind of numbers and no form of its own: --to vllm --quant awq.",
    "gptq": "It is a kind of numbers and no form of its own: --to vllm --quant gptq.",
    "safetensors": "Which one? --to merged is a chat as a folder of safetensors, --to kohya an image LoRA, --to single-file a "
    "whole Stable Diffusion 1.x.",
}
"""Forms that people ask for by name and that are not written, each with the reason and what to take."""


@dataclass(frozen=True)
class Wishes:
    """What a person asked of a form besides its name; each is None where nothing was said.

    dtype: number type of the weights. rank: of a LoRA. quant: kind of quantisation, one of the form's ``quants``.
    """

    dtype: NumberType | None = None
    rank: int | None = None
    quant: str | None = None


class Export(ABC):
    """One form: what the help says of it, where it goes, and writing it."""

    models: ClassVar[str]
    """Which models it is for, in a word or two."""
    kinds: ClassVar[tuple[str, ...]]
    """Kinds of Runs that it can be written of; a run of another kind is refused before any work."""
    what: ClassVar[str]
    """What is written, with its article, as the help of ``studio export`` goes on."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Names of the wishes that have a meaning; the others are refused."""
    quants: ClassVar[tuple[str, ...]] = ()
    """Kinds of quantisation that may be asked for, the usual one first; those of a form without any are empty."""
    environment: ClassVar[OwnEnvironment | None] = None
    """The environment of its own that it needs, if any; ``studio export --install NAME`` makes it."""
    place: ClassVar[str]
    """Where it goes unless told otherwise, inside the run: a folder with a slash behind it, or a file; NAME is the run's, QUANT
    the kind of quantisation."""

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: B027 - most forms hold every run of their kinds
        """Look at the run before any work is done.

        Raises:
            UserError: this form cannot hold this run, or what writes it is not installed; one sentence with the remedy.
        """

    @abstractmethod
    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        """Write the run as ``target`` and prove it before it appears there.

        Raises:
            UserError: the run has nothing to write.
            StudioError: what was written is not the same model; nothing is left behind.
        """

    def target(self, run_folder: Path, out: Path | None, quant: str | None = None) -> Path:
        """Where it goes: ``out``, or the usual place. A file may be given by the folder it goes into.

        Raises:
            UserError: something is there already.
        """
        quant = quant or (self.quants[0] if self.quants else "")
        usual = run_folder / self.place.replace("NAME", run_folder.parent.name).replace("QUANT", quant)
        target, thing = out or usual, "folder"
        if not self.place.endswith("/"):
            thing = "file"
            target = out if out is not None and out.suffix == usual.suffix else (out or usual.parent) / usual.name
        if target.exists():
            raise UserError(f"{target} exists already and is not overwritten. Move it away or give another {thing} with --out.")
        return target


def forms() -> dict[str, list[Export]]:
    """Every form by the name that people write, the default first, with its class for each group of kinds."""
    found: dict[str, list[Export]] = {}
    for name in sorted(EXPORTS, key=lambda name: (name.partition("@")[0] != DEFAULT, name)):
        found.setdefault(name.partition("@")[0], []).append(EXPORTS.get(name)())
    return found


def environments() -> dict[str, OwnEnvironment]:
    """The environments that forms need, by name."""
    wanted = [form.environment for each in forms().values() for form in each]
    return {each.name: each for each in wanted if each is not None}


def form_for(name: str, run_folder: Path) -> Export:
    """The form of a name for a run.

    Raises:
        UserError: there is no such form, or none of this name for runs of this kind; those that there are are named.
    """
    known = forms()
    if name.lower() in NOT_OFFERED:
        raise UserError(f"cannot export to {name}. {NOT_OFFERED[name.lower()]}")
    if name not in known:
        raise UserError(f"cannot export to {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}.")
    kind = read_run(run_folder).kind
    for form in known[name]:
        if kind in form.kinds:
            return form
    ours = [other for other, each in known.items() if any(kind in form.kinds for form in each)]
    instead = f"Allowed for it: {', '.join(ours)}." if ours else "There is no other form for runs of this kind yet."
    models = " and ".join(form.models for form in known[name])
    raise UserError(f"--to {name} is for {models}, and {run_folder.parent.name} is a run of kind {kind!r}. {instead}")


def checked(form: Export, name: str, wishes: Wishes) -> Wishes:
    """What was asked for, refused where it has no meaning.

    Raises:
        UserError: the form knows no such setting, or no such value of it.
    """
    for wish in ("dtype", "rank", "quant"):
        if getattr(wishes, wish) is not None and wish not in form.takes:
            raise UserError(f"--{wish} has no meaning with --to {name} for {form.models}. Leave it out.")
    if wishes.dtype is not None and wishes.dtype not in NUMBER_TYPES:
        raise UserError(f"--dtype is {wishes.dtype!r}.{nearest(wishes.dtype, NUMBER_TYPES)} Allowed: {', '.join(NUMBER_TYPES)}.")
    if wishes.quant is not None and wishes.quant not in form.quants:
        raise UserError(f"--quant is {wishes.quant!r}.{nearest(wishes.quant, form.quants)} Allowed: {', '.join(form.quants)}.")
    return wishes
