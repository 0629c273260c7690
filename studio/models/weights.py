"""What may be opened as weights, and proof that it is whole: safetensors only, no code, hashes where they are known."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.files import sha256_file, sha256_json, write_json
from studio.core.workspace import cache_folder

logger = logging.getLogger("studio")

MANIFEST = "studio-manifest.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tokenizer_config.json")
_CONFIGS = ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json")
# Files below this are hashed faster than a note about them is read.
_MEMO_BYTES = 32 << 20


def check_model_folder(folder: Path, reference: str, *, tokenizer: bool = True) -> None:
    """Refuse a folder that cannot be loaded safely, before any library touches it.

    Args:
        tokenizer: False for models that read no text.
    Raises:
        UserError: no configuration, pickled weights only, code asked for, no tokenizer, or weights cut off.
        StudioError: a file differs from the hash that is known for it.
    """
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise UserError(
                f"{reference} is an adapter, not a base model: it has adapter_config.json and no config.json. Give the base it "
                "was trained on, or merge it first: studio export RUN --to merged"
            )
        raise UserError(f"{reference} is no model folder: config.json is missing. Give a folder saved with save_pretrained.")
    refuse_remote_code(folder, reference)
    files = weight_files(folder, reference)
    if tokenizer and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise UserError(
            f"{reference} has no tokenizer (looked for {', '.join(_TOKENIZER_FILES)}). Copy the model's tokenizer files into it."
        )
    for file in files:
        check_safetensors(file)
    verify_hashes(folder, known_hashes(folder))


def refuse_remote_code(folder: Path, reference: str) -> None:
    """Refuse configurations that name Python code to run; it is never imported, whatever any setting says.

    Raises:
        UserError: ``auto_map`` stands in a configuration.
    """
    for name in _CONFIGS:
        path = folder / name
        if path.is_file() and read_object(path).get("auto_map"):
            raise UserError(
                f"{reference} asks to run its own Python code ('auto_map' in {name}), which the studio never does. "
                "Use a model whose architecture transformers carries itself."
            )


def weight_files(folder: Path, reference: str) -> list[Path]:
    """Weight files of a model folder in a fixed order: the shards of the index, else every safetensors file.

    Raises:
        UserError: none are there (pickles are named), or the index names a shard that is missing.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_object(index).get("weight_map", {}).values()))
        if any(Path(shard).name != shard for shard in shards):
            raise UserError(f"{reference}: model.safetensors.index.json names a file outside the folder. Fetch the model again.")
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing or not shards:
            raise UserError(
                f"{reference} lacks {len(missing)} of {len(shards)} weight files "
                f"({', '.join(missing[:3]) or 'the index is empty'}). Fetch the model again."
            )
        return [folder / shard for shard in shards]
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise UserError(
            f"{reference} has only pickled weights ({', '.join(pickled[:3])}), which can run code when opened and are never "
            "loaded. Use a safetensors version of the model, or convert it where you trust it (save_pretrained)."
        )
    raise UserError(f"{reference} has no weights: no .safetensors file is there. Fetch the model again.")


def check_safetensors(path: Path) -> None:
    """Check a safetensors file's header against its length, without reading the tensors.

    Source: the format's description, https://github.com/huggingface/safetensors (8 bytes of header length, JSON, data).

    Raises:
        UserError: cut off, too long, or not a safetensors file.
    """
    size = path.stat().st_size
    remedy = "Fetch or copy it again."
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{path} is cut off or no safetensors file: {size} bytes cannot hold its header. {remedy}")
        try:
            header = json.loads(stream.read(length))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(f"{path} is no safetensors file: its header cannot be read. {remedy}") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        state = "cut off" if size < expected else "damaged"
        raise UserError(f"{path} is {state}: it has {size} bytes and its header promises {expected}. {remedy}")


def weights_hash(folder: Path, reference: str) -> str:
    """One sha256 for the weights: the file's own, or that of the table of shard names and hashes."""
    hashes = {path.name: cached_sha256(path) for path in weight_files(folder, reference)}
    return next(iter(hashes.values())) if len(hashes) == 1 else sha256_json(hashes)


def known_hashes(folder: Path) -> dict[str, str]:
    """Hashes that somebody wrote down for files of this folder: a manifest, the run it belongs to, or the Hub's own cache."""
    known: dict[str, str] = {}
    for path in folder.glob("*.safetensors"):
        target = path.readlink().name if path.is_symlink() else ""
        # The Hub's cache stores a large file under its sha256 and links to it.
        if len(target) == 64 and all(character in "0123456789abcdef" for character in target):
            known[path.name] = target
    record = folder.parent / "run.json"
    if record.is_file():
        prefix = f"{folder.name}/"
        files = read_object(record).get("files") or {}
        known |= {name.removeprefix(prefix): value for name, value in files.items() if name.startswith(prefix)}
    known |= manifest_of(folder).get("files") or {}
    return known


def manifest_of(folder: Path) -> dict[str, Any]:
    """What the studio wrote down about a folder it made (a starter, a merged model); empty for others."""
    path = folder / MANIFEST
    return read_object(path) if path.is_file() else {}


def verify_hashes(folder: Path, expected: Mapping[str, str]) -> None:
    """Compare files with hashes that are known for them.

    Raises:
        StudioError: a file is missing or differs.
    """
    for name, value in expected.items():
        path = folder / name
        if not path.is_file():
            raise StudioError(f"{folder} is not whole: {name} is missing. Fetch or make it again.")
        actual = cached_sha256(path)
        if actual != value:
            raise StudioError(
                f"{path} is not the file that was written: its sha256 is {actual[:16]}…, expected {value[:16]}…. "
                f"Something changed or damaged it; remove {folder} and fetch or make it again."
            )


def cached_sha256(path: Path) -> str:
    """Sha256 of a file, remembered for large files until size, times or inode change.

    The change time is part of the key: it moves with every write, also where a tool restores the modification time.
    """
    status = path.stat()
    if status.st_size < _MEMO_BYTES:
        return sha256_file(path)
    key = [str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    note = cache_folder() / "hashes" / f"{hashlib.sha256(str(key[0]).encode()).hexdigest()[:32]}.json"
    if note.is_file():
        try:
            remembered = read_object(note)
        except UserError:
            remembered = {}
        if remembered.get("key") == key:
            return str(remembered["sha256"])
    value = sha256_file(path)
    try:
        write_json(note, {"key": key, "sha256": value})
    except (StudioError, OSError) as error:  # a cache that cannot be written costs time, nothing else
        logger.debug("hash of %s not remembered: %s", path, error)
    return value


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        UserError: not readable as one.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}). Fetch or copy the model again.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {type(value).__name__}, expected an object. Fetch or copy the model again.")
    return value
