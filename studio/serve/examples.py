"""The lines that ``studio serve`` prints to be pasted."""

from __future__ import annotations

import json
from typing import Any

from studio.serve.limits import CHAT
from studio.serve.pooled import EMBEDDINGS, RERANK
from studio.serve.reference import Prepared

_QUESTION = "What can you help me with?"


def examples(prepared: Prepared, url: str, key: str, model: str) -> list[str]:
    """A request for a shell and the same in Python, for what the first run is: answers, vectors or scores."""
    first = prepared.served[0]
    return examples_of(first.kind, url, key, model, "" if first.pools else short_question(prepared))


def examples_of(kind: str, url: str, key: str, model: str, question: str = "") -> list[str]:
    """The same for a kind of what is served (``adapter``, ``model``, ``embedding``, ``reranker``).

    Args:
        question: for one that answers; empty takes one that fits any.
    """
    if kind not in {"embedding", "reranker"}:
        return [make(url, key, model, question or _QUESTION) for make in (curl_example, openai_example)]
    if kind == "embedding":
        asked = {"model": model, "input": ["How wide must a door be?", "A door is at least 80 cm wide."]}
        code = f'print(len(client.embeddings.create(model="{model}", input="How wide must a door be?").data[0].embedding))'
        return [posted(url, key, EMBEDDINGS, asked), in_python(url, key, code)]
    documents = ["A door is at least 80 cm wide.", "A stair has at most 18 steps."]
    asked = {"model": model, "query": "How wide must a door be?", "documents": documents}
    body = json.dumps(asked).replace('"', '\\"')
    code = f'print(client.post("/rerank", body=__import__("json").loads("{body}"), cast_to=object))'
    return [posted(url, key, RERANK, asked), in_python(url, key, code)]


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
    return posted(url, key, CHAT, {"model": model, "messages": [{"role": "user", "content": question}]})


def posted(url: str, key: str, route: str, asked: dict[str, Any]) -> str:
    """A request for a shell; a key named by a variable is left to the shell."""
    body = json.dumps(asked, ensure_ascii=False)
    return (
        f'curl {url}{route} \\\n  -H "Authorization: Bearer {key}" \\\n  -H "Content-Type: application/json" \\\n  -d \'{body}\''
    )


def openai_example(url: str, key: str, model: str, question: str) -> str:
    """The same with the ``openai`` package, one line for a shell."""
    code = (
        f'print(client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "{question}"}}])'
        ".choices[0].message.content)"
    )
    return in_python(url, key, code)


def in_python(url: str, key: str, code: str) -> str:
    """Code with a client of the ``openai`` package, one line for a shell."""
    shown = f'os.environ["{key[1:]}"]' if key.startswith("$") else f'"{key}"'
    imports = "import os; " if key.startswith("$") else ""
    return f"python -c '{imports}from openai import OpenAI; client = OpenAI(base_url=\"{url}/v1\", api_key={shown}); {code}'"
