"""Every text that is shown is in every catalogue, with the same fields, and nothing is shown around them."""

from __future__ import annotations

import ast
import functools
import json
import re
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from studio.core.content import list_content
from studio.core.errors import UserError
from studio.core.translation import LANGUAGES, catalogue, language, set_language, t
from studio.pages.forms import form_of
from studio.train.kinds import load_preset

ROOT = Path(__file__).parents[2] / "studio"
OTHERS = [code for code in LANGUAGES if code != "en"]
# Where everything that a person reads is translated; the rest of the command line is English.
WHOLE = [
    *(ROOT / "cli" / f"{name}.py" for name in ("quickstart", "quickstart_images", "quickstart_told", "init")),
    *sorted((ROOT / "apps").glob("*.py")),
]
# Calls whose texts are shown as they are, and the settings of components that are.
SHOWING = {
    "note",
    "say",
    "Markdown",
    "tell",
    "page",
    "Button",
    "Accordion",
    "question_box",
    "_heading",
    "_gallery",
    "_nothing",
    "_remark",
    "prompt",
}
SHOWN_SETTINGS = {"label", "placeholder", "info", "headers", "title", "auth_message"}


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def marks(call: ast.Call) -> bool:
    """``t(…)``, ``later(…)`` and ``map(later, …)``."""
    return name_of(call) in {"t", "later"} or (name_of(call) == "map" and getattr(call.args[0], "id", "") == "later")


def strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def marked(path: Path) -> set[str]:
    """Texts that a file marks; a name inside the mark stands for a text that is assigned to it in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values = (node.value.body, node.value.orelse) if isinstance(node.value, ast.IfExp) else (node.value,)
            found = {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
            assigned.setdefault(node.targets[0].id, set()).update(found)
    texts: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and marks(node)):
        for argument in call.args:
            if isinstance(argument, ast.Name):
                texts |= assigned.get(argument.id, set())
            elif isinstance(argument, ast.Dict):
                texts |= {text for value in argument.values for text in strings(value)}
            elif isinstance(argument, ast.IfExp):
                texts |= {*strings(argument.body), *strings(argument.orelse)}
            elif isinstance(argument, ast.Subscript):
                texts |= set(strings(argument.value))
            else:
                texts |= set(strings(argument))
    return texts


@functools.cache
def all_marked() -> frozenset[str]:
    files = (path for path in ROOT.rglob("*.py") if "studio.core.translation import" in path.read_text(encoding="utf-8"))
    return frozenset().union(*map(marked, files), *map(marked_in_template, ROOT.rglob("templates/**/*.html")))


def marked_in_template(path: Path) -> set[str]:
    """Texts that a template gives to ``t``; both sides where it chooses between two."""
    tree = jinja2.Environment().parse(path.read_text(encoding="utf-8"))
    calls = (node for node in tree.find_all(nodes.Call) if isinstance(node.node, nodes.Name) and node.node.name == "t")
    return {text.value for call in calls for argument in call.args for text in constants(argument) if isinstance(text.value, str)}


def constants(node: nodes.Node) -> Iterator[nodes.Const]:
    if isinstance(node, nodes.Const):
        yield node
    elif isinstance(node, nodes.CondExpr):
        yield from (part for part in (node.expr1, node.expr2) if isinstance(part, nodes.Const))


@functools.cache
def of_forms() -> frozenset[str]:
    """What forms of presets say of each setting, and lists of each preset."""
    presets = [load_preset(path) for path in list_content("adapters").values()]
    blocks = [block for preset in presets for block in form_of(preset)]
    helps = {block.help for block in blocks} | {field.help for block in blocks for field in block.fields}
    return frozenset(helps | {str(getattr(preset, "description", "")) for preset in presets})


def fields(text: str) -> set[tuple[str, str]]:
    return {(name, form or "") for _, name, form, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", OTHERS)
def test_the_catalogue_holds_what_is_shown_and_nothing_else(code: str) -> None:
    said = catalogue(code)
    assert sorted(all_marked() - said.keys()) == [], "not translated"
    assert sorted(said.keys() - all_marked() - of_forms()) == [], "no longer shown"


@pytest.mark.parametrize("code", OTHERS)
def test_translations_have_the_same_fields_and_edges(code: str) -> None:
    for english, other in catalogue(code).items():
        assert fields(english) == fields(other), english
        assert other.strip() and english.count("`") == other.count("`") and english.count("**") == other.count("**"), english
        assert "FILL IN" not in english or other.startswith("FILL IN: "), "the mark is looked for by studio init --check"


def test_the_catalogue_names_no_text_twice() -> None:
    for code in OTHERS:
        files = [ROOT / "core/texts" / f"{code}.json", *sorted((ROOT / "core/texts" / code).glob("*.json"))]
        names = [name for file in files for name, _ in json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=list)]
        assert sorted(name for name, times in Counter(names).items() if times > 1) == []


def bare(path: Path) -> list[str]:
    """Texts with words in them that a file shows without marking them."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []

    def look(node: ast.AST, shown: bool) -> None:
        if isinstance(node, ast.Call) and marks(node):
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"<\w+>[A-Z][a-z]+", node.value):
            found.append(f"{path.name}:{node.lineno}: {node.value}")
        if isinstance(node, ast.JoinedStr):
            for part in node.values:
                look(part, False)
            words = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if shown and re.search(r"[A-Za-z]{3}.* |[A-Z][a-z]{2}", words):
                found.append(f"{path.name}:{node.lineno}: {words}")
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    look(part.value, shown)
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and shown and re.search(r"[A-Za-z]{3}", node.value):
            found.append(f"{path.name}:{node.lineno}: {node.value}")
        if isinstance(node, ast.Raise):
            return
        if isinstance(node, ast.Call):
            for argument in node.args:
                look(argument, name_of(node) in SHOWING)
            for setting in node.keywords:
                look(setting.value, setting.arg in SHOWN_SETTINGS)
            look(node.func, False)
            return
        for child in ast.iter_child_nodes(node):
            look(child, shown)

    look(tree, False)
    return found


# Words that are the same in every language: ids of components, headings of markdown, commands.
NO_TEXT = re.compile(
    r"Authorization|Bearer|studio quickstart|^base$|^tuned$|^history$|warning: |> $|^id$|Finetuning Studio|last$"
)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_is_shown_that_is_not_in_the_catalogue(path: Path) -> None:
    assert [text for text in bare(path) if not NO_TEXT.search(text.partition(": ")[2])] == []


def test_the_check_finds_a_bare_text(tmp_path: Path) -> None:
    file = tmp_path / "page.py"
    file.write_text(
        'gr.Button("Send")\ngr.Textbox(label=f"Name of {x}")\nsay(f"\\nDone in {t(y)}.")\nsay(t("Done"))\nraise E("No")\n'
    )
    assert len(bare(file)) == 3


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    set_language(None)
    yield
    set_language(None)


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "sv_SE.UTF-8"}, "en"),
        ({"LANG": "zhuang"}, "en"),
    ],
)
def test_the_environment_decides_as_for_other_programs(environment: dict[str, str], code: str, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == code
    set_language("zh-CN")
    assert language() == "zh" and t("Ask something.") == catalogue("zh")["Ask something."]
    set_language("en")
    assert t("Ask something.") == "Ask something." and t("{a:,} b", a=1234) == "1,234 b"


def test_an_unknown_language_is_one_sentence(studio) -> None:
    with pytest.raises(UserError, match=r"there is no language 'xx' here. Allowed: en \(English\), zh"):
        set_language("xx")
    refused = studio("--lang", "klingon", "runs", "list")
    assert refused.code == 2 and refused.err.startswith("error: there is no language 'klingon' here.")
