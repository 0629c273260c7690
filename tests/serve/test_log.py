"""Why vLLM ended and how far it came, from logs as it writes them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from studio.serve.log import WaitingLine, cause_of_death, log_end, stage_of

VALIDATION = """  File "arg_utils.py", line 1955, in create_model_config
             ^^^^^^^^^^^^
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (99999999) is greater than the derived one. [type=value_error, input_value=x]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
ENGINE = """(EngineCore pid=7) ERROR 11-22 08:42:52 [core.py:900] ValueError: No available memory for the cache blocks.
(EngineCore pid=7) ERROR 11-22 08:42:53 [core.py:901] Traceback (most recent call last):
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
FLAG = "usage: api_server.py [-h]\napi_server.py: error: argument --max-num-seqs: invalid int value: 'x'\n"


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        (VALIDATION, 1, "Value error, User-specified max_model_len (99999999) is greater than the derived one."),
        (ENGINE, 1, "ValueError: No available memory for the cache blocks."),
        (FLAG, 2, "argument --max-num-seqs: invalid int value: 'x'."),
        ("all is well\n", -9, "it was killed (signal 9), usually because the machine ran out of memory."),
        ("", 3, "it left with exit code 3 and named no error."),
        ("", -11, "it left with signal 11."),
    ],
)
def test_the_cause_is_one_sentence(tmp_path: Path, text: str, code: int, told: str) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(text)
    assert cause_of_death(log, code).endswith(told)


def test_the_end_of_a_log_is_short_and_readable(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("\n".join(f"line {number} " + "x" * 1000 for number in range(50)) + "\n   ^^^^^\n\n")
    end = log_end(log).splitlines()
    assert len(end) == 12 and end[-1].startswith("  line 49") and all(len(line) <= 242 for line in end)
    assert log_end(tmp_path / "none") == ""


def test_stages_follow_the_log(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    assert stage_of(log) == "loading vLLM"
    log.write_text("INFO Initializing a V1 LLM engine (v0.32.0)\n")
    assert stage_of(log) == "starting the engine"
    log.write_text(log.read_text() + "INFO CPU KV cache size: 23,296 tokens\n")
    assert stage_of(log) == "warming up"
    stream = io.StringIO()
    line = WaitingLine("starting vLLM", stream)
    for stage in ("a", "a", "b"):
        line.show(stage)
    assert [text[-1] for text in stream.getvalue().splitlines()] == ["a", "b"]
