"""Crawls of a real server on this machine: polite, bounded, kept by hash, gone on with, and read again without a network."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from studio.core import guarded
from studio.core.errors import ConfigError, StudioError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.web import crawl as crawling
from studio.data.web.crawl import Harvest, Plan, harvest
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe
from tests.data.web.site import WORDS, Site, answer, bomb, drip, drip_headers, moved, packed, page


def crawl(site: Site, tmp_path: Path, *, network: bool = True, **more: Any) -> Harvest:
    values: dict[str, Any] = {
        "starts": (site.url("/"),),
        "sitemaps": (),
        "hosts": frozenset({"127.0.0.1"}),
        "only": (),
        "depth": 3,
        "max_pages": 50,
        "max_bytes": 1 << 20,
        "total_bytes": 20 << 20,
        "private": True,
        "contact": "me@example.org",
        "delay": 0.0,
        "again": 0.0,
    }
    return harvest(Plan(**(values | more)), tmp_path / "kept", network=network)


def paths(found: Harvest) -> list[str]:
    return [visit.address.split("/", 3)[3] for visit in found.pages]


def reasons(found: Harvest) -> dict[str, tuple[str, str]]:
    return {"/" + visit.address.split("/", 3)[3]: (visit.why, visit.reason) for visit in found.gone}


def test_links_are_followed_breadth_first_to_a_depth_and_each_page_once(site: Site, tmp_path: Path) -> None:
    site.pages = {
        "/": page("home", "/a", "b#part", "/a#again", "http://other.test/x", "mailto:x@y.z", "/picture.png"),
        "/a": page("a", "/deep"),
        "/b": page("b", "/", "/a"),
        "/deep": page("deep", "/deeper"),
        "/deeper": page("deeper"),
    }
    assert paths(crawl(site, tmp_path, depth=2)) == ["", "a", "b", "deep"]
    assert site.paths() == ["/robots.txt", "/", "/a", "/b", "/deep"]
    agent = site.asked[1][1]["user-agent"]
    assert agent.startswith("finetuning-studio/") and agent.endswith("(+me@example.org)")
    other = crawl(site, tmp_path / "again", depth=0)
    assert paths(other) == [""]
    assert crawl(site, tmp_path / "elsewhere").elsewhere == {"other.test": 1}


def test_robots_decide_what_is_asked_for_and_how_fast(site: Site, tmp_path: Path) -> None:
    site.pages = {
        "/robots.txt": b"User-agent: *\nDisallow: /\n\nUser-agent: finetuning-studio\nDisallow: /closed\nCrawl-delay: 0.3\n",
        "/": page("home", "/closed/x", "/open"),
        "/open": page("open"),
        "/closed/x": page("closed"),
    }
    found = crawl(site, tmp_path)
    assert paths(found) == ["", "open"] and "/closed/x" not in site.paths()
    assert reasons(found)["/closed/x"] == ("robots.txt", "its robots.txt does not allow it")
    times = [when for path, _, when in site.asked if path != "/robots.txt"]
    assert times[1] - times[0] >= 0.29
    site.pages["/robots.txt"] = lambda handler: answer(handler, b"", {"Retry-After": "0"}, 503)
    with pytest.raises(StudioError, match="its robots.txt answers 503"):
        crawl(site, tmp_path / "closed")
    assert site.paths()[-3:] == ["/robots.txt"] * 3


def test_the_delay_of_the_recipe_holds_between_two_requests(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home", "/a"), "/a": page("a")}
    crawl(site, tmp_path, delay=0.2)
    times = [when for _, _, when in site.asked]
    assert min(b - a for a, b in pairwise(times)) >= 0.19


def test_sitemaps_plain_packed_nested_and_damaged(site: Site, tmp_path: Path) -> None:
    listed = "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{}</urlset>"
    index = "<sitemapindex>" + "".join(
        f"<sitemap><loc>{site.url(p)}</loc></sitemap>" for p in ("/s1.xml.gz", "/bad.xml", "/evil.xml")
    )
    site.pages = {
        "/index.xml": f"{index}</sitemapindex>".encode(),
        "/s1.xml.gz": gzip.compress(listed.format(f"<url><loc>{site.url('/one')}</loc></url>").encode()),
        "/bad.xml": f"<urlset><url><loc>{site.url('/two')}</loc></url><url><lo".encode(),
        "/evil.xml": b'<!DOCTYPE x [<!ENTITY a "aaaa">]><urlset><url><loc>&a;</loc></url></urlset>',
        "/list.txt": f"{site.url('/three')}\nno address\n".encode(),
        **{f"/{name}": page(name) for name in ("one", "two", "three")},
    }
    kinds = {"/index.xml": "application/xml", "/s1.xml.gz": "application/gzip", "/list.txt": "text/plain"}
    site.types = {**dict.fromkeys(("/bad.xml", "/evil.xml"), "text/xml"), **kinds}
    found = crawl(site, tmp_path, starts=(), sitemaps=(site.url("/index.xml"), site.url("/list.txt")))
    assert sorted(paths(found)) == ["one", "three", "two"]
    told = " ".join(found.notes)
    assert "bad.xml is cut off or not valid XML" in told and "evil.xml declares entities and is not read" in told


def test_what_goes_wrong_is_told_page_by_page_and_the_rest_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "PATIENCE", 2.5)
    monkeypatch.setattr(guarded, "_SLOWEST", 1 << 40)
    site.pages = {
        "/loop": moved("/loop2"),
        "/loop2": moved("/loop"),
        "/metadata": moved("http://169.254.169.254/latest/meta-data"),
        "/name": moved("http://localhost:1/x"),
        "/file": moved("file:///etc/passwd"),
        "/bomb": bomb,
        "/large": b"x" * (2 << 20),
        "/drip": drip,
        "/headers": drip_headers,
        "/picture": b"\x89PNG",
        "/reserved": page("reserved", head="<meta name='robots' content='noai'>"),
        "/mining": page("mining"),
        "/to-good": moved("/good"),
        "/good": page("good"),
        "/copy": page("good"),
        "/packed": packed,
    }
    site.types["/picture"] = "image/png"
    site.headers["/mining"] = {"tdm-reservation": "1"}
    site.pages["/"] = page("home", *site.pages, "/gone")
    found = crawl(site, tmp_path)
    assert sorted(paths(found)) == ["", "good", "packed"]
    why = reasons(found)
    assert "in a circle" in why["/loop2"][1]
    assert why["/metadata"][0] == why["/name"][0] == "another host"
    assert why["/file"] == ("failed", "leads to no page") and why["/gone"][1] == "answers 404"
    assert why["/bomb"][0] == why["/large"][0] == "too large"
    assert "less than" in why["/drip"][1] or "broke off" in why["/drip"][1]
    assert why["/headers"][0] == "failed" and why["/picture"] == ("no page of text", "is of the kind image/png")
    assert why["/reserved"] == ("reserved", "says noai to robots") and why["/mining"][1] == "reserves text and data mining"
    assert why["/copy"] == ("the same page", f"is the same page as {site.url('/good')}")


def test_private_addresses_need_leave_also_behind_an_allowed_host(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home")}
    with pytest.raises(StudioError, match="is no address of the public internet"):
        crawl(site, tmp_path, private=False)
    assert site.asked == []
    site.pages = {"/": moved("http://169.254.169.254/"), "/ok": page("ok")}
    real = guarded.checked_address
    guarded.checked_address = lambda name, port, private: real(
        name, port, name == "127.0.0.1"
    )  # this host alone counts as public
    try:
        found = crawl(
            site, tmp_path / "b", private=False, starts=(site.url("/"), site.url("/ok")),
            hosts=frozenset({"127.0.0.1", "169.254.169.254"}),
        )  # fmt: skip
    finally:
        guarded.checked_address = real
    assert paths(found) == ["ok"] and any("no address of the public internet" in one.reason for one in found.gone)


def test_a_later_crawl_asks_only_for_what_changed_and_none_asks_without_a_network(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home", "/a"), "/a": page("a")}
    first = crawl(site, tmp_path)
    site.pages["/a"] = page("a", text="A new text stands here. " * 30)
    site.asked.clear()
    second = crawl(site, tmp_path)
    assert all("if-none-match" in headers for path, headers, _ in site.asked if path != "/robots.txt")
    assert [one.unchanged for one in second.pages] == [True, False]
    assert first.pages[0].sha256 == second.pages[0].sha256 and first.pages[1].sha256 != second.pages[1].sha256
    site.asked.clear()
    site.pages["/a"] = lambda handler: handler.send_error(500)
    third = crawl(site, tmp_path)
    assert "answers 500, so what was kept on" in " ".join(third.notes) and paths(third) == ["", "a"]
    site.asked.clear()
    assert [one.sha256 for one in crawl(site, tmp_path, network=False).pages] == [one.sha256 for one in second.pages]
    assert paths(crawl(site, tmp_path, again=1.0)) == ["", "a"] and site.asked == []
    with pytest.raises(StudioError, match="was not crawled yet and the network is switched off"):
        crawl(site, tmp_path / "new", network=False)


def test_a_crawl_that_was_stopped_goes_on_and_asks_nothing_twice(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"/p{number}" for number in range(6)]
    site.pages = {"/": page("home", *names), **{name: page(name) for name in names}}

    def stops(data: bytes, address: str) -> Any:
        if address.endswith("/p3"):
            raise KeyboardInterrupt
        return real(data, address)

    real = crawling.facts_of
    monkeypatch.setattr(crawling, "facts_of", stops)
    with pytest.raises(KeyboardInterrupt):
        crawl(site, tmp_path)
    monkeypatch.setattr(crawling, "facts_of", real)
    assert paths(crawl(site, tmp_path)) == ["", *(name[1:] for name in names)]
    assert sorted(site.paths()) == sorted(["/robots.txt", "/", *names])


def test_a_host_that_falls_silent_stops_the_crawl_until_the_next_build(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"/p{number}" for number in range(8)]
    site.pages = {"/": page("home", *names), **{name: page(name) for name in names}}
    real = guarded.checked_address

    def silent(name: str, port: int, private: bool) -> str:
        if len(site.asked) >= 4:
            raise OSError("no route to host")
        return real(name, port, private)

    monkeypatch.setattr(guarded, "checked_address", silent)
    with pytest.raises(StudioError, match=r"did not answer 5 times in a row .*no route to host.*build again to go on"):
        crawl(site, tmp_path)
    monkeypatch.setattr(guarded, "checked_address", real)
    assert len(crawl(site, tmp_path).pages) == 9
    assert len(site.paths()) == len(set(site.paths())) == 10


def test_a_page_that_was_changed_on_disk_is_asked_for_anew(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home")}
    found = crawl(site, tmp_path)
    file = next((tmp_path / "kept" / "pages").rglob(f"{found.pages[0].sha256}.html"))
    file.write_bytes(b"changed")
    assert paths(crawl(site, tmp_path, again=5.0)) == [""] and file.read_bytes() == site.pages["/"]


def test_bounds_are_told(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home", *(f"/{n}" for n in range(9))), **{f"/{n}": page(str(n)) for n in range(9)}}
    found = crawl(site, tmp_path, max_pages=4)
    assert found.asked == 4 and found.unasked == 6 and "stopped at max_pages: 4 with 6 more addresses known" in found.notes
    small = crawl(site, tmp_path / "b", total_bytes=1500)
    assert 0 < len(small.pages) < 10 and "stopped at total_mb" in " ".join(small.notes)
    one = crawl(site, tmp_path / "c", only=(site.url("/1"),))
    assert paths(one) == ["", "1"]


def test_letters_are_read_right_whatever_is_said_of_them(site: Site, tmp_path: Path) -> None:
    text = "Smörgåsbord på Åland är gott och räcker länge för hela familjen i staden. " * 4
    site.pages = {
        "/": page("home", "/latin", "/lies", "/meta", "/utf16"),
        "/latin": page("l", text=text).decode().encode("cp1252"),
        "/lies": page("m", text=text),
        "/meta": page("n", text=text, head="<meta charset='iso-8859-1'>").decode().encode("cp1252"),
        "/utf16": page("o", text=text).decode().encode("utf-16"),
    }
    site.types = {"/latin": "text/html; charset=windows-1252", "/lies": "text/html; charset=iso-8859-1"}
    site.types |= dict.fromkeys(("/meta", "/utf16"), "text/html")
    found = crawl(site, tmp_path)
    for visit in found.pages[1:]:
        (file,) = (tmp_path / "kept" / "pages").rglob(f"{visit.sha256}.html")
        assert "Smörgåsbord på Åland" in file.read_text(encoding="utf-8"), visit.address
    assert "/lies says cp1252 and was read as utf-8" in " ".join(found.notes)


def test_pages_of_a_wrong_charset_are_not_guessed(site: Site, tmp_path: Path) -> None:
    site.pages = {"/": page("home", "/odd"), "/odd": b"<html><body><p>\xe9\xe8 \xfc</p></body></html>"}
    site.types["/odd"] = "text/html; charset=utf-8"
    found = crawl(site, tmp_path)
    assert reasons(found)["/odd"] == ("failed", "its encoding is not certain")


def build(site: Site, tmp_path: Path, **more: Any) -> BuildOutcome:
    source = {
        "type": "web",
        "start": [site.url("/")],
        "licence": "CC-BY-4.0",
        "contact": "me@example.org",
        "private": True,
        "delay": 0,
    }
    value = {"kind": "chat", "sources": [source | more], "split": {"validation": 0, "test": 0}}
    return build_chat_dataset(validate(value, ChatRecipe), Workspace(tmp_path / "w"), name="pages")


def test_pages_become_rows_with_their_address_licence_and_date(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = '<p><a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">CC</a></p>'
    site.pages = {
        "/robots.txt": b"User-agent: *\nDisallow: /private\n",
        "/": page(
            "Library", "/private", "/faq", more=stated, head="<meta property='article:published_time' content='2024-05-06T10:00'>"
        ),
        "/faq": page(
            "FAQ", text=f"{WORDS}</p><h2>How long may I keep a map?</h2><p>Maps may be kept for two weeks, then they go back."
        ),
    }
    outcome = build(site, tmp_path, again=0)
    folder = outcome.folder
    rows = parquet.read_table(folder / "train.parquet").to_pylist()
    faq = next(row for row in rows if "keep a map" in str(row["messages"]))
    assert site.url("/faq") in str(faq["meta"]) and "two weeks" in str(faq["messages"])
    home = next(row for row in rows if "CC-BY-SA-4.0" in str(row["meta"]))
    assert "2024-05-06" in str(home["meta"]) and "fetched" in str(home["meta"])
    gone = parquet.read_table(folder / "removed.parquet").to_pylist()
    assert [(one["step"], one["reason"]) for one in gone] == [("fetch", "robots.txt")]
    crawls = outcome.record.model_extra["crawls"]["127.0.0.1"]
    assert (
        crawls["pages"] == 2
        and crawls["not_used"] == {"robots.txt": 1}
        and crawls["licences"] == {"CC-BY-SA-4.0": 1, "none stated": 1}
    )
    assert "Pages of the web" in (folder / "report.html").read_text(encoding="utf-8")
    assert any("licences that the pages state: CC-BY-SA-4.0 (1), none stated (1)" in note for note in outcome.notes)
    site.asked.clear()
    assert build(site, tmp_path, again=0).cached and site.asked
    site.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert build(site, tmp_path, again=0).cached and site.asked == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"start": []}, "a crawl begins somewhere"),
        ({"start": ["ftp://x/y"]}, "start"),
        ({"contact": "a\nb"}, "contact"),
        ({"dept": 1}, "depth"),
    ],
)
def test_a_recipe_that_is_none_is_a_sentence(more: dict[str, Any], said: str) -> None:
    source = {"type": "web", "start": ["https://example.org"], "licence": "x", "contact": "me@example.org"}
    with pytest.raises(ConfigError, match=said):
        validate({"kind": "chat", "sources": [source | more]}, ChatRecipe)
