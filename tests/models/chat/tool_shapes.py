# ruff: noqa: E501 - a template is read in one piece
"""Chat templates with the forms in which stock ones write a call, written for these tests; each is named after who writes it so."""

from __future__ import annotations

from tests.models.chat.shapes import ASK, LAST, OPEN, SAY

_EACH = "{% for call in m.tool_calls %}{% set f = call.function %}"
_TOOLS = "{% if tools %}{{ '<|im_start|>system\\n' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}"
_THOUGHT = "{% if loop.index0 > ns.last and m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}"


def _shape(write: str, *, ask: str = ASK, thought: str = "") -> str:
    """A ChatML-like template with a way of writing calls between an answer's words and its end."""
    return (
        _TOOLS
        + LAST
        + "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}"
        + thought
        + "{{ m.content }}{% if m.tool_calls %}"
        + write
        + "{% endif %}{{ '<|im_end|>\\n' }}{% else %}"
        + SAY
        + "{% endif %}{% endfor %}"
        + ask
    )


CALLS = {
    # Qwen 2.5 and 3, Hermes, SmolLM3, Granite 4.
    "hermes": _shape(
        _EACH
        + "{{ '\\n<tool_call>\\n{\"name\": \"' + f.name + '\", \"arguments\": ' + f.arguments | tojson + '}\\n</tool_call>' }}{% endfor %}",
        thought=_THOUGHT,
    ),
    "qwen3_coder": _shape(
        _EACH
        + "{{ '\\n<tool_call>\\n<function=' + f.name + '>\\n' }}{% for k, v in f.arguments | items %}{{ '<parameter=' + k + '>\\n' }}"
        "{{ v | tojson if v is mapping or (v is sequence and v is not string) else v | string }}{{ '\\n</parameter>\\n' }}{% endfor %}"
        "{{ '</function>\\n</tool_call>' }}{% endfor %}"
    ),
    # GLM 4.5: the prompt may open a thought.
    "glm45": _shape(
        _EACH
        + "{{ '\\n<tool_call>' + f.name + '\\n' }}{% for k, v in f.arguments.items() %}{{ '<arg_key>' + k + '</arg_key>\\n<arg_value>' }}"
        "{{ v if v is string else v | tojson }}{{ '</arg_value>\\n' }}{% endfor %}{{ '</tool_call>' }}{% endfor %}",
        ask=OPEN,
        thought="{{ '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}",
    ),
    "minimax_m2": _shape(
        "{{ '\\n<minimax:tool_call>' }}"
        + _EACH
        + "{{ '\\n<invoke name=\"' + f.name + '\">' }}{% for k, v in f.arguments.items() %}"
        "{{ '<parameter name=\"' + k + '\">' }}{{ v if v is string else v | tojson }}{{ '</parameter>' }}{% endfor %}{{ '</invoke>' }}"
        "{% endfor %}{{ '\\n</minimax:tool_call>' }}"
    ),
    "phi4_mini_json": _shape(
        "{{ '<|tool_call|>[' }}"
        + _EACH
        + "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{{ ', ' if not loop.last }}{% endfor %}{{ ']<|/tool_call|>' }}"
    ),
    "granite": _shape(
        "{{ '<|tool_call|>[' }}"
        + _EACH
        + "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{{ ', ' if not loop.last }}{% endfor %}{{ ']' }}"
    ),
    # Mistral Small 3.2, Magistral.
    "mistral": _shape(
        _EACH + "{{ '[TOOL_CALLS]' + f.name + '[CALL_ID]' + call.id + '[ARGS]' + f.arguments | tojson }}{% endfor %}"
    ),
    # Mistral 7B, Nemo.
    "mistral_list": _shape(
        "{{ '[TOOL_CALLS] [' }}"
        + _EACH
        + "{{ {'name': f.name, 'arguments': f.arguments, 'id': call.id} | tojson }}{{ ', ' if not loop.last }}{% endfor %}{{ ']' }}"
    ),
    # DeepSeek V3, R1: the arguments are a text.
    "deepseek_v3": _shape(
        "{{ '<｜tool▁calls▁begin｜>' }}"
        + _EACH
        + "{{ '<｜tool▁call▁begin｜>' + call.type + '<｜tool▁sep｜>' + f.name + '\\n```json\\n' + f.arguments + '\\n```<｜tool▁call▁end｜>' }}"
        "{% endfor %}{{ '<｜tool▁calls▁end｜>' }}"
    ),
    "deepseek_v31": _shape(
        "{{ '<｜tool▁calls▁begin｜>' }}"
        + _EACH
        + "{{ '<｜tool▁call▁begin｜>' + f.name + '<｜tool▁sep｜>' + f.arguments | tojson + '<｜tool▁call▁end｜>' }}{% endfor %}"
        "{{ '<｜tool▁calls▁end｜>' }}"
    ),
    "kimi_k2": _shape(
        "{{ '<|tool_calls_section_begin|>' }}"
        + _EACH
        + "{{ '<|tool_call_begin|>functions.' + f.name + ':' + loop.index0 | string + '<|tool_call_argument_begin|>' + "
        "f.arguments | tojson + '<|tool_call_end|>' }}{% endfor %}{{ '<|tool_calls_section_end|>' }}"
    ),
    # Command A: thoughts and what is said have frames.
    "cohere": _TOOLS
    + "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}{% if m.reasoning_content %}"
    "{{ '<|START_THINKING|>' + m.reasoning_content + '<|END_THINKING|>' }}{% endif %}{% if m.tool_calls %}{{ '<|START_ACTION|>[' }}"
    + _EACH
    + "{{ {'tool_call_id': loop.index0 | string, 'tool_name': f.name, 'parameters': f.arguments} | tojson }}{{ ', ' if not loop.last }}"
    "{% endfor %}{{ ']<|END_ACTION|>' }}{% else %}{{ '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' }}{% endif %}{{ '<|im_end|>\\n' }}"
    "{% else %}" + SAY + "{% endif %}{% endfor %}" + ASK,
    # Command R.
    "cohere_action": _shape(
        "{{ 'Action: ```json\\n[' }}"
        + _EACH
        + "{{ {'tool_name': f.name, 'parameters': f.arguments} | tojson }}{{ ', ' if not loop.last }}{% endfor %}{{ ']```' }}"
    ),
    "lfm2": _shape(
        "{{ '<|tool_call_start|>[' }}"
        + _EACH
        + "{{ f.name + '(' }}{% for k, v in f.arguments.items() %}{{ k + '=' }}{{ v | tojson }}{{ ', ' if not loop.last }}{% endfor %}"
        "{{ ')' }}{{ ', ' if not loop.last }}{% endfor %}{{ ']<|tool_call_end|>' }}"
    ),
    # Llama 3.1: one call, nothing beside it.
    "llama3_json": _TOOLS
    + "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
    "{{ raise_exception('one call at a time') }}{% endif %}{% set f = m.tool_calls[0].function %}"
    "{{ '{\"name\": \"' + f.name + '\", \"parameters\": ' + f.arguments | tojson + '}' }}{% else %}{{ m.content }}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}" + ASK,
    # gpt-oss: channels, thoughts under another name and of the last turn only.
    "harmony": _TOOLS + "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.thinking and (loop.last or m.tool_calls) %}"
    "{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}{% if m.tool_calls %}"
    "{% set f = m.tool_calls[0].function %}{{ '<|start|>assistant to=functions.' + f.name + '<|channel|>commentary json<|message|>' + "
    "f.arguments | tojson + '<|call|>' }}{% else %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + "
    "('<|return|>' if loop.last else '<|end|>') }}{% endif %}{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
}

CALL_MARKS = [
    "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]", "<|tool_call|>", "<|call|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_ACTION|>",
    "<|END_ACTION|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|tool_call_start|>", "<|tool_call_end|>",
]  # fmt: skip
"""Control tokens of these shapes, beside those of the others."""
