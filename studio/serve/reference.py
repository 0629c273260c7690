"""What the server must answer: written by PEFT in a process of its own, so that no model stays in memory beside vLLM.

``prepare`` starts ``python -m studio.serve.reference``, which checks the runs, finds the end tokens, and writes greedy answers of
each tuned model to eight conversations, with what the base says beside. Answers are kept: the same run is not asked twice.

Legend: s tokens of a prompt and its answer so far, v vocabulary.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core import errors
from studio.core.errors import StudioError
from studio.core.files import sha256_json, write_json
from studio.serve.conversations import Talk, parity_conversations

if TYPE_CHECKING:
    from studio.adapters.chat.loading import LoadedRun
    from studio.serve.servable import Servable

TOKENS = 32
# Raised when the way references are made changes, so that older ones are not taken.
_VERSION = 2


@dataclass(frozen=True)
class Prepared:
    """What the launcher needs to know: what is served, the end tokens, and the references by name (empty without a check)."""

    served: list[Servable]
    ends: list[int]
    references: dict[str, dict[str, Any]]


def prepare(
    runs: Sequence[tuple[str, Path]],
    *,
    cache: Path,
    merged: bool = False,
    max_lora_rank: int | None = None,
    dtype: str = "as-trained",
    check: bool = True,
    device: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Check runs and have their references written, in a process that ends before vLLM starts.

    Args:
        runs: (name to serve under, run folder).
        cache: folder of kept references.
        dtype: as in the profile; ``as-trained`` and ``auto`` take the training's.
        device: where PEFT computes; None takes the accelerator, which is still free before vLLM starts.
    Raises:
        StudioError: as :func:`studio.serve.checks.check_run`; the process died.
    """
    from studio.serve.servable import Servable

    request = {
        "runs": [[name, str(folder)] for name, folder in runs],
        "cache": str(cache),
        "merged": merged,
        "max_lora_rank": max_lora_rank,
        "dtype": dtype,
        "check": check,
        "device": device,
    }
    with tempfile.TemporaryDirectory() as temporary:
        asked, told = Path(temporary) / "request.json", Path(temporary) / "answer.json"
        write_json(asked, request)
        command = [sys.executable, "-m", "studio.serve.reference", str(asked), str(told)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            lines: list[str] = []
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if line.startswith("say: "):
                    say(line[5:].rstrip())
        if not told.is_file():
            end = "\n".join(lines[-8:])
            raise StudioError(f"the process that prepares the models died (exit code {process.returncode}). The end:\n{end}")
        answer = json.loads(told.read_text(encoding="utf-8"))
    if "error" in answer:
        raise getattr(errors, answer["kind"], StudioError)(answer["error"])
    served = [Servable.from_json(entry) for entry in answer["served"]]
    return Prepared(served, answer["ends"], answer["references"])


def look_over(name: str, folder: Path) -> Servable:
    """Check that a run can be served, in this process: no weights are opened, and no server starts beside it.

    Raises:
        StudioError: as :func:`studio.serve.checks.check_run`.
    """
    from studio.serve.checks import check_run

    servable = check_run(folder, name=name, merged=False, max_lora_rank=None)
    if not servable.pools:
        _ends_alone(servable)
    return servable


def write_reference(loaded: LoadedRun, conversations: Sequence[Talk]) -> list[dict[str, Any]]:
    """Greedy answers of PEFT, and whether the base would have said the same.

    Returns:
        Per conversation: ``messages``, ``tools``; ``prompt`` token ids; ``answer`` token ids, the end token included;
        ``margins``, the difference of the top two log-probabilities per token; ``logprobs`` of the tokens by the tuned model and
        ``base_logprobs`` by the base; ``base_agrees`` where the base's first choice is the same token. A conversation that
        the template refuses (a system turn it does not know) is left out.
    """
    from studio.core.errors import DataError
    from studio.models.chat.answers import as_template_wants
    from studio.models.chat.encoding import encode_prompt

    ends = set(end_tokens(loaded))
    found: list[dict[str, Any]] = []
    for talk in conversations:
        try:
            turns = as_template_wants(loaded.template, loaded.tokenizer, talk["messages"])
            prompt = encode_prompt(loaded.tokenizer, loaded.template, turns, tools=talk.get("tools"))
        except DataError:
            continue
        room = _context(loaded) - TOKENS
        if not 0 < len(prompt) <= room:
            continue
        answer, margins, logprobs = _greedy(loaded.model, prompt, ends)
        with loaded.base() as base:
            base_first, base_logprobs = _score(base, prompt, answer)
        found.append(
            {
                **talk,
                "prompt": prompt,
                "answer": answer,
                "margins": margins,
                "logprobs": logprobs,
                "base_logprobs": base_logprobs,
                "base_agrees": [first == token for first, token in zip(base_first, answer, strict=True)],
                "text": loaded.tokenizer.decode(answer, skip_special_tokens=True),
            }
        )
    return found


def end_tokens(loaded: LoadedRun) -> list[int]:
    """Ids that end an answer: the generation config's, the tokenizer's, and those the template closes a turn with."""
    model = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    configured = getattr(model.generation_config, "eos_token_id", None)
    return find_ends(loaded.tokenizer, loaded.template, configured)


def find_ends(tokenizer: Any, template: Any, configured: Any) -> list[int]:
    """As :func:`end_tokens`, from the parts."""
    from studio.models.chat.probing import turn_ends

    ids = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    ids += turn_ends(template, tokenizer)
    return sorted({int(token) for token in ids if token is not None})


def _greedy(model: Any, prompt: list[int], ends: set[int]) -> tuple[list[int], list[float], list[float]]:
    """The most likely continuation token by token: ids, margins, log-probabilities; at most 32."""
    import torch

    answer: list[int] = []
    margins: list[float] = []
    logprobs: list[float] = []
    step, past = torch.tensor([prompt], device=model.device), None  # [1, s]
    with torch.inference_mode():
        while len(answer) < TOKENS:
            output = model(input_ids=step, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = output.past_key_values
            best = output.logits[0, -1].float().log_softmax(-1).topk(2)  # [2] of [v]
            answer.append(int(best.indices[0]))
            margins.append(round(float(best.values[0] - best.values[1]), 5))
            logprobs.append(round(float(best.values[0]), 5))
            if answer[-1] in ends:
                break
            step = best.indices[:1][None]  # [1, 1]
    return answer, margins, logprobs


def _score(model: Any, prompt: list[int], answer: list[int]) -> tuple[list[int], list[float]]:
    """The base's first choice at each position of an answer it is led along, and its log-probabilities of that answer."""
    import torch

    with torch.inference_mode():
        tokens = torch.tensor([prompt + answer[:-1]], device=model.device)  # [1, s]
        logits = model(input_ids=tokens, use_cache=False, logits_to_keep=len(answer)).logits[0].float()  # [len(answer), v]
    scores = logits.log_softmax(-1)
    chosen = scores.gather(-1, torch.tensor(answer, device=model.device)[:, None])[:, 0]
    return logits.argmax(-1).tolist(), [round(value, 5) for value in chosen.tolist()]


def _context(loaded: LoadedRun) -> int:
    """Tokens the model sees at once."""
    model = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 20))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """What :func:`prepare` asked for."""
    from studio.serve.checks import check_run
    from studio.serve.servable import check_together

    servables = [
        check_run(Path(folder), name=name, merged=request["merged"], max_lora_rank=request["max_lora_rank"])
        for name, folder in request["runs"]
    ]
    check_together(servables)
    ends: set[int] = set()
    references: dict[str, dict[str, Any]] = {}
    for servable in servables:
        dtype = servable.dtype if request["dtype"] in {"as-trained", "auto"} else request["dtype"]
        if servable.pools:
            from studio.serve.vectors import kept_vectors

            if request["check"]:
                references[servable.name] = kept_vectors(servable, dtype, Path(request["cache"]), device=request["device"])
        elif request["check"]:
            references[servable.name] = _kept_reference(servable, dtype, request)
            ends.update(references[servable.name]["ends"])
        else:
            ends.update(_ends_alone(servable))
    return {"served": [asdict(servable) for servable in servables], "ends": sorted(ends), "references": references}


def _kept_reference(servable: Servable, dtype: str, request: dict[str, Any]) -> dict[str, Any]:
    """A reference from the cache, or a new one."""
    conversations = parity_conversations(Path(servable.folder), servable.speech)
    about = {
        "version": _VERSION,
        "adapter": servable.adapter_hash,
        "base": servable.base["sha256"],
        "template": servable.template_hash,
        "dtype": dtype,
        "conversations": conversations,
        "libraries": {name: metadata.version(name) for name in ("torch", "transformers", "peft")},
    }
    path = Path(request["cache"]) / f"{sha256_json(about)[:32]}.json"
    if path.is_file():
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        except ValueError:
            path.unlink()
    print(f"say: writing the reference answers of {servable.name} with PEFT, once", flush=True)  # noqa: T201
    import torch

    from studio.adapters.chat.loading import load_run

    device = torch.device(request["device"]) if request["device"] else None
    loaded = load_run(Path(servable.folder), dtype=getattr(torch, dtype), device=device, quantization="none")
    reference = {**about, "run": servable.run, "ends": end_tokens(loaded), "rows": write_reference(loaded, conversations)}
    write_json(path, reference)
    return reference


def _ends_alone(servable: Servable) -> list[int]:
    """The end tokens without loading any weights."""
    from transformers import GenerationConfig

    from studio.adapters.chat.loading import read_template
    from studio.core.workspace import read_run
    from studio.models.bases import ResolvedBase
    from studio.models.chat.loading import load_tokenizer

    folder = Path(servable.path if servable.kind == "model" else servable.base["path"])
    tokenizer = load_tokenizer(ResolvedBase(servable.name, folder, None, "", None, "local"))
    configured = None
    if (folder / "generation_config.json").is_file():
        configured = GenerationConfig.from_pretrained(str(folder)).eos_token_id
    return find_ends(tokenizer, read_template(Path(servable.folder), read_run(Path(servable.folder))), configured)


def main(asked: str, told: str) -> None:
    """The process behind :func:`prepare`: reads a request, writes an answer or one sentence."""
    try:
        answer = _answer(json.loads(Path(asked).read_text(encoding="utf-8")))
    except StudioError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    write_json(Path(told), answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
