"""OpenML and Kaggle by name, from servers on this machine that answer as theirs do: the licence is read, never guessed."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.io import arff as scipy_arff

from studio.core.errors import ConfigError, StudioError, UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.frames import FrameOptions, read_frame
from studio.data.tables.build import build_table_dataset
from studio.schema.loading import validate
from studio.schema.table_recipe import TableRecipe
from tests.data.web.site import Site, answer, moved, served

ROWS = [(round(4 + n % 17 / 10, 1), "a,b" if n % 2 else "it's", "yes" if n % 3 else "no") for n in range(60)]
ARFF = (
    "% made for a test\n@RELATION 'a b'\n@ATTRIBUTE 'petal length' REAL\n@attribute kind {'a,b','it\\'s'}\n"
    "@attribute class {yes, no}\n@DATA\n" + "".join(f"{a},'{b.replace(chr(39), chr(92) + chr(39))}',{c}\n" for a, b, c in ROWS)
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HF_HUB_OFFLINE", "STUDIO_OFFLINE", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    made = Site()
    server = served(made)
    yield made
    server.shutdown()
    server.server_close()


def openml(site: Site, **more: Any) -> None:
    """A data set 61 as the documentation of OpenML's API answers (openml.org/apis, /data/{id} and /data/list)."""
    about = {
        "id": "61", "name": "iris", "version": "1", "format": "ARFF", "licence": "Public", "file_id": "61", "status": "active",
        "url": site.url("/data/v1/download/61/iris.arff"), "parquet_url": site.url("/datasets/dataset_61.pq"),
        "default_target_attribute": "class", "md5_checksum": "x",
    }  # fmt: skip
    about = {key: value for key, value in (about | more).items() if value is not None}
    sink = io.BytesIO()
    pd.DataFrame(ROWS, columns=["petal length", "kind", "class"]).to_parquet(sink)
    listed = {"data": {"dataset": [{"did": 61, "name": "iris", "version": 1, "status": "active", "format": "ARFF"}]}}
    unknown = json.dumps({"error": {"code": "372", "message": "No results"}}).encode()
    site.pages = {
        "/api/v1/json/data/61": json.dumps({"data_set_description": about}).encode(),
        "/api/v1/json/data/list/data_name/iris/data_version/1": json.dumps(listed).encode(),
        "/api/v1/json/data/7": lambda handler: answer(handler, unknown, {}, 412),
        "/data/v1/download/61/iris.arff": ARFF.encode(),
        "/datasets/dataset_61.pq": sink.getvalue(),
    }


def build(site: Site, tmp_path: Path, source: dict[str, Any]) -> BuildOutcome:
    source = {"server": f"http://{site.host}", "private": True} | source
    value = {"kind": "table", "target": "class", "sources": [source]}
    return build_table_dataset(validate(value, TableRecipe), Workspace(tmp_path / "w"), name="t")


def test_openml_by_number_and_by_name_reads_parquet_the_licence_and_the_target(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openml(site)
    outcome = build(site, tmp_path, {"type": "openml", "id": 61})
    kept = outcome.record.sources[0]
    assert (kept.rows, kept.licence, kept.name, kept.revision) == (60, "Public", "iris", "1")
    assert kept.location == f"http://{site.host}/d/61"
    told = " ".join(outcome.notes)
    assert "the licence Public is what the catalogue states" in told and "the target is class" in told and "as parquet" in told
    site.asked.clear()
    assert build(site, tmp_path, {"type": "openml", "id": "iris@1"}).record.rows_read == 60
    assert "/datasets/dataset_61.pq" not in site.paths()  # what a number names never changes
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    site.asked.clear()
    assert build(site, tmp_path, {"type": "openml", "id": "iris@1"}).record.rows_read == 60 and site.asked == []


def test_openml_falls_back_to_arff_and_says_so(site: Site, tmp_path: Path) -> None:
    openml(site)
    del site.pages["/datasets/dataset_61.pq"]
    outcome = build(site, tmp_path, {"type": "openml", "id": 61})
    assert outcome.record.rows_read == 60 and "its parquet cannot be had (there is no file at" in " ".join(outcome.notes)
    assert build(site, tmp_path, {"type": "openml", "id": 61, "rename": {"petal length": "petal"}}).record.rows_read == 60


@pytest.mark.parametrize("stated", [None, "", "unknown"])
def test_a_licence_that_nobody_states_has_to_be_said(site: Site, tmp_path: Path, stated: str | None) -> None:
    openml(site, licence=stated)
    with pytest.raises(UserError, match=r"OpenML 61 \(iris, version 1\) states no licence.*say it in the source: licence"):
        build(site, tmp_path, {"type": "openml", "id": 61})
    outcome = build(site, tmp_path, {"type": "openml", "id": 61, "licence": "CC0"})
    assert outcome.record.sources[0].licence == "CC0" and "of nobody, the recipe CC0" in " ".join(outcome.notes)


def test_what_openml_does_not_have_and_files_elsewhere_are_sentences(site: Site, tmp_path: Path) -> None:
    openml(site, parquet_url="http://elsewhere.test/x.pq")
    with pytest.raises(UserError, match="has no data set '7'"):
        build(site, tmp_path, {"type": "openml", "id": 7})
    with pytest.raises(
        UserError, match=r"has its file on elsewhere.test. If that is right, allow it in the source: hosts: \[elsewhere"
    ):
        build(site, tmp_path, {"type": "openml", "id": 61})
    with pytest.raises(UserError, match="is no address of the public internet"):
        build(site, tmp_path, {"type": "openml", "id": 61, "private": False})
    site.pages["/api/v1/json/data/61"] = b"<html>"
    with pytest.raises(StudioError, match="answers what is no JSON"):
        build(site, tmp_path, {"type": "openml", "id": 61})
    with pytest.raises(ConfigError, match="id"):
        build(site, tmp_path, {"type": "openml", "id": "iris"})


def kaggle(site: Site, **more: Any) -> None:
    """A data set as Kaggle's API answers: its view, and a download that leads to a store on another host."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("data/train.csv", "x,class\n" + "".join(f"{n},{'yes' if n % 3 else 'no'}\n" for n in range(60)))
        archive.writestr("other.csv", "y\n1\n")
        archive.writestr("about.pdf", "%PDF")
    view = {"ref": "owner/flowers", "title": "Flowers", "licenseName": "CC0: Public Domain", "currentVersionNumber": 3, **more}
    port = site.host.rpartition(":")[2]
    site.pages = {
        "/api/v1/datasets/view/owner/flowers": json.dumps(view).encode(),
        "/api/v1/datasets/download/owner/flowers?datasetVersionNumber=3": moved(f"http://localhost:{port}/store/archive.zip"),
        "/store/archive.zip": sink.getvalue(),
    }


def test_kaggle_reads_licence_and_version_and_sends_its_login_to_its_own_host_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle(site)
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    source = {"type": "kaggle", "id": "owner/flowers", "file": "data/train.csv", "hosts": ["localhost"]}
    outcome = build(site, tmp_path, source)
    kept = outcome.record.sources[0]
    assert (kept.rows, kept.licence, kept.revision, kept.name) == (60, "CC0: Public Domain", "3", "flowers")
    logins = {path: headers.get("authorization") for path, headers, _ in site.asked}
    assert logins.pop("/store/archive.zip") is None
    assert set(logins.values()) == {f"Basic {base64.b64encode(b'me:secret').decode()}"}
    assert "secret" not in outcome.record.model_dump_json()
    with pytest.raises(UserError, match=r"has no file 'x.csv' that can be read. It has: data/train.csv, other.csv"):
        build(site, tmp_path, source | {"file": "x.csv"})
    kaggle(site, licenseName="Unknown")
    with pytest.raises(UserError, match=r"states no licence \(it says 'Unknown'\)"):
        build(site, tmp_path, source)


def test_kaggle_without_a_login_says_how_to_set_it_up(site: Site, tmp_path: Path) -> None:
    kaggle(site)
    source = {"type": "kaggle", "id": "owner/flowers", "file": "data/train.csv", "hosts": ["localhost"]}
    with pytest.raises(UserError, match=r"needs a login there, and none is set up. Make a token on kaggle.com"):
        build(site, tmp_path, source)
    assert site.asked == []
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "kaggle.json").write_text('{"username": "me", "key": "k"}')
    assert build(site, tmp_path, source).record.rows_read == 60


def test_arff_is_read_as_scipy_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "x.arff"
    plain = "".join(f"{n},{n * 1.5},{'?' if n % 5 == 0 else 'b'},c{n % 2}\n" for n in range(40))
    file.write_text(
        f"@relation r\n@attribute n numeric\n@attribute f REAL\n@attribute k {{a, b}}\n@attribute c {{c0,c1}}\n@data\n{plain}"
    )
    ours = read_frame(file, FrameOptions()).columns
    theirs = pd.DataFrame(scipy_arff.loadarff(file)[0])
    assert (
        ours["f"].astype(float).tolist() == theirs["f"].tolist()
        and ours["c"].tolist() == theirs["c"].str.decode("utf-8").tolist()
    )
    assert ours["k"].fillna("?").tolist() == theirs["k"].str.decode("utf-8").tolist()


def test_arff_with_quotes_sparse_rows_text_and_damage(tmp_path: Path) -> None:
    file = tmp_path / "x.arff"
    file.write_text(ARFF)
    frame = read_frame(file, FrameOptions())
    assert [tuple(row) for row in frame.columns.itertuples(index=False)] == [(str(a), b, c) for a, b, c in ROWS]
    file.write_text(
        "@relation r\n@attribute a numeric\n@attribute 'b c' string\n@attribute d {u,v}\n"
        "@data\n{0 3, 1 'x y'}\n{2 v}\n1,2\n{9 1}\n"
    )
    sparse = read_frame(file, FrameOptions())
    assert sparse.columns.to_dict("list") == {"a": ["3", "0"], "b c": ["x y", "0"], "d": ["u", "v"]}
    assert [bad.number for bad in sparse.bad] == [3, 4]
    file.write_text("@relation r\n@attribute a {0,1}\n@data\n0\n1\n")
    assert "say type: category" in " ".join(read_frame(file, FrameOptions()).notes)
    for text, said in (("@relation r\n@data\n1\n", "declares 0 columns"), ("@attribute a numeric\n", "no line @data")):
        file.write_text(text)
        with pytest.raises(StudioError, match=said):
            read_frame(file, FrameOptions())
