"""What the whole quickstart must reach on held-out answers: ``python .ci/expect.py WORKSPACE``. Exits 1 when it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HALF = 0.5
GAINS = ("bleu", "rougeL")


def missed(record: dict[str, object]) -> list[str]:
    """One sentence for each expectation that one report (``scores.json``) does not meet."""
    perplexity = {label: {s["metric"]: s["value"] for s in scores}["perplexity"] for label, scores in record["scores"].items()}
    sentences = []
    if perplexity["tuned"] > HALF * perplexity["base"]:
        sentences.append(
            f"perplexity {perplexity['base']:.1f} -> {perplexity['tuned']:.1f}: at most {HALF} of the base's expected"
        )
    for item in record["differences"]:
        if item["metric"] in GAINS and not (item["low"] is not None and item["low"] > 0):
            sentences.append(f"{item['metric']} {item['value']:+.3f}, interval from {item['low']}: above 0 expected")
    return sentences


if __name__ == "__main__":
    reports = sorted(Path(sys.argv[1]).glob("runs/quickstart/*/evals/chatbot/*/scores.json"))
    if not reports:
        sys.exit(f"no report of the quickstart in {sys.argv[1]}")
    sentences = missed(json.loads(reports[-1].read_text(encoding="utf-8")))
    print("\n".join(sentences) or "The quickstart reached what is expected of it.")
    sys.exit(bool(sentences))
