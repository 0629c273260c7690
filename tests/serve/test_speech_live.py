"""vLLM's parsers, in its own Python, on what templates write: those that are chosen read calls back, whole and streamed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from studio.adapters.chat.speech import choose_parsers, read_speech
from studio.core.errors import UserError
from studio.models.chat.probing import CALL, TOOL
from studio.models.chat.templates import choose_template, render
from studio.models.chat.turns import common
from studio.models.vllm_environment import find_environment
from studio.serve.bundle import PLUGIN, write_bundle
from studio.serve.parsers import known_parsers
from tests.conftest import tiny_tokenizer
from tests.models.chat.tool_shapes import CALLS

pytestmark = [pytest.mark.serve, pytest.mark.long]

# Reads what it is given as a server would: the whole answer, then one token after the other.
READER = """
import json, sys
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.parser_manager import ParserManager
from vllm.reasoning import ReasoningParserManager

work = json.load(open(sys.argv[1]))
ReasoningParserManager.import_reasoning_parser(work["plugin"])
found = []
for case in work["cases"]:
    tokenizer = AutoTokenizer.from_pretrained(case["tokenizer"])
    request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "a"}], tools=case["tools"])
    kind = ParserManager.get_parser(
        tool_parser_name=case["parser"], reasoning_parser_name=case["thoughts"], enable_auto_tools=True, tokenizer=tokenizer
    )
    parser = kind(tokenizer, tools=request.tools, chat_template_kwargs={})
    ids = tokenizer.encode(case["text"], add_special_tokens=False)
    thought, said, calls = parser.parse(case["text"], request, enable_auto_tools=True, model_output_token_ids=ids)
    whole = [thought or "", said or "", [[call.name, call.arguments] for call in calls or []]]
    parser, streamed, before = kind(tokenizer, tools=request.tools, chat_template_kwargs={}), ["", "", []], ""
    for place in range(len(ids)):
        text = tokenizer.decode(ids[: place + 1], skip_special_tokens=False)
        if text.endswith("\\ufffd") and place + 1 < len(ids):
            text = before
        delta = parser.parse_delta(
            text[len(before) :], [ids[place]], request, prompt_token_ids=ids[:1], finished=place + 1 == len(ids)
        )
        before = text
        for part in (delta.tool_calls or []) if delta else []:
            if part.function.name:
                streamed[2].append([part.function.name, ""])
            streamed[2][-1][1] += part.function.arguments or ""
        if delta:
            streamed[0] += delta.reasoning or ""
            streamed[1] += delta.content or ""
    found.append([whole, streamed])
json.dump(found, open(sys.argv[2], "w"))
"""


def written(tokenizer: Any, template: Any) -> str:
    """How a template writes the call, without its frame."""
    asked = [{"role": "user", "content": "a"}]
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "call00001", "type": "function", "function": CALL}]}
    prompt = render(tokenizer, template, asked, tools=[TOOL], add_generation_prompt=True)
    whole = render(tokenizer, template, [*asked, called], tools=[TOOL])
    text = re.sub(r"(<\|im_end\|>)?\s*$", "", whole[len(common(whole, prompt)) :])
    return re.sub(r"^\s*</think>\s*", "", text)  # where the prompt had opened a thought


def read(tmp_path: Path, cases: list[dict[str, Any]]) -> list[Any]:
    """What vLLM reads, in a process of its Python."""
    environment = find_environment("cpu")
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "reader.py").write_text(READER, encoding="utf-8")
    (tmp_path / "work.json").write_text(json.dumps({"plugin": str(bundle / PLUGIN), "cases": cases}), encoding="utf-8")
    (tmp_path / "guard.json").write_text(json.dumps({"speech": {"mark": "<think>", "opened": False}}), encoding="utf-8")
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    variables |= {"PYTHONPATH": str(bundle), "STUDIO_GUARD": str(tmp_path / "guard.json"), "VLLM_LOGGING_LEVEL": "ERROR"}
    command = [str(environment.python), str(tmp_path / "reader.py"), str(tmp_path / "work.json"), str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=variables)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = json.loads((tmp_path / "found.json").read_text())
    return found


def test_the_chosen_parsers_read_calls_and_thoughts(tmp_path: Path) -> None:
    try:
        known = known_parsers(find_environment("cpu"))
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    cases: list[dict[str, Any]] = []
    names = []
    for shape, text in CALLS.items():
        tokenizer = tiny_tokenizer()
        marks = sorted(set(re.findall(r"<[|｜][^<>']*?[|｜]>|\[TOOL_CALLS\]|<\|python_tag\|>", text)) | {"<|python_tag|>"})
        tokenizer.add_tokens(marks, special_tokens=True)
        (tmp_path / "t.jinja").write_text(text, encoding="utf-8")
        template = choose_template(tokenizer, str(tmp_path / "t.jinja"), "tiny")
        parsers = choose_parsers(read_speech(template, tokenizer, "llama"), *known)
        if parsers.tools is None:
            continue
        tokenizer.save_pretrained(tmp_path / shape)
        told = written(tokenizer, template)
        case = {"tokenizer": str(tmp_path / shape), "tools": [TOOL], "parser": parsers.tools, "thoughts": None}
        cases.append(case | {"text": told})
        names.append(shape)
    wanted = {"hermes", "qwen3_coder", "glm45", "granite", "mistral_list", "deepseek_v3", "kimi_k2", "lfm2", "llama3_json"}
    assert wanted <= set(names)
    thoughts = {"tokenizer": str(tmp_path / "hermes"), "tools": [TOOL], "parser": "hermes", "thoughts": "studio_thoughts"}
    called = '<tool_call>\n{"name": "x", "arguments": {}}\n</tool_call>'
    for text in ("Just an answer.", "<think>\nHm.\n</think>\n\nSo it is.", f"<think>\nHm.\n</think>\n\n{called}", called):
        cases.append(thoughts | {"text": text})
    gemma = f'<|tool_call>call:{CALL["name"]}{{place:<|"|>Oslo<|"|>,days:3}}<tool_call|>'
    cases.append(thoughts | {"parser": "gemma4", "thoughts": None, "text": gemma})
    found = read(tmp_path, cases)
    for shape, case, both in zip(names, cases, found, strict=False):
        for how, (thought, said, calls) in zip(("whole", "streamed"), both, strict=True):
            values = [(name, json.loads(arguments)) for name, arguments in calls]
            assert values == [(CALL["name"], CALL["arguments"])], (shape, how, case["text"], said, calls)
            assert not thought and not said.strip(), (shape, how, said)
    expected = [["", "Just an answer.", []], ["Hm.", "So it is.", []], ["Hm.", "", [["x", "{}"]]], ["", "", [["x", "{}"]]]]
    expected.append(["", "", [[CALL["name"], '{"place": "Oslo", "days": 3}']]])
    for right, both in zip(expected, found[len(names) :], strict=True):
        assert both == [right, right]
