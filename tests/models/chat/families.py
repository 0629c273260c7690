# ruff: noqa: E501 - a template is read in one piece
"""Templates with the marks and habits of families whose own are in no installed package, written for these tests."""

from __future__ import annotations

from tests.models.chat.shapes import LAST

_CALL = "{% for call in m.tool_calls %}{% set f = call.function %}"
_JSON = "{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{{ ', ' if not loop.last }}{% endfor %}"

FAMILIES = {
    # Phi-4: a mark between role and words, no line ends.
    "phi4": "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    # Phi-4-mini: tools inside the system turn, roles as marks.
    "phi4_mini": "{% for m in messages %}{% if m.role == 'system' and tools %}{{ '<|system|>' + m.content + '<|tool|>' + tools | tojson + '<|/tool|><|end|>' }}"
    "{% else %}{{ '<|' + m.role + '|>' + m.content }}{% if m.tool_calls %}{{ '<|tool_call|>[' }}"
    + _CALL
    + _JSON
    + "{{ ']<|/tool_call|>' }}{% endif %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}",
    # Granite 3: a date, a system turn of its own, tools as a role, thinking by an argument.
    "granite": "{% if messages[0].role != 'system' %}{{ '<|start_of_role|>system<|end_of_role|>Today is ' + strftime_now('%B %d, %Y') + '.' }}"
    "{% if thinking %}{{ ' Think first.' }}{% endif %}{{ '<|end_of_text|>\\n' }}{% endif %}"
    "{% if tools %}{{ '<|start_of_role|>available_tools<|end_of_role|>' + tools | tojson + '<|end_of_text|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|start_of_role|>' + ('tool_response' if m.role == 'tool' else m.role) + '<|end_of_role|>' + m.content }}"
    "{% if m.tool_calls %}{{ '<|tool_call|>[' }}" + _CALL + _JSON + "{{ ']' }}{% endif %}{{ '<|end_of_text|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}",
    # Mistral Small 3 and Magistral: roles must alternate, ids of nine letters, a blank before nothing.
    "mistral": LAST
    + "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}"
    "{% elif m.role == 'user' %}{% if tools and loop.index0 == ns.last %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}{{ '[INST]' + m.content + '[/INST]' }}"
    "{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}{% elif m.tool_calls %}{{ m.content }}"
    + _CALL
    + "{% if call.id | length != 9 %}"
    "{{ raise_exception('ids have nine letters') }}{% endif %}{{ '[TOOL_CALLS]' + f.name + '[ARGS]' + f.arguments | tojson }}{% endfor %}{{ eos_token }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
    # The same with the tools before the last turn, when that is a question: a finished turn has none.
    "mistral_tools_at_the_end": "{% for m in messages %}{% if m.role == 'user' %}{% if tools and loop.last %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}"
    "{% endif %}{{ '[INST]' + m.content + '[/INST]' }}{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}{% else %}{{ m.content }}{% if m.tool_calls %}"
    "{{ '[TOOL_CALLS] [' }}"
    + _CALL
    + "{{ {'name': f.name, 'arguments': f.arguments, 'id': call.id} | tojson }}{{ ', ' if not loop.last }}{% endfor %}{{ ']' }}{% endif %}{{ eos_token }}"
    "{% endif %}{% endfor %}",
    # SmolLM3: a system turn that says how to think; not to think is an empty thought in the prompt.
    "smollm3": "{% set think = enable_thinking | default(true) %}{{ '<|im_start|>system\\nReasoning: ' + ('/think' if think else '/no_think') + '\\n' }}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{{ '<|im_end|>\\n' }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}{% if m.tool_calls %}"
    + _CALL
    + "{{ '<tool_call>' }}{{ {'name': f.name, 'arguments': f.arguments} | tojson }}{{ '</tool_call>' }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' + ('' if think else '<think>\\n\\n</think>\\n') }}{% endif %}",
    # Command A: frames around thought, words and calls; the roles are tokens.
    "command_a": "{{ bos_token }}{% if tools %}{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + tools | tojson + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% for m in messages %}"
    "{% if m.role == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% if m.reasoning_content %}{{ '<|START_THINKING|>' + m.reasoning_content + '<|END_THINKING|>' }}{% endif %}"
    "{% if m.tool_calls %}{{ '<|START_ACTION|>[' }}"
    + _CALL
    + "{{ {'tool_call_id': loop.index0 | string, 'tool_name': f.name, 'parameters': f.arguments} | tojson }}"
    "{{ ', ' if not loop.last }}{% endfor %}{{ ']<|END_ACTION|>' }}{% else %}{{ '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' }}{% endif %}"
    "{% elif m.role == 'tool' %}{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><|START_TOOL_RESULT|>' + m.content + '<|END_TOOL_RESULT|>' }}"
    "{% else %}{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + m.content }}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}",
    # DeepSeek R1: the prompt opens a thought that no finished turn has; arguments are a text; results of tools have frames.
    "deepseek_r1": LAST
    + "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'tool' %}"
    "{{ '<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜><｜tool▁outputs▁end｜>' }}{% elif m.role == 'assistant' %}{{ '<｜Assistant｜>' if messages[loop.index0 - 1].role == 'user' }}"
    "{{ m.content.split('</think>')[-1] }}{% if m.tool_calls %}{{ '<｜tool▁calls▁begin｜>' }}"
    + _CALL
    + "{{ '<｜tool▁call▁begin｜>' + call.type + '<｜tool▁sep｜>' + f.name + '\\n```json\\n' + f.arguments + '\\n```<｜tool▁call▁end｜>' }}"
    "{% endfor %}{{ '<｜tool▁calls▁end｜>' }}{% endif %}{{ '<｜end▁of▁sentence｜>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'tool' %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}",
    # DeepSeek V3.1: thoughts of all turns dropped, thinking by an argument, the thought closed in the prompt else.
    "deepseek_v31": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'tool' %}"
    "{{ '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' }}{% elif m.role == 'assistant' %}{{ '<｜Assistant｜></think>' if messages[loop.index0 - 1].role == 'user' }}"
    "{{ m.content.split('</think>')[-1] }}{% if m.tool_calls %}{{ '<｜tool▁calls▁begin｜>' }}"
    + _CALL
    + "{{ '<｜tool▁call▁begin｜>' + f.name + '<｜tool▁sep｜>' + f.arguments | tojson + '<｜tool▁call▁end｜>' }}"
    "{% endfor %}{{ '<｜tool▁calls▁end｜>' }}{% endif %}{{ '<｜end▁of▁sentence｜>' }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'tool' %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}",
    # Qwen3-Coder: no thoughts; calls in tags; results as a user's turn.
    "qwen3_coder": "{% if tools %}{{ '<|im_start|>system\\n<tools>' + tools | tojson + '</tools><|im_end|>\\n' }}{% endif %}{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response>\\n<|im_end|>\\n' }}{% else %}{{ '<|im_start|>' + m.role }}{{ '\\n' + m.content | trim + '\\n' if m.content | trim else '' }}"
    "{% if m.tool_calls %}"
    + _CALL
    + "{{ '\\n<tool_call>\\n<function=' + f.name + '>\\n' }}{% for k, v in f.arguments | items %}{{ '<parameter=' + k + '>\\n' }}"
    "{{ v | tojson if v is mapping or (v is sequence and v is not string) else v | string }}{{ '\\n</parameter>\\n' }}{% endfor %}{{ '</function>\\n</tool_call>' }}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
}
