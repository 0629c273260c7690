"""What is kept of the web and of addresses: listed, and pruned without what a Dataset, or a stopped crawl, needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.workspace import Workspace, cache_folder
from studio.data.chat.build import build_chat_dataset
from studio.data.kept_files import KeptItem, kept_items, remove_kept
from studio.data.web import crawl as crawling
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe
from tests.conftest import Result
from tests.data.web.site import Site, page

CSV = b"question,answer\n" + b"".join(b"What is %d?,It is %d.\n" % (number, number) for number in range(30))


def build(site: Site, space: Workspace, name: str, **source: object) -> None:
    shared = {"licence": "CC0", "private": True}
    value = {"kind": "chat", "sources": [shared | source], "split": {"validation": 0, "test": 0}}
    build_chat_dataset(validate(value, ChatRecipe), space, name=name)


def crawled(site: Site, space: Workspace, name: str, **more: object) -> None:
    build(
        site,
        space,
        name,
        **({"type": "web", "start": [site.url("/")], "contact": "me@example.org", "delay": 0, "again": 0} | more),
    )


def aged(days: float) -> None:
    """Make every file of the cache that old."""
    then = time.time() - days * 86_400
    for path in sorted(cache_folder().rglob("*"), reverse=True):
        os.utime(path, (then, then))


def going(items: list[KeptItem]) -> list[str]:
    return [str(item.goes) for item in items if item.goes]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "w")


def test_pages_that_no_crawl_knows_go_and_those_of_datasets_stay(
    site: Site, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {"/": page("home", "/old"), "/old": page("old")}
    crawled(site, space, "pages")
    site.pages = {"/": page("home", "/new"), "/new": page("new")}
    crawled(site, space, "pages")
    assert going(kept_items(cache_folder(), space)) == [], "a build may be writing them just now"
    aged(90)
    items = kept_items(cache_folder(), space, older=30)
    assert going(items) == ["no crawl knows them any more"]
    assert [item.what for item in items] == ["2 pages of 127.0.0.1", "2 pages of earlier crawls"]
    assert items[0].stays == "needed by pages"
    remove_kept(cache_folder(), [item for item in items if item.goes])
    assert len(list((cache_folder() / "web" / "pages").rglob("*.html"))) == 2
    site.pages = {}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    crawled(site, space, "again")


def test_a_crawl_that_was_stopped_stays_until_asked_for(site: Site, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages = {"/": page("home", "/a", "/b"), "/a": page("a"), "/b": page("b")}

    def stops(data: bytes, address: str) -> object:
        if address.endswith("/b"):
            raise KeyboardInterrupt
        return real(data, address)

    real = crawling.facts_of
    monkeypatch.setattr(crawling, "facts_of", stops)
    with pytest.raises(KeyboardInterrupt):
        crawled(site, space, "pages")
    monkeypatch.setattr(crawling, "facts_of", real)
    [kept] = kept_items(cache_folder(), space, older=0)
    assert (kept.goes, kept.stays) == (None, "needed by a crawl that was stopped")
    [gone] = kept_items(cache_folder(), space, older=0, used=True)
    assert gone.goes
    remove_kept(cache_folder(), [gone])
    assert kept_items(cache_folder(), space) == [] and not list((cache_folder() / "web" / "pages").rglob("*.html"))
    crawled(site, space, "pages")


def test_fetched_files_go_by_age_where_no_dataset_is_made_of_them(
    site: Site, space: Workspace, studio: Callable[..., Result]
) -> None:
    site.pages = {"/rows.csv": CSV, "/other.csv": CSV + b"More?,No.\n"}
    build(site, space, "used", type="url", url=site.url("/rows.csv"))
    elsewhere = Workspace.open(space.root.parent / "elsewhere")
    build(site, elsewhere, "other", type="url", url=site.url("/other.csv"))
    (cache_folder() / "url" / "0000").mkdir()
    (cache_folder() / "url" / "0000" / ".arriving-1").write_bytes(b"half")
    aged(40)
    prune = ("data", "prune", "--workspace", str(space.root))
    listed = studio(*prune)
    assert listed.code == 0 and "needed by used" in listed.out and "a download that broke off" in listed.out
    assert "Would delete 1" in listed.out and "add --yes" in listed.out
    done = studio("--json", *prune, "--older", "30", "--yes").json
    assert [item["what"].split(" ")[0].rsplit("/", 1)[-1] for item in done["items"] if item["goes"]] == ["0000", "other.csv"]
    left = list((cache_folder() / "url").rglob("*.csv"))
    assert [file.name for file in left] == ["rows.csv"] and not (cache_folder() / "url" / "0000").exists()
    assert studio(*prune, "--used").code == 2
    assert "Deleted 1" in studio(*prune, "--older", "30", "--used", "--yes").out
    assert list((cache_folder() / "url").rglob("*")) == []
    assert "No web pages and no fetched files are kept." in studio(*prune).out
