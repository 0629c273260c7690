"""A real server for the tests: ``studio serve`` as a person starts it, two tuned adapters on the starter model, real vLLM."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from studio.adapters.chat.attach import attach_lora, save_adapter
from studio.core.files import sha256_file, write_json
from studio.core.records import RunRecord
from studio.models.bases import resolve_base
from studio.models.chat.encoding import encode_conversation
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.models.chat.templates import ChatTemplate, choose_template
from studio.schema.adapter import LoraSettings
from studio.serve.client import Client

STARTER = "smollm2-135m-instruct"
STUDIO = [sys.executable, "-m", "studio.cli.main"]
# Small, in one thread, in full precision: the answers of two adapters are told apart by their words.
SETTINGS = {
    "port": 0, "cpu_threads": 1, "dtype": "float32", "max_model_len": 1024, "vllm.max_num_seqs": 8, "shutdown_timeout": 60,
    "limits.requests_per_minute": 1000, "limits.max_tokens": 200, "limits.header_seconds": 6,
}  # fmt: skip


def tune(folder: Path, name: str, answer: str, *, rank: int = 8, steps: int = 6, base: str = STARTER, **lora: Any) -> Path:
    """Train an adapter to give one answer to everything, with the studio's own pieces, and write the run as training does."""
    resolved = resolve_base(base)
    tokenizer = load_tokenizer(resolved)
    template: ChatTemplate = choose_template(tokenizer, None, base)
    settings = LoraSettings(rank=rank, alpha=2 * rank, **lora)
    torch.manual_seed(len(answer))
    model = load_causal_lm(resolved, dtype=torch.float32, device=torch.device("cpu"))
    tuned = attach_lora(model, settings, quantized=False, gradient_checkpointing=False)
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    questions = ("What can you help me with?", "How wide must a door be?", "Hello")
    tuned.train()
    for _ in range(steps):
        for question in questions:
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            row = encode_conversation(tokenizer, template, turns)
            tuned(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.eval()
    run = folder / "runs" / name / f"20260101-120000-{name[:6]}"
    run.mkdir(parents=True)
    (run / "chat_template.jinja").write_bytes(template.text.encode())
    save_adapter(tuned, run / "adapter", settings, tokenizer=tokenizer, template=template)
    config = {"kind": "chat", "model": base, "method": "lora", "quantization": "none", "dtype": "float32"}
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"lora": settings.model_dump()}), encoding="utf-8")
    files = {path.relative_to(run).as_posix(): sha256_file(path) for path in sorted(run.rglob("*")) if path.is_file()}
    record = RunRecord(
        kind="chat", name=name, id=name[:6], status="finished", created="2026-01-01T12:00:00+00:00", method="lora",
        base=resolved.record(), dataset={"path": "", "name": "none", "fingerprint": "0"}, seed=0, files=files,
        template={"name": template.name, "file": "chat_template.jinja", "sha256": template.sha256},
    )  # fmt: skip
    write_json(run / "run.json", record.model_dump())
    return run


@dataclass
class Live:
    """``studio serve`` in a process of its own."""

    process: subprocess.Popen[str]
    folder: Path
    workspace: Path
    out: Path
    err: Path
    url: str = ""
    key: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def operator(self) -> Client:
        return Client(self.url, self.record["key"])

    @property
    def client(self) -> Client:
        return Client(self.url, self.key)

    @property
    def log(self) -> str:
        return (self.workspace / "server" / str(self.record["port"]) / "vllm.log").read_text(errors="replace")

    def ask(self, model: str, question: str = "Hello", **more: Any) -> dict[str, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 24, "temperature": 0} | more
        status, answer = self.client.post("/v1/chat/completions", body)
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    def wait(self, seconds: float = 900) -> None:
        """Wait for the examples to be printed."""
        end = time.monotonic() + seconds
        while "Ctrl-C ends it." not in (text := self.out.read_text()):
            assert self.process.poll() is None, f"ended: {self.err.read_text()}"
            assert time.monotonic() < end, f"not ready: {self.err.read_text()}"
            time.sleep(0.2)
        self.url = re.search(r"^url +(\S+)/v1$", text, re.MULTILINE)[1]  # type: ignore[index]
        self.key = re.search(r"^key +(\S+)", text, re.MULTILINE)[1]  # type: ignore[index]
        port = self.url.rpartition(":")[2]
        self.record = json.loads((self.workspace / "server" / port / "server.json").read_text())

    def studio(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Another command on the same workspace."""
        return call(self.workspace, *arguments)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                self.process.kill()


def call(workspace: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """One command line in a process of its own."""
    command = [*STUDIO, *(str(argument) for argument in arguments), "--workspace", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


def begin(folder: Path, workspace: Path, *arguments: str) -> Live:
    """Start ``studio serve`` with the tests' settings; what is asked for here goes before them."""
    settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    command = [*STUDIO, "serve", *settings, *arguments, "--workspace", str(workspace)]
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "out.txt", folder / "err.txt"
    with out.open("w") as first, err.open("w") as second:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=first, stderr=second, text=True, env=environment)
    return Live(process, folder, workspace, out, err)
