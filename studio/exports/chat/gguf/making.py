"""Making a GGUF file of a run, and its proof: read back by transformers always, by llama.cpp where that is installed."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, modeling_gguf_pytorch_utils

from studio.adapters.chat.loading import (
    LoadedRun,
    checked_weights,
    load_run,
    read_template,
    refuse_scorer,
    resolve_recorded_base,
)
from studio.adapters.chat.merge import LIMIT, export_merged
from studio.adapters.saved import saved_settings
from studio.core.environments import find_python
from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size, write_text
from studio.core.telling import Told, size_text
from studio.core.workspace import read_run
from studio.exports.chat.gguf.architectures import Architecture, architecture_of
from studio.exports.chat.gguf.modelfile import go_template, modelfile, read_talk
from studio.exports.chat.gguf.vocabulary import read_vocabulary
from studio.exports.chat.gguf.writer import Marks, count_numbers, mix_of, read_config, write_gguf
from studio.exports.chat.measuring import AGREEMENT, DIVERGENCE, Measured, measure, other_tokens, proof_texts
from studio.exports.chat.proving import asking
from studio.exports.writing import described, finish_export, hold, new_export, told, versions_of
from studio.models.chat.probing import turn_ends
from studio.models.chat.rendering import render
from studio.models.chat.runtimes.llama import K_QUANTS, LLAMA, LlamaRuntime, quantised
from studio.models.exported import ExportRecord
from studio.models.quiet import quiet_transformers

LOSSLESS = ("f32",)
CLOSE = ("q8_0", "f16", "bf16")
"""Forms that have to answer as the run does; the others are measured, and what they lose is said."""
TOKENIZER = "tokenizer"
"""Folder of the run's tokenizer and template beside the file, for whoever encodes prompts outside of llama.cpp."""


def check(run_folder: Path, quant: str) -> None:
    """Look at a run before any work.

    Raises:
        UserError: GGUF cannot hold it here, it has no weights yet, or llama.cpp is needed and not installed.
        StudioError: a file is not the one that the run wrote down.
    """
    record = read_run(run_folder)
    refuse_scorer(run_folder, saved_settings(run_folder))
    if quant in K_QUANTS:
        find_python(LLAMA)
    weights = checked_weights(run_folder, record)
    base = resolve_recorded_base(record)
    read_template(run_folder, record)
    source = weights if record.method == "full" else base.folder
    config = read_config(source)
    architecture_of(config, base.name)
    tokenizer = weights if (weights / "tokenizer.json").is_file() else base.folder
    read_vocabulary(tokenizer, int(config["vocab_size"]), base.name)


def installed() -> bool:
    """Whether llama.cpp is there for the proof."""
    try:
        find_python(LLAMA)
    except UserError:
        return False
    return True


@dataclass(frozen=True)
class Proof:
    """What a file was held against the run by: figures for programs, words for people, and the program that read it."""

    figures: dict[str, Any]
    words: list[tuple[str, str]]
    limits: dict[str, float]
    runtime: str
    measured: Measured


def export_gguf(run_folder: Path, target: Path, quant: str) -> Told:
    """Write a run as a folder with one GGUF file, its Modelfile and its tokenizer.

    Raises:
        UserError: the run has nothing to export, or GGUF cannot hold it.
        StudioError: what was written is not the same model; nothing is left behind.
    """
    name = read_run(run_folder).name
    check_room(run_folder, target, quant)
    with new_export(target) as partial:
        work = partial / "work"
        work.mkdir()
        export_merged(run_folder, work / "merged")
        run = load_run(run_folder, dtype=torch.float32, quantization="none")
        marks = marks_of(run)
        file = partial / f"{name}-{quant}.gguf"
        found = _write(run, work, file, quant, marks)
        mix = mix_of(file)
        proof = prove(run, file, quant, found, merged=work / "merged", marks=marks)
        shutil.rmtree(work)
        template = write_beside(partial, run, marks, file.name)
        words = [*proof.words, ("types of the tensors", ", ".join(f"{kind} {count}" for kind, count in mix.items()))]
        record = ExportRecord(
            form="gguf",
            quant=quant,
            kind="chat",
            run=described(run_folder),
            runtime=proof.runtime,
            proof=proof.figures,
            limits=proof.limits,
            versions=versions_of("gguf", "transformers", "torch", "finetuning-studio"),
            extra={"file": file.name, "types": mix, "ollama": template, **asking(run, TOKENIZER)},
        )
        finish_export(partial, record, words, _use(file.name, template))
    said = told(run_folder, target, record, words, folder_size(target), f"ollama create {name} -f {target / 'Modelfile'}")
    lossy = quant not in LOSSLESS + CLOSE
    measure_it = f"studio eval SUITE --model {target} --baseline {run_folder.parent.name}/{run_folder.name}"
    remarks = [*_warnings(quant, proof, measure_it, lossy=lossy), *([] if template else [NO_TEMPLATE])]
    return replace(said, blocks=(*said.blocks, *(f"\n{remark}" for remark in remarks)))


def check_room(run_folder: Path, target: Path, quant: str) -> None:
    """Refuse to begin what the disk cannot hold: the merged model in float32, and the file (twice where llama.cpp makes it).

    Raises:
        StudioError: says how much is free, and how much is needed.
    """
    record = read_run(run_folder)
    source = run_folder / "model" if record.method == "full" else resolve_recorded_base(record).folder
    needed = count_numbers(source) * (4 + (8 if quant in K_QUANTS or quant in LOSSLESS else 2))
    place = next(
        folder for folder in (target.expanduser().absolute(), *target.expanduser().absolute().parents) if folder.is_dir()
    )
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StudioError(
            f"{place} has {size_text(free)} free, and --to gguf needs about {size_text(needed)} there while it works. "
            "Make room, or give another place with --out."
        )


NO_TEMPLATE = (
    "Ollama's templates cannot say the chat template of this run, so the Modelfile has none: use llama-server, which reads the "
    "template in the file."
)


def _warnings(quant: str, proof: Proof, measure_it: str, *, lossy: bool) -> list[str]:
    """What a person has to know before using the file."""
    found = []
    if lossy and (proof.measured.divergence > DIVERGENCE or proof.measured.agreement < AGREEMENT):
        found.append(
            f"Note: {quant} answers otherwise than the run: another likeliest token at {1 - proof.measured.agreement:.1%} of the "
            f"positions. Measure it before it is used: {measure_it}"
        )
    if not proof.runtime.startswith("llama.cpp"):
        found.append(f"Note: llama.cpp is not installed, so it did not run the file. Install it and export anew: {LLAMA.command}")
    return found


def _write(run: LoadedRun, work: Path, file: Path, quant: str, marks: Marks) -> Architecture:
    """The file; forms of llama.cpp's own by way of one in float32."""
    merged, base = work / "merged", run.base_source.name
    config = read_config(merged)
    found = architecture_of(config, base)
    words = read_vocabulary(merged, int(config["vocab_size"]), base)
    of = Path(base).name  # no folder of this machine
    about = {"name": run.record.name, "description": f"Run {run.record.id} on {of}, written by Finetuning Studio"}
    if run.record.base.get("licence"):
        about["licence"] = str(run.record.base["licence"])
    own = work / "whole.gguf" if quant in K_QUANTS else file
    write_gguf(merged, own, "f32" if quant in K_QUANTS else quant, found=found, words=words, marks=marks, about=about)
    if quant in K_QUANTS:
        quantised(own, file, quant, work)
        own.unlink()
    return found


def marks_of(run: LoadedRun) -> Marks:
    """Special tokens as the run's tokenizer and template use them.

    A mark at the beginning is left to the program only where the tokenizer puts it there by itself and the template writes it
    too; otherwise a prompt would begin with two, or with one that the run has never seen.
    """
    tokenizer = run.tokenizer
    begin = tokenizer.bos_token_id
    itself = begin is not None and list(tokenizer("a")["input_ids"])[:1] == [begin]
    text = render(tokenizer, run.template, [{"role": "user", "content": "a"}], add_generation_prompt=True)
    written = list(tokenizer(text, add_special_tokens=False)["input_ids"])[:1] == [begin]
    configured = getattr(run.model.generation_config, "eos_token_id", None)
    others = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    ends = dict.fromkeys(token for token in (*turn_ends(run.template, tokenizer), *others) if token is not None)
    return Marks(
        template=run.template.text,
        begin=begin,
        adds=itself and written,
        ends=tuple(ends)[:3],
        pad=tokenizer.pad_token_id,
        unknown=tokenizer.unk_token_id,
    )


def prove(run: LoadedRun, file: Path, quant: str, found: Architecture, *, merged: Path, marks: Marks) -> Proof:
    """Hold a written file against the run: in transformers always, in llama.cpp where it is installed.

    Raises:
        StudioError: it makes other tokens, or answers otherwise than its kind of numbers may.
    """
    read = read_back(run, file, merged, held_out=not installed())
    figures: dict[str, Any] = {"transformers": read.figures()}
    words = [("largest logit difference in transformers", f"{read.largest:.1e}")]
    runtime, measured = versions_words(), read
    if installed():
        with LlamaRuntime(file, exact=quant in LOSSLESS) as llama:
            hold_tokens(run, llama, marks)
            measured, runtime = measure(run, llama.logits, who="llama.cpp"), llama.name
        figures["llama.cpp"] = measured.figures()
        words += [("tokens of the prompts", "the same as the run's"), *measured.words()]
    else:
        _hold_tokens_without(run, file)
        words += measured.words()
    form = f"gguf ({quant})"
    if quant in LOSSLESS:
        hold("the largest logit difference in transformers", read.largest, LIMIT, form=form)
    limits = limits_of(form, quant, found, measured)
    return Proof(figures, words, limits, runtime, measured)


def versions_words() -> str:
    """Name and version of transformers, for a proof without llama.cpp."""
    return f"transformers {versions_of('transformers')['transformers']} (weights only)"


def read_back(run: LoadedRun, file: Path, merged: Path, *, held_out: bool) -> Measured:
    """Measure the file as transformers reads it: its weights made float32 again, in the architecture of the merged folder."""
    config = AutoConfig.from_pretrained(merged)
    if config.model_type == "mistral":  # transformers reads it as what it is called in the file
        config = LlamaConfig(**{name: value for name, value in config.to_dict().items() if name != "model_type"})
    with quiet_transformers(), _no_bar():
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, config=config, dtype=torch.float32, local_files_only=True
        ).eval()

    @torch.inference_mode()
    def ask(ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> Any:  # noqa: ARG001 - nothing is kept
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False, logits_to_keep=last).logits[0].float().numpy()

    return measure(run, ask, who="transformers", held_out=held_out)


@contextmanager
def _no_bar() -> Iterator[None]:
    """No progress bar while transformers reads GGUF; it asks none of its own settings."""
    module: Any = modeling_gguf_pytorch_utils
    shown = module.tqdm
    module.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        module.tqdm = shown


def _hold_tokens_without(run: LoadedRun, file: Path) -> None:
    """The same where llama.cpp is missing: the tokens that transformers makes with the tokenizer in the file.

    Raises:
        StudioError: they differ, or it cannot read it; then only llama.cpp can tell.
    """
    try:
        with quiet_transformers(), _no_bar():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        other = other_tokens(run, proof_texts(run), lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])
    except Exception as error:  # transformers knows few tokenizers in GGUF, and fails on others in many ways
        other = f"its tokenizer cannot be read ({type(error).__name__})"
    if other is not None:
        raise StudioError(
            f"transformers cannot show that the gguf export reads prompts as the run does ({other}), so nothing was written. "
            f"llama.cpp can; install it and export anew: {LLAMA.command}"
        )


def hold_tokens(run: LoadedRun, llama: LlamaRuntime, marks: Marks) -> None:
    """Refuse a file whose prompts llama.cpp reads as other tokens, or whose answers it does not end.

    Raises:
        StudioError: says where.
    """
    if (other := other_tokens(run, proof_texts(run), llama.tokens)) is not None:
        raise StudioError(
            f"the gguf export reads prompts otherwise than the run was trained: in llama.cpp {other}, so nothing was written. "
            "Export with --to merged and serve that."
        )
    if (missing := [end for end in marks.ends if end not in llama.ends()]) or llama.adds_bos != marks.adds:
        what = f"does not end answers at {run.tokenizer.decode(missing)!r}" if missing else "begins prompts otherwise"
        raise StudioError(
            f"llama.cpp {what} with the gguf export, so nothing was written. Report this with the run's config.yaml."
        )


def limits_of(form: str, quant: str, found: Architecture, measured: Measured) -> dict[str, float]:
    """Refuse what a kind of numbers may not lose; gives back the limits that held.

    Raises:
        StudioError: one is passed.
    """
    if quant in LOSSLESS and found.exact:
        hold("the largest logit difference", measured.largest, LIMIT, form=form)
        return {"max_logit_difference": LIMIT}
    if quant in LOSSLESS + CLOSE:
        hold("the Kullback-Leibler divergence", measured.divergence, DIVERGENCE, form=form)
        hold("the share of equal likeliest tokens", measured.agreement, AGREEMENT, form=form, least=True)
        return {"divergence": DIVERGENCE, "agreement": AGREEMENT}
    if not math.isfinite(measured.divergence):
        hold("the Kullback-Leibler divergence", measured.divergence, sys.float_info.max, form=form)
    return {}


def write_beside(folder: Path, run: LoadedRun, marks: Marks, file: str, adapter: str | None = None) -> bool:
    """Modelfile, tokenizer and template beside a file; False where the template cannot be said to Ollama."""
    tokenizer = run.tokenizer
    tokenizer.chat_template = run.template.text
    tokenizer.save_pretrained(folder / TOKENIZER)
    write_text(folder / TOKENIZER / "chat_template.jinja", run.template.text)

    def written(messages: Sequence[dict[str, str]], prompt: bool) -> str:
        return render(tokenizer, run.template, list(messages), add_generation_prompt=prompt)

    talk = read_talk(written, str(tokenizer.bos_token) if marks.adds else None)
    template = go_template(talk) if talk is not None else None
    stops = [str(tokenizer.convert_ids_to_tokens(end)) for end in marks.ends]
    write_text(folder / "Modelfile", modelfile(file, template, stops, adapter=adapter))
    return template is not None


def use_in_ollama(template: bool) -> list[str]:
    """How a folder with a Modelfile is used in Ollama, in lines of Markdown; without a template why it is not."""
    if not template:
        return [NO_TEMPLATE, ""]
    commands = ["    ollama create my-model -f Modelfile", "    ollama run my-model"]
    return ["Ollama, with this folder's Modelfile:", "", *commands, ""]


def _use(file: str, template: bool) -> str:
    """How the file is used, in Markdown."""
    server = ["llama.cpp, which takes the chat template from the file:", "", f"    llama-server -m {file} --jinja", ""]
    rest = [f"`{TOKENIZER}/` has the run's tokenizer and template, for programs that encode prompts themselves.", ""]
    measure_it = ["Measure it like a run: `studio eval SUITE --model THIS_FOLDER --baseline RUN`."]
    return "\n".join([*use_in_ollama(template), *server, *rest, *measure_it])
