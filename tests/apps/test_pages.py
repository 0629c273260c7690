"""The data, annotate and monitor apps, driven as a person would."""

from __future__ import annotations

import functools
import json
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.apps import annotate, data, monitor
from studio.apps.recording import open_store
from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.data.chat.rows import read_split
from studio.feedback.store import FeedbackStore, Origin, RequestRow


def test_a_dataset_is_browsed_searched_and_its_removed_rows_are_shown_with_their_reason(
    stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(data.build(stocked, "doors")))
    page.get_by_text("42 rows read, 2 removed").wait_for()
    page.get_by_text("1 to 15 of 30 rows").wait_for()
    page.locator("#next").click()
    page.get_by_text("16 to 30 of 30 rows").wait_for()
    # Neither one more page than there is, nor a look into the search box, leads away.
    page.locator("#next").click()
    page.locator("#search textarea, #search input").first.click()
    page.locator("#place").click()
    page.wait_for_timeout(500)
    page.get_by_text("16 to 30 of 30 rows").wait_for()
    # With two digits no other row holds the words of its question; "door" and its number would be found in ids too.
    rows = read_split(stocked.find_dataset("doors"), "train")
    row = next(row for row in rows if re.search(r"must (?!door)\w+ \d\d", row.messages[0]["content"]))
    page.locator("#search textarea, #search input").first.fill(row.messages[0]["content"])
    page.locator("#search textarea, #search input").first.press("Enter")
    page.get_by_text("1 to 1 of 1 rows").wait_for()
    page.locator("#detail").get_by_text(row.messages[1]["content"]).first.wait_for()
    page.locator("#search textarea, #search input").first.fill("")
    page.locator("#part").get_by_text("removed").click()
    page.get_by_text("1 to 2 of 2 rows").wait_for()
    table = page.locator("#rows").inner_text()
    assert "drop_empty: empty turn" in table and "exact_duplicates: same conversation" in table
    page.locator("#rows").get_by_text("exact_duplicates: same conversation").locator("visible=true").first.click()
    page.locator("#detail").get_by_text("repeats").wait_for()
    assert "doors/1" in page.locator("#detail").inner_text()


def test_rows_with_markup_are_shown_as_the_characters_they_are(
    stocked: Workspace,
    canary: Any,
    tmp_path: Path,
    serve: Callable[..., str],
    visit: Callable[..., Any],
    studio: Callable[..., Any],
) -> None:
    attack = f"<img src={canary.url}/row onerror=fetch('{canary.url}/e')> ![x]({canary.url}/md.png)"
    rows = [{"question": f"{attack} {n}", "answer": f"<script>fetch('{canary.url}/s')</script> {n}"} for n in range(4)]
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "bad.yaml").write_text(
        "kind: chat\nsources: [{type: local, path: bad.jsonl, licence: own}]\nsplit: {validation: 0, test: 0}\n"
    )
    assert studio("data", "build", tmp_path / "bad.yaml").code == 0
    page = visit(serve(data.build(stocked, "bad")))
    page.get_by_text("1 to 4 of 4 rows").wait_for()
    assert "<script>" in page.locator("#detail").inner_text()
    page = visit(serve(annotate.build(stocked, "bad")))
    page.locator("#row").get_by_text("<script>").wait_for()
    page.wait_for_timeout(500)
    assert canary.calls == []


def test_a_dataset_that_went_away_meanwhile_is_told_in_a_sentence(
    stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    url = serve(data.build(stocked, "doors"))
    shutil.rmtree(stocked.find_dataset("doors"))
    page = visit(url)
    page.locator("#about").get_by_text("dataset.json").wait_for()
    assert page.get_by_text("Error", exact=True).count() == 0


def test_a_dataset_of_pictures_is_shown_as_pictures(
    image_dataset: Path, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    workspace = Workspace.open(image_dataset.parents[2])
    page = visit(serve(data.build(workspace, str(image_dataset))))
    page.locator("#pictures img").first.wait_for()
    page.locator("#picture img").wait_for()
    assert "pictures" in page.locator("#place").inner_text()
    broken = page.evaluate("() => [...document.images].filter(image => image.complete && !image.naturalWidth).length")
    assert broken == 0


def label_rows(page: Any, name: str, labels: list[str], corrections: dict[int, str]) -> list[str]:
    """Label the next rows as one person; gives the questions that were shown."""
    page.locator("#name textarea, #name input").first.fill(name)
    page.locator("#name textarea, #name input").first.press("Enter")
    shown = []
    for number, label in enumerate(labels):
        page.get_by_text(f"{number} of 30 rows labelled by you").wait_for()
        page.locator("#row article").wait_for()
        shown.append(page.locator("#row .studio-user div").inner_text())
        page.locator("#label").get_by_text(label, exact=True).click()
        if number in corrections:
            page.locator("#correction textarea").fill(corrections[number])
        page.locator("#save").click()
    page.get_by_text(f"{len(labels)} of 30 rows labelled by you").wait_for()
    return shown


def test_two_annotators_label_the_same_rows_see_their_kappa_and_export_what_they_agree_on(
    stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any], tmp_path: Path, studio: Callable[..., Any]
) -> None:
    url = serve(annotate.build(stocked, "doors"))
    anna, ben = visit(url), visit(url)
    first = label_rows(anna, "anna", ["good", "good", "bad", "bad"], {2: "At least 90 centimetres."})
    second = label_rows(ben, "ben", ["good", "bad", "bad", "bad"], {})
    assert first == second, "two annotators have to meet on the same rows"
    ben.locator("#agreement").get_by_text("0.50").locator("visible=true").first.wait_for()
    anna.locator("#agreement").get_by_text("anna and ben").locator("visible=true").first.wait_for(timeout=20_000)
    assert "3 (75%)" in ben.locator("#agreement").inner_text()
    ben.locator("#undo").click()
    ben.get_by_text("3 of 30 rows labelled by you").wait_for()
    assert ben.locator("#row .studio-user div").inner_text() == second[3]
    ben.locator("#label").get_by_text("bad", exact=True).click()
    ben.locator("#save").click()
    ben.get_by_text("4 of 30 rows labelled by you").wait_for()
    anna.reload()
    anna.get_by_text("4 of 30 rows labelled by you").wait_for()

    anna.locator("#export").click()
    anna.get_by_text("2 rows written").wait_for()
    said = anna.locator("#exported").inner_text()
    assert "1 left out (annotators disagree)" in said and "1 left out (bad and not corrected)" in said
    (file,) = (stocked.root / "annotations").glob("*.jsonl")
    assert f"path: {file}" in said
    (tmp_path / "again.yaml").write_text(
        f"kind: chat\nsources:\n  - {{type: local, path: {file}, licence: own data}}\nsplit: {{validation: 0, test: 0}}\n"
    )
    assert studio("data", "build", tmp_path / "again.yaml").code == 0
    rows = {row.messages[0]["content"]: row.messages[1]["content"] for row in read_split(stocked.find_dataset("again"), "train")}
    assert rows[first[2]] == "At least 90 centimetres." and set(rows) == {first[0], first[2]}
    thumbs = studio("feedback", "export", "--json").json
    assert [row["label"] for row in thumbs["rows"]].count(False) == 2 and thumbs["left_out"]["people disagree"] == 2


def test_a_label_and_a_name_are_asked_for(stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any]) -> None:
    page = visit(serve(annotate.build(stocked, "doors")))
    page.locator("#row article").wait_for()
    page.locator("#save").click()
    page.get_by_text("Write your name first").wait_for()
    page.locator("#name textarea, #name input").first.fill("anna")
    page.locator("#save").click()
    page.get_by_text("Choose a label first").wait_for()


def slow_down(monkeypatch: pytest.MonkeyPatch, delays: list[float]) -> None:
    """Let the server take so many seconds over the rows it is asked for next."""
    real = annotate._Page.go_on

    @functools.wraps(real)
    def slow(*arguments: Any) -> Any:
        answer = real(*arguments)
        time.sleep(delays.pop(0) if delays else 0)
        return answer

    monkeypatch.setattr(annotate._Page, "go_on", slow)


@pytest.mark.parametrize("delays", [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_a_late_answer_of_the_server_takes_nothing_away(
    delays: tuple[float, ...],
    stocked: Workspace,
    serve: Callable[..., str],
    visit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The opening of the page and the name ask for a row each; whichever is slow, the choice made meanwhile stays."""
    slow_down(monkeypatch, list(delays))
    page = visit(serve(annotate.build(stocked, "doors")))
    page.locator("#name textarea, #name input").first.fill("anna")
    page.locator("#name textarea, #name input").first.press("Enter")
    page.locator("#row article").wait_for()
    page.locator("#label").get_by_text("bad", exact=True).click()
    page.locator("#correction textarea").fill("Narrower.")
    page.wait_for_timeout(1500)
    assert page.locator("#label input:checked").input_value() == "bad"
    assert page.locator("#correction textarea").input_value() == "Narrower."
    page.locator("#save").click()
    page.get_by_text("1 of 30 rows labelled by you").wait_for()


def test_leaving_the_name_keeps_the_row_and_a_judgement_is_kept_for_the_row_that_was_seen(
    stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    slow_down(monkeypatch, delays)
    page = visit(serve(annotate.build(stocked, "doors")))
    label_rows(page, "anna", ["good"], {})
    second = page.locator("#row .studio-user div").inner_text()
    page.locator("#skip").click()
    page.locator("#row").get_by_text(second, exact=True).wait_for(state="detached")
    skipped_to = page.locator("#row .studio-user div").inner_text()
    page.locator("#correction textarea").fill("Begun.")
    page.locator("#name textarea, #name input").first.click()
    page.locator("#correction textarea").click()
    page.wait_for_timeout(500)
    assert page.locator("#row .studio-user div").inner_text() == skipped_to
    assert page.locator("#correction textarea").input_value() == "Begun."
    # Another person's name, and at once a click: leaving the field asks for the other's first row, the click judges what is seen.
    delays[:] = [1.0]
    page.locator("#label").get_by_text("bad", exact=True).click()
    page.locator("#name textarea, #name input").first.fill("ben")
    page.locator("#save").click()
    until = time.monotonic() + 30
    # The page says "1 of 30" before and after: Anna has labelled one too.
    while not (bens := [row for row in open_store(stocked).current_annotations() if row["user"] == "ben"]):
        assert time.monotonic() < until, "nothing was kept"
        page.wait_for_timeout(50)
    (kept,) = bens
    assert kept["prompt"][0]["content"] == skipped_to and kept["label"] == "bad" and kept["correction"] == "Begun."


def fill(store: FeedbackStore, *, slow: float = 1.0) -> None:
    """Traffic of five weeks of two models; ``slow`` stretches the times of the newest week."""
    now, draw = time.time(), random.Random(0)
    rows = []
    for _ in range(2400):
        created = now - draw.uniform(0, 34 * 86400)
        seconds = draw.lognormvariate(0, 0.4) * (slow if created > now - 7 * 86400 else 1.0)
        model = draw.choice(["alpha", "beta"])
        status = draw.choices(["ok", "cut", "error"], [92, 6, 2])[0]
        rows.append(
            RequestRow(
                Origin(model, f"user-{draw.randrange(20)}", "chat"),
                status=status,  # type: ignore[arg-type]
                created=created,
                seconds=seconds,
                characters=int(draw.lognormvariate(5, 0.6)),
                language="en",
                refusal=draw.random() < 0.04,
            )
        )
    store.record_requests(rows)
    for number in range(60):
        prompt = [{"role": "user", "content": f"{number}?"}]
        value: Any = draw.choice([1, 1, -1])
        store.rate(Origin("alpha", f"user-{number}", "chat"), prompt=prompt, completion="x", value=value)


def test_the_monitor_shows_figures_plots_and_drift_and_no_words(
    workspace: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    store = FeedbackStore(workspace.root / "feedback.sqlite")
    fill(store, slow=2.0)
    store.rate(Origin("alpha", "anna", "chat"), prompt=[{"role": "user", "content": "s3cret"}], completion="s3cret", value=1)
    page = visit(serve(monitor.build(workspace)))
    page.locator("#tiles").get_by_text("requests", exact=True).wait_for()
    page.locator("#drift").get_by_text("seconds to the last token").first.wait_for()
    assert "⚠ changed" in page.locator("#drift").inner_text()
    for plot in ("requests", "latency", "thumbs", "lengths"):
        page.locator(f"#{plot} canvas, #{plot} svg.marks").first.wait_for()
    total = int(page.locator("#tiles b").first.inner_text().replace(",", ""))
    page.locator("#model input").click()
    page.get_by_role("option", name="beta").click()
    page.wait_for_function("total => +document.querySelector('#tiles b').innerText.replace(',', '') < total", arg=total)
    assert "alpha" not in page.locator("#models").inner_text()
    assert "s3cret" not in page.content()


def test_an_axis_has_a_height_when_all_its_values_are_one() -> None:
    import pandas as pd

    limits = [monitor._limits(pd.DataFrame({"time": [0, 1], "seconds": values})) for values in ([5.0, 5.0], [0, 0], [1, 5])]
    assert limits == [[0, 10], [0, 1], None]


def test_an_empty_monitor_says_so(workspace: Workspace, serve: Callable[..., str], visit: Callable[..., Any]) -> None:
    page = visit(serve(monitor.build(workspace)))
    page.get_by_text("Nothing happened in this period").locator("visible=true").first.wait_for()
    page.get_by_text("Nothing was asked yet").locator("visible=true").first.wait_for()


def test_an_empty_workspace_is_told_with_what_to_do(workspace: Workspace) -> None:
    from studio.apps import chat

    with pytest.raises(UserError, match="studio data build"):
        data.build(workspace)
    with pytest.raises(UserError, match="studio data build"):
        annotate.build(workspace)
    with pytest.raises(UserError, match="studio quickstart"):
        chat.build(workspace)
