"""Fetching a model from the Hugging Face Hub: safetensors and tokenizer files only, at a recorded commit, failing fast."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline

logger = logging.getLogger("studio")

ALLOW = ["*.safetensors", "*.json", "*.jinja", "*.model", "vocab.*", "merges.txt", "README.md", "LICENSE*"]
# Sub-folders hold other formats (onnx, original), ``consolidated`` a second copy of the same weights.
IGNORE = ["*/*", "consolidated*"]
# An image model is a folder of folders; its other forms (onnx, half precision under another name, masked weights) are not taken.
IGNORE_IN_IMAGE_MODELS = ["*.fp16.*", "*.non_ema.*", "*onnx*", "*openvino*", "*flax*", "safety_checker/*"]
# The first answer of the Hub takes well under a second; a name server that never answers can hold a socket for a minute.
ANSWER_SECONDS = 8.0


def fetch_snapshot(
    hub_id: str, revision: str | None = None, target: Path | None = None, *, image_model: bool = False
) -> tuple[Path, str]:
    """Fetch a model, or find it in the Hub's cache, and return its folder and commit hash.

    Args:
        hub_id: ``owner/name``.
        revision: branch, tag or commit; None is the main branch.
        target: folder to fill instead of the Hub's cache.
        image_model: take the folders of a diffusers pipeline too.
    Raises:
        UserError: no such model or revision, a gated or private one, or not a model of safetensors.
        StudioError: no network and nothing cached.
    """
    from huggingface_hub import snapshot_download

    patterns: dict[str, Any] = {"allow_patterns": ALLOW, "ignore_patterns": IGNORE_IN_IMAGE_MODELS if image_model else IGNORE}
    arguments: dict[str, Any] = {**patterns, "local_dir": target}
    if offline():
        return _from_cache(
            hub_id,
            revision,
            patterns,
            "the network is switched off (HF_HUB_OFFLINE or STUDIO_OFFLINE). Fetch it once with the network on: "
            f"studio models pull {hub_id}",
        )
    try:
        commit = _commit_of(hub_id, revision)
    except _UnreachableError as error:
        folder, commit = _from_cache(
            hub_id, revision, patterns, f"the Hub does not answer ({error}). Check the network, or give a local folder."
        )
        logger.warning("The Hub does not answer; using %s at %s from its cache.", hub_id, commit[:12])
        return folder, commit
    try:
        return Path(snapshot_download(hub_id, revision=commit, **arguments)), commit
    except OSError as error:
        raise StudioError(
            f"fetching {hub_id} broke off: {_reason(error)}. Run the command again; whole files are kept."
        ) from error


class _UnreachableError(Exception):
    """The Hub gave no answer."""


def _commit_of(hub_id: str, revision: str | None) -> str:
    """Ask the Hub, with a short time limit, which commit a revision is.

    Raises:
        UserError: the Hub answers that there is none, or that a licence must be accepted first.
        _UnreachableError: it gives no answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(HfApi().model_info(hub_id, revision=revision, timeout=ANSWER_SECONDS))
        except Exception as error:  # handed to the waiting thread; which HTTP library raises it changes between versions
            answer.append(error)

    # Looking up a host name has no time limit of its own, hence a thread that may be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS + 2)
    match answer[0] if answer else TimeoutError(f"no answer in {ANSWER_SECONDS:.0f} s"):
        case GatedRepoError():
            raise UserError(
                f"{hub_id} is gated: accept its terms on its page on the Hub and log in with 'hf auth login', or give a local "
                "folder."
            )
        case RevisionNotFoundError():
            raise UserError(
                f"{hub_id} has no revision {revision!r} on the Hub. Remove it for the main branch, or give a commit hash."
            )
        case RepositoryNotFoundError():
            raise UserError(
                f"there is no model {hub_id!r} on the Hub, or it is private: check the spelling, or log in with 'hf auth login'."
            )
        case Exception() as error:
            raise _UnreachableError(_reason(error)) from error
        case info:
            return str(info.sha)


def _from_cache(hub_id: str, revision: str | None, patterns: dict[str, Any], why: str) -> tuple[Path, str]:
    """Find a whole snapshot in the Hub's cache.

    Raises:
        StudioError: it is not there; ``why`` ends the sentence.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(hub_id, revision=revision, **patterns, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError) as error:
        at = f" at revision {revision}" if revision else ""
        raise StudioError(f"{hub_id}{at} is not in the Hub's cache and {why}") from error
    return Path(found), Path(found).name


def _reason(error: BaseException) -> str:
    """First line of an error, short enough to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160]
