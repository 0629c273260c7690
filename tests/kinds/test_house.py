"""The house keeps its promises: kinds stand in tables, the command line names none of them, files stay short."""

from __future__ import annotations

import re
from pathlib import Path

from studio.adapters.card import CARDS
from studio.core.content import list_content
from studio.data.kinds import DATASET_KINDS, all_dataset_kinds
from studio.train.kinds import RUN_KINDS, all_run_kinds, kind_of

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ROOT / "studio"
ROOMS = ("chat", "images")
# The command is called so by people; the other line says what the apps are for.
ENGLISH = {"table", "series"}
"""Kinds whose names are words of the command line's own; of these only a comparison with the kind is looked for."""
SAID_BY_PEOPLE = ('    "chat": Command("studio.cli.talk:talk", ', '"Chat, compare, paint, annotate in the browser."')


def test_the_command_line_names_no_kind() -> None:
    names = "|".join({*DATASET_KINDS, *RUN_KINDS, *ROOMS} - ENGLISH)
    compared = "|".join(ENGLISH)
    found = [
        f"{file.name}:{number}: {line.strip()}"
        for file in sorted((STUDIO / "cli").rglob("*.py"))
        if not file.name.startswith("quickstart")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(rf"\b({names})\b|kind\W.*[\"']({compared})[\"']", line, re.I)
        and not any(said in line for said in SAID_BY_PEOPLE)
    ]
    assert not found, "\n".join(found)


def test_every_room_stands_in_every_stage_that_has_one_of_its_kind() -> None:
    for stage in ("data", "train", "models", "adapters", "evals"):
        assert {folder.name for folder in (STUDIO / stage).iterdir() if folder.name in ROOMS} == set(ROOMS), stage
    # What learns from rows of several kinds of Dataset has rooms of its own where it trains, opens and is measured.
    for stage in ("train", "models", "evals"):
        assert {folder.name for folder in (STUDIO / stage).iterdir()} >= {"predictors", "forecast", "clusters"}, stage
    assert {folder.name for folder in (STUDIO / "data").iterdir()} >= {"tables", "series"}


def test_every_kind_is_whole() -> None:
    suites, presets = list_content("evals"), list_content("adapters")
    trained = {kind_of(path) for path in presets.values()}
    apps = {file.stem for file in (STUDIO / "apps").glob("*.py")}
    for kind in all_run_kinds():
        assert RUN_KINDS.get(kind.name) is kind and kind.title and kind.about
        assert kind.suite in suites and (kind.app is None or kind.app in apps)
        assert kind.name in trained, f"no preset of kind {kind.name}"
        assert kind.schema.model_fields["kind"]
    for rows in all_dataset_kinds():
        assert DATASET_KINDS.get(rows.name) is rows and rows.title and rows.about and rows.rows
    assert set(CARDS) <= set(RUN_KINDS)


def test_no_file_is_long_and_no_drawer_holds_anything() -> None:
    files = list(STUDIO.rglob("*.py"))
    long = {str(file.relative_to(ROOT)): lines for file in files if (lines := file.read_text("utf-8").count("\n")) > 400}
    assert not long
    assert not [file for file in files if re.search(r"(^|/)(utils?|helpers?|common|misc)(\.py|/)", file.as_posix())]


def test_a_newcomer_finds_things_by_their_names() -> None:
    assert "def " in (STUDIO / "data" / "readers" / "csv.py").read_text("utf-8")
    assert "loss" in (STUDIO / "train" / "images" / "gan.py").read_text("utf-8")


def test_the_page_on_kinds_is_the_example() -> None:
    page = (ROOT / "docs" / "kinds.md").read_text(encoding="utf-8")
    example = (ROOT / "tests" / "kinds" / "line.py").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 6
    assert [block for block in blocks if _bare(block) not in _bare(example)] == [program_of(page)]


def test_the_page_on_kinds_names_every_table() -> None:
    page = (ROOT / "docs" / "kinds.md").read_text(encoding="utf-8")
    tables = (
        "DATASET_KINDS",
        "RUN_KINDS",
        "TASKS",
        "SETTINGS",
        "ASKED",
        "BENCHES",
        "ASKING",
        "PREDICTING",
        "EXAMPLES",
        "PASSAGES",
        "ANNOTATED",
        "METRICS",
        "CARDS",
        "DATASET_CARDS",
        "EXPORTS",
        "COMPARING",
        "FORMS",
        "SPLIT_LINES",
    )
    for table in tables:
        [line] = [line for line in page.splitlines() if line.startswith("|") and f"`{table}`" in line.split("|")[1]]
        module = re.search(r"`(studio/\S+\.py)`", line)
        assert module and re.search(rf"^{table}\b", (ROOT / module.group(1)).read_text("utf-8"), re.M), table
    # Whatever holds a line for the name of a kind, or for a class in its room, is on the page.
    by_kind = {*DATASET_KINDS, *RUN_KINDS}
    for file in STUDIO.rglob("*.py"):
        for name, first in re.findall(r"^([A-Z_]+) = Registry\([^{]*\{\s*\"(\w+)\"", file.read_text("utf-8"), re.M):
            # The app that talks is called chat too.
            assert first not in by_kind or name in {*tables, "TALKING"}, (file, name)


def program_of(page: str) -> str:
    """The program on the page, which is no part of the example."""
    [program] = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "sys.argv" in block]
    return str(program)


def _bare(code: str) -> str:
    """Code without its white space: on a page a method stands at the left."""
    return "".join(code.split())
