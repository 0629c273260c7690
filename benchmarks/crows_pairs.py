"""CrowS-Pairs with the starter model: the studio's scorer, a loop with one sentence at a time, and lm-evaluation-harness.

    python benchmarks/crows_pairs.py FOLDER [--pairs 1508] [--write-docs]

FOLDER holds crows_pairs_anonymized.csv. All three score the same pairs with the same loaded model in float32. They take turns,
a part of the pairs each, so that whatever else the machine does falls on all of them. Only scoring is timed, with the encoding of
the text; loading the model and starting the harness is not. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from docs import add_option, write_section
from studio.evals.chat.bias.crows_pairs import Pair, edition, pair_texts, read_crows_pairs
from studio.evals.chat.text_likelihood import encode_texts, text_logprobs
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm, load_tokenizer

Texts = Sequence[tuple[str, str]]
Scorer = Callable[[Texts], list[float]]

# Targets: seconds for the original set on two cores, times the loop's speed, times the harness's speed.
MOST_SECONDS, LEAST_AGAINST_LOOP, LEAST_AGAINST_HARNESS = 240.0, 1.5, 1.0
STUDIO, LOOP, HARNESS = "studio", "loop, one sentence at a time", "lm-evaluation-harness"


def studio_scorer(model: Any, tokenizer: Any, batch_size: int) -> Scorer:
    def score(texts: Texts) -> list[float]:
        found = text_logprobs(model, tokenizer, texts, batch_size=batch_size)
        return [item.sum for item in found if item is not None]

    return score


def loop_scorer(model: Any, tokenizer: Any) -> Scorer:
    """What a person writes first: the whole model and a log-softmax over the vocabulary, sentence by sentence."""

    @torch.inference_mode()
    def score(texts: Texts) -> list[float]:
        sums = []
        for item in encode_texts(tokenizer, texts):
            ids = torch.tensor([item.ids])
            values = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            sums.append(float(values.gather(-1, ids[0, 1:, None]).sum()))
        return sums

    return score


def harness_scorer(model: Any, tokenizer: Any, batch_size: int) -> Scorer:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)

    def score(texts: Texts) -> list[float]:
        asked = [Instance("loglikelihood", {}, text, place) for place, text in enumerate(texts)]
        return [value for value, _ in harness.loglikelihood(asked, disable_tqdm=True)]

    return score


def measure(scorers: dict[str, Scorer], pairs: Sequence[Pair], parts: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Seconds and log-likelihoods of each scorer; the order of the turns changes from part to part."""
    seconds = dict.fromkeys(scorers, 0.0)
    values: dict[str, list[float]] = {name: [] for name in scorers}
    names = list(scorers)
    for number in range(parts):
        texts = pair_texts(pairs[number::parts])
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            found = scorers[name](texts)
            seconds[name] += time.perf_counter() - started
            values[name] += found
            print(f"part {number + 1}/{parts}, {name}: {time.perf_counter() - started:.1f} s", flush=True)
    return seconds, values


def table(seconds: dict[str, float], values: dict[str, list[float]], pairs: int) -> str:
    """Markdown: seconds, pairs per second, how much slower than the studio, pairs with the stereotype preferred."""
    lines = ["| scorer | seconds | pairs/s | time against the studio | stereotype preferred |", "|---|---|---|---|---|"]
    for name, spent in seconds.items():
        sums = values[name]
        preferred = sum(more > less for more, less in zip(sums[::2], sums[1::2], strict=True))
        factor = spent / seconds[STUDIO]
        lines.append(f"| {name} | {spent:.1f} | {pairs / spent:.1f} | {factor:.2f} | {preferred} of {pairs} |")
    return "\n".join(lines)


def missed(seconds: dict[str, float], pairs: int) -> list[str]:
    """Targets that were not reached, in words."""
    ours = seconds[STUDIO]
    found = []
    if pairs == 1508 and ours > MOST_SECONDS:
        found.append(f"{ours:.0f} s, at most {MOST_SECONDS:.0f} wanted")
    for name, least in ((LOOP, LEAST_AGAINST_LOOP), (HARNESS, LEAST_AGAINST_HARNESS)):
        if name in seconds and seconds[name] < least * ours:
            found.append(f"{seconds[name] / ours:.2f} times as fast as {name}, at least {least} wanted")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with crows_pairs_anonymized.csv")
    parser.add_argument("--pairs", type=int, help="score only the first so many pairs")
    parser.add_argument("--batch-size", type=int, default=16, help="texts per forward pass, of the studio and the harness")
    parser.add_argument("--parts", type=int, default=4, help="turns that each takes")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="base model: starter, folder or Hub id")
    parser.add_argument("--without-harness", action="store_true", help="leave lm-evaluation-harness out")
    add_option(parser)
    options = parser.parse_args()
    every = read_crows_pairs(options.folder)
    pairs = every[: options.pairs]
    base = resolve_base(options.model)
    tokenizer = load_tokenizer(base)
    model = load_causal_lm(base, dtype=torch.float32, device=torch.device("cpu"))
    scorers = {STUDIO: studio_scorer(model, tokenizer, options.batch_size), LOOP: loop_scorer(model, tokenizer)}
    if not options.without_harness:
        scorers[HARNESS] = harness_scorer(model, tokenizer, options.batch_size)
    for scorer in scorers.values():
        scorer(pair_texts(pairs[:4]))  # the first call of each is slower
    seconds, values = measure(scorers, pairs, options.parts)
    result = table(seconds, values, len(pairs))
    largest = {
        name: max(abs(ours - theirs) for ours, theirs in zip(values[STUDIO], values[name], strict=True)) for name in scorers
    }
    print(f"\n{result}\n\nlargest difference to the studio, nats: {largest}")
    if options.write_docs:
        body = (
            f"{base.name}, float32, batch size {options.batch_size}, {len(pairs)} pairs ({edition(len(every))}), scored in "
            f"{options.parts} turns each, one after the other in one process.\n\n{result}\n\nLargest difference of a sentence's "
            f"log-likelihood: {max(largest.values()):.1e} nats."
        )
        write_section("crows-pairs", body, packages=("torch", "transformers", "lm-eval"))
    short = missed(seconds, len(pairs))
    for sentence in short:
        print(f"target missed: {sentence}")
    return 1 if short else 0


if __name__ == "__main__":
    raise SystemExit(main())
