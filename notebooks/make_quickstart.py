"""Writes ``quickstart.ipynb`` for Colab, Kaggle and Jupyter from the cells below: the one place where they stand.

    python notebooks/make_quickstart.py            # writes it
    python notebooks/make_quickstart.py --check    # exit code 1 when the file is not what the cells say

The cells are run by tests/deploy/test_notebook.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("quickstart.ipynb")
INSTALL = "install"
"""Tag of the cells that install; a test runs in an environment that has everything."""

CELLS: list[tuple[str, str, tuple[str, ...]]] = [
    (
        "markdown",
        """# Finetuning Studio: the quickstart

From questions and answers to a tuned chat model, measured against the one it came from. It works on a CPU; in Colab choose
*Runtime → Change runtime type → T4 GPU*, in Kaggle *Accelerator → GPU*, and it is faster. Nothing here needs a key or an account.

Write the repository's address into the first cell.""",
        (),
    ),
    (
        "code",
        """REPOSITORY = ""  # the address that you would give to git clone
%pip install --quiet "git+{REPOSITORY}\"""",
        (INSTALL,),
    ),
    ("markdown", "What can this machine do?", ()),
    ("code", "!studio doctor", ()),
    (
        "markdown",
        """## The whole loop

It fetches a model of 135 million parameters and a small corpus, builds a Dataset, plans, tunes and evaluates. `--short` takes few
steps: it shows that it works, not what it can. Without it the figures mean something (ten minutes on two cores).""",
        (),
    ),
    ("code", "!studio quickstart --short", ()),
    ("markdown", "The run, and what it can tell of itself:", ()),
    ("code", "!studio runs list\n!studio runs show last", ()),
    ("markdown", "The report, with an interval for every figure:", ()),
    (
        "code",
        """from pathlib import Path

from IPython.display import HTML, display

runs = Path("studio-workspace/runs/quickstart")
report = max(runs.glob("*/evals/*/*/report.html"), key=lambda path: path.stat().st_mtime)
# In a frame of its own, so that its style is not the notebook's.
page = report.read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")
display(HTML(f'<iframe srcdoc="{page}" width="100%" height="700" sandbox></iframe>'))""",
        (),
    ),
    ("markdown", "## Take it along\n\nOne folder that every program reads, proven to be the same model:", ()),
    ("code", "!studio export last --to merged", ()),
    (
        "markdown",
        "And a folder for the place where people will use it; its README begins with what was checked and what nobody ran:",
        (),
    ),
    ("code", "!studio deploy last --to space --out quickstart-space", ()),
    (
        "markdown",
        """## Your own data

`!studio init my-bot` makes a project: put questions and answers (csv, json, markdown and many more) into its `data/` and follow
its README.""",
        (),
    ),
]
"""Kind, source and tags of each cell."""


def notebook() -> dict[str, Any]:
    """The notebook, format 4.5."""
    cells = []
    for place, (kind, source, tags) in enumerate(CELLS):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{place}", "metadata": {"tags": list(tags)} if tags else {}}
        cell["source"] = source.splitlines(keepends=True)
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}, "colab": {"provenance": []}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text() -> str:
    """The file's text."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or compare."""
    if "--check" in sys.argv[1:]:
        same = NOTEBOOK.is_file() and NOTEBOOK.read_text(encoding="utf-8") == text()
        if not same:
            sys.stderr.write(f"{NOTEBOOK.name} is not what the cells say. Write it: python notebooks/make_quickstart.py\n")
        return 0 if same else 1
    NOTEBOOK.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
