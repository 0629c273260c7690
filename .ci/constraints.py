"""Write constraints.txt from what is installed: the closure of pyproject.toml's requirements, versions only.

Run it in the environment whose tests have passed: ``.venv/bin/python .ci/constraints.py``.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# The set that was tested together, on Python 3.11. `make` installs it; so does `pip install -c constraints.txt .`\n"

# Extras that `make` does not install, and what they bring.
TRIED = (
    "presidio-analyzer", "spacy", "tldextract",
    "ray", "msgpack", "jsonschema", "jsonschema-specifications", "referencing", "rpds-py",
    "rapidocr", "onnxruntime", "opencv-python-headless", "pyclipper", "shapely", "omegaconf", "antlr4-python3-runtime",
    "flatbuffers",
)  # fmt: skip


def closure(requirements: list[str]) -> dict[str, str]:
    """Name to installed version of everything the requirements pull in, local labels (``+cpu``) dropped."""
    versions: dict[str, str] = {}
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        found = distribution(wanted.name)
        versions[key[0]] = found.version.partition("+")[0]
        for text in found.requires or []:
            inner = Requirement(text)
            extras = [{"extra": extra} for extra in wanted.extras] or [{"extra": ""}]
            if inner.marker is None or any(inner.marker.evaluate(extra) for extra in extras):
                waiting.append(inner)
    return dict(sorted(versions.items()))


def requirements() -> list[str]:
    """Requirements of the studio, of its development extra, and of its build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = project["project"]
    return [*declared["dependencies"], *declared["optional-dependencies"]["dev"], *project["build-system"]["requires"]]


def tried(known: dict[str, str]) -> dict[str, str]:
    """Versions of extras that were tried in an environment of their own, as the file has them; of what is not installed here."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    written = dict(line.split("==") for line in lines if not line.startswith("#"))
    return {name: written[name] for name in TRIED if name in written and name not in known}


if __name__ == "__main__":
    tested = closure(requirements())
    lines = [f"{name}=={version}\n" for name, version in sorted({**tested, **tried(tested)}.items())]
    (ROOT / "constraints.txt").write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} packages")
