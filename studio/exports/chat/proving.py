"""What every form is held to that is asked in a process of its own: the same prompts, the distance to the run, greedy answers."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.adapters.chat.loading import LoadedRun, checked_weights, read_template, refuse_scorer, resolve_recorded_base
from studio.adapters.chat.merge import LIMIT, comparison_conversations
from studio.adapters.saved import saved_settings
from studio.core.environments import run_script
from studio.core.errors import DataError, StudioError
from studio.core.workspace import read_run
from studio.exports.chat.measuring import AGREEMENT, DIVERGENCE, Measured, measure, other_tokens, proof_texts
from studio.exports.writing import hold
from studio.models.chat.encoding import encode_prompt
from studio.models.chat.generation import context_length, end_tokens, write_answers
from studio.models.chat.runtimes.process import AnsweringRuntime
from studio.models.decoding import Decoding

ANSWERS, ANSWER_TOKENS = 8, 32


@dataclass(frozen=True)
class Proof:
    """What a folder was held against the run by: figures for programs, words for people, and the program that read it."""

    figures: dict[str, Any]
    words: list[tuple[str, str]]
    runtime: str
    measured: Measured


def check_run(run_folder: Path) -> tuple[Path, str]:
    """What every form asks of a run before any work; gives back the folder with its model's configuration, and its base's name.

    Raises:
        UserError: the run has no weights yet, or is no chat.
        StudioError: a file is not the one that the run wrote down.
    """
    record = read_run(run_folder)
    refuse_scorer(run_folder, saved_settings(run_folder))
    weights = checked_weights(run_folder, record)
    base = resolve_recorded_base(record)
    read_template(run_folder, record)
    return (weights if record.method == "full" else base.folder), base.name


def asking(run: LoadedRun, tokenizer: str = ".") -> dict[str, Any]:
    """What a record says for whoever asks the export: ``tokenizer``, ``template``, ``ends`` and ``train_on``.

    Args:
        tokenizer: the folder inside the export that has the run's.
    """
    last = saved_settings(run.folder).get("train_on") == "last_assistant"
    return {
        "tokenizer": tokenizer,
        "template": run.template.record(),
        "ends": sorted(end_tokens(run.model, run.tokenizer, run.template)),
        "train_on": "last_assistant" if last else "assistant",
    }


def prove(run: LoadedRun, runtime: AnsweringRuntime, form: str) -> Proof:
    """Ask the program for tokens, logits and answers, and hold them against the run.

    Args:
        run: loaded in float32, unquantised.
    Raises:
        StudioError: it reads prompts otherwise; the message says where.
    """
    hold_prompts(run, runtime, form)
    measured = measure(run, runtime.logits, who=runtime.name)
    same, written = equal_answers(run, runtime)
    figures = {**measured.figures(), "greedy_tokens_equal": same, "greedy_tokens": written}
    answers = f"{same} of {written} tokens are the run's ({ANSWERS} answers, each up to its first other token)"
    words = [("tokens of the prompts", "the same as the run's"), *measured.words(), ("greedy answers", answers)]
    return Proof(figures, words, runtime.name, measured)


def hold_prompts(run: LoadedRun, runtime: AnsweringRuntime, form: str) -> None:
    """Refuse a folder whose prompts the program reads as other tokens than the run was trained with.

    Raises:
        StudioError: says where.
    """
    where = f"the {form} export reads prompts otherwise than the run was trained"
    remedy = "so nothing was written. Export with --to merged and serve that with studio serve."
    if (other := other_tokens(run, proof_texts(run), runtime.tokens)) is not None:
        raise StudioError(f"{where}: in {runtime.name} {other}, {remedy}")
    for messages in comparison_conversations(run)[0]:
        try:
            wanted = encode_prompt(run.tokenizer, run.template, messages)
        except DataError:
            continue
        if runtime.prompt(messages) != wanted:
            raise StudioError(
                f"{where}: {runtime.name} writes the turns of {messages[-1]['content'][:40]!r}… otherwise, {remedy}"
            )


def equal_answers(run: LoadedRun, runtime: AnsweringRuntime) -> tuple[int, int]:
    """How many tokens of the run's greedy answers the program writes too, each up to its first other token, and of how many.

    The token that ends an answer counts, so that an export that does not end is seen.
    """
    conversations, _ = comparison_conversations(run)
    ends = end_tokens(run.model, run.tokenizer, run.template)
    context = min(runtime.context, context_length(run.model, run.tokenizer))
    prompts = [ids for ids in (_encoded(run, each) for each in conversations[:ANSWERS]) if 0 < len(ids) < context]
    decoding = Decoding(max_new_tokens=ANSWER_TOKENS)
    answers = write_answers(run.model, prompts, decoding, ends=ends, context=context, batch_size=1)
    same = total = 0
    for prompt, answer in zip(prompts, answers, strict=True):
        if answer is None:
            continue
        wanted = [*answer.ids, *([] if answer.end is None else [answer.end])]
        found = runtime.write(prompt, len(wanted))
        total += len(wanted)
        same += next(
            (at for at, both in enumerate(zip(wanted, found, strict=False)) if both[0] != both[1]), min(len(wanted), len(found))
        )
    return same, total


def _encoded(run: LoadedRun, messages: Sequence[dict[str, str]]) -> list[int]:
    """Ids of a prompt; none where the template refuses it."""
    try:
        return encode_prompt(run.tokenizer, run.template, messages)
    except DataError:
        return []


def written_by(python: Path, script: Path, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a script that writes files answers; see :func:`studio.core.environments.run_script`.

    Raises:
        OSError: the disk was full, as if this process had written.
        StudioError: it failed otherwise.
    """
    try:
        answer: dict[str, Any] = run_script(python, script, question, folder=folder)
    except StudioError as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise OSError(errno.ENOSPC, full) from error
        raise
    return answer


def limits_of(form: str, quant: str, measured: Measured) -> dict[str, float]:
    """Refuse what a kind of numbers may not lose; gives back the limits that held. What 4 bits lose is told."""
    if quant == "float32":
        hold("the largest logit difference", measured.largest, LIMIT, form=form)
        return {"max_logit_difference": LIMIT}
    if quant == "int8":
        hold("the Kullback-Leibler divergence", measured.divergence, DIVERGENCE, form=form)
        hold("the share of equal likeliest tokens", measured.agreement, AGREEMENT, form=form, least=True)
        return {"divergence": DIVERGENCE, "agreement": AGREEMENT}
    hold("the Kullback-Leibler divergence", measured.divergence, sys.float_info.max, form=form)
    return {}


def loses_much(measured: Measured) -> bool:
    """Whether more is lost than 8 bits lose."""
    return not (measured.divergence <= DIVERGENCE and measured.agreement >= AGREEMENT)


def warning(quant: str, measured: Measured) -> str:
    """What a person has to know before using numbers that lose much."""
    return (
        f"Note: {quant} answers otherwise than the run: another likeliest token at {1 - measured.agreement:.1%} of the "
        "positions. Measure it before it is used: studio eval SUITE --model FOLDER --baseline RUN"
    )
