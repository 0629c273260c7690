"""The lines that ``studio serve`` prints to be pasted."""

from __future__ import annotations

import json

from studio.serve.reference import Prepared

_QUESTION = "What can you help me with?"


def short_question(prepared: Prepared) -> str:
    """A question the first run was made for, when it is short and needs no quoting."""
    for reference in prepared.references.values():
        for row in reference["rows"]:
            text = str(row["messages"][-1]["content"])
            if len(row["messages"]) == 1 and len(text) <= 80 and not set(text) & set("'\"\\$`\n!"):
                return text
    return _QUESTION


def curl_example(url: str, key: str, model: str, question: str) -> str:
    """A chat request for a shell; a key named by a variable is left to the shell."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    return (
        f"curl {url}/v1/chat/completions \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def openai_example(url: str, key: str, model: str, question: str) -> str:
    """The same with the ``openai`` package, one line for a shell."""
    shown = f'os.environ["{key[1:]}"]' if key.startswith("$") else f'"{key}"'
    imports = "import os; " if key.startswith("$") else ""
    return (
        f"python -c '{imports}from openai import OpenAI; "
        f'print(OpenAI(base_url="{url}/v1", api_key={shown}).chat.completions.create('
        f'model="{model}", messages=[{{"role": "user", "content": "{question}"}}]).choices[0].message.content)\''
    )
