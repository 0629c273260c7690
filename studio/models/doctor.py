"""What this machine can do, what is missing and what clashes: one finding per line, each with a remedy. No torch at import."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from studio.core import modelscope
from studio.core.errors import StudioError
from studio.core.extras import available
from studio.core.fetch import offline
from studio.core.workspace import Workspace, cache_folder

Status = Literal["ok", "warning", "missing"]
DISTRIBUTION = "finetuning-studio"

# Optional packages by import name: what each one is for.
OPTIONAL = {
    "tensorboard": "report_to: [tensorboard]",
    "trackio": "report_to: [trackio]",
    "wandb": "report_to: [wandb]",
    "mlflow": "report_to: [mlflow]",
}
# Packages that help on a GPU only.
OPTIONAL_GPU = {"liger_kernel": "faster kernels (liger: auto)", "flash_attn": "attention: flash_attention_2"}
# The environment and the starter model take about 7 GB and 1 GB; a run of the starter well under one.
_LOW_DISK_BYTES = 5e9


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. ``essential`` marks what nothing works without."""

    name: str
    status: Status
    detail: str
    remedy: str = ""
    essential: bool = False


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Look at everything in turn; a check that itself fails becomes a finding, never a crash."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", check_stack),
        ("clashes", check_clashes),
        ("torch", _torch),
        ("number types", _number_types),
        ("bitsandbytes", _bitsandbytes),
        ("workspace", lambda: _folder("workspace", workspace.root)),
        ("cache", lambda: _folder("cache", cache_folder())),
        ("network", _network),
        ("starter models", _starters),
        ("optional packages", _optional),
    ]
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # a doctor that dies of the illness helps nobody
            yield Finding(name, "warning", f"could not be checked: {type(error).__name__}: {error}")


def broken(findings: list[Finding]) -> bool:
    """True when something is missing that nothing works without."""
    return any(finding.essential and finding.status == "missing" for finding in findings)


def _python() -> Iterator[Finding]:
    """The interpreter."""
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield Finding("python", "ok", detail)


def check_stack() -> Iterator[Finding]:
    """Installed versions against what the studio asks for."""
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding("studio", "warning", "runs from its sources without being installed", "pip install -e .")
        return
    wrong = 0
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong += 1
            yield Finding(
                requirement.name,
                "missing",
                f"not installed, {requirement.specifier or 'any version'} is needed",
                f"pip install '{text}'",
                True,
            )
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong += 1
            yield Finding(
                requirement.name,
                "warning",
                f"{version} is installed, {requirement.specifier} is asked for",
                f"pip install '{text}'",
            )
    tested = _tested_versions()
    other = [
        f"{name} {metadata.version(name)} (tested: {version})" for name, version in tested.items() if _differs(name, version)
    ]
    if other:
        remedy = "Nothing, if it works; else pip install -c constraints.txt ."
        yield Finding("versions", "warning", f"not the set that was tested together: {', '.join(other)}", remedy)
    if not wrong:
        main = ("torch", "transformers", "trl", "peft", "datasets", "bitsandbytes")
        yield Finding("packages", "ok", ", ".join(f"{name} {metadata.version(name)}" for name in main))


def check_clashes() -> Iterator[Finding]:
    """Two packages that both bring a top-level ``studio``: which one is imported is then chance (unsloth does that)."""
    owners = sorted(set(metadata.packages_distributions().get("studio", [])) - {DISTRIBUTION})
    here = Path(__file__).resolve().parents[1]
    if owners:
        yield Finding(
            "package 'studio'",
            "missing",
            f"{', '.join(owners)} installs a top-level package 'studio' too",
            f"pip uninstall {' '.join(owners)}, then pip install --force-reinstall --no-deps {DISTRIBUTION}; "
            "keep the two in separate environments",
            True,
        )
        return
    others = [str(Path(entry) / "studio") for entry in sys.path if entry and (Path(entry) / "studio" / "__init__.py").is_file()]
    others = [other for other in others if Path(other).resolve() != here]
    if others:
        yield Finding(
            "package 'studio'", "warning", f"another one lies on the path: {', '.join(others)}", "Remove it or start elsewhere"
        )
    else:
        yield Finding("package 'studio'", "ok", f"one, in {here}")


def _torch() -> Iterator[Finding]:
    """Torch and the device it computes on."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        yield Finding("torch", "missing", f"cannot be imported: {error}", "pip install -c constraints.txt torch", True)
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Finding(
                f"gpu {index}", "ok", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}"
            )
        return
    import psutil

    memory = psutil.virtual_memory()
    detail = f"CPU, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB memory free"
    if shutil.which("nvidia-smi"):
        yield Finding(
            "device",
            "warning",
            f"{detail}; there is an NVIDIA card, but torch {torch.__version__} does not see it",
            _cuda_remedy(torch),
        )
    else:
        yield Finding("device", "ok", f"{detail}; no GPU, so small models only")


def _cuda_remedy(torch: Any) -> str:
    """What to do about a card that torch does not see."""
    if torch.version.cuda is None:
        return "This is a CPU build of torch: pip install --force-reinstall torch"
    return f"Update the driver to one for CUDA {torch.version.cuda}, or unset CUDA_VISIBLE_DEVICES"


def _number_types() -> Iterator[Finding]:
    """Which number type multiplies matrices fastest here, and what ``dtype: auto`` takes."""
    import torch

    from studio.models.device import pick_device, pick_dtype

    device = pick_device()
    size = 8192 if device.type == "cuda" else 1024
    names = ("float32", "bfloat16") if device.type == "cpu" else ("float32", "bfloat16", "float16")
    matrices = {name: torch.ones(size, size, dtype=getattr(torch, name), device=device) for name in names}
    seconds = dict.fromkeys(matrices, float("inf"))
    # In turn, so that another program on the machine slows both; the first product of each only warms up.
    for attempt in range(5):
        for name, matrix in matrices.items():
            start = time.perf_counter()
            float((matrix @ matrix)[0, 0])  # reading a value waits for the device
            if attempt:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    fast = min(seconds, key=lambda name: seconds[name])
    chosen = str(pick_dtype("auto", device)).removeprefix("torch.")
    detail = ", ".join(f"{name} {2 * size**3 / time_taken / 1e9:,.0f} GFLOP/s" for name, time_taken in seconds.items())
    if seconds[chosen] < 1.5 * seconds[fast]:
        yield Finding("number types", "ok", f"{detail}; dtype: auto takes {chosen}")
    else:
        remedy = f"Training may be faster with --set dtype={fast}"
        yield Finding("number types", "warning", f"{detail}; dtype: auto takes {chosen}", remedy)


def _bitsandbytes() -> Iterator[Finding]:
    """Does 4-bit quantisation work here: a matrix there and back."""
    remedy = "pip install -U bitsandbytes; without it quantization: nf4 and int8 do not work"
    try:
        import torch

        functional = importlib.import_module("bitsandbytes.functional")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        matrix = torch.linspace(-1, 1, 64 * 64, device=device).reshape(64, 64)
        packed, state = functional.quantize_4bit(matrix, quant_type="nf4", compress_statistics=True)
        error = (functional.dequantize_4bit(packed, state) - matrix).abs().max().item()
    except Exception as error_found:  # any failure of its native library means the same for the person
        yield Finding("bitsandbytes", "missing", f"4-bit does not work: {error_found}", remedy)
        return
    if error > 0.2:  # the widest gap between NF4 levels is 0.30, so half of it plus room
        yield Finding("bitsandbytes", "missing", f"4-bit gives wrong numbers (off by {error:.2f})", remedy)
    else:
        yield Finding("bitsandbytes", "ok", f"nf4 works on {device}")


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    """Is a folder writable, and has its disk room?"""
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    free = shutil.disk_usage(existing).free
    variable = "STUDIO_WORKSPACE or --workspace" if name == "workspace" else "STUDIO_CACHE"
    try:
        if folder.exists():
            Workspace(folder).check_writable()
        elif not os.access(existing, os.W_OK):
            raise StudioError(f"{existing} cannot be written")
    except StudioError as error:
        yield Finding(name, "missing", f"{folder}: {error}", f"Choose another place with {variable}", True)
        return
    detail = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LOW_DISK_BYTES:
        yield Finding(
            name, "warning", f"{detail}: room for small things only", f"Free space, or choose another disk with {variable}"
        )
    else:
        yield Finding(name, "ok", detail)


def _network() -> Iterator[Finding]:
    """Whether the network is allowed, and who is asked for models and data sets; nothing is sent."""
    flags = [f"{name}={os.environ[name]}" for name in ("HF_HUB_OFFLINE", "STUDIO_OFFLINE") if os.environ.get(name)]
    detail = f" ({', '.join(flags)})" if flags else ""
    if offline():
        yield Finding("network", "ok", f"switched off{detail}: only what is in the caches is used")
    else:
        yield Finding("network", "ok", f"allowed{detail}")
    yield _asked("Hub", "HF_ENDPOINT", os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    yield _asked("ModelScope", modelscope.DOMAIN, modelscope.endpoint())


def _asked(name: str, variable: str, address: str) -> Finding:
    """Where a hub is asked; a mirror is set with the variable."""
    if not re.match(r"https?://[^\s/]+", address):
        remedy = f"Give a whole address: export {variable}=https://{address.rpartition('://')[2].strip('/')}"
        return Finding(name, "warning", f"{variable}={address} is no address", remedy)
    return Finding(name, "ok", f"{address} ({variable})" if os.environ.get(variable) else f"{address}; a mirror: {variable}")


def _starters() -> Iterator[Finding]:
    """Which starter models are here."""
    folder = cache_folder() / "models"
    here = sorted(path.parent.name for path in folder.glob("*/studio-manifest.json"))
    if here:
        yield Finding("starter models", "ok", ", ".join(here))
    else:
        yield Finding("starter models", "warning", f"none in {folder}", "studio models pull smollm2-135m-instruct")


def _optional() -> Iterator[Finding]:
    """Packages that switch on single features."""
    gpu = "torch" in sys.modules and sys.modules["torch"].cuda.is_available()
    known = {**OPTIONAL, **(OPTIONAL_GPU if gpu else {})}
    here = [module for module in known if available(module)]
    absent = [module for module in known if module not in here]
    if here:
        yield Finding("optional packages", "ok", ", ".join(here))
    if absent:
        detail = ", ".join(f"{module} ({known[module]})" for module in absent)
        remedy = f"Only if you want them: pip install {' '.join(module.replace('_', '-') for module in absent)}"
        yield Finding("optional packages", "missing", detail, remedy)


def _tested_versions() -> dict[str, str]:
    """The main packages of ``constraints.txt``, where the sources are at hand."""
    path = Path(__file__).resolve().parents[2] / "constraints.txt"
    if not path.is_file():
        return {}
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return {
        name: pins[name]
        for name in ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")
        if name in pins
    }


def _differs(name: str, version: str) -> bool:
    """True when another version is installed; local parts (``+cpu``) do not count."""
    try:
        return metadata.version(name).partition("+")[0] != version.partition("+")[0]
    except metadata.PackageNotFoundError:
        return False
