"""The chat app, driven as a person would."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from studio.apps import chat
from studio.apps.chat_model import ModelDownError, Sampling
from studio.apps.endpoint import EndpointShelf
from studio.apps.local_models import LocalShelf
from studio.apps.run_shelf import RunShelf
from studio.core.workspace import Workspace
from studio.feedback.store import FeedbackStore


def ask(page: Any, question: str, *, wait: bool = True) -> None:
    """Type a question, press Enter, and wait until the answer is whole."""
    asked = page.locator("#chat [data-testid=user]")
    before = asked.count()
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")
    if wait:
        # "Send" goes when the question appears. An answer can be over before anyone has seen it gone.
        asked.nth(before).wait_for()
        page.locator("#send").wait_for(state="visible")


def store_of(workspace: Workspace) -> FeedbackStore:
    return FeedbackStore(workspace.root / "feedback.sqlite")


def requests_of(workspace: Workspace, count: int) -> list[dict[str, Any]]:
    """The kept requests, once there are so many: one is written after the last words of its answer were shown."""
    until = time.monotonic() + 30
    while len(rows := store_of(workspace).rows("requests")) < count and time.monotonic() < until:
        time.sleep(0.05)
    return rows


def test_a_thumb_down_on_a_run_in_this_process_shows_up_in_the_export(
    talking: Workspace, serve: Callable[..., str], visit: Callable[..., Any], studio: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(talking, "doors")))
    ask(page, "How wide must door 10 be?")
    assert "centimetres wide" in page.locator("#chat").inner_text()
    page.locator("#chat button[aria-label='Dislike']").click()
    page.locator("#correction-panel").wait_for(state="visible")
    assert "centimetres" in page.locator("#correction textarea").input_value()
    page.locator("#correction textarea").fill("At least 80 centimetres.")
    page.locator("#save-correction").click()
    page.get_by_text("the correction is kept").wait_for()

    thumbs = studio("feedback", "export", "--json").json["rows"]
    assert [row["label"] for row in thumbs] == [False]
    assert thumbs[0]["prompt"] == [{"role": "user", "content": "How wide must door 10 be?"}]
    assert "centimetres wide" in thumbs[0]["completion"][0]["content"]
    pairs = studio("feedback", "export", "--form", "dpo", "--json").json["rows"]
    assert pairs[0]["chosen"][0]["content"] == "At least 80 centimetres."

    rating = store_of(talking).rows("ratings")[0]
    assert rating["model"].startswith("doors/") and re.fullmatch("[0-9a-f]{64}", rating["adapter_hash"])
    assert re.fullmatch("[0-9a-f]{64}", rating["template_hash"]) and rating["sampling"]["temperature"] == 0
    assert rating["user"].startswith("browser-")
    request = requests_of(talking, 1)[0]
    assert request["id"] == rating["request"] and request["status"] == "ok" and request["prompt"] is None
    assert request["characters"] > 0 and request["seconds"] > 0 and request["completion_tokens"] > 0


def test_the_first_question_says_that_the_model_is_being_loaded(
    talking: Workspace, serve: Callable[..., str], visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = RunShelf.loaded

    def load_slowly(shelf: RunShelf[Any], folder: Path) -> Any:
        time.sleep(0 if shelf.is_loaded(folder) else 1)
        return load(shelf, folder)

    monkeypatch.setattr(RunShelf, "loaded", load_slowly)
    page = visit(serve(chat.build(talking, "doors")))
    ask(page, "How wide must door 10 be?", wait=False)
    page.locator("#status").get_by_text("Loading the model").wait_for()
    page.locator("#chat").get_by_text("centimetres wide").wait_for()
    page.locator("#send").wait_for(state="visible")
    assert "Loading" not in page.locator("#status").inner_text()


def test_the_same_thumb_again_takes_it_back(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Is it good?")
    page.locator("#chat button[aria-label='Like']").click()
    page.get_by_text("kept as a good answer").wait_for()
    page.locator("#chat button[aria-label='Liked']").click()
    page.get_by_text("Taken back").wait_for()
    store = store_of(house)
    assert [row["value"] for row in store.rows("ratings")] == [1, 0]
    assert store.current_ratings() == []


def test_a_thumb_while_the_next_answer_is_written_stays(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Is it good?")
    endpoint.reply, endpoint.pause = " ".join(f"word{n}" for n in range(40)), 0.1
    ask(page, "And this?", wait=False)
    page.get_by_text("word3").wait_for()
    page.locator("#chat button[aria-label='Like']").first.click()
    page.locator("#send").wait_for(state="visible")
    assert "word39" in page.locator("#chat").inner_text()
    assert page.locator("#chat button[aria-label='Liked']").count() == 1
    page.reload()
    page.locator("#chat button[aria-label='Liked']").wait_for()
    assert [row["value"] for row in store_of(house).current_ratings()] == [1]


def test_words_appear_while_the_answer_is_written_and_stop_keeps_them(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    endpoint.reply, endpoint.pause = " ".join(f"word{n}" for n in range(200)), 0.1
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Tell me everything.", wait=False)
    page.get_by_text("word3").wait_for()
    assert "word150" not in page.locator("#chat").inner_text()
    page.locator("#stop").click()
    page.get_by_text("Stopped.").wait_for()
    page.locator("#send").wait_for(state="visible")
    kept = page.locator("#chat").inner_text()
    assert "word3" in kept and "word150" not in kept
    assert requests_of(house, 1)[0]["status"] == "stopped"
    endpoint.reply, endpoint.pause = "Another answer.", 0.0
    page.locator("#again").click()
    page.get_by_text("Another answer.").wait_for()
    assert "word3" not in page.locator("#chat").inner_text()


def test_history_system_prompt_and_thumbs_survive_a_reload(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(house, endpoint.url)))
    page.get_by_text("Settings").click()
    page.locator("#system textarea").fill("Answer like a pirate.")
    ask(page, "First question")
    page.locator("#chat button[aria-label='Dislike']").click()
    page.get_by_text("kept as a bad answer").wait_for()
    page.reload()
    page.get_by_text("First question").wait_for()
    assert "A short answer." in page.locator("#chat").inner_text()
    assert page.locator("#chat button[aria-label='Disliked']").count() == 1
    ask(page, "Second question")
    sent = endpoint.asked[-1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"] == "Answer like a pirate." and sent[1]["content"] == "First question"
    page.locator("#fresh").click()
    page.get_by_text("First question").wait_for(state="hidden")
    ask(page, "Third question")
    assert [message["content"] for message in endpoint.asked[-1]["messages"]] == ["Answer like a pirate.", "Third question"]
    # The talk goes on under another system prompt; a thumb is kept with the one under which the answer was written.
    page.get_by_text("Settings").click()
    page.locator("#system textarea").fill("")
    ask(page, "Fourth question")
    page.locator("#chat button[aria-label='Dislike']").first.click()
    page.get_by_text("kept as a bad answer").wait_for()
    assert store_of(house).rows("ratings")[-1]["prompt"][0] == {"role": "system", "content": "Answer like a pirate."}
    page.reload()
    page.get_by_text("Fourth question").wait_for()
    page.get_by_text("Settings").click()
    page.locator("#system textarea").wait_for()
    assert page.locator("#system textarea").input_value() == ""


def test_another_model_is_picked_and_remembered_with_its_answers(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    endpoint.reply = "I am {model}."
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Who are you?")
    page.locator("#model input").click()
    page.get_by_role("option", name="beta").click()
    ask(page, "And you?")
    text = page.locator("#chat").inner_text()
    assert "I am alpha." in text and "I am beta." in text
    page.locator("#chat button[aria-label='Like']").last.click()
    page.get_by_text("kept as a good answer").wait_for()
    assert store_of(house).rows("ratings")[0]["model"] == "beta"


def test_markdown_and_code_are_shown_and_nothing_a_model_writes_runs_or_calls_home(
    house: Workspace, endpoint: Any, canary: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    home = canary.url
    endpoint.reply = (
        f"**Bold** and `x < y`.\n\n```python\nprint('<b>hi</b>')\n```\n\n<script>fetch('{home}/script')</script>\n\n"
        f"<img src='{home}/img-tag' onerror=\"fetch('{home}/onerror')\">\n\n![beacon]({home}/markdown-image.png)\n\n"
        f"![ref][r]\n\n[r]: {home}/reference-image.png\n\n<iframe src='{home}/iframe'></iframe>\n\n"
        f"<style>@import url('{home}/style'); body {{ background: url({home}/css) }}</style>\n\n"
        f"<svg onload=\"fetch('{home}/svg')\"></svg> <a href=\"javascript:fetch('{home}/js-link')\">tag</a>\n\n"
        f"[click me](javascript:fetch('{home}/markdown-js')) [mail](data:text/html;base64,PHNjcmlwdD4=)\n\n"
        f"$$\\href{{javascript:fetch('{home}/tex')}}{{x}}$$ <video src='{home}/video' autoplay></video> "
        f"<link rel=stylesheet href='{home}/link'> <meta http-equiv=refresh content='0;url={home}/meta'>\n\n"
        f"[a link]({home}/plain-link)\n\nThe end."
    )
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Attack me <script>fetch('" + home + "/question')</script> ![q](" + home + "/question.png)")
    page.get_by_text("The end.").wait_for()
    chat_window = page.locator("#chat")
    assert chat_window.locator("strong", has_text="Bold").count() == 1
    assert chat_window.locator("pre code").count() == 1 and "<b>hi</b>" in chat_window.locator("pre").inner_text()
    for link in chat_window.locator("a").all():
        if (link.get_attribute("href") or "").lower().startswith(("javascript", "data", "vbscript")):
            raise AssertionError(f"a link runs code: {link.get_attribute('href')}")
    click = chat_window.get_by_text("click me")
    if click.count():
        click.first.click()
    page.reload()
    page.get_by_text("The end.").wait_for()
    page.wait_for_timeout(1000)
    # Both turns as they are shown; Gradio's own icons beside them hold a style of theirs.
    turns = chat_window.locator("[data-testid=user], [data-testid=bot]")
    assert turns.count() == 2 and "<script>" in turns.first.inner_text() and "<iframe" in turns.last.inner_text()
    assert turns.locator("script, iframe, img[src^='http'], svg[onload], video, meta, style, link").count() == 0
    assert canary.calls == []
    # The policy of the page stands behind all that: even code that ran could not call home.
    call_home = "url => fetch(url).then(() => 'reached', () => 'blocked')"
    assert page.evaluate(call_home, f"{home}/policy") == "blocked" and canary.calls == []
    # The server that nobody called would have heard it: without the policy this browser reaches it.
    elsewhere = visit(f"{endpoint.url}/v1/models")
    assert elsewhere.evaluate(call_home, f"{home}/control") == "reached" and canary.calls == ["/control"]


def test_a_model_that_is_down_breaks_off_or_is_busy_is_told_in_a_sentence(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(house, endpoint.url)))
    page.locator("#model input").wait_for()
    endpoint.fault, endpoint.reply = "break", "one two three four five six"
    ask(page, "Break off please")
    page.get_by_text("broke off").wait_for()
    assert "one two three" in page.locator("#chat").inner_text()
    endpoint.fault = "busy"
    ask(page, "Be busy please")
    page.get_by_text("too many requests", exact=False).wait_for()
    endpoint.fault = None
    page.locator("#again").click()
    page.get_by_text("one two three four five six").wait_for()
    assert [row["status"] for row in requests_of(house, 3)] == ["error", "error", "ok"]


def test_an_address_where_nobody_listens_is_told_and_the_page_stays_usable(
    house: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(house, "http://127.0.0.1:9")))
    page.get_by_text("cannot be reached").wait_for()
    ask(page, "Anyone there?")
    page.get_by_text("cannot be reached").wait_for()
    assert "Anyone there?" in page.locator("#chat").inner_text()
    assert "Traceback" not in page.content()


def test_a_cut_answer_and_a_talk_that_is_too_long_are_told(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    endpoint.finish = "length"
    page = visit(serve(chat.build(house, endpoint.url)))
    ask(page, "Go on for ever")
    page.get_by_text("was cut at").wait_for()
    endpoint.finish, endpoint.fault = "stop", "too long"
    ask(page, "And more")
    page.get_by_text("the oldest 2 turns were left out").wait_for()
    assert [message["content"] for message in endpoint.asked[-1]["messages"]] == ["And more"]
    endpoint.fault = "always too long"
    ask(page, "Even this is too long")
    page.get_by_text("longer than the model can see").wait_for()


def test_a_prompt_too_long_for_a_run_in_this_process_is_told(
    talking: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(chat.build(talking, "doors")))
    ask(page, "How wide? " * 200)
    page.get_by_text("Ask something shorter").wait_for()
    assert store_of(talking).rows("requests") == []


def test_an_address_with_a_name_asks_that_model_first(house: Workspace, endpoint: Any) -> None:
    shelf = EndpointShelf(f"{endpoint.url}#beta", house)
    assert shelf.choices() == ["beta", "alpha"] and shelf.address.endswith("/v1")
    with pytest.raises(ModelDownError, match=r"serves alpha, beta, not gamma. Write \S+/v1#NAME"):
        EndpointShelf(f"{endpoint.url}#gamma", house).choices()


@pytest.mark.long
def test_ten_people_at_once_all_get_their_answer_and_those_who_wait_see_their_place(
    house: Workspace,
    endpoint: Any,
    serve: Callable[..., str],
    visit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(EndpointShelf, "at_once", 1)
    endpoint.reply, endpoint.pause = "You asked well, and here is the answer.", 0.15
    endpoint.repeat_question = True
    url = serve(chat.build(house, endpoint.url))
    pages = [visit(url) for _ in range(10)]
    for page in pages:
        page.locator("#model input").wait_for()
    for number, page in enumerate(pages):
        ask(page, f"Question number {number} of ten", wait=False)
    seen = ""
    while not re.search(r"queue: \d+/\d+", seen) and not pages[-1].get_by_text("here is the answer").count():
        seen += pages[-1].locator("#status").inner_text()
    assert re.search(r"queue: \d+/\d+", seen), "nobody saw a place in the queue"
    for number, page in enumerate(pages):
        page.locator("#chat").get_by_text(f"[Question number {number} of ten]").wait_for()
        page.locator("#send").wait_for(state="visible")
    assert endpoint.most_running == 1
    rows = requests_of(house, 10)
    assert [row["status"] for row in rows] == ["ok"] * 10 and len({row["user"] for row in rows}) == 10


def test_answers_of_a_run_and_its_base_do_not_mix_when_many_ask_at_once(talking: Workspace) -> None:
    shelf = LocalShelf(talking, "doors")
    names = shelf.choices()[:2]
    question = [{"role": "user", "content": "How wide must door 3 be?"}]

    def answer(name: str) -> str:
        *_, last = shelf.get(name).stream(question, Sampling(16), threading.Event())
        return last.text

    alone = {name: answer(name) for name in names}
    assert "wide" in alone[names[0]] and alone[names[0]] != alone[names[1]]
    with ThreadPoolExecutor(8) as crew:
        asked = names * 8
        assert list(crew.map(answer, asked)) == [alone[name] for name in asked]


def test_a_reader_who_goes_away_leaves_the_model_to_the_others(talking: Workspace) -> None:
    shelf = LocalShelf(talking, "doors")
    question = [{"role": "user", "content": "How wide must door 3 be?"}]
    left = shelf.get(shelf.choices()[1]).stream(question, Sampling(400), threading.Event())
    next(left)
    left.close()
    *_, last = shelf.get(shelf.choices()[0]).stream(question, Sampling(32), threading.Event())
    assert last.ending == "ok" and "wide" in last.text


def test_texts_of_requests_are_kept_only_when_that_is_switched_on(
    house: Workspace, endpoint: Any, serve: Callable[..., str], visit: Callable[..., Any], studio: Callable[..., Any]
) -> None:
    assert studio("feedback", "settings", "--texts").code == 0
    page = visit(serve(chat.build(house, endpoint.url)))
    page.get_by_text("are kept by the owner").wait_for()
    ask(page, "Remember this")
    page.locator("#chat").get_by_text("A short answer.").wait_for()
    row = requests_of(house, 1)[0]
    assert row["prompt"] == [{"role": "user", "content": "Remember this"}] and row["completion"] == "A short answer."
    assert json.dumps(row["sampling"])
