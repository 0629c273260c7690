"""The page of a training: a form made from the schema, what it takes, and the command that starts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.datastructures import FormData
from starlette.testclient import TestClient

from studio.apps.accounts import Accounts
from studio.core.content import list_content
from studio.core.errors import ConfigError
from studio.core.files import write_json
from studio.core.translation import catalogue
from studio.core.workspace import Workspace
from studio.jobs.records import FILE, LOG, Job, add_job, read_job, set_over
from studio.pages.filled import filled_from_form
from studio.pages.forms import fields_of, form_of
from studio.pages.site import build_site
from studio.train.kinds import load_preset
from tests.conftest import call_studio, write_doors

PLAN = {
    "device": "cpu", "parts": {"weights": 4_000, "runtime": 6_000}, "needed": 10_000, "memory": 8_000, "fits": False,
    "disk": {"total": 5_000}, "free_disk": 90_000, "steps": 12, "trained_parameters": 77, "vllm": [], "serving": [],
    "tokens_per_epoch": 400, "steps_per_epoch": 12,
    "mask": {"tokens": 400, "trained_share": 0.25, "cut_rows": 2, "left_out_rows": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def house_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that tests copy."""
    folder = tmp_path_factory.mktemp("doors")
    write_doors(folder / "recipes")
    assert call_studio("data", "build", folder / "recipes" / "doors.yaml", "--workspace", folder / "workspace") == 0
    return folder / "workspace"


@pytest.fixture
def house(house_made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """A workspace with a Dataset of conversations; the studio was started in an empty folder."""
    root = shutil.copytree(house_made, tmp_path / "workspace")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(root))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Workspace.open(root)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, house: Workspace) -> list[list[str]]:
    """What pages start is only written down: the commands of jobs that wait for ever."""
    commands: list[list[str]] = []

    def begin(request: Any, arguments: list[str], *, queued: bool | None = None) -> Job:
        commands.append(list(arguments))
        return read_job(add_job(house, arguments, queued=queued))

    monkeypatch.setattr("studio.pages.answers.begin", begin)
    monkeypatch.setattr("studio.pages.rooms.train.begin", begin)
    monkeypatch.setattr("studio.pages.work.begin", begin)
    return commands


def client_of(workspace: Workspace, accounts: Accounts | None = None) -> TestClient:
    """A browser's place."""
    client = TestClient(build_site(workspace, accounts=accounts), base_url="http://127.0.0.1", follow_redirects=False)
    client.headers.update({"accept": "text/html", "accept-language": "en"})
    return client


class Form(HTMLParser):
    """What a browser would send of the form ``settings`` if its first button was pressed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self._inside, self._select, self._options, self._area = False, "", [("", False)], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self._inside = found.get("id") == "settings"
        name = found.get("name") or ""
        if not self._inside:
            return
        if tag == "input" and name and (found.get("type") != "checkbox" or "checked" in found):
            self.sent.append((name, found.get("value") or ""))
        if tag == "select":
            self._select, self._options = name, []
        if tag == "option" and self._select:
            self._options.append((found.get("value", "\0") or "", "selected" in found))
        if tag == "textarea":
            self._area = name
            self.sent.append((name, ""))

    def handle_data(self, data: str) -> None:
        if self._area:
            self.sent[-1] = (self._area, self.sent[-1][1] + data)
        elif self._select and self._options and self._options[-1][0] == "\0":
            self._options[-1] = (data, self._options[-1][1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        if tag == "select" and self._inside and self._select:
            chosen = [value for value, selected in self._options if selected] or [value for value, _ in self._options[:1]]
            self.sent += [(self._select, value) for value in chosen]
            self._select = ""

    def with_(self, **changes: str) -> dict[str, str | list[str]]:
        """The form with some fields typed anew; ``lora__rank`` is ``s.lora.rank``."""
        found: dict[str, Any] = {}
        for name, value in self.sent:
            found.setdefault(name, []).append(value)
        for name, value in changes.items():
            key = name.replace("__", ".")
            found[f"s.{key}" if f"s.{key}" in found else key] = [value]
        return found


def form_at(client: TestClient, address: str) -> Form:
    """The form of a page."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return Form(answer.text)


def wrong_at(text: str, name: str) -> str:
    """The sentence at a field."""
    found = re.search(rf'id="wrong-{re.escape(name)}"[^>]*>(.*?)</p>', text)
    assert found, text
    return unescape(found[1])


@pytest.mark.parametrize("name", sorted(list_content("adapters")))
def test_the_form_of_every_preset_is_shown_and_changes_nothing_by_itself(name: str, house: Workspace) -> None:
    client = client_of(house)
    form = form_at(client, f"/train?data=doors&preset={name}")
    filled = filled_from_form(FormData(form.sent), "doors", house, None)
    assert filled.settings() == ()
    assert filled.choice is not None
    assert filled.choice.train() == ["train", name, "--data", "doors"]
    shown = {key for key, _ in form.sent}
    assert {f"s.{field}" for field in fields_of(form_of(load_preset(list_content("adapters")[name])))} <= shown


def test_what_was_changed_becomes_settings_of_the_command_and_an_address_that_shows_them_again(
    house: Workspace, begun: list[list[str]]
) -> None:
    client = client_of(house)
    form = form_at(client, "/train")  # the only Dataset and the preset to start with are chosen already
    changed = form.with_(
        epochs="2", learning_rate="3e-4", lora__rank="8", packing="true", max_steps="7", lora__target_modules="[q_proj, v_proj]",
        chat_template="", system="merge", template_arguments="enable_thinking: false\r\nreasoning_effort: low", name="mine",
    )  # fmt: skip
    answer = client.post("/train/check", data=changed)
    assert answer.status_code == 303, answer.text
    settings = [
        "system=merge", 'template_arguments={"enable_thinking": false, "reasoning_effort": "low"}', "packing=true", "epochs=2",
        "max_steps=7", "lora.rank=8", "lora.target_modules=[q_proj, v_proj]",
    ]  # fmt: skip
    said = ["chat/lora", "--data", "doors", *(part for each in settings for part in ("--set", each))]
    assert begun == [["plan", *said, "--json"]]
    page = client.get(answer.headers["location"])
    again = Form(page.text)
    assert dict(again.sent)["s.lora.rank"] == "8" and ("s.packing", "true") in again.sent
    shown = re.search(r'<pre id="command"[^>]*>(.*?)</pre>', page.text, re.DOTALL)
    assert shown and shlex.split(unescape(shown[1])) == ["studio", "train", *said, "--name", "mine"]
    settings[-1] = 'lora.target_modules=["q_proj", "v_proj"]'  # the same, as the form shows it
    assert filled_from_form(FormData(again.sent), "doors", house, None).settings() == tuple(settings)


def test_a_group_that_no_longer_matters_is_taken_out_and_one_that_may_be_left_out_can_be(house: Workspace) -> None:
    client = client_of(house)
    form = form_at(client, "/train?preset=chat/dpo")
    sent = FormData([(key, value[-1]) for key, value in form.with_(objective="sft").items()])
    filled = filled_from_form(sent, "doors", house, None)
    assert filled.settings() == ("objective=sft", "preference={}") and not filled.wrong
    pictures = form_at(client, "/train?preset=diffusion/sdxl-dreambooth")
    off = FormData([(key, value[-1]) for key, value in pictures.with_(**{"on.dreambooth": "false"}).items()])
    assert filled_from_form(off, "doors", house, None).settings() == ("dreambooth=null",)
    on = FormData([(key, value[-1]) for key, value in pictures.with_(**{"on.ema": "true", "ema__decay": "0.99"}).items()])
    assert filled_from_form(on, "doors", house, None).settings() == ("ema={}", "ema.decay=0.99")


@pytest.mark.parametrize(
    ("field", "typed", "also"),
    [
        ("epochs", "many", {}),
        ("learning_rate", "-1", {}),
        ("lora.rank", "0", {}),
        ("micro_batch_size", "3", {}),
        ("template_arguments", "[1, 2]", {}),
        ("lora.target_modules", "[a, b", {}),
        ("packing", "true", {"objective": "dpo"}),
    ],
)
def test_a_mistake_stands_at_its_field_in_the_words_of_the_terminal_and_nothing_is_lost(
    field: str, typed: str, also: dict[str, str], house: Workspace, begun: list[list[str]]
) -> None:
    client = client_of(house)
    sent = form_at(client, "/train").with_(**{field.replace(".", "__"): typed, "save_every": "9", **also})
    answer = client.post("/train/start", data=sent)
    assert answer.status_code == 422 and not begun
    # As ``studio train`` reads it.
    with pytest.raises(ConfigError) as told:
        load_preset(
            list_content("adapters")["chat/lora"],
            [*(f"{key}={value}" for key, value in also.items()), f"{field}={typed}", 'data="doors"'],
        )
    assert wrong_at(answer.text, field).lower() == str(told.value).lower()
    again = dict(Form(answer.text).sent)
    assert again["s.save_every"] == "9" and again[f"s.{field}"] == typed


def finish(job: Job, code: int, said: str | None, value: Any) -> None:
    """Let a job have ended."""
    (job.folder / LOG).write_text(f"a remark\n{json.dumps(value, indent=2)}\n" if value is not None else "", encoding="utf-8")
    record = job.record.model_copy(update={"status": "failed" if code else "done", "code": code, "said": said})
    write_json(job.folder / FILE, record.model_copy(update={"finished": record.created}).model_dump(mode="json"))
    set_over(job.folder)


def plan_job(house: Workspace) -> Job:
    """The newest job."""
    return read_job(sorted((house.root / "jobs").glob("2*"))[-1])


def test_what_does_not_fit_starts_only_when_the_person_says_so(house: Workspace, begun: list[list[str]]) -> None:
    client = client_of(house)
    form = form_at(client, "/train")
    page = client.get("/train").text
    assert "data-at-once" in page and "Not looked at yet" in page
    assert client.post("/train/plan", data=form.with_()).status_code == 303
    assert "Start without waiting" in client.get("/train").text
    finish(plan_job(house), 3, "it needs 10 kB and there are 8 kB. Set micro_batch_size=1", PLAN)
    part = client.get("/train/plan?data=doors&preset=chat/lora")
    assert "No, it does not fit." in part.text and "It needs 10 kB and there are 8 kB" in part.text
    assert "25%" in part.text and "2 rows are cut at max_length and 1 are left out." in part.text
    assert "Start all the same" in part.text and part.headers["x-studio-over"] == "1"
    refused = client.post("/train/start", data=form.with_())
    assert refused.status_code == 409 and [each[0] for each in begun] == ["plan"]
    assert client.post("/train/start", data=form.with_(sure="1")).status_code == 303
    assert begun[-1] == ["train", "chat/lora", "--data", "doors"]


def test_what_fits_starts_with_one_press_and_leads_to_its_job_and_a_plan_is_made_once(
    house: Workspace, begun: list[list[str]]
) -> None:
    client = client_of(house)
    form = form_at(client, "/train?data=doors")
    client.post("/train/plan", data=form.with_())
    finish(plan_job(house), 0, None, PLAN | {"memory": 90_000, "fits": True})
    page = client.get("/train?data=doors").text
    assert "Yes, it fits." in page and "data-at-once" not in page
    client.post("/train/check", data=form.with_())
    assert len(begun) == 1
    started = client.post("/train/start", data=form.with_(name="first"))
    assert begun[1:] == [["train", "chat/lora", "--data", "doors", "--name", "first"]]
    job = plan_job(house)
    assert started.headers["location"] == f"/jobs/{job.id}?follow=run"
    running = job.record.model_copy(update={"status": "running", "made": ["runs/first/20260101-000000-abc"]})
    write_json(job.folder / FILE, running.model_dump(mode="json"))
    assert client.get(f"/jobs/{job.id}/live?follow=run").headers["x-studio-next"] == "/runs/first/20260101-000000-abc"
    assert "x-studio-next" not in client.get(f"/jobs/{job.id}/live").headers
    # A header is Latin, a name need not be.
    named = job.record.model_copy(update={"status": "running", "made": ["runs/我的 机器人/20260101-000000-abc"]})
    write_json(job.folder / FILE, named.model_dump(mode="json"))
    leads = client.get(f"/jobs/{job.id}/live?follow=run").headers["x-studio-next"]
    assert leads.isascii() and unquote(leads) == "/runs/我的 机器人/20260101-000000-abc"
    # Other settings are another plan.
    changed = client.post("/train/start", data=form.with_(epochs="3"))
    assert changed.status_code == 409 and begun[-1][0] == "plan" and "epochs=3" in begun[-1]


def test_a_plan_that_could_not_be_made_says_why_and_can_be_asked_for_again(house: Workspace, begun: list[list[str]]) -> None:
    client = client_of(house)
    form = form_at(client, "/train")
    client.post("/train/plan", data=form.with_())
    finish(plan_job(house), 2, "there is no base model 'nothing'.", None)
    page = client.get("/train").text
    assert "It could not be worked out." in page and "There is no base model &#39;nothing&#39;." in page
    client.post("/train/plan", data=form.with_(anew="1"))
    assert len(begun) == 2


def test_a_preset_of_ones_own_is_kept_and_never_written_over(house: Workspace, begun: list[list[str]]) -> None:
    client = client_of(house)
    sent = form_at(client, "/train").with_(lora__rank="4", own_name="small", own_says="For doors")
    answer = client.post("/train/save", data=sent)
    assert answer.status_code == 303 and "preset=chat%2Fsmall" in answer.headers["location"]
    file = Path("adapters/chat/small.yaml")
    assert load_preset(file).lora.rank == 4 and load_preset(file).description == "For doors"  # type: ignore[attr-defined]
    assert client.get(answer.headers["location"]).status_code == 200
    text = file.read_text(encoding="utf-8")
    again = client.post("/train/save", data=sent)
    assert again.status_code == 422 and "stays as it is" in wrong_at(again.text, "own_name")
    assert file.read_text(encoding="utf-8") == text
    for name in ("../up", "a/b", "", ".hidden"):
        refused = client.post("/train/save", data={**sent, "own_name": name})
        assert refused.status_code == 422 and "cannot name a preset" in wrong_at(refused.text, "own_name")
    assert {path.name for path in Path().rglob("*.yaml")} == {"small.yaml"}


def test_rows_are_shown_as_the_model_sees_them(house: Workspace, begun: list[list[str]]) -> None:
    client = client_of(house)
    form = form_at(client, "/train?set=train_on=all")
    assert client.post("/train/mask", data=form.with_()).status_code == 303
    assert begun == [["data", "show", "doors", "--tokens", "--json", "--preset", "chat/lora", "--train-on", "all"]]
    rows = [{"id": "doors/1", "tokens": ["How", "Ġwide", "?", "ĊItâĢĻs"], "trained": [False, False, False, True]}]
    finish(plan_job(house), 0, None, rows)
    part = client.get("/train/mask?data=doors&preset=chat/lora&set=train_on=all")
    assert "How wide?<mark>\nIt’s</mark>" in part.text and part.headers["x-studio-over"] == "1"


def test_who_may_only_look_starts_nothing_and_who_may_train_names_no_folder_of_the_server(
    house: Workspace, begun: list[list[str]], tmp_path: Path
) -> None:
    accounts = Accounts.of({"lo": "secret-lo", "tom": "secret-tom"}, {"lo": "look", "tom": "train"})
    lo, tom = client_of(house, accounts), client_of(house, accounts)
    lo.post("/sign-in", data={"name": "lo", "password": "secret-lo"})
    tom.post("/sign-in", data={"name": "tom", "password": "secret-tom"})
    page = lo.get("/train")
    assert page.status_code == 200 and "/train/start" not in page.text and "See whether it fits" not in page.text
    form = Form(page.text)
    for path in ("check", "plan", "mask", "start", "save"):
        assert lo.post(f"/train/{path}", data=form.with_()).status_code == 403
    (tmp_path / "secret.jinja").write_text("secret", encoding="utf-8")
    for changes in ({"other_model": str(tmp_path)}, {"chat_template": str(tmp_path / "secret.jinja")}):
        answer = tom.post("/train/start", data=form_at(tom, "/train").with_(sure="1", **changes))
        assert answer.status_code == 422, changes
        assert "only an administrator" in answer.text
    assert not begun
    odd = tom.post("/train/check", data=form_at(tom, "/train").with_(other_model="a/b\0c", own_name="\0"))
    assert odd.status_code == 303 and begun.pop()[4:6] == ["--model", "a/bc"]
    assert tom.get("/train?model=a%00b&set=epochs=2%00&preset=x%00").status_code == 422
    # Nor by an address.
    for address in (f"/train?data={house.datasets / 'doors'}", f"/train?preset={tmp_path / 'x.yaml'}", "/train?preset=../up"):
        answer = tom.get(address)
        assert answer.status_code == 422
        assert re.search("unknown preset|there is no dataset", answer.text, re.IGNORECASE), address


def test_without_a_dataset_the_page_says_what_to_do(workspace: Workspace) -> None:
    page = client_of(workspace).get("/train")
    assert page.status_code == 200 and 'class="empty"' in page.text and 'href="/data"' in page.text


def test_an_error_of_a_setting_knows_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kind: chat\nlora: {rank: no}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_preset(file)
    assert caught.value.location == ("lora", "rank")
    with pytest.raises(ConfigError) as caught:
        load_preset(list_content("adapters")["chat/lora"], ["lora.alpha=[1"])
    assert caught.value.location == ("lora", "alpha")


def test_every_help_of_the_forms_is_there_in_chinese() -> None:
    known = catalogue("zh")
    missing: list[str] = []
    for path in list_content("adapters").values():
        preset = load_preset(path)
        texts = [(block.name, block.help) for block in form_of(preset) if block.name and block.help]
        texts += [(name, field.help) for name, field in fields_of(form_of(preset)).items()]
        texts += [(f"{path.parent.name}/{path.stem}", str(getattr(preset, "description", "")))]
        missing += [f"{path.stem}: {name}: {text}" for name, text in texts if text and text not in known]
    assert not missing
    fields = re.compile(r"\{\w*\}|``.+?``|https?://[\w./-]+\w")
    differing = [text for text, said in known.items() if "``" in text and set(fields.findall(text)) != set(fields.findall(said))]
    assert not differing


def test_a_search_and_a_comparison_are_started_from_what_was_chosen(
    house: Workspace, begun: list[list[str]], tmp_path: Path
) -> None:
    client = client_of(house)
    sent = form_at(client, "/train").with_(lora__rank="4", trials="3")
    assert client.post("/train/search", data=sent).status_code == 303
    assert begun == [["search", "chat/lora", "--data", "doors", "--set", "lora.rank=4", "--trials", "3"]]
    refused = client.post("/train/search", data={**sent, "trials": "0"})
    assert refused.status_code == 422 and wrong_at(refused.text, "trials").startswith(
        "--trials 0: a search needs at least one trial"
    )
    assert "Presets to compare with" not in client.get("/train").text  # chats are measured, not folded
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps({"a": n, "answer": "yn"[n % 2]}) for n in range(40)), encoding="utf-8"
    )
    (tmp_path / "rows.yaml").write_text(TABLE, encoding="utf-8")
    assert call_studio("data", "build", tmp_path / "rows.yaml") == 0
    table = form_at(client, "/train?data=rows").with_()
    assert "Choose another one" in client.post("/train/compare", data=table).text
    against = {**table, "against": ["classify/forest", "../etc", "classify/svm"]}
    assert client.post("/train/compare", data=against).status_code == 303
    assert begun[-1] == ["compare", "classify/logistic", "classify/forest", "classify/svm", "--data", "rows"]


class Seen(HTMLParser):
    """The texts of a page that are neither in brackets nor marked as not to be translated."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.left: list[str] = []
        self._stack: list[tuple[str, bool]] = []
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"input", "meta", "link", "br", "path", "option"} and tag != "option":
            return
        quiet = bool(self._stack and self._stack[-1][1])
        self._stack.append((tag, quiet or dict(attrs).get("translate") == "no" or tag in {"script", "style", "title"}))

    def handle_endtag(self, tag: str) -> None:
        while self._stack:
            name, _ = self._stack.pop()
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._stack and self._stack[-1][1]:
            return
        outside = ""
        for sign in data:
            self._depth += (sign == "⟦") - (sign == "⟧")
            outside += sign if not self._depth and sign != "⟧" else ""
        if any(sign.isalpha() for sign in outside):
            self.left.append(data.strip())


def test_every_text_of_the_page_can_be_translated(house: Workspace, begun: list[list[str]]) -> None:
    client = client_of(house)
    client.get("/?lang=qps")
    form = form_at(client, "/train?lang=qps")
    client.post("/train/plan", data=form.with_())
    assert not Seen(client.get("/train").text).left  # while it is planned
    finish(plan_job(house), 3, "it does not fit.", PLAN | {"vllm": ["a reason"], "probe": {"epoch_seconds": 3.0}})
    client.post("/train/mask", data=form.with_())
    finish(plan_job(house), 0, None, [{"id": "a", "tokens": ["a", "b"], "trained": [False, True]}])
    for address in (
        "/train",
        "/train?preset=chat/grpo&set=epochs=x",
        "/train?preset=diffusion/sdxl-dreambooth",
        "/train?preset=no",
    ):
        assert not Seen(client.get(address).text).left, address


def test_a_run_that_has_only_begun_is_shown(house: Workspace) -> None:
    folder = house.runs / "doors-lora" / "20260101-000000-abc"
    folder.mkdir(parents=True)
    record = {
        "kind": "chat", "name": "doors-lora", "id": "abc", "status": "interrupted", "created": "2026-01-01T00:00:00+00:00",
        "method": "lora", "base": {}, "dataset": {}, "seed": 0,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    client = client_of(house)
    assert client.get("/runs/doors-lora/20260101-000000-abc").status_code == 200
    assert client.get("/runs").status_code == 200


CHAT = "kind: chat\nsources: [{type: local, path: rows.jsonl, licence: own%s}]\nsplit: {validation: 2, test: 2}\n"
PAIRS = ", columns: {question: question, chosen: chosen, rejected: rejected}"
TABLE = "kind: table\nsources: [{type: local, path: rows.jsonl, licence: own}]\ntarget: answer\nsplit: {validation: 4, test: 4}\n"


@pytest.mark.parametrize(
    ("recipe", "row", "preset", "last"),
    [
        (CHAT % "", {"question": "what {0}", "answer": "that {0}"}, "chat/lora", "chat/dpo"),
        (CHAT % PAIRS, {"question": "what {0}", "chosen": "that {0}", "rejected": "no {0}"}, "chat/dpo", "chat/lora"),
        (TABLE, {"size": "{0}", "answer": "{1}"}, "classify/logistic", "regress/ridge"),
        (TABLE, {"size": "{0}", "answer": "{0}.5"}, "regress/boosting", "classify/logistic"),
    ],
)
def test_a_preset_that_fits_the_rows_is_proposed(
    recipe: str, row: dict[str, str], preset: str, last: str, house: Workspace, tmp_path: Path
) -> None:
    lines = [{key: value.format(number, "good" if number % 2 else "bad") for key, value in row.items()} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "rows.yaml").write_text(recipe, encoding="utf-8")
    assert call_studio("data", "build", tmp_path / "rows.yaml") == 0
    page = client_of(house).get("/train?data=rows").text
    assert dict(Form(page).sent)["preset"] == preset
    assert page.index(f'value="{preset}"') < page.index(f'value="{last}"')


def test_another_language_keeps_the_choice_and_leads_from_a_mistake_to_a_page(house: Workspace):
    client = client_of(house)
    form = form_at(client, "/train?data=doors&preset=chat/full")
    page = client.get("/train?data=doors&preset=chat/full").text
    assert "to=/train%3Fdata%3Ddoors%26preset%3Dchat/full" in page
    wrong = client.post("/train/check", data=form.with_(epochs="-3"))
    assert wrong.status_code == 422 and 'to=/train"' in wrong.text
    lost = client.get("/train/check")
    assert lost.status_code == 405 and "There is no page at /train/check." in lost.text


@pytest.mark.parametrize("name", ["x" * 300, "机" * 70])
def test_a_name_no_disk_takes_is_refused_at_its_field(name: str, house: Workspace):
    client = client_of(house)
    wrong = client.post("/train/check", data=form_at(client, "/train?data=doors").with_(name=name))
    assert wrong.status_code == 422 and "and 200 are allowed. Shorten it." in wrong.text
