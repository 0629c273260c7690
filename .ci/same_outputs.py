"""Do the commands still say what they said? For a change of structure, which nobody is to notice.

    python .ci/same_outputs.py record FOLDER [CHECKOUT]    run the commands below with that checkout's code, keep their output
    python .ci/same_outputs.py compare BEFORE AFTER        list what differs; exit code 1 where something does

Times, ids, fingerprints (hashes over the studio's own code) and measured memory are set apart; everything else has to be equal
to the byte: texts, tables, JSON, records, model cards, reports, and the hashes of trained weights and of all rows.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

FAQ, PICTURES = "chat/construction-faq-en", "image/openmoji-sweets"
FEW = ["--set", "sources.0.limit=60", "--set", "split.validation=4", "--set", "split.test=6", "--set", "decoding.svg_size=64"]
TINY = ["--set", "network.width=32", "--set", "network.depth=2", "--set", "steps=6", "--set", "sample.count=2"]
GENERATIVE = ["--set", "steps=6", "--set", "width=8", "--set", "latent=8", "--set", "batch_size=8"]
FLOAT = ["--set", "dtype=float32"]
FOLDER_MARK = "@@"

# Name, arguments. Helps first, then the road of chats, that of pictures, what looks at everything, and mistakes.
COMMANDS: dict[str, list[str]] = {
    "help": ["--help"],
    **{f"help-{name}": [name, "--help"] for name in ("init", "plan", "train", "eval", "chat", "app", "export", "runs", "data")},
    **{f"help-data-{name}": ["data", name, "--help"] for name in ("build", "show", "list")},
    **{f"help-runs-{name}": ["runs", name, "--help"] for name in ("list", "show", "compare", "prune")},
    "reference": ["reference"],
    "data-build": ["data", "build", FAQ],
    "data-build-again": ["data", "build", FAQ],
    "data-build-json": ["data", "build", FAQ, "--json"],
    "data-build-small": ["data", "build", FAQ, "--name", "faq-small", "--set", "sources.0.limit=80", "--set", "split.test=6"],
    "data-show": ["data", "show", "construction-faq-en"],
    "data-show-json": ["data", "show", "construction-faq-en", "--split", "test", "--row", "3", "--json"],
    "data-show-removed": ["data", "show", "construction-faq-en", "--removed"],
    "data-show-removed-json": ["data", "show", "construction-faq-en", "--removed", "--json"],
    "data-show-tokens": ["data", "show", "construction-faq-en", "--tokens", "--row", "2"],
    "data-show-tokens-json": ["data", "show", "construction-faq-en", "--tokens", "--row", "2", "--json"],
    "pictures-build": ["data", "build", PICTURES, "--name", "sweets", *FEW],
    "pictures-build-again": ["data", "build", PICTURES, "--name", "sweets", *FEW],
    "pictures-show": ["data", "show", "sweets", "--page", "2"],
    "pictures-show-json": ["data", "show", "sweets", "--row", "1", "--json"],
    "pictures-show-removed": ["data", "show", "sweets", "--removed"],
    "data-list": ["data", "list"],
    "data-list-json": ["data", "list", "--json"],
    "plan": ["plan", "chat/lora", "--memory", "24GiB"],
    "plan-data": ["plan", "chat/quickstart", "--data", "construction-faq-en", "--memory", "24GiB"],
    "plan-json": ["plan", "chat/qlora", "--memory", "24GiB", "--json"],
    "plan-sweep": ["plan", "chat/lora", "--memory", "8GiB", "--sweep"],
    "plan-pictures": ["plan", "diffusion/pixel", "--data", "sweets", "--memory", "24GiB"],
    "plan-pictures-json": ["plan", "diffusion/pixel", "--memory", "24GiB", "--json"],
    "plan-gan": ["plan", "image/gan"],
    "train": ["train", "chat/quickstart", "--data", "faq-small", "--name", "bot", "--set", "max_steps=3", *FLOAT],
    "train-json": ["train", "chat/quickstart", "--data", "faq-small", "--set", "max_steps=2", *FLOAT, "--json"],
    "train-pixel": ["train", "diffusion/pixel", "--data", "sweets", "--name", "pixel", *TINY, *FLOAT],
    "train-pixel-lora": [
        "train", "diffusion/pixel-lora", "--data", "sweets", "--model", "pixel", "--name", "tuned", "--set", "steps=4",
        "--set", "dtype=float32",
    ],
    "train-vae": ["train", "image/vae", "--data", "sweets", "--name", "vae", *GENERATIVE],
    "train-gan": ["train", "image/gan", "--data", "sweets", "--name", "gan", *GENERATIVE],
    "train-gan-json": ["train", "image/gan", "--data", "sweets", "--name", "gan", *GENERATIVE, "--json"],
    "eval": ["eval", "chatbot", "--model", "bot", "--limit", "3", "--set", "generation.max_new_tokens=12"],
    "eval-json": ["eval", "chatbot", "--model", "bot", "--limit", "3", "--set", "generation.max_new_tokens=12", "--json"],
    "eval-pictures": ["eval", "images", "--model", "tuned", "--limit", "6"],
    "runs-list": ["runs", "list"],
    "runs-list-json": ["runs", "list", "--json"],
    "runs-show": ["runs", "show", "bot"],
    "runs-show-pictures": ["runs", "show", "tuned"],
    "runs-compare": ["runs", "compare", "bot", "faq-small-quickstart"],
    "runs-prune": ["runs", "prune"],
    "export": ["export", "bot"],
    "export-kohya": ["export", "tuned", "--to", "kohya"],
    "init": ["init", "my-bot"],
    "bad-resume": ["train", "--resume", "bot"],
    "bad-preset": ["train", "chat/lorra", "--data", "faq-small"],
    "bad-no-preset": ["train"],
    "bad-no-data": ["train", "chat/lora"],
    "bad-no-pictures": ["train", "diffusion/pixel"],
    "bad-kind-of-rows": ["train", "diffusion/pixel", "--data", "faq-small"],
    "bad-kind-of-rows-chat": ["train", "chat/lora", "--data", "sweets"],
    "bad-base": ["train", "diffusion/pixel-lora", "--data", "sweets"],
    "bad-gan-base": ["train", "image/gan", "--data", "sweets", "--model", "pixel"],
    "bad-processes": ["train", "diffusion/pixel", "--data", "sweets", "--processes", "2"],
    "bad-key": ["train", "image/vae", "--data", "sweets", "--set", "stepps=3"],
    "bad-sweep": ["plan", "diffusion/pixel", "--sweep"],
    "bad-memory": ["plan", "chat/lora", "--memory", "much"],
    "bad-device": ["plan", "chat/lora", "--device", "tpu"],
    "bad-tokens": ["data", "show", "sweets", "--tokens"],
    "bad-row": ["data", "show", "sweets", "--row", "9999"],
    "bad-id": ["data", "show", "construction-faq-en", "--id", "nothing"],
    "bad-page": ["data", "show", "construction-faq-en", "--page", "999"],
    "bad-split": ["data", "show", "construction-faq-en", "--split", "tset"],
    "bad-train-on": ["data", "show", "construction-faq-en", "--tokens", "--train-on", "all_of_it"],
    "bad-inception": ["eval", "chatbot", "--model", "bot", "--inception-weights", "nowhere"],
    "bad-suite": ["eval", "images", "--model", "bot"],
    "bad-export": ["export", "bot", "--to", "kohya"],
    "bad-merge": ["export", "tuned"],
    "bad-format": ["export", "bot", "--to", "ggguf"],
    "bad-app": ["app", "paint"],
    "bad-app-run": ["app", "image", "bot"],
    "bad-app-chat": ["app", "chat", "tuned"],
    "bad-serve": ["serve", "tuned"],
    "quickstart": ["quickstart", "--short"],
    "quickstart-images": ["quickstart", "--images", "--short"],
}  # fmt: skip

# What the commands above leave behind and is compared as text.
TEXTS = ("dataset.json", "run.json", "config.yaml", "README.md", "scores.json", "report.html", "metrics.jsonl", "left_out.jsonl")

_SETTLED = (
    (r"^.* \d[\d,]*/\d[\d,]* \w+ .*(\d\d:\d\d|left).*\n", ""),  # progress, as often as there was time for it
    (r"^ *(training seconds|seconds|first step at|peak memory bytes|tokens per second|pictures per second) .*$", r"\1 NUMBERS"),
    (r"\"id\": \"[0-9a-f]{6}\"", "ID"),
    (r"\(\d+ bytes\)", "(BYTES)"),
    (r"((?:[Rr]un|--model) (?:the run )?`?(?:<code>)?)[0-9a-f]{6}\b", r"\1ID"),
    (r"\"(likelihood|answers)\": [0-9.]+", r"\1 SPAN"),
    (r"<td class=\"n\">[0-9]+\.[0-9]{2}</td>", "<td>SPAN</td>"),
    (r"\S+/bin/studio\b", "studio"),
    (r"\b[0-9a-f]{64}\b", "SHA256"),
    (r"\b[0-9a-f]{40}\b", "COMMIT"),
    (r"\b\d{8}-\d{6}(-[0-9a-f]{6}|-\d+)?\b", "TIME-ID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\"\s<]*", "TIME"),
    (r"\b\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?", "DATE"),
    (r"\b[0-9a-f]{16}\b", "FINGERPRINT"),
    (r"\b[0-9a-f]{12}…", "SHA…"),
    (r"\b\d+ h \d\d min|\b\d+ min \d\d s|\b\d+(\.\d+)? s\b", "SPAN"),
    (r"(seconds|_at|step_seconds|seconds_per_step)(\"?[:=] ?|\s+\|\s+|\s{2,})[0-9.]+", r"\1 SPAN"),
    (r"\b[0-9,.]+ (tokens|pictures|rows|steps)/s", "RATE"),
    (r"\"?(tokens|pictures)_per_second\"?(: |\s+)[0-9.,]+|(tokens|pictures) per second( \| |\s+)[0-9.,]+", "RATE"),
    (r"(peak( memory)?) [0-9.]+ [kMGT]?B", r"\1 SIZE"),
    # What the process weighs goes into plans; it is measured.
    (r"\"(runtime|peak|needed)\": [0-9]+", r"\1 NUMBER"),
    (r"\"?(peak_memory_bytes|peak_bytes|bytes|free_disk|pid|cpu_percent)\"?(: |\s+)[0-9.,]+", r"\1 NUMBER"),
    (r"(peak memory bytes|peak bytes) \| [0-9.,]+", r"\1 NUMBER"),
    (r" of [0-9.]+ [kMGT]?B( free)?", " of SIZE"),
    (r"[0-9.]+ [kMGT]?B\b(?=$| *\n|, peak| *\|)", "SIZE"),
    (r"\d+ %|\d+%", "%"),
    (r"[█▏▎▍▌▋▊▉]+", "BAR"),
    (r" +", " "),
    (r"-{4,}", "----"),
)


def record(out: Path, checkout: Path) -> None:
    """Run every command in a folder of its own and keep what it printed; then keep what all of them wrote."""
    out.mkdir(parents=True)
    work = out / "work"
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "STUDIO_WORKSPACE": str(work / "workspace"), "HF_HUB_OFFLINE": "1"}
    environment |= {"COLUMNS": "120", "NO_COLOR": "1"}
    for name, arguments in COMMANDS.items():
        command = [sys.executable, "-m", "studio.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        text = f"exit {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        for place, mark in ((out, FOLDER_MARK), (checkout, "CHECKOUT")):
            text = text.replace(str(place.resolve()), mark)
        (out / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: exit {done.returncode}", flush=True)
    _record_files(out, work)


def _record_files(out: Path, work: Path) -> None:
    """Texts that were written, and hashes of weights and rows, under the name of what they belong to."""
    hashes: dict[str, str] = {}
    counts: dict[str, int] = {}
    workspace = work / "workspace"
    for file in sorted(workspace.rglob("*"), key=lambda path: (path.stat().st_mtime if path.exists() else 0, str(path))):
        parts = file.relative_to(workspace).parts
        if not file.is_file() or any(part.startswith(".") for part in parts) or parts[0] == "cache":
            continue
        plain = re.sub(r"\d{8}-\d{6}(-[0-9a-f]{6}|-\d+)?|[0-9a-f]{16}", "ID", "/".join(parts))
        counts[plain] = counts.get(plain, 0) + 1
        name = f"{plain}#{counts[plain]}" if counts[plain] > 1 else plain
        if file.name in TEXTS:
            target = out / "files" / f"{name.replace('/', '+')}.txt"
            target.parent.mkdir(exist_ok=True)
            target.write_text(file.read_text(encoding="utf-8").replace(str(out.resolve()), FOLDER_MARK), encoding="utf-8")
        elif file.suffix in {".safetensors", ".parquet", ".jinja", ".png"} and "checkpoints" not in parts:
            hashes[name] = _hash(file)
    (out / "hashes.json").write_text(json.dumps(hashes, indent=1, sort_keys=True), encoding="utf-8")


def _hash(file: Path) -> str:
    """Hash of a file's bytes; the head of a safetensors file is put in order first, for it is written in any."""
    data = file.read_bytes()
    if file.suffix == ".safetensors":
        size = 8 + int.from_bytes(data[:8], "little")
        data = json.dumps(json.loads(data[8:size]), sort_keys=True).encode() + data[size:]
    return hashlib.sha256(data).hexdigest()


def settled(text: str) -> str:
    """The text without what may differ between two runs of the very same code."""
    for pattern, mark in _SETTLED:
        text = re.sub(pattern, mark, text, flags=re.MULTILINE)
    return text


def compare(before: Path, after: Path) -> int:
    """Print what differs; 1 where something does."""
    differing = 0
    names = sorted({file.relative_to(place) for place in (before, after) for file in place.glob("*.txt")})
    names += sorted({file.relative_to(place) for place in (before, after) for file in place.glob("files/*.txt")})
    for name in names:
        old, new = ((place / name) for place in (before, after))
        if not old.exists() or not new.exists():
            print(f"only in {'after' if new.exists() else 'before'}: {name}")
            differing += 1
            continue
        sides = [settled(side.read_text(encoding="utf-8")).splitlines() for side in (old, new)]
        lines = list(difflib.unified_diff(*sides, f"before/{name}", f"after/{name}", lineterm="", n=1))
        if lines:
            print("\n".join(line[:300] for line in lines[:40]))
            differing += 1
    old_hashes, new_hashes = (json.loads((place / "hashes.json").read_text(encoding="utf-8")) for place in (before, after))
    for name in sorted(old_hashes.keys() | new_hashes.keys()):
        if old_hashes.get(name) != new_hashes.get(name):
            print(f"bytes differ: {name}")
            differing += 1
    print(f"{len(names)} outputs and {len(old_hashes)} files of weights and rows compared, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", folder]:
            record(Path(folder), Path(__file__).parent.parent)
        case ["record", folder, checkout]:
            record(Path(folder), Path(checkout))
        case ["compare", one, other]:
            sys.exit(compare(Path(one), Path(other)))
        case _:
            sys.exit(__doc__)
