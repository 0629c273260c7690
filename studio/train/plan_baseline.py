"""What a training process takes before it holds a model: interpreter, libraries, thread pools, tokenizer, trainer.

Measured once per machine and set of versions, by training a model of almost no size in a process of its own with the studio's
own trainer; kept in the cache folder. On a GPU it is the CUDA context of an empty process.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import sha256_json, write_json
from studio.core.workspace import cache_folder
from studio.train.allocator import MARK, find_mimalloc, steady_environment

# Used for a card that is not in this machine: CUDA 12 and 13 contexts with PyTorch's kernels take 0.3 to 0.6 GB.
ASSUMED_CUDA_CONTEXT = 500_000_000
_STACK = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "finetuning-studio")
_REMARK = "bytes of a process that trains almost nothing"


def baseline_bytes(device_type: str) -> int:
    """Bytes that a training process takes on the device besides the model.

    Raises:
        StudioError: the measuring process failed.
    """
    if device_type == "cuda":
        import torch

        if not torch.cuda.is_available():
            return ASSUMED_CUDA_CONTEXT
    place = cache_folder() / "baselines" / f"{device_type}-{_fingerprint(device_type)}.json"
    try:
        return int(json.loads(place.read_text(encoding="utf-8"))["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        measured = _measure(device_type)
    write_json(place, {"bytes": measured, "what": _REMARK})
    return measured


def _fingerprint(device_type: str) -> str:
    """Changes with everything the figure depends on."""
    versions = {name: metadata.version(name) for name in _STACK if _installed(name)}
    allocator = str(find_mimalloc()) if device_type == "cpu" else ""
    threads = os.environ.get("OMP_NUM_THREADS", "") or str(os.cpu_count())
    return sha256_json([versions, platform.python_version(), platform.machine(), allocator, threads])[:16]


def _installed(name: str) -> bool:
    """True when the distribution is there."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _measure(device_type: str) -> int:
    """Run :func:`main` in a fresh process on the allocator that training uses."""
    environment = {key: value for key, value in os.environ.items() if key != MARK}
    command = [sys.executable, "-m", "studio.train.plan_baseline", device_type]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=steady_environment(environment))
    try:
        return int(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StudioError(f"the memory of an empty training process could not be measured: {reason}") from None


def main(device_type: str) -> int:
    """Bytes of this process after training a model of almost no size (CPU), or of its CUDA context."""
    import torch

    if device_type == "cuda":
        torch.zeros(1, device="cuda")
        free, total = torch.cuda.mem_get_info()
        # Other processes on the card are in this figure too, so it is capped at what a context can take.
        return min(total - free - torch.cuda.memory_reserved(), 2 * ASSUMED_CUDA_CONTEXT)
    with tempfile.TemporaryDirectory() as folder:
        train_next_to_nothing(Path(folder))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def train_next_to_nothing(folder: Path) -> None:
    """Two steps of the studio's trainer with a two-layer model and a vocabulary of a few words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from studio.adapters.attach import attach_lora
    from studio.models.encoding import EncodedRow
    from studio.schema.adapter import ChatAdapter, LoraSettings
    from studio.train.settings import trainer_settings
    from studio.train.trainer import ChatTrainer

    words = {word: index for index, word in enumerate(["<pad>", "<eos>", "a", "b"])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, "<pad>")), pad_token="<pad>", eos_token="<eos>"
    )
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = attach_lora(LlamaForCausalLM(config), LoraSettings(rank=4), quantized=False, gradient_checkpointing=False)
    rows = [EncodedRow([2, 3, 2, 1] * 8, [True] * 32, [31], 1, 32)] * 4
    arguments = trainer_settings(
        ChatAdapter(kind="chat", batch_size=2),
        folder,
        device=torch.device("cpu"),
        dtype=torch.float32,
        steps=2,
        steps_per_epoch=2,
        processes=1,
        validation=False,
    )
    trainer = ChatTrainer(
        model=model,
        args=arguments,
        tokenizer=tokenizer,
        rows=rows,
        sequences=[[0], [1], [2], [3]],
        windows=[[0, 1], [2, 3]],
        validation=[],
        packed=False,
        keep_checkpoints=1,
        loraplus_ratio=None,
        callbacks=[],
    )
    trainer.train()


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1])}\n")
