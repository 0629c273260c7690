"""Naming the base of an image model: a local folder in diffusers' layout, a run that trained one, or a Hub id."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import UserError
from studio.core.files import sha256_json
from studio.core.modelscope import on_modelscope
from studio.models.bases import ResolvedBase
from studio.models.hub import fetch_snapshot
from studio.models.modelscope import fetch_model
from studio.models.weights import PICKLES, cached_sha256, check_safetensors, verify_hashes

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve_image_base(reference: str, revision: str | None = None) -> ResolvedBase:
    """Find the base of an image model, fetching it when it is not here yet, and check that it is whole and safe to open.

    Args:
        reference: a local folder (a Run that trained a whole model stands for its ``model`` folder), a Hub id ``owner/name``, or
            ``ms:owner/name`` on ModelScope.
    Raises:
        UserError: no such model, or one that cannot be opened safely.
        StudioError: it cannot be fetched.
    """
    path = Path(reference).expanduser()
    if on_modelscope(reference):
        folder, commit = fetch_model(reference, revision, image_model=True)
        source = "modelscope"
    elif path.is_dir():
        if revision is not None:
            raise UserError(
                f"{reference} is a local folder and has no revisions, but revision {revision!r} was given. Remove it."
            )
        folder, commit, source = _model_of_run(path.resolve(), reference), "", "local"
    elif _HUB_ID.fullmatch(reference) and not reference.startswith("."):
        folder, commit = fetch_snapshot(reference, revision, image_model=True)
        source = "hub"
    else:
        raise UserError(
            f"there is no base model {reference!r}. Give a folder in diffusers' layout, a run that trained a whole model, "
            "a Hub id such as owner/name, or ms:owner/name for ModelScope."
        )
    files = image_weight_files(folder, reference)
    for file in files:
        check_safetensors(file)
    digest = sha256_json({file.relative_to(folder).as_posix(): cached_sha256(file) for file in files})
    return ResolvedBase(reference, folder, commit or None, digest, _licence(folder), source)


def image_weight_files(folder: Path, reference: str) -> list[Path]:
    """Every safetensors file of a model in diffusers' layout, in a fixed order.

    Raises:
        UserError: it is not in that layout, or has no weights but pickles.
    """
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"{reference} is no image model: model_index.json is missing. Give a folder in diffusers' layout (save_pretrained), "
            "or a run that trained a whole model."
        )
    files = sorted(path for path in folder.glob("*/*.safetensors") if not path.name.startswith("."))
    if files:
        return files
    pickled = sorted(path.name for path in folder.glob("*/*") if path.suffix in PICKLES)
    if pickled:
        raise UserError(
            f"{reference} has only pickled weights ({', '.join(pickled[:3])}), which can run code when opened and are never "
            "loaded. Use a safetensors version of the model."
        )
    raise UserError(f"{reference} has no weights: no .safetensors file is there. Fetch the model again.")


def _model_of_run(folder: Path, reference: str) -> Path:
    """The model's folder: itself, or ``model`` of a run, whose files must be those that the run wrote down."""
    record = folder / "run.json"
    if not record.is_file():
        return folder
    value: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    if not (folder / "model").is_dir():
        how = f"its status is {value.get('status')}" if value.get("method") in {"full", "scratch"} else "it holds an adapter"
        base = (value.get("base") or {}).get("path")
        raise UserError(
            f"{reference} is a run without a whole model ({how}). Give a run of method scratch or full"
            + (f", or its base: {base}" if base else "")
            + "."
        )
    files = value.get("files") or {}
    verify_hashes(folder, {name: digest for name, digest in files.items() if name.startswith("model/")})
    return folder / "model"


def _licence(folder: Path) -> str | None:
    """Licence from the YAML head of the model card, beside the model or in it."""
    for card in (folder / "README.md", folder.parent / "README.md"):
        if not card.is_file():
            continue
        head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        try:
            values = yaml.safe_load(head.group(1)) if head else None
        except yaml.YAMLError:
            continue
        licence = values.get("license_name") or values.get("license") if isinstance(values, dict) else None
        if licence:
            return str(licence)
    return None
