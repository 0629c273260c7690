"""The loop of a runtime's script: a line of JSON in, a line of JSON out. Imported by the scripts beside it, imports nothing."""

import json
import os
import sys
from pathlib import Path
from typing import Any


class WrongQuestionError(Exception):
    """What was asked cannot be done; the message is one sentence."""


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    # Not ru_maxrss, which counts what the process was forked from.
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def common(one: list[int], other: list[int]) -> int:
    """How many tokens at the beginning are the same."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count


def refuse_odd(ids: list[int], last: int, context: int) -> None:
    """Refuse a question for logits that has no answer."""
    if not ids or not 0 < last <= len(ids):
        raise WrongQuestionError(f"{last} positions of {len(ids)} tokens were asked for.")
    if len(ids) > context:
        raise WrongQuestionError(f"{len(ids)} tokens are more than the context of {context} holds.")


def answer(program: Any) -> None:
    """Answer until standard input ends; what libraries print goes to standard error.

    Args:
        program: has a method for each question; one that gives bytes back is asked for logits.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        payload = b""
        try:
            found = peak() if question["do"] == "peak" else getattr(program, question.pop("do"))(**question)
            if isinstance(found, bytes):
                payload, found = found, {"bytes": len(found)}
            said = {"answer": found}
        except WrongQuestionError as error:
            said = {"error": str(error)}
        out.write(json.dumps(said).encode() + b"\n" + payload)
        out.flush()
