"""A model on ModelScope, as a checked folder: the same files are taken as from the Hub, and no others."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from studio.core.files import write_json
from studio.core.modelscope import fetch_repository, named_repository
from studio.models.hub import ALLOW, IGNORE, IGNORE_IN_IMAGE_MODELS
from studio.models.weights import MANIFEST


def fetch_model(
    reference: str, revision: str | None = None, *, image_model: bool = False, only: tuple[str, ...] = ()
) -> tuple[Path, str]:
    """Fetch a model, or find it in the cache, and return its folder and the digest of its state.

    Args:
        reference: ``ms:owner/name`` or ``ms:owner/name@revision``.
        revision: branch, tag, or a digest that was returned before.
        image_model: take the folders of a diffusers pipeline too.
        only: fetch these files alone, for a look at the configuration.
    Raises:
        UserError, StudioError: as :func:`studio.core.modelscope.fetch_repository`.
    """
    ignored = IGNORE_IN_IMAGE_MODELS if image_model else IGNORE

    def wanted(path: str) -> bool:
        if path == MANIFEST or not any(fnmatch(path, pattern) for pattern in ALLOW):
            return False
        return path in only if only else not any(fnmatch(path, pattern) for pattern in ignored)

    snapshot = fetch_repository(named_repository("models", reference, revision), wanted)
    if not only:
        # Weights are compared with these at every use, as those of the Hub are with the names in its cache.
        hashes = {file.path: file.sha256 for file in snapshot.files if file.sha256 and file.path.endswith(".safetensors")}
        manifest = {"format": 1, "name": reference, "source": "ModelScope", "revision": snapshot.digest, "files": hashes}
        write_json(snapshot.folder / MANIFEST, manifest)
    return snapshot.folder, snapshot.digest
