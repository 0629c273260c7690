"""From a folder of documents to rows: sources of each row, what is dropped and why, nothing asked twice, limits kept."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.models.openai_client import OpenAIClient
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe
from tests.data.chat.writing.conftest import Build
from tests.data.chat.writing.writer_server import WriterServer, good_rows, rows, saying, sentences_of, wanted


def test_every_row_says_where_it_comes_from(build: Build, writer: WriterServer) -> None:
    built = build()
    found = {row.messages[0]["content"]: row for row in built.rows}
    row = found["What is written about A fire door is 80 centimetres?"]
    assert row.group == "manual.pdf" and row.messages[1]["content"] == "A fire door is 80 centimetres wide."
    meta = row.meta
    assert (meta["document"], meta["title"], meta["page"], meta["chunk"]) == ("manual.pdf", "Manual", "1-2", "manual.pdf#1")
    assert meta["quote"] == "A fire door is 80 centimetres wide." and meta["writer"] == "writer-1"
    assert len(meta["prompt_sha256"]) == 16 and meta["written"][:2] == "20"
    assert found["Where do visitors park?"].meta == {"document": "faq.md", "title": "Parking", "headings": "Parking"}
    assert {row.group for row in built.rows} == {"manual.pdf", "laundry.docx", "rules.html", "faq.md"}
    asked = writer.asked[0]
    assert asked["response_format"]["json_schema"]["schema"]["required"] == ["rows"] and asked["max_tokens"] == 2000
    assert built.facts["calls"] == len(writer.asked) == built.facts["answers_asked"] == 4
    assert "What a model wrote" in (built.outcome.folder / "report.html").read_text(encoding="utf-8")


def test_without_a_writer_documents_give_their_own_questions(build: Build, writer: WriterServer) -> None:
    built = build(writer=None)
    asked = {row.messages[0]["content"]: row.messages[1]["content"] for row in built.rows}
    assert asked["What does a garage cost?"] == "A garage costs forty coins a month."
    assert asked["Ovens"].startswith("An oven heats up") and "| Paper | blue |" in asked["Quiet hours"]
    assert writer.asked == [] and "writers" not in (built.outcome.record.model_extra or {})


def test_wrong_rows_are_dropped_each_with_its_reason(build: Build, writer: WriterServer, folder: Path) -> None:
    quote = "An oven heats up in 10 minutes at most."
    row = {"question": "How fast is an oven?", "answer": "It heats up in 10 minutes at most.", "quote": quote}
    writer.script = [
        rows(
            row,
            {**row, "question": "how fast IS an oven"},
            {**row, "question": "And when?"},
            {**row, "question": "A?", "answer": "In 12 minutes at most it heats up."},
            {**row, "question": "B?", "quote": "An oven heats up in no time."},
            {**row, "question": "C?", "answer": "Bakers everywhere recommend convection technology."},
            {**row, "question": "D?", "quote": "at  most."},
            {"question": "E?", "answer": "Friday."},
            {**row, "question": "When is the oven cleaned?", "answer": "On Fridays.", "quote": "It is\ncleaned on   Fridays"},
        )
    ]
    built = build(pattern="*.pdf")
    assert [row.messages[0]["content"] for row in built.rows] == ["How fast is an oven?", "When is the oven cleaned?"]
    gone = {gone.row.messages[0]["content"]: gone for gone in built.removed}
    assert {question: one.reason for question, one in gone.items()} == {
        "how fast IS an oven": "the question is asked already",
        "And when?": "the answer is given already",
        "A?": "the answer holds a number that the document does not",
        "B?": "the quote is not in the document",
        "C?": "the answer is not supported by the document",
        "D?": "the quote is too short to show anything",
        "E?": "without a quote",
    }
    assert gone["A?"].value == "12" and gone["And when?"].matched == built.rows[0].id
    assert {one.step for one in built.removed} == {"write"}
    assert built.facts["rows_dropped"]["the question is asked already"] == 1


def test_prose_cut_off_and_lies_about_the_form_are_asked_again_and_counted(build: Build, writer: WriterServer) -> None:
    writer.script = [
        saying("Sure! Here are some questions about ovens."),
        saying('{"rows": [{"question": "What', finish="length"),
        lambda body: saying(f"<think>hm {{}}</think>Here:\n```json\n{json.dumps({'rows': good_rows(body)})}\n```"),
    ]
    built = build(pattern="*.pdf")
    assert [wanted(body) for body in writer.asked] == [5, 5, 2] and len(built.rows) == 2
    reminded = ["JSON object alone" in body["messages"][-1]["content"] for body in writer.asked]
    assert reminded == [False, True, False]
    assert built.facts["unusable"] == {"prose instead of JSON": 1, "cut off at max_tokens": 1}


def test_a_chunk_whose_answers_stay_of_no_use_is_a_removed_row(build: Build, writer: WriterServer) -> None:
    writer.script = [saying('{"questions": "none"}')] * 3 + [saying("", finish="content_filter"), saying('{"rows": []}')]
    built = build(own_questions=False)
    assert built.reasons() == ["JSON of another form", "filtered by the server", "the writer found nothing to ask"]
    assert len(writer.asked) == 3 + 1 + 1 + 1
    assert built.removed[0].row.messages[0]["content"].startswith("# Parking")


def test_faults_of_the_server_are_tried_again_and_counted(build: Build, writer: WriterServer) -> None:
    writer.busy, writer.script = 1, [500, "stall"]
    built = build("sources.0.writer.seconds=0.7", pattern="*.pdf")
    assert len(built.rows) == 4 and built.facts["calls"] == 4
    assert built.facts["failed_tries"] == {"status 429": 1, "status 500": 1, "no answer in time": 1}


def test_what_a_server_does_not_take_is_left_out_from_then_on(build: Build, writer: WriterServer) -> None:
    writer.refuses = {
        "response_format": "response_format of type json_schema is not supported",
        "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "temperature": "'temperature' does not support 0.7 with this model.",
    }
    built = build()
    assert all(set(body) == {"model", "messages", "max_completion_tokens"} for body in writer.asked) and len(built.rows) > 5
    assert built.facts["sent_without"] == ["max_tokens", "response_format", "temperature"]
    assert built.facts["calls"] == len(writer.asked) + 3


def test_a_model_that_the_server_does_not_know_ends_the_build(build: Build, writer: WriterServer) -> None:
    writer.script = [404]
    with pytest.raises(StudioError, match="answers 404 .* look at its address, up to /v1, and at the name of the model"):
        build()
    assert len(writer.asked) == 1


def test_nothing_is_asked_twice_and_a_rebuild_needs_no_server(build: Build, writer: WriterServer) -> None:
    first = build()
    asked = len(writer.asked)
    again = build()
    assert again.outcome.cached and len(writer.asked) == asked
    steps = again.outcome.folder.parents[1] / ".steps"
    subprocess.run(["rm", "-r", str(steps), str(again.outcome.folder)], check=True)
    writer.script = [500] * 50
    anew = build()
    assert anew.outcome.folder == first.outcome.folder and anew.facts["answers_kept"] == 4 and writer.script == [500] * 50
    assert len(anew.rows) > 8


KILLED = """
import json, os, signal, sys
from pathlib import Path
from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.writing import asking
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe

plain, done = asking.EvidenceCache.put, []

def dying(self, subject, values):
    plain(self, subject, values)
    done.extend([1] * (subject != "document"))
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

asking.EvidenceCache.put = dying
recipe = load_value(json.loads(sys.argv[1]), ChatRecipe)
build_chat_dataset(recipe, Workspace.open(Path(sys.argv[2])), name="docs")
"""


def test_a_killed_build_goes_on_where_it_was(build: Build, writer: WriterServer, folder: Path, workspace: Workspace) -> None:
    asked = {"base_url": f"{writer.url}/v1", "model": "writer-1", "at_once": 1}
    source = {"type": "documents", "path": str(folder), "name": "docs", "licence": "own data", "writer": asked}
    recipe = json.dumps({"kind": "chat", "sources": [source]})
    command = [sys.executable, "-c", KILLED, recipe, str(workspace.root)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(writer.asked) == 2
    built = build()
    assert len(writer.asked) == 4 and built.facts["answers_kept"] == 2 and built.facts["answers_asked"] == 2


def test_ctrl_c_does_not_wait_for_a_server_that_stalls(writer: WriterServer, folder: Path, workspace: Workspace) -> None:
    writer.script = [None, *[lambda _body: time.sleep(60)] * 9]
    asked = {"base_url": f"{writer.url}/v1", "model": "writer-1"}
    source = {"type": "documents", "path": str(folder), "licence": "own data", "writer": asked}
    (folder / "docs.yaml").write_text(json.dumps({"kind": "chat", "sources": [source]}), encoding="utf-8")
    arguments = ["data", "build", str(folder / "docs.yaml"), "--workspace", str(workspace.root)]
    command = [sys.executable, "-c", "from studio.cli.main import main; main()", *arguments]
    build = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, stderr=subprocess.PIPE, text=True)
    while len(writer.asked) < 4:
        assert build.poll() is None, build.stderr and build.stderr.read()
        time.sleep(0.1)
    time.sleep(0.5)
    build.send_signal(signal.SIGINT)
    _, said = build.communicate(timeout=15)
    assert build.returncode == 130 and "Traceback" not in said


def test_limits_hold_across_builds_and_going_on_asks_only_the_rest(build: Build, writer: WriterServer) -> None:
    built = build("sources.0.writer.limits.max_calls=2")
    assert len(writer.asked) == 2 and built.facts["stopped"] == "max_calls (2) is used up"
    assert built.reasons().count("not asked: a limit was reached") == 2
    assert any("stopped before the end" in note for note in built.outcome.notes)
    assert build("sources.0.writer.limits.max_calls=2").outcome.cached and len(writer.asked) == 2
    assert build().facts["answers_kept"] == 2 and len(writer.asked) == 4


def test_tokens_and_money_are_never_gone_beyond(build: Build, writer: WriterServer) -> None:
    writer.script = [lambda body: rows(*good_rows(body)) | {"usage": {"prompt_tokens": 900, "completion_tokens": 600}}] * 8
    money = ["price_in=1", "price_out=10", "max_cost=0.035", "max_minutes=5"]
    built = build(*(f"sources.0.writer.limits.{change}" for change in money))
    # A request costs 0.0069 and may cost more than 0.02.
    assert built.facts["cost"] == pytest.approx(3 * 0.0069) and "max_cost (0.035)" in built.facts["stopped"]
    tokens = build("sources.0.writer.limits.max_tokens_total=4500", "sources.0.writer.temperature=0.1")
    assert (tokens.facts["tokens_in"], tokens.facts["tokens_out"]) == (1800, 1200)
    assert "max_tokens_total (4,500)" in tokens.facts["stopped"]


def test_a_server_that_is_gone_ends_the_build_and_what_it_answered_is_kept(build: Build, writer: WriterServer) -> None:
    writer.script = [None, *[503] * 9]
    with pytest.raises(StudioError, match=r"answers 503 .*is kept"):
        build("sources.0.chunk.size=120", own_questions=False)
    asked = len(writer.asked)
    assert asked == 10
    writer.script = []
    built = build("sources.0.chunk.size=120", own_questions=False)
    assert built.facts["answers_kept"] == 1 and "no answer from the server" not in built.reasons()


def test_one_chunk_without_an_answer_is_told_and_asked_again_only_when_told_to(build: Build, writer: WriterServer) -> None:
    writer.script = [503, 503, 503]
    built = build()
    assert built.reasons() == ["no answer from the server"] and len(writer.asked) == 3 + 3
    assert build().outcome.cached and len(writer.asked) == 6
    assert build("sources.0.writer.ask_again=true").reasons() == [] and len(writer.asked) == 7


def test_a_wrong_key_is_one_sentence(build: Build, writer: WriterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.key = "secret"
    with pytest.raises(UserError, match="environment variable STUDIO_WRITER_KEY"):
        build()
    monkeypatch.setenv("STUDIO_WRITER_KEY", "secret")
    built = build()
    assert len(built.rows) > 8
    assert not [file for file in built.outcome.folder.iterdir() if b"secret" in file.read_bytes()]


def test_requests_are_spaced(build: Build, writer: WriterServer) -> None:
    started = time.monotonic()
    build("sources.0.writer.limits.requests_per_second=5", "sources.0.writer.at_once=4")
    assert time.monotonic() - started >= 3 / 5


def test_only_a_changed_document_is_asked_about_again(build: Build, writer: WriterServer, folder: Path) -> None:
    build()
    asked = len(writer.asked)
    (folder / "faq.md").write_text("# Cellars\n\nEvery flat has a cellar of 4 square metres.\n", encoding="utf-8")
    built = build()
    assert len(writer.asked) == asked + 1 and "What is written about Every flat has a cellar of?" in {
        row.messages[0]["content"] for row in built.rows
    }


def test_chunks_are_measured_in_tokens_of_a_base(build: Build, writer: WriterServer, tiny_base: Path) -> None:
    chunk = {"size": 120, "unit": "tokens", "model": str(tiny_base)}
    few = build(pattern="*.pdf", chunk=chunk)
    assert {row.meta["chunk"] for row in few.rows} == {"manual.pdf#1", "manual.pdf#2"}
    assert len(build(pattern="*.pdf", chunk={"size": 9, "unit": "words"}).rows) >= 4


def test_raft_says_where_there_are_too_few_documents(build: Build, writer: WriterServer) -> None:
    built = build(pattern="*.pdf", raft={"distractors": 3, "absent": 0})
    assert "read: 4 questions show fewer than 4 documents, for there are no more chunks" in built.outcome.notes


def test_several_requests_run_at_once_and_rows_keep_their_order(build: Build, writer: WriterServer) -> None:
    one = build("sources.0.chunk.size=150", "sources.0.writer.at_once=1")
    other = build("sources.0.chunk.size=150", "sources.0.writer.at_once=8", space=Workspace.open(one.outcome.folder / "other"))
    assert [row.messages for row in one.rows] == [row.messages for row in other.rows]


def test_a_damaged_document_stops_the_build_or_is_listed(build: Build, folder: Path, writer: WriterServer) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no more")
    with pytest.raises(DataError, match=r"broken\.pdf is damaged or no PDF .*'damaged: keep'"):
        build()
    built = build(damaged="keep")
    assert "broken.pdf" in built.reasons()[0] and built.removed[0].step == "read"


def test_rows_of_one_document_lie_in_one_split(build: Build, writer: WriterServer) -> None:
    built = build("split.test=2", "sources.0.chunk.size=150")
    splits: dict[str, set[str]] = {}
    from studio.data.chat.rows import read_split

    for split in built.outcome.record.splits:
        for row in read_split(built.outcome.folder, split):
            splits.setdefault(str(row.group), set()).add(split)
    assert len(splits) == 4 and all(len(where) == 1 for where in splits.values())


def test_a_single_document_is_divided_by_chunk_where_that_is_asked(build: Build, writer: WriterServer) -> None:
    with pytest.raises(DataError, match=r"split 'test' would be empty: .* name a finer group"):
        build("split.test=1", "sources.0.chunk.size=110", pattern="*.pdf")
    built = build("split.test=1", "sources.0.chunk.size=110", pattern="*.pdf", group="chunk")
    assert {row.group for row in built.rows} == {"manual.pdf#1", "manual.pdf#2"} and built.outcome.record.splits["test"] >= 1


def test_raft_shows_the_right_document_among_others_of_the_same_pool(build: Build, writer: WriterServer) -> None:
    built = build("sources.0.chunk.size=150", raft={"distractors": 2, "absent": 0.3, "seed": 3}, own_questions=False)
    assert len(built.rows) >= 8
    absent = [row for row in built.rows if row.messages[1]["content"] == "The documents do not say."]
    assert 0 < len(absent) < len(built.rows)
    for row in built.rows:
        shown = row.meta["documents_shown"]
        quote = "".join(row.meta["quote"].split())
        assert len(shown) == 3 and row.messages[0]["content"].endswith(row.meta["question"])
        assert ("".join(row.messages[0]["content"].split("\n\n" + row.meta["question"])[0].split()).find(quote) < 0) == (
            row in absent
        )
        assert (row.meta["chunk"] in shown) == (row not in absent)
        assert {name.partition("#")[0] for name in shown} <= set(str(row.group).split(" + "))


def test_rows_about_one_chunk_are_no_near_duplicates_though_they_show_it(build: Build, writer: WriterServer) -> None:
    near = "steps=[{step: exact_duplicates}, {step: near_duplicates, threshold: 0.8}]"
    plain = build("sources.0.chunk.size=150", raft={"distractors": 2}, own_questions=False)
    stepped = build(near, "sources.0.chunk.size=150", raft={"distractors": 2}, own_questions=False)
    assert [row.id for row in stepped.rows] == [row.id for row in plain.rows]


@pytest.mark.parametrize(
    ("changes", "source", "said"),
    [
        (["sources.0.writer.prompt='Tell me {all}'"], {}, r"'sources\.0\.writer|does not hold|is not known"),
        (["sources.0.writer.prompt='{text} {'"], {}, "brace that is not closed"),
        (["sources.0.writer.limits.max_cost=1"], {}, "max_cost needs price_in and price_out"),
        (["sources.0.writer.base_url=localhost"], {}, "is no address of a server"),
        (["sources.0.writer.base_url=http://a:b@c/v1"], {}, "holds a password"),
        ([], {"writer": None, "raft": {}}, "raft needs a writer"),
        ([], {"group": "chunk", "raft": {}}, "cannot be divided by chunk"),
        (["sources.0.writer.key_variable=AWS_SECRET_ACCESS_KEY"], {}, "must begin with STUDIO_"),
        (["sources.0.writer.question=3"], {}, "Did you mean 'questions'"),
        ([], {"raft": {"template": "{question}"}}, "template must hold"),
    ],
)
def test_mistakes_in_a_recipe_are_one_sentence(build: Build, changes: list[str], source: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        build(*changes, **source)
    assert "\n" not in str(caught.value)


def test_the_language_and_place_stand_in_the_prompt(build: Build, writer: WriterServer) -> None:
    build(pattern="*.pdf")
    said = writer.asked[0]["messages"][-1]["content"]
    assert "Write in the language of the text." in said and "Document: Manual\nSection: Ovens\n" in said
    assert sentences_of(writer.asked[0])


def test_a_local_source_names_what_reads_documents(build: Build, folder: Path, workspace: Workspace) -> None:
    local = {"type": "local", "path": str(folder), "licence": "own data"}
    recipe = {"kind": "chat", "sources": [local], "split": {"validation": 0, "test": 0}}
    built = build_chat_dataset(load_value(recipe, ChatRecipe), workspace, name="local")
    assert any(
        ".docx (1), .html (1), .pdf (1)" in note and "studio data build chat/own-documents" in note for note in built.notes
    )
    (folder / "faq.md").unlink()
    with pytest.raises(DataError, match=r"holds no file that can be read .* Sources of 'type: documents' read pdf"):
        build_chat_dataset(load_value(recipe, ChatRecipe), workspace, name="local")


def test_a_server_that_never_answers_is_told_and_asked_anew(build: Build, writer: WriterServer) -> None:
    """One chunk is fewer than the failures in a row that end a build; its failure was remembered, and nothing asked again."""
    one = ('sources.0.pattern="*.html"', "sources.0.group=chunk", "split.test=0", "split.validation=0")
    writer.script = [503] * 3
    with pytest.raises(StudioError, match=r"answers 503 .*is kept"):
        build(*one)
    writer.script = []
    assert build(*one).reasons() == [] and len(writer.asked) == 3 + 1


def test_where_nothing_written_can_be_used_the_writer_is_named_and_not_the_files(build: Build, writer: WriterServer) -> None:
    writer.script = [saying("Well, what is an oven?")] * 50
    with pytest.raises(DataError) as caught:
        build(own_questions=False)
    assert re.fullmatch(
        r"no row is left: the step 'write' removed (\d) of \1 \(prose instead of JSON\)\. "
        r"Give the writer another model or prompt, or raise its limits\.",
        str(caught.value),
    )


def test_a_server_that_sends_on_or_shows_a_page_is_one_sentence(build: Build, writer: WriterServer) -> None:
    place = f"{writer.url}/v1/chat/completions"
    for status, said in (
        (302, f"the endpoint {place} sends on to http://example.org/v1. Give that address."),
        (200, f"the endpoint {place} answers something that is not JSON, or cut off (<html>). Is it OpenAI-compatible? What it "),
    ):
        reply = httpx.Response(status, text="<html>", headers={"location": "http://example.org/v1"})
        client = OpenAIClient("STUDIO_WRITER_KEY", pauses=())
        client.client = httpx.Client(transport=httpx.MockTransport(lambda _, reply=reply: reply))
        with pytest.raises(StudioError) as caught:
            client.request("POST", place)
        assert str(caught.value).startswith(said)
