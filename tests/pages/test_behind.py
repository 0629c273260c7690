"""The pages behind Serve and Watch, filled: axe-core finds nothing, nothing is too wide, no text is left untranslated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.serve.aliases import promote, start_canary
from studio.serve.blocked import block
from studio.serve.keys import add_key, revoke_keys
from studio.serve.state import StatePaths
from tests.conftest import Project
from tests.pages.test_made_well import axe, told
from tests.pages.test_site import untranslated, visible
from tests.pages.test_watch import STARTER, fill

BEHIND = ("/serve/keys", "/serve/names", "/watch", "/watch/drift", "/watch/feedback", "/watch/projects")


def fill_all(workspace: Workspace) -> None:
    """Something on each of the pages."""
    fill(workspace)
    paths = StatePaths.of(workspace)
    for name in ("anna", "ben"):
        add_key(paths.keys, name)
    revoke_keys(paths.keys, "ben")
    block(paths.blocked, "ben", "a note")
    run = workspace.list_runs()[0]
    promote(paths.aliases, "production", "old", "old/20200101-000000-abcdef")
    promote(paths.aliases, "production", "newer", "newer/20200101-000000-abcdef")
    start_canary(paths.aliases, "production", "doors", f"{run.parent.name}/{run.name}", share=0.1)
    folder = workspace.root / "faq"
    folder.mkdir()
    (folder / "project.yaml").write_text(STARTER.read_text().replace("FILL IN: ", "").replace("NAME", "faq"))


@pytest.mark.long
def test_they_are_made_as_well_as_the_others(project: Project, address: Callable[..., str], visit: Callable[..., Any]):
    fill_all(project.workspace)
    url = address(project.workspace)
    found: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        page = visit(url, color_scheme=scheme)
        for path in BEHIND:
            page.goto(url + path)
            page.wait_for_timeout(300)
            if path != "/watch/drift" and (violations := axe.Axe().run(page).response["violations"]):
                found[f"{path} {scheme}"] = [told(one) for one in violations]
        page.set_viewport_size({"width": 390, "height": 800})
        for path in BEHIND[:2] + BEHIND[4:]:
            page.goto(url + path)
            if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
                found[f"{path} {scheme}"] = width
    assert found == {}


@pytest.mark.parametrize("path", BEHIND)
def test_no_text_of_them_is_left_untranslated(
    path: str, project: Project, address: Callable[..., str], visit: Callable[..., Any]
):
    fill_all(project.workspace)
    page = visit(f"{address(project.workspace)}{path}?lang=qps")
    # Seen without a script only; and a translated word may stand inside of a translated sentence.
    page.evaluate("document.querySelectorAll('noscript').forEach((one) => one.remove())")
    texts = [re.sub(r"⟦([^⟦⟧]*)⟧(?=[^⟦]*⟧)", r"\1", text) for text in visible(page)]
    assert any("⟦" in text for text in texts) and untranslated(texts) == []
