# ruff: noqa: E501 - a template is read in one piece
"""Chat templates of the shapes that stock ones have, written for these tests; each is named after what is peculiar about it."""

from __future__ import annotations

SAY = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
LAST = "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
_SPLIT = (
    "{% set t = m.reasoning_content or '' %}{% set c = m.content %}{% if '</think>' in c %}"
    "{% set t = c.split('</think>')[0].split('<think>')[-1].strip() %}{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
)

SHAPES = {
    # Qwen 3.5: the prompt opens a thought, the last answer has one (maybe empty), earlier answers have none.
    "opens_thought": LAST
    + "{% for m in messages %}{% if m.role == 'assistant' %}"
    + _SPLIT
    + "{{ '<|im_start|>assistant\\n' + ('<think>\\n' + t + '\\n</think>\\n\\n' if loop.index0 > ns.last else '') + c + '<|im_end|>\\n' }}"
    + "{% else %}"
    + SAY
    + "{% endif %}{% endfor %}"
    + OPEN,
    # DeepSeek R1, QwQ: the prompt opens a thought, finished answers never have one.
    "opens_thought_drops_all": "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\\n' + m.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}{% else %}"
    + SAY
    + "{% endif %}{% endfor %}"
    + OPEN,
    # Nemotron 3, GLM 4.7: a finished answer without a thought has an empty one in another form than the prompt opens it.
    "opens_thought_closes_otherwise": "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' + "
    "('' if '<think>' in m.content else '<think></think>') + m.content + '<|im_end|>\\n' }}{% else %}"
    + SAY
    + "{% endif %}{% endfor %}"
    + OPEN,
    # Gemma 4: the prompt has an empty thought that a finished answer lacks.
    "closed_thought_in_prompt": "{% for m in messages %}"
    + SAY
    + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n</think>' }}{% endif %}",
    # Qwen 3: an empty thought before the last answer only; thoughts of earlier answers dropped.
    "empty_thought_last": LAST
    + "{% for m in messages %}{% if m.role == 'assistant' %}"
    + _SPLIT
    + "{{ '<|im_start|>assistant\\n' + ('<think>\\n' + t + '\\n</think>\\n\\n' if loop.index0 > ns.last else '') + c + '<|im_end|>\\n' }}"
    + "{% else %}"
    + SAY
    + "{% endif %}{% endfor %}"
    + ASK,
    # DeepSeek V3, EXAONE: thoughts of all answers dropped, the prompt opens none.
    "drops_thoughts": "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\\n' + m.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}{% else %}"
    + SAY
    + "{% endif %}{% endfor %}"
    + ASK,
    # Mistral v0.3: the system turn stands before the last question only; nothing but blanks after the question's close.
    "system_before_last_question": LAST
    + "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{{ '<|im_start|>' + "
    "(messages[0].content + '\\n\\n' if messages[0].role == 'system' and loop.last or (messages[0].role == 'system' and "
    "m.content == messages[ns.last].content) else '') + m.content + '<|sep|>' }}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}"
    "{% endfor %}",
    # GLM 4: nothing closes an answer but the mark of the next turn.
    "ends_at_next_role": "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    # Phi 3.5: the end-of-text token stands once, after everything.
    "eos_at_the_very_end": "{% for m in messages %}"
    + SAY
    + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}",
    # Llama 3.2, gpt-oss: today's date.
    "date": "{{ '<|im_start|>system\\nToday is ' + strftime_now('%d %b %Y') + '.<|im_end|>\\n' }}{% for m in messages %}"
    + SAY
    + "{% endfor %}"
    + ASK,
    # SmolVLM, Idefics 3: content is a list of parts.
    "parts": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}" + ASK,
    # LFM2, Bielik: the template writes the start token, and the tokenizer has one to add.
    "start_token": "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    # Hermes, Command R: goes over the tools whether there are any or not.
    "tools": "{% for tool in tools %}{{ '<|tool|>' + tool.function.name }}{% endfor %}{% for m in messages %}"
    + SAY
    + "{% endfor %}"
    + ASK,
    # gpt-oss: channels; the last answer is closed by another token than earlier ones.
    "channels": "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + "
    "('<|return|>' if loop.last else '<|end|>') }}{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
    # A close in words: no control token ends an answer.
    "closed_in_words": "{% for m in messages %}{{ '[' + m.role + ']\\n' + m.content + '</s>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]\\n' }}{% endif %}",
}

ENDS = {
    "ends_at_next_role": "<|user|>",
    "channels": "<|return|>",
    "closed_in_words": "</s>",
}
"""What ends an answer, where it is not ``<|im_end|>``."""

MARKS = [
    "<|user|>", "<|assistant|>", "<|system|>", "<|sep|>", "<|tool|>", "<|start|>", "<|channel|>", "<|message|>", "<|end|>",
    "<|return|>",
]  # fmt: skip
"""Control tokens of the shapes, beside those of the small base."""
