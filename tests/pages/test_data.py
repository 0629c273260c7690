"""The page for data: bringing files, recipes, what was built, rows with their reasons, edits and labels."""

from __future__ import annotations

import errno
import html
import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from PIL import Image, ImageDraw

from studio.apps.accounts import Accounts
from studio.cli import output
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.reading import read_annotation_file
from studio.jobs.records import find_job
from studio.pages import recipes, uploads
from studio.pages.edits import Edits
from studio.pages.packed import safe_name
from studio.pages.uploads import keep_upload, list_uploads
from tests.conftest import DOORS, call_studio, write_doors
from tests.pages.conftest import ADDRESS, Reader
from tests.pages.test_site import untranslated, visible

CSV = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in DOORS)
BAD = "kind: chat\nsources:\n  - {type: local, path: doors.jsonl, licence: own data}\nsplitt: {validation: 4, test: 6}\n"


def token_of(reader: Reader) -> str:
    """What the forms of this browser carry."""
    found = re.search(r"token=(\w+)", reader.get("/data/-/new").text)
    assert found
    return found[1]


def send(reader: Reader, path: str, *, follow: bool = False, **fields: str) -> Any:
    """Send a form as a browser without scripts does."""
    headers = {"accept": "text/html", "accept-language": reader.language, "origin": ADDRESS}
    return reader.client.post(path, data={"token": token_of(reader), **fields}, headers=headers, follow_redirects=follow)


def bring(reader: Reader, *files: tuple[str, bytes]) -> Any:
    """Send files."""
    sent = [("files", file) for file in files]
    headers = {"accept": "text/html", "origin": ADDRESS}
    return reader.client.post(f"/data/-/upload?token={token_of(reader)}", files=sent, headers=headers, follow_redirects=False)


def over(workspace: Workspace, answer: Any) -> Any:
    """The job that an answer led to, once it is over."""
    assert answer.status_code == 303, answer.text
    identity = answer.headers["location"].rpartition("/")[2]
    end = time.monotonic() + 90
    while not (job := find_job(workspace, identity)).over:
        assert time.monotonic() < end, "the job does not end"
        time.sleep(0.2)
    return job


@pytest.fixture
def house(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace that commands use, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return workspace


@pytest.fixture
def stocked(house: Workspace, tmp_path: Path) -> Workspace:
    """A Dataset of which one row was there twice, one had no question, and one is Arabic."""
    arabic = {"question": "كم عرض الباب؟", "answer": "يجب أن يكون عرضه مترًا واحدًا."}
    write_doors(tmp_path / "own", DOORS[0], {"question": "", "answer": "nothing asked"}, arabic)
    assert call_studio("data", "build", tmp_path / "own" / "doors.yaml") == 0
    output.set_workspace(None)
    return house


def reference_of(workspace: Workspace) -> str:
    """``NAME/FINGERPRINT`` of the newest Dataset."""
    folder = workspace.list_datasets()[0]
    return f"{folder.parent.name}/{folder.name}"


# -- uploads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        (".bashrc", "bashrc"),
        ("a b;rm -rf $HOME.csv", "a_b_rm_-rf_HOME.csv"),
        ("建筑问答.csv", "建筑问答.csv"),
        ("<script>.csv", "script_.csv"),
        ("..", "file"),
        ("", "file"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_a_sent_name_becomes_one_that_harms_nobody(sent: str, kept: str) -> None:
    """No part of a path, no sign of a shell, and letters of any script stay."""
    assert safe_name(sent) == kept


def test_what_was_brought_twice_is_one_upload_and_nothing_is_overwritten(workspace: Workspace) -> None:
    """The hash of names and bytes is the upload's name."""
    first = keep_upload(workspace, [("a.csv", io.BytesIO(b"x,y\n1,2\n"))], by="ada")
    again = keep_upload(workspace, [("a.csv", io.BytesIO(b"x,y\n1,2\n"))], by="eve")
    other = keep_upload(workspace, [("a.csv", io.BytesIO(b"x,y\n3,4\n"))])
    assert first.folder == again.folder != other.folder and again.record.by == "ada"
    assert first.place.read_bytes() == b"x,y\n1,2\n" and other.place.read_bytes() == b"x,y\n3,4\n"
    assert len(list_uploads(workspace)) == 2
    assert not list(workspace.root.glob("uploads/.incoming*"))


def test_two_at_once_with_the_same_file_get_the_same_upload(workspace: Workspace) -> None:
    """One of them is first; both can go on."""
    found: list[str] = []

    def bring() -> None:
        found.append(keep_upload(workspace, [("rows.csv", io.BytesIO(CSV.encode()))]).record.id)

    threads = [threading.Thread(target=bring) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 8 and len(set(found)) == 1 and len(list_uploads(workspace)) == 1


def test_files_of_one_name_in_one_upload_are_both_kept(workspace: Workspace) -> None:
    """The second gets a number, also where only the capitals differ."""
    kept = keep_upload(workspace, [("a/x.txt", io.BytesIO(b"1")), ("b/X.txt", io.BytesIO(b"2"))])
    assert [file.name for file in kept.record.files] == ["x.txt", "X-2.txt"]
    assert kept.place.is_dir() and len(list(kept.place.iterdir())) == 2


def packed(files: dict[str, bytes]) -> io.BytesIO:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    out.seek(0)
    return out


def test_a_zip_of_pictures_is_unpacked_and_nothing_of_it_lands_elsewhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that lead away are cut, folders stay, a bomb is stopped, and a zip of other things is left as it is."""
    files = {"a/one.png": b"1", "a/one.txt": b"red", "../../two.png": b"2", "/b/A/one.png": b"3", "__MACOSX/._one.png": b"4"}
    kept = keep_upload(workspace, [("pics.zip", packed(files))])
    found = sorted(path.relative_to(kept.place).as_posix() for path in kept.place.rglob("*") if path.is_file())
    assert kept.record.unpacked and found == ["a/one.png", "a/one.txt", "b/A/one.png", "two.png"]
    rows = keep_upload(workspace, [("rows.zip", packed({"rows.csv": CSV.encode(), "one.png": b"1", "more.csv": b"a,b"}))])
    assert not rows.record.unpacked and rows.place.name == "rows.zip"
    monkeypatch.setattr(uploads, "MOST_BYTES", 100_000)
    with pytest.raises(UserError, match="bomb.zip unpacks to more than an upload may hold"):
        keep_upload(workspace, [("bomb.zip", packed({"zeros.png": bytes(5_000_000)}))])
    assert len(list_uploads(workspace)) == 2 and not list(workspace.root.glob("uploads/.incoming*"))


def test_a_full_disk_is_told_and_what_was_killed_goes_after_a_day(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and nothing half there; the rest of an upload that died is cleared away, one under way is not."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_copy", full)
        with pytest.raises(StudioError, match="the disk is full"):
            keep_upload(workspace, [("a.csv", io.BytesIO(b"x"))])
    old, new = (workspace.root / "uploads" / f".incoming-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - 100_000,) * 2)
    keep_upload(workspace, [("a.csv", io.BytesIO(b"x"))])
    assert not old.exists() and new.exists()


def test_wrong_uploads_are_told_at_the_field(
    house: Workspace, site: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing chosen, no bytes, too many bytes, a broken form: one sentence each, and nothing stays behind."""
    reader = site(house)
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    for files, said in [
        ([], "No file was chosen"),
        ([("empty.csv", b"")], "Empty.csv is empty (0 bytes)"),
        ([("large.csv", b"x" * 2000)], "Large.csv is too large"),
        ([("a.csv", b"x" * 600), ("b.csv", b"x" * 600)], "B.csv is too large"),
    ]:
        answer = bring(reader, *files)
        assert answer.status_code == 422 and said in answer.text, (files, answer.text)
        assert 'aria-describedby="files-wrong"' in answer.text
    token = token_of(reader)
    broken = reader.client.post(
        f"/data/-/upload?token={token}", content=b"--x\r\nno", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code == 422
    assert list_uploads(house) == [] and not list(house.root.glob("uploads/.incoming*"))


def test_an_upload_needs_the_token_and_the_role(house: Workspace, site: Callable[..., Reader]) -> None:
    """A form of another site, and a person who may only look, change nothing."""
    reader = site(house)
    assert reader.client.post("/data/-/upload", files={"files": ("a.csv", b"x")}).status_code == 403
    assert reader.client.post("/data/-/upload?token=0", files={"files": ("a.csv", b"x")}).status_code == 403
    accounts = Accounts.of({"ada": "long enough", "eve": "long enough"}, {"ada": "train", "eve": "look"})
    looking = site(house, accounts, "eve", "long enough")
    page = looking.get("/data/-/new")
    assert page.status_code == 200 and 'type="file"' not in page.text
    assert list_uploads(house) == []


def test_a_binary_file_is_told_what_it_is(house: Workspace, site: Callable[..., Reader]) -> None:
    """It is kept and looked at, in whatever script its name is; the page says why nothing reads it and asks for another."""
    reader = site(house)
    answer = bring(reader, ("模型 一.pkl", b"\x80\x04\x95" + bytes(range(256)) * 8))
    place = answer.headers["location"]
    wait_for_look(reader, place)
    page = reader.get(place)
    assert "write parquet or csv" in page.text and "Bring another file" in page.text and "recipe-text" not in page.text


def wait_for_look(reader: Any, place: str) -> None:
    """Wait until the part that is live says that the page goes on."""
    end = time.monotonic() + 90
    while "x-studio-next" not in reader.get(f"{place}/live").headers:
        assert time.monotonic() < end, "the look does not end"
        time.sleep(0.2)


def test_the_whole_road_from_a_file_to_a_dataset(house: Workspace, site: Callable[..., Reader]) -> None:
    """Brought, looked at, the proposal saved and built; each page shows the command, and a reload starts nothing anew."""
    reader = site(house)
    answer = bring(reader, ("../my doors.csv", CSV.encode()))
    place = answer.headers["location"]
    assert place.startswith("/data/-/uploads/my_doors-")
    wait_for_look(reader, place)
    jobs = len(list((house.root / "jobs").glob("[!.]*")))
    page = reader.get(place)
    assert "How wide must" in page.text and "kind: chat" in page.text and "studio data look" in page.text
    assert reader.get(place).status_code == 200 and len(list((house.root / "jobs").glob("[!.]*"))) == jobs
    upload = list_uploads(house)[0]
    source = f"  - {{type: local, path: '{upload.place}', licence: own data}}"
    text = f"kind: chat\nsources:\n{source}\nsplit: {{validation: 4, test: 6}}\n"
    saved = send(reader, "/data/-/recipe", name="my-doors", text=text, seen="", then="build")
    job = over(house, saved)
    assert job.status == "done", job.record.said
    assert job.record.arguments == ["data", "build", str(Path("workspace") / "recipes" / "my-doors.yaml")]
    made = job.record.made[0].removeprefix("datasets/")
    assert made.startswith("my-doors/")
    overview = reader.get("/data/my-doors", follow_redirects=True)
    assert overview.status_code == 200 and f"/train?data={made}" in overview.text.replace("%2F", "/")
    assert "my-doors" in reader.get("/data").text


# -- recipes ---------------------------------------------------------------------------------------------------------


def test_a_mistake_in_a_recipe_is_shown_at_its_line_with_what_was_typed(
    house: Workspace, site: Callable[..., Reader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence is the terminal's, the line is marked, and nothing was written."""
    answer = send(site(house), "/data/-/recipe", name="doors", text=BAD, seen="")
    assert answer.status_code == 422
    sentence = "doors.yaml:4: unknown field 'splitt'. Did you mean 'split'?"
    assert sentence in answer.text.replace("&#39;", "'") and "<mark>   4  splitt" in answer.text
    assert "splitt: {validation: 4, test: 6}\n</textarea>" in answer.text and not (house.root / "recipes").exists()
    (tmp_path / "doors.yaml").write_text(BAD, encoding="utf-8")
    assert call_studio("data", "build", "doors.yaml") != 0
    assert sentence in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    "text", ["", "kind: [", "- a\n- b\n", "kind: nothing\n", "kind: chat\nkind: chat\n", "\0", "a: " + "[" * 3000]
)
def test_no_text_breaks_the_page_of_a_recipe(house: Workspace, site: Callable[..., Reader], text: str) -> None:
    """Whatever is typed, the answer is a sentence."""
    answer = send(site(house), "/data/-/recipe", name="mine", text=text, seen="")
    assert answer.status_code == 422 and 'id="text-wrong"' in answer.text


def test_a_recipe_is_never_overwritten_silently(stocked: Workspace, site: Callable[..., Reader], tmp_path: Path) -> None:
    """Another's recipe of the same name, and one that was changed meanwhile, stay until somebody says that they go."""
    reader, good = site(stocked), (tmp_path / "own" / "doors.yaml").read_text(encoding="utf-8")
    assert send(reader, "/data/-/recipe", name="doors", text=good, seen="").status_code == 303
    path = recipes.recipe_path(stocked, "doors")
    other = good.replace("test: 6", "test: 5")
    refused = send(reader, "/data/-/recipe", name="doors", text=other, seen="")
    assert (
        refused.status_code == 422 and "already, and it is not overwritten" in refused.text and 'name="replace"' in refused.text
    )
    assert path.read_text(encoding="utf-8") == good
    seen = recipes.state_of(path)
    assert send(reader, "/data/-/recipe", name="doors", text=other, seen=seen).status_code == 303
    assert path.read_text(encoding="utf-8") == other
    assert send(reader, "/data/-/recipe", name="doors", text=good, seen=seen).status_code == 422  # somebody was faster
    assert send(reader, "/data/-/recipe", name="doors", text=good, seen=seen, replace="yes").status_code == 303
    for name in ("../doors", "", "a/b", ".hidden", "x" * 200):
        answer = send(reader, "/data/-/recipe", name=name, text=good, seen="")
        assert answer.status_code == 422 and 'id="name-wrong"' in answer.text


def test_somebody_who_may_train_cannot_read_the_servers_disk(house: Workspace, tmp_path: Path) -> None:
    """Places beside what was brought are refused in every spelling; what was brought, built or shipped is not."""
    upload = keep_upload(house, [("a.jsonl", io.BytesIO(json.dumps(DOORS[0]).encode()))])
    secret = tmp_path / "secret.jsonl"
    secret.write_text(json.dumps(DOORS[0]), encoding="utf-8")
    (house.root / "recipes").mkdir()
    for place, fine in [
        (str(upload.place), True),
        (f"../uploads/{upload.record.id}/files/a.jsonl", True),
        (str(secret), False),
        ("secret.jsonl", False),
        ("./secret.jsonl", False),
        ("../../secret.jsonl", False),
        (f"{upload.folder}/../../../secret.jsonl", False),
        ("/etc/passwd", False),
        ("/etc/*", False),
        ("~/.ssh/id_rsa", False),
    ]:
        text = yaml.safe_dump(
            {"kind": "chat", "sources": [{"type": "local", "path": place, "licence": "x"}], "split": {"test": 1}}
        )
        _, settings = recipes.check_recipe("a", text)
        if fine:
            recipes.check_places(house, settings)
        else:
            with pytest.raises(Exception, match="lies on the server"):
                recipes.check_places(house, settings)


def test_shipped_recipes_are_offered_and_copied_without_touching_them(house: Workspace, site: Callable[..., Reader]) -> None:
    """A recipe that needs a place is copied, another is built as it is; one that does not exist is 404."""
    reader = site(house)
    page = reader.get("/data/-/new").text
    assert "chat/construction-faq-en" in page and "/data/-/recipe?shipped=table/own-table" in page.replace("%2F", "/")
    copy = reader.get("/data/-/recipe?shipped=table/own-table")
    assert copy.status_code == 200 and "kind: table" in copy.text and 'value="own-table"' in copy.text
    assert reader.get("/data/-/recipe?shipped=../../etc/passwd").status_code == 404
    assert reader.get("/data/-/recipe?name=nothing").status_code == 404
    assert send(reader, "/data/-/build", shipped="chat/none").status_code == 404


# -- Datasets --------------------------------------------------------------------------------------------------------


def test_an_empty_page_teaches(house: Workspace, site: Callable[..., Reader]) -> None:
    """What a Dataset is, and the one thing to do."""
    page = site(house).get("/data")
    assert page.status_code == 200 and "Bring a file" in page.text and "Each row that goes keeps its reason." in page.text


def test_fifty_datasets_are_listed_quickly_and_a_damaged_one_does_not_hide_them(
    house: Workspace, site: Callable[..., Reader]
) -> None:
    """In pages of thirty, found by letters of their names."""
    for number in range(52):
        folder = house.datasets / f"set-{number:02d}" / f"{number:016x}"
        folder.mkdir(parents=True)
        record = {
            "kind": "chat", "name": f"set-{number:02d}", "fingerprint": folder.name, "created": "2026-11-30T10:00:00+00:00",
            "recipe": {}, "sources": [], "steps": [], "splits": {"train": number}, "rows_read": number, "rows_removed": 0,
            "studio_version": "1",
        }  # fmt: skip
        (folder / "dataset.json").write_text(json.dumps(record) if number else "{", encoding="utf-8")
    reader = site(house)
    reader.get("/data")
    begun = time.perf_counter()
    page = reader.get("/data?page=1").text
    took = time.perf_counter() - begun
    assert took < 2, took
    assert "set-00" in page and "Page 2 of 2" in page and "damaged" in page
    found = reader.get("/data?q=SET-1").text
    assert "set-11" in found and "set-22" not in found
    assert "No Dataset has a name" in reader.get("/data?q=nothing").text


def test_rows_are_searched_paged_and_removed_ones_say_why_and_what_they_repeat(
    stocked: Workspace, site: Callable[..., Reader]
) -> None:
    """The duplicate stands beside the row that it repeats."""
    reader, name = site(stocked), reference_of(stocked)
    overview = reader.get(f"/data/{name}").text
    assert (
        "exact_duplicates" in overview
        and "part=removed&amp;reason=exact_duplicates%3A+" in overview
        and "studio data show" in overview
    )
    rows = reader.get(f"/data/{name}/rows?part=train")
    assert "1 to 20 of 31" in rows.text and "Page 1 of 2" in rows.text
    assert "21 to 31 of 31" in reader.get(f"/data/{name}/rows?part=train&page=1").text
    assert "21 to 31 of 31" in reader.get(f"/data/{name}/rows?part=train&page=99").text
    assert "No row has these words." in reader.get(f"/data/{name}/rows?part=train&q=zebra").text
    gone = reader.get(f"/data/{name}/rows?part=removed")
    assert "1 to 2 of 2" in gone.text and "drop_empty: " in gone.text
    why = next(entry for entry in _removed(stocked) if entry["step"] == "exact_duplicates")
    only = reader.get(f"/data/{name}/rows", params={"part": "removed", "reason": f"exact_duplicates: {why['reason']}"})
    assert "1 to 1 of 1" in only.text
    row = reader.get(f"/data/{name}/row", params={"part": "removed", "id": why["id"]}).text
    assert "What it repeats, kept in" in row and row.count("It must be 0 centimetres wide.") >= 2
    twins = reader.get(f"/data/{name}/twins").text
    assert "kept" in twins and why["id"] in row
    for path in ("row?part=train&id=nothing", "rows?part=nothing", "row?part=removed"):
        assert reader.get(f"/data/{name}/{path}").status_code == 404
    for path in ("/data/none", "/data/none/abc", f"/data/{name}/nothing"):
        assert reader.get(path).status_code == 404, path


def _removed(workspace: Workspace) -> list[dict[str, str]]:
    """Removed rows as they lie on disk."""
    from studio.data.chat.rows import read_removed

    return [{"id": gone.row.id, "step": gone.step, "reason": gone.reason} for gone in read_removed(workspace.list_datasets()[0])]


def test_arabic_rows_keep_their_direction_and_the_page_its_own(stocked: Workspace, site: Callable[..., Reader]) -> None:
    """Each text of a row decides its direction by itself."""
    reader, name = site(stocked), reference_of(stocked)
    for part in read_dataset(stocked.list_datasets()[0]).splits:
        found = reader.get(f"/data/{name}/rows", params={"part": part, "q": "عرض الباب"}).text
        if "كم عرض الباب؟" in found:
            assert '<td dir="auto">كم عرض الباب؟</td>' in found and '<html lang="en">' in found
            return
    raise AssertionError("the row is nowhere")


def test_the_report_stands_in_a_frame_that_can_do_nothing(stocked: Workspace, site: Callable[..., Reader]) -> None:
    """Only this page may frame, and only ours; the report itself is shut in."""
    reader, name = site(stocked), reference_of(stocked)
    page = reader.get(f"/data/{name}/report")
    assert f'src="/reports/datasets/{name}"' in page.text and "frame-src 'self'" in page.headers["content-security-policy"]
    report = reader.get(f"/reports/datasets/{name}")
    assert report.status_code == 200 and report.headers["content-security-policy"].startswith("sandbox")
    assert "Dataset Card for doors" in reader.get(f"/data/{name}/card").text


# -- edits and labels ------------------------------------------------------------------------------------------------


def test_edits_wait_and_become_a_new_dataset_with_history(stocked: Workspace, site: Callable[..., Reader]) -> None:
    """The old one stays; the file that waits is what the command reads; a bad name and an emptied answer are refused."""
    reader, name = site(stocked), reference_of(stocked)
    old = stocked.list_datasets()[0]
    rows = [entry.id for entry in _train(old)][:3]
    at = f"/data/{name}/row?part=train&id={rows[0]}"
    kept = send(reader, at, label="", text="It is wide enough.\r\nالعرض كافٍ", next=rows[1])
    assert kept.status_code == 303 and kept.headers["location"].endswith(f"id={quote(rows[1], safe='')}")
    assert (
        send(reader, f"/data/{name}/row?part=train&id={rows[1]}", label="checked", text=_answer(old, rows[1])).status_code == 303
    )
    emptied = send(reader, f"/data/{name}/row?part=train&id={rows[2]}", label="good", text="  ")
    assert emptied.status_code == 422 and "The text cannot be empty" in emptied.text and 'value="good"' in emptied.text
    page = reader.get(f"/data/{name}/edits").text
    assert "Build with 2 edits" in page and "العرض كافٍ" in page and "studio annotate import" in page
    edits = Edits(stocked, name)
    found = read_annotation_file(edits.folder / "edits.jsonl", {row: _item(old, row) for row in rows})
    assert [(one.row, one.text, one.label) for one in found.annotations] == [
        (rows[0], "It is wide enough.\nالعرض كافٍ", None),
        (rows[1], None, "checked"),
    ]
    assert send(reader, f"/data/{name}/edits/build", name="a/b").status_code == 422
    job = over(stocked, send(reader, f"/data/{name}/edits/build", name=""))
    assert job.status == "done", job.record.said
    made = stocked.list_datasets()[0]
    assert made.parent.name == "doors-annotated" and old.is_dir()
    history = (read_dataset(made).model_extra or {})["annotations"]
    assert history[-1]["rows"] == 2 and history[-1]["from"]["fingerprint"] == old.name and history[-1]["by"] == {"local": 2}
    assert edits.pending() == {} and "The last edits became a Dataset" in reader.get(f"/data/{name}/edits").text
    new = reader.get(f"/data/doors-annotated/{made.name}").text
    assert "made of" in new and old.name in new and made.name in reader.get(f"/data/{name}").text
    assert _answer(made, rows[0]) == "It is wide enough.\nالعرض كافٍ" and _answer(old, rows[0]) != _answer(made, rows[0])


def _train(folder: Path) -> Any:
    """Rows of the first split."""
    from studio.data.chat.rows import read_split

    return read_split(folder, "train")


def _answer(folder: Path, row: str) -> str:
    """The last answer of a row."""
    return next(str(one.messages[-1]["content"]) for one in _train(folder) if one.id == row)


def _item(folder: Path, row: str) -> Any:
    """A row that can be annotated."""
    from studio.data.annotations.base import all_items

    return all_items(folder)[row]


def test_an_edit_that_changes_nothing_is_none_and_one_made_while_a_build_runs_is_kept(stocked: Workspace) -> None:
    """Two people edit different rows at once and both edits wait."""
    folder = stocked.list_datasets()[0]
    edits, rows = Edits(stocked, f"{folder.parent.name}/{folder.name}"), [entry.id for entry in _train(folder)]
    item = _item(folder, rows[0])
    assert not edits.keep(item, label="", text=item.text, by="ada") and edits.pending() == {}
    items = [_item(folder, row) for row in rows[:12]]
    threads = [
        threading.Thread(target=edits.keep, args=(one,), kwargs={"label": "x", "text": None, "by": str(n)})
        for n, one in enumerate(items)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert set(edits.pending()) == set(rows[:12])
    edits.drop(rows[0])
    assert len(edits.pending()) == 11
    first = edits.snapshot()
    edits.keep(items[1], label="y", text=None, by="ada")
    assert edits.snapshot() != first and '"y"' not in first.read_text(encoding="utf-8")
    edits.drop()
    assert edits.pending() == {} and first.is_file()


def test_labels_are_given_one_row_after_the_other_and_become_a_dataset(stocked: Workspace, site: Callable[..., Reader]) -> None:
    """Label, skip, take back; another person gets the same rows; the command makes a Dataset of what was said."""
    reader, name = site(stocked), reference_of(stocked)
    at = f"/data/{name}/label?part=train&labels=right,wrong"
    page = reader.get(at).text
    assert 'data-key="1"' in page and "0 of 31 rows labelled by you" in page
    first = _row_in(page)
    after = send(reader, at, follow=True, row=first, label="right")
    assert "1 of 31 rows labelled by you" in after.text and _row_in(after.text) != first
    skipped = send(reader, at, follow=True, row=_row_in(after.text), do="skip").text
    assert _row_in(skipped) not in {first, _row_in(after.text)}
    back = send(reader, at, follow=True, row=_row_in(skipped), do="undo").text
    assert _row_in(back) == first and "0 of 31" in back
    assert _row_in(reader.get(f"{at}&who=ada").text) == first
    wrong = send(reader, at, row=first, label="neither")
    assert wrong.status_code == 422 and "Choose a label first." in wrong.text
    assert "1 labels were given" in reader.get(f"/data/{name}/label?part=train&labels=one").text
    assert reader.get(f"/data/{name}/label?part=removed").status_code == 404
    send(reader, at, row=first, label="wrong", text="Better so.")
    job = over(stocked, send(reader, f"/data/{name}/label/save"))
    assert job.status == "done", job.record.said
    made = stocked.list_datasets()[0]
    assert _answer(made, first) == "Better so."


def _row_in(text: str) -> str:
    """The row that a page asks about."""
    return text.partition('name="row" value="')[2].partition('"')[0]


# -- pictures and tables ---------------------------------------------------------------------------------------------

PICTURES = """kind: image
sources:
  - {type: local, path: pictures, captions: sidecar, licence: own data}
steps:
  - step: exact_duplicates
  - step: near_duplicates
  - {step: resize, size: 32}
split: {validation: 2, test: 2}
"""


def _picture(number: int, shade: int = 0) -> Image.Image:
    """A drawing that no other resembles."""
    image = Image.new("RGB", (96, 96), (20 * number % 255, 255 - 20 * number % 255, 90 + shade))
    pen = ImageDraw.Draw(image)
    for at in range(6):
        side = (number * 37 + at * 53) % 70
        pen.ellipse(
            (side, (number * 29 + at * 31) % 70, side + 25, (number * 29 + at * 31) % 70 + 25),
            fill=(at * 40, number * 20 % 255, 200),
        )
    return image


@pytest.fixture
def painted(house: Workspace, tmp_path: Path) -> Workspace:
    """Pictures, of which one is there twice and one nearly."""
    folder = tmp_path / "own"
    (folder / "pictures").mkdir(parents=True)
    for number in range(12):
        _picture(number).save(folder / "pictures" / f"p{number:02d}.png")
        (folder / "pictures" / f"p{number:02d}.txt").write_text(f"drawing {number}", encoding="utf-8")
    for name, image in (("same", _picture(3)), ("zalmost", _picture(5, shade=1))):
        image.save(folder / "pictures" / f"{name}.png")
        (folder / "pictures" / f"{name}.txt").write_text(name, encoding="utf-8")
    (folder / "drawings.yaml").write_text(PICTURES, encoding="utf-8")
    assert call_studio("data", "build", folder / "drawings.yaml") == 0
    return house


def test_pictures_stand_in_a_gallery_and_twins_beside_each_other(painted: Workspace, site: Callable[..., Reader]) -> None:
    """Both kinds of repetition with the picture that stayed; pictures are sent small and for good."""
    reader, name = site(painted), reference_of(painted)
    rows = reader.get(f"/data/{name}/rows?part=train").text
    assert 'class="gallery"' in rows and rows.count("<img") == 8
    twins = reader.get(f"/data/{name}/twins").text
    assert twins.count('class="card twins"') == 2 and twins.count("<img") == 4
    source = twins.partition('<img class="picture" translate="no" src="')[2].partition('"')[0].replace("&amp;", "&")
    picture = reader.get(source)
    assert picture.headers["content-type"] == "image/png" and "immutable" in picture.headers["cache-control"]
    assert Image.open(io.BytesIO(picture.content)).size <= (320, 320)
    assert reader.get(f"/data/{name}/picture?part=train&id=nothing").status_code == 404
    row = html.unescape(twins.partition('<section class="card twins">')[2].partition('<a href="')[2].partition('"')[0])
    page = reader.get(row).text
    assert "Caption" in page and 'name="text"' in page
    assert send(reader, row, label="", text="a better caption").status_code == 303
    assert "a better caption" in reader.get(f"/data/{name}/edits").text


# -- languages -------------------------------------------------------------------------------------------------------


def flat(text: str) -> str:
    """A text without the brackets that a field of it brought along."""
    while (found := re.sub(r"(⟦[^⟦⟧]*)⟦([^⟦⟧]*)⟧", r"\1\2", text)) != text:
        text = found
    return text


def test_every_text_can_be_translated(
    stocked: Workspace, painted: Workspace, site: Callable[..., Reader], address: Callable[..., str], visit: Callable[..., Any]
) -> None:
    """In the pseudo-language each text stands in brackets; names and data are marked as no language."""
    first, second = (f"{folder.parent.name}/{folder.name}" for folder in stocked.list_datasets())
    paths = ["/data", "/data?q=nothing", "/data/-/new", "/data/-/recipe?shipped=table/own-table"]
    for name in (first, second):
        paths += [
            f"/data/{name}{tab}" for tab in ("", "/rows", "/rows?part=removed", "/twins", "/report", "/card", "/edits", "/label")
        ]
    row = next(entry.id for entry in _train(stocked.datasets / second))
    paths.append(f"/data/{second}/row?part=train&id={row}")
    send(site(stocked), paths[-1], label="x", text="y")
    paths += [f"/data/{second}/edits", f"/data/{second}/row?part=removed&id={_gone(stocked, second)}"]
    url = address(stocked)
    page = visit(f"{url}/data?lang=qps")
    for path in paths:
        page.goto(f"{url}{path}")
        texts = [flat(text) for text in visible(page)]
        assert len([text for text in texts if "⟦" in text]) > 5 and untranslated(texts) == [], path


def _gone(workspace: Workspace, name: str) -> str:
    """The id of a removed row."""
    from studio.data.chat.rows import read_removed

    return next(gone.row.id for gone in read_removed(workspace.datasets / name) if gone.matched)


def test_a_recipe_for_own_files_is_copied_and_not_built_as_it_is(house: Workspace, site: Callable[..., Reader]) -> None:
    """Its files are nowhere until a place is filled in."""
    page = site(house).get("/data/-/new").text
    built = re.findall(r'name="shipped" value="([^"]+)"', page)
    assert "table/iris" in built and not [name for name in built if "/own-" in name]
