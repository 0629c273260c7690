"""vLLM as the writer of the answers that a model learns from, in a process and an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.adapters.chat.attach import save_adapter
from studio.adapters.chat.vllm import stock_vllm_verdict
from studio.core.errors import StudioError, UserError
from studio.models.chat.generation import Written
from studio.models.decoding import Decoding
from studio.models.vllm_environment import Environment, engine_variables, find_environment
from studio.schema.adapter import ChatAdapter

LOG = "vllm.log"
_WORKER = Path(__file__).with_name("vllm_worker.py")
_SEEDS = 1 << 63
_TOLD_LINES = 6


@dataclass(frozen=True)
class Engine:
    """What the engine is opened with. model: folder of the base. dtype: name of the number type. rank: of the adapter as saved.

    tokens: longest prompt with its answer. memory: share of the GPU's memory; a CPU takes what it needs.
    """

    model: Path
    dtype: str
    rank: int
    tokens: int
    memory: float


def check_writer(adapter: ChatAdapter, start_rank: int = 0) -> Environment:
    """VLLM's environment, when it is there and takes what this preset trains.

    Args:
        start_rank: of the adapter of the run that is trained on.
    Raises:
        UserError: vLLM is not installed, or cannot write with such an adapter.
    """
    if adapter.method != "lora":
        raise UserError(
            f"grpo.writer vllm takes up the weights of every step as a LoRA, and method {adapter.method} trains others. Set "
            "method: lora, or grpo.writer: transformers."
        )
    if reasons := stock_vllm_verdict(adapter, start_rank=start_rank):
        raise UserError(f"grpo.writer vllm cannot write with this adapter: {reasons[0]} Or set grpo.writer: transformers.")
    return find_environment()


class VllmWriter:
    """An engine that takes up the adapter of a step and writes answers with it.

    Greedy answers are those of the base and adapter up to near ties: vLLM sums in another order. Drawn answers depend on weights
    and seed, not on which others are written at their side, as far as its sums do not.
    """

    def __init__(self, environment: Environment, engine: Engine, adapter: ChatAdapter, run_folder: Path) -> None:
        """Start the engine; it is ready before this returns.

        Raises:
            StudioError: it ended; the end of its log is in the message.
        """
        self._lora, self._log = adapter.lora, run_folder / LOG
        self._folder = run_folder / ".vllm"
        self._number = 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(environment.python), "-u", str(_WORKER)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=engine_variables(environment), start_new_session=True,  # Ctrl-C is for the training, which ends it in order
            )  # fmt: skip
        try:
            self._ask(_opening(environment, engine, adapter.seed, start_rank=engine.rank))
        except BaseException:
            self.close()
            raise

    def write(
        self, model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding, *, ends: frozenset[int], seeds: Sequence[int]
    ) -> list[tuple[Written, list[float]]]:
        """An answer to each prompt by the model as it is, and the log-probability of each of its tokens and of its end.

        Raises:
            StudioError: the engine ended, or the disk is full.
        """
        self._number += 1
        place = self._folder / str(self._number)
        self._folder.mkdir(exist_ok=True)
        save_adapter(model, place, self._lora)
        chosen = {
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "top_k": decoding.top_k or -1,
        }
        batch = {"number": self._number, "adapter": str(place), "prompts": [list(ids) for ids in prompts], "decoding": chosen}
        found = self._ask(batch | {"ends": sorted(ends), "seeds": [seed % _SEEDS for seed in seeds]})
        shutil.rmtree(place, ignore_errors=True)
        return [(_written(each["ids"], ends), each["logprobs"]) for each in found]

    def close(self) -> None:
        """End the engine; nothing of it stays but its log."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(OSError):  # it is gone already
                self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, question: dict[str, Any]) -> Any:
        """One line there, one line back."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            end = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_TOLD_LINES:])
            raise StudioError(f"vLLM ended while it was to write answers. All it said is in {self._log}; the end:\n{end}")
        return json.loads(line)


def _opening(environment: Environment, engine: Engine, seed: int, *, start_rank: int) -> dict[str, Any]:
    """Arguments of vLLM's ``LLM``: log-probabilities are those of what is drawn from, after the temperature."""
    arguments = {
        "model": str(engine.model), "dtype": engine.dtype, "max_model_len": engine.tokens, "seed": seed,
        "enable_lora": True, "max_loras": 1, "max_lora_rank": start_rank, "logprobs_mode": "processed_logprobs",
        "disable_log_stats": True, "skip_tokenizer_init": True,
    }  # fmt: skip
    if environment.build == "cpu":
        return arguments | {"enforce_eager": True}
    return arguments | {"gpu_memory_utilization": engine.memory}


def _written(ids: Sequence[int], ends: frozenset[int]) -> Written:
    """Ids without the one that ended them."""
    if ids and ids[-1] in ends:
        return Written(list(ids[:-1]), False, ids[-1])
    return Written(list(ids), True)
