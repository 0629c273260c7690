"""Writes answers with vLLM for a training: a script that runs under vLLM's own Python and imports nothing of the studio.

It reads a line of JSON after the other from standard input and answers each with one on standard output; what vLLM prints goes to
standard error. The first line is what the engine is opened with; each further one is a batch. It ends with its input.
"""

import json
import os
import sys


def main() -> None:
    """Open the engine, then write batch after batch."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints to standard output
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    engine = LLM(**json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        batch = json.loads(line)
        adapter = LoRARequest(f"step-{batch['number']}", batch["number"], batch["adapter"])
        prompts = [{"prompt_token_ids": ids} for ids in batch["prompts"]]
        choices = [
            SamplingParams(
                seed=seed, stop_token_ids=batch["ends"], ignore_eos=True, logprobs=0, detokenize=False, **batch["decoding"]
            )
            for seed in batch["seeds"]
        ]
        found = engine.generate(prompts, choices, lora_request=adapter, use_tqdm=False)
        written = []
        for each in found:
            answer = each.outputs[0]
            ids = list(answer.token_ids)
            chosen = [steps[token].logprob for token, steps in zip(ids, answer.logprobs, strict=True)]
            written.append({"ids": ids, "logprobs": chosen})
        print(json.dumps(written), file=answers, flush=True)


if __name__ == "__main__":
    main()
