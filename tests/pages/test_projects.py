"""A project begun on a page: the files that `studio init` writes, what is missing named, nobody's change overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable

from studio.core.workspace import Workspace
from tests.pages.conftest import Reader


def seen(page: str) -> str:
    found = re.search(r'name="seen" value="(\w+)"', page)
    assert found
    return found[1]


def test_from_the_form_to_a_whole_project(site: Callable[..., Reader], workspace: Workspace):
    reader = site()
    made = reader.post("/projects/new", {"name": "doors", "task": 'Say "how wide"', "audience": ""}, follow_redirects=False)
    assert made.headers["location"] == "/projects/doors", made.text
    file = workspace.root / "projects/doors/project.yaml"
    page = reader.get("/projects/doors").text
    assert "&#39;audience&#39; is still to be filled in" in page and "studio init" in page
    assert "/projects/doors" in reader.get("/").text and "Say &#34;how wide&#34;" in reader.get("/").text
    whole = re.sub(r'"FILL IN[^"]*"', '"somebody"', file.read_text(encoding="utf-8"))
    assert "studio init NAME" not in whole
    stale = seen(page)
    saved = reader.post("/projects/doors", {"text": whole, "seen": stale}, follow_redirects=False)
    assert saved.headers["location"] == "/projects/doors?saved=1"
    assert "Saved; nothing is missing." in reader.get("/projects/doors?saved=1").text
    refused = reader.post("/projects/doors", {"text": "name: another", "seen": stale})
    assert refused.status_code == 422 and "Somebody changed this file" in refused.text and "name: another" in refused.text
    assert file.read_text(encoding="utf-8") == whole


def test_a_name_that_cannot_be_is_told_at_its_field(site: Callable[..., Reader], workspace: Workspace):
    reader = site()
    for name, said in (
        ("-x", "cannot be the name of a project"),
        ("../../etc", "cannot be the name"),
        ("", "cannot be the name"),
    ):
        wrong = reader.post("/projects/new", {"name": name, "task": "my task", "audience": ""})
        assert wrong.status_code == 422 and said in wrong.text and 'value="my task"' in wrong.text, name
    assert reader.post("/projects/new", {"name": "twice"}, follow_redirects=False).status_code == 303
    again = reader.post("/projects/new", {"name": "twice"})
    assert again.status_code == 422 and "exists already and is not overwritten" in again.text
    assert reader.get("/projects/..%2f..").status_code == 404
