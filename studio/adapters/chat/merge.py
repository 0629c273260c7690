"""A Run as one plain model folder: the adapter folded into the unquantised base, proven equal before it is called done."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from studio.adapters.chat.loading import LoadedRun, load_run
from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size, new_folder, sha256_file, write_json
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.chat.rows import read_split
from studio.models.bases import ResolvedBase
from studio.models.chat.encoding import encode_prompt
from studio.models.chat.loading import load_causal_lm
from studio.models.chat.probing import turn_ends
from studio.models.chat.templates import ChatTemplate
from studio.models.quiet import quiet_transformers
from studio.models.weights import MANIFEST

logger = logging.getLogger("studio")

# Largest difference of any logit that still counts as the same model (float32 sums in another order differ by 1e-5).
LIMIT = 1e-3
PROMPTS = 16
PROMPT_TOKENS = 512
# Logits are compared at the last positions of a prompt: 16 prompts of 32 positions of 128,256 words are 263 MB.
POSITIONS = 32

_BUILT_IN = (
    "What can you help me with?",
    "Explain in two sentences why the sky is blue.",
    "Write a polite e-mail that moves a meeting to Thursday.",
    "List three things to check before buying a used bicycle.",
    "What is 17 times 23?",
    "Translate 'good morning' into French, German and Spanish.",
    "Summarise the story of Robinson Crusoe in one sentence.",
    "How do I boil an egg so that the yolk stays soft?",
    "Give me a name for a small bakery by the sea.",
    "Why do leaves change colour in autumn?",
    "What is the difference between weather and climate?",
    "Write a Python function that returns the larger of two numbers.",
    "My printer does not answer. What should I try first?",
    "Is it safe to mix bleach and vinegar?",
    "Tell me something about the city of Lisbon.",
    "How many days are there in a leap year?",
)


@dataclass(frozen=True)
class ExportResult:
    """A merged model.

    max_difference: largest absolute difference of a logit between the saved folder and base plus adapter, in float32.
    rounding_difference: the same after rounding to ``dtype``, None for float32.
    quantized_difference: between the saved folder and the quantised base plus adapter it was trained as; None without one.
    quantized_agreement: share of positions where both name the same next token.
    prompts_from: ``dataset`` or ``built-in``, or both.
    bytes: size of the folder.
    """

    folder: Path
    dtype: str
    prompts: int
    prompts_from: str
    max_difference: float
    rounding_difference: float | None
    quantized_difference: float | None
    quantized_agreement: float | None
    bytes: int


def export_merged(
    run_folder: Path,
    target: Path,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | None = None,
) -> ExportResult:
    """Write base plus adapter as one folder of safetensors with tokenizer and template, and prove that it is the same model.

    Args:
        target: must not exist.
    Raises:
        UserError: the target exists.
        Others as :func:`write_merged`; nothing is left behind.
    """
    target = target.expanduser()
    if target.exists():
        raise UserError(f"{target} exists already and is not overwritten. Move it away or give another folder with --out.")
    with new_folder(target) as partial:
        result = write_merged(run_folder, partial, dtype=dtype, device=device)
    return replace(result, folder=target)


def write_merged(
    run_folder: Path,
    folder: Path,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | None = None,
) -> ExportResult:
    """The same into an empty folder that is there, which the caller puts into view.

    The proof reads the written folder back and compares its logits with those of base plus adapter on 16 prompts. After
    QLoRA the *unquantised* base is merged (peft #2321), and how far that is from the quantised model is reported.

    Args:
        dtype: ``bfloat16`` halves the folder; the proof is made before rounding, and the rounding is reported apart.
        device: None means the accelerator, else the CPU.
    Raises:
        UserError: the run has nothing to export.
        StudioError: a logit differs by more than 1e-3.
    """
    quantized = _quantized_logits(run_folder, device)
    run = load_run(run_folder, dtype=torch.float32, device=device, quantization="none")
    prompts, source = comparison_prompts(run)
    before = prompt_logits(run.model, prompts)
    model = run.model.merge_and_unload() if run.record.method != "full" else run.model
    name = run.base_source.name
    _save_plain(model, run.tokenizer, run.template, folder)
    del model, run
    gc.collect()
    after = _read_back(folder, name, prompts, device)
    difference = largest(before, after)
    if not difference <= LIMIT:
        raise StudioError(
            f"the merged model is not the same: a logit differs by {difference:.2e} on {len(prompts)} prompts (at most "
            f"{LIMIT:.0e} is allowed), so nothing was written. Keep the adapter, and report this with the run's config.yaml."
        )
    rounding = None
    if dtype == "bfloat16":
        _round_to_bfloat16(folder)
        rounding = largest(before, _read_back(folder, name, prompts, device))
    _finish(folder, run_folder, difference)
    return ExportResult(
        folder,
        dtype,
        len(prompts),
        source,
        difference,
        rounding,
        largest(quantized, after) if quantized else None,
        agreement(quantized, after) if quantized else None,
        folder_size(folder),
    )


def _save_plain(model: Any, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, folder: Path) -> None:
    """A model without adapters, with its tokenizer and template."""
    # No trace of this machine's folders, and generation with a cache, whatever training needed.
    model.config._name_or_path = ""
    model.config.use_cache = True
    model.generation_config = _generation_config(model, tokenizer, template)
    with quiet_transformers():
        model.save_pretrained(folder)
    tokenizer.chat_template = template.text
    tokenizer.save_pretrained(folder)


def comparison_conversations(run: LoadedRun) -> tuple[list[list[dict[str, str]]], str]:
    """16 conversations up to where the assistant is to speak: from the test split of the run's dataset where it is there, filled
    up with built-in ones; and where they come from.
    """
    conversations: list[list[dict[str, str]]] = []
    try:
        for row in read_split(run_dataset(run.record, Workspace.around(run.folder)), "test"):
            last = max((index for index, turn in enumerate(row.messages) if turn["role"] == "assistant"), default=0)
            if last:
                conversations.append(row.messages[:last])
    except StudioError as error:
        logger.warning("The run's dataset cannot be read (%s); comparing on built-in prompts.", error)
    own = len(conversations[:PROMPTS])
    conversations = conversations[:PROMPTS] + [[{"role": "user", "content": text}] for text in _BUILT_IN[own:]]
    return conversations, "dataset" if own == PROMPTS else "built-in" if own == 0 else "dataset and built-in"


def comparison_prompts(run: LoadedRun) -> tuple[list[list[int]], str]:
    """Token ids of :func:`comparison_conversations`, and where they come from."""
    conversations, source = comparison_conversations(run)
    limit = min(PROMPT_TOKENS, int(getattr(run.model.config, "max_position_embeddings", PROMPT_TOKENS)))
    return [encode_prompt(run.tokenizer, run.template, messages)[-limit:] for messages in conversations], source


@torch.inference_mode()
def prompt_logits(model: Any, prompts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Float32 logits [<=32, v] at the last positions of each prompt, on the CPU."""
    found = []
    for ids in prompts:
        tokens = torch.tensor([ids], device=model.device)  # [1, s]
        found.append(model(input_ids=tokens, use_cache=False).logits[0, -POSITIONS:].float().cpu())
    return found


def largest(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Largest absolute difference of any logit; not-a-number stays so and fails every comparison."""
    return float(torch.stack([(one - other).abs().max() for one, other in zip(left, right, strict=True)]).max())


def agreement(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Share of positions where the most likely next token is the same."""
    same = torch.cat([one.argmax(-1) == other.argmax(-1) for one, other in zip(left, right, strict=True)])
    return float(same.float().mean())


def _quantized_logits(run_folder: Path, device: torch.device | None) -> list[Tensor] | None:
    """Logits of the run as it was trained, when that was on a quantised base."""
    if read_run(run_folder).method == "full" or saved_settings(run_folder).get("quantization", "none") == "none":
        return None
    run = load_run(run_folder, device=device)
    found = prompt_logits(run.model, comparison_prompts(run)[0])
    del run
    gc.collect()
    return found


def _read_back(folder: Path, name: str, prompts: Sequence[Sequence[int]], device: torch.device | None) -> list[Tensor]:
    """Logits of a written folder, loaded as anybody would load it, computed in float32."""
    base = ResolvedBase(name, folder, None, "", None, "local")
    return prompt_logits(load_causal_lm(base, dtype=torch.float32, device=device), prompts)


def _generation_config(model: Any, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> GenerationConfig:
    """The base's generation settings, stopping also at the tokens that end a turn in this template."""
    config: GenerationConfig = model.generation_config
    known = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    ends = [token for token in known if token is not None]
    ends += [token for token in turn_ends(template, tokenizer) if token not in ends]
    config.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    return config


def _round_to_bfloat16(folder: Path) -> None:
    """Rewrite the weight files in bfloat16, one at a time, and say so in the configuration."""
    from safetensors.torch import load_file, save_file

    for path in sorted(folder.glob("*.safetensors")):
        rounded = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value for name, value in load_file(path).items()
        }
        save_file(rounded, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = json.loads(index.read_text(encoding="utf-8"))
        table.get("metadata", {}).pop("total_size", None)
        write_json(index, table)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", config | {"dtype": "bfloat16"})


def _finish(folder: Path, run_folder: Path, difference: float) -> None:
    """Copy the model card and write down what the folder holds, with a hash of every file."""
    card = run_folder / "README.md"
    if card.is_file():
        (folder / "TRAINING.md").write_bytes(card.read_bytes())
    record = read_run(run_folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    write_json(
        folder / MANIFEST,
        {
            "format": 1,
            "name": f"{record.name} merged",
            "source": f"run {record.id}, merged into {record.base.get('name')}",
            "revision": record.base.get("revision"),
            "licence": record.base.get("licence"),
            "max_logit_difference": difference,
            "files": {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()},
        },
    )
