"""From what people said to training rows, and to a Dataset through the recipe's source ``feedback``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.data.chat.rows import read_removed, read_split
from studio.feedback.export import comparable, harvest
from studio.feedback.store import FeedbackStore, Origin


def asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def origin(user: str, model: str = "bot/1") -> Origin:
    return Origin(model, user, "chat")


@pytest.fixture
def store(workspace: Workspace) -> FeedbackStore:
    return FeedbackStore(workspace.root / "feedback.sqlite")


def test_thumbs_become_kto_rows_once_each_and_the_majority_decides(store: FeedbackStore) -> None:
    for user, value in (("anna", 1), ("ben", 1), ("cleo", -1)):
        store.rate(origin(user), prompt=asked("A?"), completion="a", value=value)
    for user, value in (("anna", 1), ("ben", -1)):
        store.rate(origin(user), prompt=asked("B?"), completion="b", value=value)
    store.rate(origin("anna"), prompt=asked("C?"), completion="c", value=-1)
    store.rate(origin("anna"), prompt=asked("D?"), completion="d", value=1)
    store.rate(origin("anna"), prompt=asked("D?"), completion="d", value=0)
    found = harvest(store, "kto")
    assert [(row.prompt[0][1], row.chosen, row.rejected, row.users) for row in found.lessons] == [
        ("A?", "a", None, ("anna", "ben")),
        ("C?", None, "c", ("anna",)),
    ]
    assert found.left_out == {"people disagree": 3, "said more than once": 1}


def test_votes_and_corrections_become_pairs_and_answers_to_imitate(store: FeedbackStore) -> None:
    store.vote(origin("anna"), origin("anna", "bot/2"), prompt=asked("A?"), answers=("one", "two"), winner="b")
    store.vote(origin("ben"), origin("ben", "bot/2"), prompt=asked("A?"), answers=("two", "one"), winner="a", left="b")
    store.vote(origin("anna"), origin("anna", "bot/2"), prompt=asked("T?"), answers=("x", "y"), winner="tie")
    store.vote(origin("anna"), origin("anna", "bot/2"), prompt=asked("S?"), answers=("same", "same"), winner="a")
    for text in ("first try", "right"):
        store.correct(origin("anna"), prompt=asked("B?"), completion="wrong", correction=text, request="r")
    pairs = harvest(store, "dpo")
    assert [(row.prompt[0][1], row.chosen, row.rejected, row.kinds) for row in pairs.lessons] == [
        ("A?", "two", "one", ("vote",)),
        ("B?", "right", "wrong", ("correction",)),
    ]
    assert pairs.left_out == {"both answers are the same": 1, "said more than once": 1}
    good = harvest(store, "sft")
    assert {(row.prompt[0][1], row.chosen) for row in good.lessons} == {("A?", "two"), ("B?", "right"), ("S?", "same")}
    assert all(row.rejected is None for row in good.lessons)
    assert good.left_out == {"found bad": 3, "said more than once": 1}, "the answer that lost twice, and the corrected one"


def test_an_answer_as_many_found_bad_as_good_is_not_imitated(store: FeedbackStore) -> None:
    for user, value in (("anna", 1), ("ben", -1), ("cleo", -1)):
        store.rate(origin(user), prompt=asked("Disliked?"), completion="no", value=value)  # type: ignore[arg-type]
    for user, winner in (("anna", "a"), ("ben", "b")):
        store.vote(origin(user), origin(user, "bot/2"), prompt=asked("Tied?"), answers=("one", "two"), winner=winner)  # type: ignore[arg-type]
    # A thumb down and a correction of one person are one voice against the two who like it.
    for user in ("anna", "ben"):
        store.rate(origin(user), prompt=asked("Liked?"), completion="yes", value=1)
    store.rate(origin("cleo"), prompt=asked("Liked?"), completion="yes", value=-1)
    store.correct(origin("cleo"), prompt=asked("Liked?"), completion="yes", correction="Yes, it is.", request="r")
    store.vote(origin("dora"), origin("dora", "bot/2"), prompt=asked("Both bad?"), answers=("p", "q"), winner="neither")
    found = harvest(store, "sft")
    assert {(row.prompt[0][1], row.chosen) for row in found.lessons} == {("Liked?", "yes"), ("Liked?", "Yes, it is.")}
    assert found.left_out["found bad"] == 4 and found.left_out["people disagree"] == 7


def test_opposite_votes_on_the_same_two_answers_cancel(store: FeedbackStore) -> None:
    for user, winner in (("anna", "a"), ("ben", "b")):
        store.vote(origin(user), origin(user, "bot/2"), prompt=asked("A?"), answers=("one", "two"), winner=winner)  # type: ignore[arg-type]
    found = harvest(store, "dpo")
    assert found.lessons == [] and found.left_out == {"people disagree": 2}


def test_one_busy_person_counts_no_more_than_the_cap(store: FeedbackStore) -> None:
    for number in range(10):
        store.rate(origin("busy"), prompt=asked(f"{number}?"), completion="a", value=1)
    store.rate(origin("anna"), prompt=asked("anna?"), completion="a", value=1)
    found = harvest(store, "kto", per_user=3)
    assert [row.prompt[0][1] for row in found.lessons] == ["7?", "8?", "9?", "anna?"]
    assert found.left_out == {"over the cap of one user": 7}


def test_questions_of_evaluations_stay_out_whatever_their_case_and_marks(store: FeedbackStore) -> None:
    store.rate(origin("anna"), prompt=asked("How WIDE must a door be"), completion="a", value=1)
    talk = [*asked("how wide must a door be?"), {"role": "assistant", "content": "80"}, *asked("Sure?")]
    store.rate(origin("anna"), prompt=talk, completion="yes", value=1)
    store.rate(origin("anna"), prompt=asked("How high?"), completion="a", value=1)
    found = harvest(store, "kto", held_out={comparable("How wide must a door be?")})
    assert [row.prompt[0][1] for row in found.lessons] == ["How high?"]
    assert found.left_out == {"question is held out for evaluation": 2}


def test_only_the_models_that_were_asked_for(store: FeedbackStore) -> None:
    store.rate(origin("anna", "bot/1"), prompt=asked("A?"), completion="a", value=1)
    store.rate(origin("anna", "bot/2"), prompt=asked("B?"), completion="b", value=1)
    assert [row.models for row in harvest(store, "kto", models=["bot/2"]).lessons] == [("bot/2",)]


RECIPE = "kind: chat\nsources: [{type: feedback, form: FORM}]\nsteps: [{step: whitespace}, {step: drop_empty}, {step: roles}]\n"


@pytest.fixture
def build(workspace: Workspace, tmp_path: Path, studio: Callable[..., Any]) -> Callable[..., Path]:
    """Build a Dataset of one form and give its folder."""

    def make(form: str, *options: str) -> Path:
        recipe = tmp_path / f"{form}.yaml"
        recipe.write_text(f"{RECIPE.replace('FORM', form)}split: {{validation: 0, test: 0}}\n")
        done = studio("data", "build", recipe, "--workspace", workspace.root, "--json", *options)
        assert done.code == 0, done.err
        return Path(done.json["folder"])

    return make


def test_a_kto_dataset_holds_liked_and_disliked_answers_scrubbed(store: FeedbackStore, build: Callable[..., Path]) -> None:
    store.rate(origin("anna"), prompt=asked("Mail me at anna@example.com"), completion=" Write to bob@example.com. ", value=1)
    store.rate(origin("anna"), prompt=asked("Call?"), completion="My key is AKIAABCDEFGHIJKLMNOP", value=-1)
    folder = build("kto")
    rows = {row.messages[0]["content"]: row for row in read_split(folder, "train")}
    liked, disliked = rows["Mail me at [EMAIL]"], rows["Call?"]
    assert (liked.chosen, liked.rejected) == ("Write to [EMAIL].", None)
    assert (disliked.chosen, disliked.rejected) == (None, "My key is [KEY]")
    assert liked.meta == {"said_as": "thumb", "people": 1, "models": "bot/1"}
    assert "anna" not in (folder / "dataset.json").read_text().replace(str(folder), "")
    record = json.loads((folder / "dataset.json").read_text())
    assert record["sources"][0]["kind"] == "feedback" and record["sources"][0]["sha256"]
    assert build("kto") == folder
    store.rate(origin("ben"), prompt=asked("New?"), completion="x", value=1)
    assert build("kto") != folder


def test_a_dpo_dataset_holds_pairs_and_removed_ones_keep_both_answers(store: FeedbackStore, build: Callable[..., Path]) -> None:
    store.correct(origin("anna"), prompt=asked("A?"), completion="wrong", correction="right")
    store.vote(origin("anna"), origin("anna"), prompt=asked("B?"), answers=("kept", "n/a"), winner="a")
    folder = build("dpo", "--set", "steps.1.step=missing")
    (row,) = read_split(folder, "train")
    assert (row.messages, row.chosen, row.rejected) == (asked("A?"), "right", "wrong")
    (gone,) = read_removed(folder)
    assert gone.step == "missing"
    assert [turn["role"] for turn in gone.row.messages] == ["user", "chosen", "rejected"]


def test_an_sft_dataset_is_an_ordinary_one(store: FeedbackStore, build: Callable[..., Path]) -> None:
    store.correct(origin("anna"), prompt=asked("A?"), completion="wrong", correction="right")
    (row,) = read_split(build("sft"), "train")
    assert row.messages == [*asked("A?"), {"role": "assistant", "content": "right"}] and not row.is_preference


def test_questions_that_a_dataset_of_the_workspace_holds_out_never_become_training_data(
    store: FeedbackStore, build: Callable[..., Path], workspace: Workspace, tmp_path: Path, studio: Callable[..., Any]
) -> None:
    rows = [{"question": f"Question {n} about {chr(97 + n) * 9}?", "answer": f"Answer {n}."} for n in range(8)]
    (tmp_path / "faq.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = "kind: chat\nsources: [{type: local, path: faq.jsonl, licence: own}]\nsplit: {validation: 1, test: 2}\n"
    (tmp_path / "faq.yaml").write_text(recipe)
    assert studio("data", "build", tmp_path / "faq.yaml", "--workspace", workspace.root).code == 0
    faq = workspace.find_dataset("faq")
    for row in rows:
        store.rate(origin("anna"), prompt=asked(row["question"].upper()), completion="hm", value=-1)
    trained = {row.messages[0]["content"].casefold() for row in read_split(faq, "train")}
    made = {row.messages[0]["content"].casefold() for row in read_split(build("kto"), "train")}
    assert made == trained and len(made) == 5


def test_nothing_said_yet_is_told_with_what_to_do(workspace: Workspace, tmp_path: Path, studio: Callable[..., Any]) -> None:
    recipe = tmp_path / "kto.yaml"
    recipe.write_text(RECIPE.replace("FORM", "kto"))
    done = studio("data", "build", recipe, "--workspace", workspace.root)
    assert done.code == 2 and "no feedback in" in done.err and "studio app chat" in done.err
    FeedbackStore(workspace.root / "feedback.sqlite").vote(
        origin("a"), origin("a"), prompt=asked("A?"), answers=("x", "y"), winner="a"
    )
    done = studio("data", "build", recipe, "--workspace", workspace.root)
    assert done.code == 2 and "thumbs make kto rows" in done.err.lower()


def test_forms_are_not_mixed_in_one_dataset(store: FeedbackStore, workspace: Workspace, tmp_path: Path, studio: Any) -> None:
    store.rate(origin("anna"), prompt=asked("A?"), completion="a", value=1)
    store.correct(origin("anna"), prompt=asked("B?"), completion="wrong", correction="right")
    (tmp_path / "both.yaml").write_text("kind: chat\nsources: [{type: feedback, form: kto}, {type: feedback, form: dpo}]\n")
    done = studio("data", "build", tmp_path / "both.yaml", "--workspace", workspace.root)
    assert done.code == 2 and "one form" in done.err


def test_an_export_is_read_back_by_a_recipe(
    store: FeedbackStore, workspace: Workspace, tmp_path: Path, studio: Callable[..., Any]
) -> None:
    store.rate(origin("anna"), prompt=asked("A?"), completion="bad", value=-1)
    store.rate(origin("anna"), prompt=asked("B?"), completion="fine", value=1)
    file = tmp_path / "thumbs.jsonl"
    space = ("--workspace", workspace.root)
    assert studio("feedback", "export", "--to", file, *space).code == 0
    again = studio("feedback", "export", "--to", file, *space)
    assert again.code == 2 and "not overwritten" in again.err
    recipe = "kind: chat\nsources: [{type: local, path: thumbs.jsonl, licence: own}]\nsplit: {validation: 0, test: 0}\n"
    (tmp_path / "read.yaml").write_text(recipe)
    assert studio("data", "build", tmp_path / "read.yaml", *space).code == 0
    rows = read_split(workspace.find_dataset("read"), "train")
    assert [(row.messages, row.chosen, row.rejected) for row in rows] == [(asked("A?"), None, "bad"), (asked("B?"), "fine", None)]
    shown = studio("data", "show", "read", *space)
    assert "rejected" in shown.out and "bad" in shown.out


def test_forget_and_users_on_the_command_line(store: FeedbackStore, workspace: Workspace, studio: Callable[..., Any]) -> None:
    store.rate(origin("anna"), prompt=asked("A?"), completion="a", value=1)
    space = ("--workspace", workspace.root)
    done = studio("feedback", "forget", "ana", *space)
    assert done.code == 2 and "Did you mean 'anna'?" in done.err
    assert studio("feedback", "forget", "anna", "--json", *space).json["deleted"]["ratings"] == 1
    assert studio("feedback", "users", "--json", *space).json == []


def test_stats_and_settings_on_the_command_line(store: FeedbackStore, workspace: Workspace, studio: Callable[..., Any]) -> None:
    from studio.feedback.store import RequestRow

    space = ("--workspace", workspace.root)
    for seconds, status in ((1.0, "ok"), (3.0, "cut"), (None, "error")):
        store.record_request(RequestRow(origin("anna"), status=status, seconds=seconds))  # type: ignore[arg-type]
    store.rate(origin("anna"), prompt=asked("A?"), completion="a", value=-1)
    store.vote(origin("anna"), origin("anna", "bot/2"), prompt=asked("A?"), answers=("one", "two"), winner="b")
    one, two = studio("feedback", "stats", "--json", *space).json["models"]
    assert (one["model"], one["requests"], one["failed"], one["cut"], one["seconds_median"]) == ("bot/1", 3, 1, 1, 2.0)
    assert (one["up"], one["down"], one["votes_lost"], two["votes_won"]) == (0, 1, 1, 1)
    kept = studio("feedback", "settings", "--texts", "--request-days", "7", "--feedback-days", "forever", "--json", *space).json
    assert kept == {"keep_texts": True, "request_days": 7, "feedback_days": None}
    wrong = studio("feedback", "settings", "--request-days", "soon", *space)
    assert wrong.code == 2 and "forever" in wrong.err


def test_the_win_rate_of_votes_has_an_interval_and_needs_more_than_five(
    store: FeedbackStore, workspace: Workspace, studio: Callable[..., Any]
) -> None:
    from scipy.stats import binomtest

    space = ("--workspace", workspace.root)

    def vote(winner: Any, count: int, user: str = "anna", swapped: bool = False) -> None:
        one, two = Origin("new", user, "compare"), Origin("old", user, "compare")
        for _ in range(count):
            store.vote(*((two, one) if swapped else (one, two)), prompt=asked("A?"), answers=("x", "y"), winner=winner)

    vote("a", 3)
    vote("b", 2, user="ben", swapped=True)
    vote("tie", 1)
    (line,) = studio("feedback", "votes", "--json", *space).json
    assert (line["model"], line["against"], line["won"], line["lost"], line["ties"], line["people"]) == ("new", "old", 5, 0, 1, 2)
    # Wilson's interval alone would call five to nothing a preference; chance gives it once in sixteen.
    assert line["low"] > 0.5 and line["p"] == 0.0625 and line["verdict"] == "no difference shown"
    vote("b", 2)
    vote("a", 12)
    text = studio("feedback", "votes", "--model", "new", *space).out
    theirs = binomtest(17, 19)
    bounds = theirs.proportion_ci(method="wilson")
    assert f"{100 * bounds.low:.0f}% to {100 * bounds.high:.0f}%" in text and f"{theirs.pvalue:.2g}" in text
    assert "89%" in text and "preferred" in text and "leaves ties out" in text
    wrong = studio("feedback", "votes", "--model", "nwe", *space)
    assert wrong.code == 2 and "nobody voted on 'nwe'. Did you mean 'new'?" in wrong.err


CALL = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": {"to": "bob@example.com"}}}
TOOL = {"type": "function", "function": {"name": "mail", "description": "Asks ida@example.com"}}


def test_thoughts_and_calls_reach_the_rows_scrubbed(store: FeedbackStore, build: Callable[..., Path]) -> None:
    beside = {"reasoning_content": "Bob is bob@example.com", "tool_calls": [CALL], "tools": [TOOL]}
    store.rate(origin("anna"), prompt=asked("Write to Bob"), completion="Now.", value=1, beside=beside)
    talk = [*asked("Again"), {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    talk = [*talk, {"role": "tool", "content": "sent", "tool_call_id": "c1"}]
    store.rate(origin("anna"), prompt=talk, completion="Sent.", value=1, beside={"tools": [TOOL]})
    rows = read_split(build("sft"), "train")
    scrubbed = {**CALL, "function": {"name": "mail", "arguments": {"to": "[EMAIL]"}}}
    assert rows[0].messages[1] == {
        "role": "assistant",
        "content": "Now.",
        "reasoning_content": "Bob is [EMAIL]",
        "tool_calls": [scrubbed],
    }
    assert [row.tools[0]["function"]["description"] for row in rows] == ["Asks [EMAIL]"] * 2
    assert rows[1].messages[1]["tool_calls"] == [scrubbed] and rows[1].messages[2]["tool_call_id"] == "c1"


def test_what_a_preference_cannot_hold_is_counted(store: FeedbackStore) -> None:
    store.rate(origin("anna"), prompt=asked("A?"), completion="Let me.", value=-1, beside={"tool_calls": [CALL]})
    store.rate(origin("anna"), prompt=asked("B?"), completion="b", value=1, beside={"reasoning_content": "Hm."})
    store.rate(origin("ben"), prompt=asked("B?"), completion="b", value=1)
    found = harvest(store, "kto")
    assert [(row.prompt[0][1], row.chosen, row.users, row.beside) for row in found.lessons] == [("B?", "b", ("anna", "ben"), {})]
    assert found.left_out == {
        "calls a tool, and the answers of a preference are text": 1,
        "thoughts before judged answers, whose words are kept": 1,
        "said more than once": 1,
    }
