"""Mean loss of saved adapters over the rows they were trained on: the same rows, mask and arithmetic for every side.

    python benchmarks/peers/final_loss.py --rows ROWS.jsonl --dtype float32 ADAPTER...

Prints one JSON object: adapter folder -> nats per target token.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from studio.models.bases import resolve_base
from studio.models.chat.encoding import IGNORE, EncodedRow, encode_conversation
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.models.chat.templates import choose_template
from studio.train.chat.batches import collate_padded


@torch.no_grad()
def mean_loss(model: Any, rows: list[EncodedRow], pad_id: int, batch: int = 8) -> float:
    """Sum of the target tokens' negative log-likelihoods, divided by their number."""
    total, count = 0.0, 0
    for start in range(0, len(rows), batch):
        inputs = collate_padded([(row, False) for row in rows[start : start + batch]], pad_id)
        hidden = model.get_decoder()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        positions = inputs["targets"] != IGNORE  # [b, s]
        logits = model.get_output_embeddings()(hidden.last_hidden_state[positions]).float()  # [n, v]
        total += float(torch.nn.functional.cross_entropy(logits, inputs["targets"][positions], reduction="sum"))
        count += int(positions.sum())
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("adapters", nargs="+")
    options = parser.parse_args()
    base = resolve_base(options.base)
    tokenizer = load_tokenizer(base)
    template = choose_template(tokenizer, None, base.name)
    lines = [json.loads(line) for line in options.rows.read_text(encoding="utf-8").splitlines()]
    rows = [encode_conversation(tokenizer, template, line["prompt"] + line["completion"], max_length=1024) for line in lines]
    rows.sort(key=lambda row: -len(row.input_ids))
    losses = {}
    for adapter in options.adapters:
        model = PeftModel.from_pretrained(load_causal_lm(base, dtype=getattr(torch, options.dtype)), adapter)
        losses[adapter] = mean_loss(model.get_base_model().eval(), rows, int(tokenizer.pad_token_id))
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
