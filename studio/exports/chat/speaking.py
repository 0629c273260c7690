"""How fast a run writes, and the memory that takes: ``python -m studio.exports.chat.speaking RUN_FOLDER ANSWER.json``."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

TOKENS = 64
"""Written by each, whether an answer ends before or not."""
ASKED = [{"role": "user", "content": "Write a polite e-mail that moves a meeting to Thursday, and say why."}]


def main() -> None:
    """Load a run as ``studio chat`` does, write, and say how that went; a run that cannot be loaded is one sentence."""
    from studio.adapters.chat.loading import load_run
    from studio.core.errors import StudioError
    from studio.models.chat.encoding import encode_prompt
    from studio.models.chat.generation import context_length, stream_tokens
    from studio.models.decoding import Decoding
    from studio.models.device import number_name
    from studio.models.runtimes.time_program import peak_bytes

    try:
        run = load_run(Path(sys.argv[1]))
    except StudioError as error:
        sys.exit(str(error))
    prompt = encode_prompt(run.tokenizer, run.template, ASKED)
    decoding = Decoding(max_new_tokens=TOKENS + 1)
    tokens = stream_tokens(run.model, prompt, decoding, ends=frozenset(), context=context_length(run.model, run.tokenizer))
    next(tokens)  # reading the prompt is not counted
    started = time.monotonic()
    written = sum(1 for _ in itertools.islice(tokens, TOKENS))
    spoken = {"speed": written / (time.monotonic() - started), "peak": peak_bytes(), "dtype": number_name(run.model.dtype)}
    Path(sys.argv[2]).write_text(json.dumps(spoken), encoding="utf-8")


if __name__ == "__main__":
    main()
