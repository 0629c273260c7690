"""``report.html``: self-contained, escaped, complete."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import sentence

VOID = {"meta", "br", "rect", "link", "img", "hr"}


class Page(HTMLParser):
    """Collects text and tags, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report(tmp_path: Path, workspace: Workspace) -> None:
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }}"
    lines = [{"question": f"{evil} {number}", "answer": sentence(number)} for number in range(40)]
    lines += [lines[0], {"question": evil, "answer": ""}]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    value = {
        "kind": "chat",
        "description": evil,
        "sources": [{"type": "local", "path": str(file), "licence": "own <data>", "attribution": "A & B"}],
        "steps": [{"step": "drop_empty"}, {"step": "exact_duplicates"}],
        "split": {"test": 4, "validation": 4},
    }
    outcome = build_chat_dataset(validate(value, ChatRecipe), workspace, name="evil")
    html = (outcome.folder / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in page.tags}
    assert not re.search(r"(?:src|href)\s*=|url\(|@import", html.replace("src=x", "")), "nothing is loaded from anywhere"
    for shown in (evil, "own <data>", "A & B", "drop_empty: empty turn", "exact_duplicates: same conversation", "rows/1", "42"):
        assert shown in page.text, shown
    assert "train 32" in page.text and "test 4" in page.text
    bars = [attrs for tag, attrs in page.tags if tag == "rect"]
    assert bars and all(0 <= float(bar["height"] or "nan") <= 100 for bar in bars)
    assert 'name="viewport"' in html
