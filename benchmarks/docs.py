"""Writes what a benchmark measured into its own section of ``docs/benchmarks.md``, so that no number is typed by hand.

A section lies between ``<!-- NAME -->`` and ``<!-- /NAME -->``; the rest of the page is left as it is.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

# section -> (heading, the command that writes it)
SECTIONS = {
    "training": ("Training speed", "python benchmarks/training.py --write-docs"),
    "packed-text": ("Packed raw text beside packed conversations", "python benchmarks/packed_text.py --write-docs"),
    "first-step": ("Time to the first step", "python benchmarks/first_step.py --write-docs"),
    "memory": ("Memory, planned and measured", "python benchmarks/memory.py --write-docs"),
    "dpo-from-adapter": ("DPO from an adapter beside a merged copy", "python benchmarks/dpo_from_adapter.py --write-docs"),
    "data-build": ("Building a Dataset", "python benchmarks/data_build.py --write-docs"),
    "crows-pairs": ("CrowS-Pairs", "python benchmarks/crows_pairs.py FOLDER --write-docs"),
    "duplicates": ("Near-duplicate texts beside other packages", "python benchmarks/duplicates.py --write-docs"),
    "ray-build": ("A build on Ray beside processes", "python benchmarks/ray_build.py --write-docs"),
    "tables": ("Building a table", "python benchmarks/tables.py --write-docs"),
    "predictors": ("Predictors beside scikit-learn by hand", "python benchmarks/predictors.py --write-docs"),
    "automl": ("Tables beside AutoGluon", "python benchmarks/automl.py --autogluon ENVIRONMENT --write-docs"),
    "forecast": ("ARIMA of many series", "python benchmarks/forecast.py --series 1000 --write-docs"),
    "large-build": ("A build that does not fit into memory", "python benchmarks/large_build.py --write-docs"),
    "image-data": ("Building a Dataset of pictures", "python benchmarks/image_data.py --write-docs"),
    "busy-machine": ("Beside other programs", "python benchmarks/busy_machine.py --write-docs"),
    "cli-start": ("Start of the command line", "python benchmarks/cli_start.py --write-docs"),
    "studio-pages": ("Pages of the studio beside Gradio's", "python benchmarks/studio_pages.py --write-docs"),
    "optimizers": ("Optimizers and adapters", "python benchmarks/optimizers.py --write-docs"),
    "serve-guard": ("What the server's guard costs", "python benchmarks/serve_guard.py --write-docs"),
    "improve-year": ("A year of the loop", "python benchmarks/improve_year.py --write-docs"),
    "image-step": ("A step of image training", "python benchmarks/image_step.py --write-docs"),
    "image-cache": ("Cache of latents and text embeddings", "python benchmarks/image_cache.py --write-docs"),
    "gpu-images": ("SDXL and FLUX shapes on a GPU", "python benchmarks/gpu_images.py --write-docs"),
    "gpu-llama": ("Llama-3-8B shape on a GPU", "python benchmarks/gpu_llama.py --write-docs"),
}

INTRODUCTION = """# Benchmarks

Every table below was written by the command above it. To measure your own machine, run the command; `make bench` runs them all.
What each one does and what it leaves out is in [benchmarks/README.md](../benchmarks/README.md).
"""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark's command line ``--write-docs``."""
    parser.add_argument("--write-docs", action="store_true", help=f"put the result into {PAGE.relative_to(ROOT)}")


def describe_machine(packages: Sequence[str] = ("torch", "transformers", "peft", "trl")) -> str:
    """Date, processor, cores, memory, GPU, versions and commit, in two lines."""
    memory = psutil.virtual_memory().total / 1024**3
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB{_gpu()}, "
        f"{platform.system()}.\nPython {platform.python_version()}{', ' + versions if versions else ''}. Commit {_commit()}."
    )


def write_section(name: str, body: str, *, packages: Sequence[str] = ("torch", "transformers", "peft", "trl")) -> None:
    """Replace one section of the page with a table and the machine it was measured on; the page is made when missing.

    Args:
        name: one of :data:`SECTIONS`.
        body: markdown: table and notes.
        packages: whose versions matter for the numbers.
    """
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else INTRODUCTION
    sections = {found: _existing(text, found) for found in SECTIONS}
    heading, command = SECTIONS[name]
    stamp = describe_machine(packages)
    sections[name] = f"<!-- {name} -->\n## {heading}\n\n    {command}\n\n{stamp}\n\n{body.strip()}\n<!-- /{name} -->\n"
    page = "\n".join([INTRODUCTION, *(section for section in sections.values() if section)])
    temporary = PAGE.with_name(f".{PAGE.name}.{os.getpid()}")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(PAGE)


def write_between(
    page: Path, name: str, body: str, *, packages: Sequence[str] = ("numpy", "scipy", "sacrebleu", "scikit-learn")
) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` on a page with a table and what it was measured with.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no section {name}")
    stamp = describe_machine(packages)
    written = pattern.sub(lambda found: f"{found[1]}{body.strip()}\n\n{stamp}\n{found[2]}", text)
    temporary = page.with_name(f".{page.name}.{os.getpid()}")
    temporary.write_text(written, encoding="utf-8")
    temporary.replace(page)


def _existing(text: str, name: str) -> str:
    """A section as it stands on the page; one that was never measured says so."""
    found = re.search(rf"<!-- {name} -->\n.*?<!-- /{name} -->\n", text, re.DOTALL)
    if found:
        return found.group(0)
    heading, command = SECTIONS[name]
    return f"<!-- {name} -->\n## {heading}\n\n    {command}\n\nNot measured yet.\n<!-- /{name} -->\n"


def _processor() -> str:
    """Name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    """Name and memory of the first GPU, empty without one."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return f", {done.stdout.splitlines()[0]}" if done.returncode == 0 and done.stdout.strip() else ""


def _commit() -> str:
    """Short commit of this checkout, and whether its code differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "studio", "benchmarks", "adapters", "data_recipes")
    return (commit or "unknown") + (" with changes not yet committed" if changed else "")


def _git(*arguments: str) -> str:
    """What git answers, empty where there is no git or no repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
