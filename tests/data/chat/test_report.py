"""``report.html``: self-contained, escaped, complete, with what decides first and nothing that a step was to take out."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.changes import change_between, first_difference
from studio.data.chat.rows import ChatRow
from studio.data.chat.sampling import Reservoir
from studio.data.chat.topics import find_topics, languages_of
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


def rows_of(count: int, **more: Any) -> list[dict[str, Any]]:
    """Different questions and answers."""
    return [{"question": f"What about case {number}?", "answer": sentence(number), **more} for number in range(count)]


def read(rows: list[dict[str, Any]], workspace: Workspace, folder: Path, **fields: Any) -> tuple[BuildOutcome, str, Page]:
    """A Dataset of rows, its page as text and parsed."""
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    value = {"kind": "chat", "sources": [{"type": "local", "path": str(file), "licence": "CC0-1.0"}], **fields}
    outcome = build_chat_dataset(validate(value, ChatRecipe), workspace, name="rows")
    html = (outcome.folder / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.open == []
    return outcome, html, page


def test_what_decides_stands_first(tmp_path: Path, workspace: Workspace) -> None:
    rows = rows_of(60) + rows_of(60)[:30]
    rows += [
        {"question": f"Wie hoch ist die Mauer {n}?", "answer": f"Die Mauer ist {n} Meter hoch und steht am Rand."}
        for n in range(9)
    ]
    rows += [{"question": "Whom do I ask?", "answer": "Write to anna.berg@example.com and she will help you with it."}]
    outcome, html, page = read(
        rows, workspace, tmp_path, steps=[{"step": "exact_duplicates"}], split={"test": 4, "validation": 4}
    )
    first = page.text.partition("Step by step")[0]
    for said in (
        "5 things to look at",
        "Only 62 rows to train on",
        "The test split has 4 rows, too few for an interval",
        "The step exact_duplicates removed 30% of its rows (same conversation)",
        "Languages are mixed: English",
        "In 70 of them that were looked at: email: 1 in 1 row (a***@e***.com)",
    ):
        assert said in first, said
    assert "Nothing stands out" not in page.text and "30 rows alike" not in page.text
    assert "2 rows alike</b> (exact_duplicates), <code>rows/1</code> stays" in html, "each of the thirty repeats one row"
    bands = [attrs for tag, attrs in page.tags if tag == "polygon"]
    assert [attrs["class"] for attrs in bands] == ["read", "read", "lost", "kept", "validation", "test"]
    assert all(0 <= float(place) <= 100.2 for attrs in bands for place in re.split("[ ,]", attrs["points"] or ""))
    extra = outcome.record.model_extra or {}
    assert extra["form"] == "conversations" and extra["languages"]["rows"]["de"] == 9


def test_enough_of_everything_is_said_too(tmp_path: Path, workspace: Workspace) -> None:
    _, _, page = read(rows_of(300), workspace, tmp_path, split={"test": 100})
    assert "Nothing stands out" in page.text and "there was none" in page.text
    assert not [tag for tag, _ in page.tags if tag == "polygon"], "no step took a row, so there is no way to draw"


def test_what_a_step_takes_out_is_nowhere_on_the_page(tmp_path: Path, workspace: Workspace) -> None:
    secret = "anna.berg@example.com"
    rows = rows_of(60)
    rows[5]["answer"] += f"   \n\n\n\nWrite to {secret} soon."
    rows += [{"question": f"Only {secret}?", "answer": ""}, dict(rows[5]), {**rows[5], "answer": rows[5]["answer"] + " Thanks."}]
    steps = ["whitespace", "drop_empty", "exact_duplicates", "near_duplicates", "scrub"]
    _, html, page = read(rows, workspace, tmp_path, steps=[{"step": step} for step in steps])
    assert secret not in html and "berg" not in html, "it stood in rows before the step, and in removed ones"
    assert "Only [EMAIL]?" in page.text and "email: 1 replaced in 1 row (a***@e***.com)" in page.text
    assert "scrub: before and after" in page.text and "<mark>[EMAIL]</mark>" not in html
    again = build_chat_dataset(
        validate({**json.loads(json.dumps(_recipe(tmp_path, steps))), "split": {"test": 5}}, ChatRecipe), workspace, name="rows"
    )
    kept = (again.folder / "report.html").read_text(encoding="utf-8")
    assert again.reused == len(steps) + 1 and kept.count("before and after <") == html.count("before and after <") >= 2


def _recipe(folder: Path, steps: list[str]) -> dict[str, Any]:
    """The same recipe once more."""
    source = {"type": "local", "path": str(folder / "rows.jsonl"), "licence": "CC0-1.0"}
    return {"kind": "chat", "sources": [source], "steps": [{"step": step} for step in steps]}


def test_labels_scores_and_every_step_with_its_reason_to_be(tmp_path: Path, workspace: Workspace) -> None:
    rows = [
        {**row, "topic": "roof" if number % 3 else "wall", "free": f"text {number}"} for number, row in enumerate(rows_of(90))
    ]
    steps = [{"step": "score", "what": ["answer_words", "language"]}, {"step": "filter", "by": "answer_words", "min": 1}]
    _, html, page = read(rows, workspace, tmp_path, steps=steps)
    assert "<h3>topic</h3>" in html and "<h3>free</h3>" not in html and "<h3>language</h3>" not in html
    assert "answer_words of the rows that stay: from" in page.text
    assert "by: answer_words, min: 1" in page.text and "Repair mis-decoded" not in page.text
    assert re.search(r"score: before and after.*scores: .*answer_words", page.text, re.DOTALL)


def test_rows_on_disk_give_the_same_page(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(120) + rows_of(120)[:20]
    steps = [{"step": "whitespace"}, {"step": "exact_duplicates"}]
    _, held, _ = read(rows, workspace, tmp_path, steps=steps)
    monkeypatch.setattr("studio.data.shelf.WHOLE_BYTES", 20_000)
    monkeypatch.setattr("studio.data.shelf.PART_BYTES", 10_000)
    _, laid, _ = read(rows, Workspace.open(tmp_path / "other"), tmp_path, steps=steps)

    def bare(html: str) -> str:
        return re.sub(r'Built \S+|<td class="n">\d+\.\d\d</td>', "", html)

    assert bare(held) == bare(laid)


def test_a_change_is_the_first_turn_that_differs() -> None:
    def row(answer: str) -> ChatRow:
        return ChatRow("r", [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}], "s", meta={"n": 1})

    before, after = row("b" * 9000 + "x"), row("b" * 9000 + "y")
    told = change_between(before, after)
    assert told["role"] == "assistant" and len(told["before"]) < 4100 and (told["before"][-1], told["after"][-1]) == ("x", "y")
    cut = change_between(before, ChatRow("r", before.messages[:1], "s"))
    assert cut["after"] == "" and cut["role"] == "assistant"
    scored = change_between(before, ChatRow("r", before.messages, "s", meta={"n": 2}))
    assert (scored["role"], scored["before"], scored["after"]) == ("meta", "n: 1", "n: 2")
    assert [first_difference(*pair) for pair in (("ab", "ac"), ("ab", "abc"), ("", "x"))] == [1, 2, 0]


def test_a_reservoir_draws_evenly_in_order_and_the_same_again() -> None:
    counts: Counter[int] = Counter()
    for seed in range(2000):
        drawn: Reservoir[int] = Reservoir(3, str(seed))
        for number in range(12):
            drawn.offer(lambda number=number: number)  # type: ignore[misc]
        found = drawn.drawn()
        assert found == sorted(found) and len(set(found)) == 3
        counts.update(found)
    # 500 expected of each, with a standard deviation of 19.4.
    assert all(410 < counts[number] < 590 for number in range(12)), counts


def test_topics_are_the_same_again_and_say_which_words_belong_together() -> None:
    roofs = [(f"Roof {n}?", f"The roof has tiles and gutters, slope {n}, rafters") for n in range(60)]
    walls = [(f"Wall {n}?", f"Bricks with mortar make the wall thick, course {n}") for n in range(60)]
    topics = find_topics(roofs + walls, ["en"])
    assert topics == find_topics(roofs + walls, ["en"]) and abs(sum(topic.share for topic in topics) - 1) < 1e-9
    for topic in topics:
        words = set(topic.words)
        assert not (words & {"tiles", "gutters", "rafters"} and words & {"bricks", "mortar"}), topic
    assert find_topics(roofs[:49]) == [] and find_topics([("", f"word{n}") for n in range(60)]) == []
    chinese = find_topics([(f"问{n}", "屋顶的坡度和瓦片" if n % 2 else "墙体的砂浆和砖块") for n in range(80)], ["zh"])
    assert chinese and all(len(word) == 2 for topic in chinese for word in topic.words)


def test_languages_of_a_sample() -> None:
    told = languages_of(["The wall is high and made of brick.", "Die Mauer ist hoch und aus Stein gebaut.", "42"])
    assert told == {"sampled": 3, "rows": {"de": 1, "en": 1}, "unsure": 1}


def test_what_is_left_in_the_text_is_masked_on_the_page_too(tmp_path: Path, workspace: Workspace) -> None:
    rows = rows_of(80)
    for number, row in enumerate(rows):
        row |= {"question": f"Is clerk{number}@example.com the one for case {number}?", "by": f"desk{number % 2}@example.com"}
    _, html, page = read(rows, workspace, tmp_path, steps=[{"step": "scrub", "action": "flag"}], split={"test": 8})
    assert not re.search(r"(?:clerk|desk)\d+@", html), "kept rows, topics, labels, changes"
    assert "Is [EMAIL] the one for case" in page.text and "80 rows with personal or secret data" in page.text
