"""Models and data sets from ModelScope and from a mirror of the Hub, over scripted servers: whole, checked, resumed, offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.core.errors import StudioError, UserError
from studio.models.bases import recorded_revision, resolve_base
from tests.hubs import COMMIT, Hub, ModelScope, mirror_listening, modelscope_listening

PICKLED = "pytorch_model.bin"


@pytest.fixture
def hub(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScope]:
    """ModelScope with a model and nothing in the cache."""
    (copy / PICKLED).write_bytes(b"cposix\n")
    (copy / "evil.py").write_text("print('ran')")
    (copy / "onnx").mkdir()
    (copy / "onnx" / "config.json").write_text("{}")
    with modelscope_listening(ModelScope(models={"owner/name": copy})) as server:
        monkeypatch.setenv("MODELSCOPE_DOMAIN", server.url)
        monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
        yield server


def fetched(hub: ModelScope) -> list[str]:
    return sorted(call.split()[1] for call in hub.calls if call.startswith("/api/v1/models/owner/name/repo "))


def test_a_model_is_fetched_once_whole_and_nothing_that_could_run(hub: ModelScope, tiny_base: Path):
    base = resolve_base("ms:owner/name")
    assert base.source == "modelscope" and base.name == "ms:owner/name" and len(str(base.revision)) == 40
    assert base.sha256 == resolve_base(str(tiny_base)).sha256
    files = fetched(hub)
    assert "model.safetensors" in files and "tokenizer.json" in files and len(files) == len(set(files))
    assert not {PICKLED, "evil.py", "onnx/config.json"} & set(files)
    assert json.loads((base.folder / "studio-manifest.json").read_text())["files"] == {"model.safetensors": base.sha256}
    assert resolve_base("ms:owner/name") == base and fetched(hub) == files, "the second time only the list is asked for"


def test_a_broken_connection_goes_on_where_it_broke(hub: ModelScope, tiny_base: Path):
    hub.cut = 5000
    assert resolve_base("ms:owner/name").sha256 == resolve_base(str(tiny_base)).sha256
    assert [call for call in hub.calls if "bytes=5000-" in call], "the rest alone is asked for"


def test_the_network_may_go_afterwards(hub: ModelScope, monkeypatch: pytest.MonkeyPatch, caplog):
    base = resolve_base("ms:owner/name")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    count = len(hub.calls)
    assert resolve_base("ms:owner/name") == base and len(hub.calls) == count
    with pytest.raises(StudioError, match=r"ms:owner/other is not in the cache .* and the network is switched off"):
        resolve_base("ms:owner/other")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    hub.status = 503
    assert resolve_base("ms:owner/name") == base
    assert "ModelScope does not answer; using ms:owner/name at" in caplog.text
    with pytest.raises(StudioError, match=r"ModelScope does not answer at http://127.* \(it answers 503"):
        resolve_base("ms:owner/other")


def test_wrong_bytes_are_refused_and_removed(hub: ModelScope, tmp_path: Path):
    hub.lie = True
    with pytest.raises(StudioError, match=r"came with sha256 .* instead of .* and was removed"):
        resolve_base("ms:owner/name")
    assert not list((tmp_path / "cache").rglob("partial/*"))
    hub.lie = False
    resolve_base("ms:owner/name")


def test_damage_in_the_cache_is_found(hub: ModelScope):
    path = resolve_base("ms:owner/name").folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudioError, match="its sha256 is"):
        resolve_base("ms:owner/name")


def test_what_a_run_wrote_down_is_found_again_though_the_branch_moved(hub: ModelScope, copy: Path, tmp_path: Path):
    base = resolve_base("ms:owner/name")
    config = copy / "generation_config.json"
    config.write_text(json.dumps({"max_new_tokens": 7}))
    moved = resolve_base("ms:owner/name")
    assert moved.revision != base.revision and moved.sha256 == base.sha256
    assert recorded_revision(base.record()) == base.revision
    assert resolve_base("ms:owner/name", base.revision) == base
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(UserError, match=r"ms:owner/name has changed on ModelScope: its files are .* was written down"):
        resolve_base("ms:owner/name", base.revision)


def test_branches_and_names_that_are_not_there(hub: ModelScope):
    with pytest.raises(UserError, match=r"there is no model ms:owner/nam at revision 'master' .*called 'master' there"):
        resolve_base("ms:owner/nam")
    with pytest.raises(UserError, match="there is no model ms:owner/name@main at revision 'main'"):
        resolve_base("ms:owner/name", "main")
    with pytest.raises(UserError, match="names the revision 'v1', but 'v2' was given as well"):
        resolve_base("ms:owner/name@v1", "v2")
    with pytest.raises(UserError, match="is no name on ModelScope. Write ms:owner/name"):
        resolve_base("ms:name")
    hub.branch = "v1"
    assert resolve_base("ms:owner/name@v1").name == "ms:owner/name@v1"


def test_private_models_want_a_token_that_goes_to_modelscope_alone(hub: ModelScope, copy: Path, monkeypatch: pytest.MonkeyPatch):
    hub.private = True
    with pytest.raises(UserError, match="is private or wants its terms accepted.*MODELSCOPE_API_TOKEN"):
        resolve_base("ms:owner/name")
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "secret")
    with mirror_listening(Hub(models={"any/thing": copy})) as store:
        hub.elsewhere = f"{store.url}/any/thing/resolve/main"
        resolve_base("ms:owner/name")
        assert "m_session_id=secret" in hub.cookies and set(store.cookies) <= {None} and store.calls


@pytest.mark.parametrize("path", ["../outside.json", "/etc/outside.json", "a/../../outside.json"])
def test_a_list_cannot_write_outside_its_folder(hub: ModelScope, path: str):
    hub.extra = [{"Name": "x", "Path": path, "Size": 1, "Sha256": "0" * 64, "Type": "blob"}]
    with pytest.raises(StudioError, match="lists a file outside its folder"):
        resolve_base("ms:owner/name")


def test_a_plan_fetches_the_configuration_alone(hub: ModelScope):
    from studio.train.chat.plan_model import find_config

    assert (find_config("ms:owner/name") / "config.json").is_file()
    assert set(fetched(hub)) <= {"config.json", "generation_config.json"}


def test_from_the_command_line(hub: ModelScope, studio):
    pulled = studio("models", "pull", "ms:owner/name")
    assert pulled.code == 0 and "ms:owner/name is here and whole" in pulled.out, pulled.err
    missing = studio("models", "pull", "ms:owner/nothing")
    assert missing.code == 2 and missing.err.startswith("error: there is no model ms:owner/nothing")


# Settings of the Hub are read once, at the import: hence a process of its own.
_BUILD = """
import json, sys
from studio.cli.main import run
from studio.models.bases import resolve_base
base = resolve_base("owner/name")
code = run(["data", "build", "chat/hub", "--name", "mirrored", "--workspace", sys.argv[1], "--json", *sys.argv[2:]])
print(json.dumps({"revision": base.revision, "sha256": base.sha256}))
sys.exit(code)
"""


def test_a_mirror_of_the_hub_serves_models_and_data_sets(copy: Path, tmp_path: Path, own_rows: Path):
    (own_rows / "rows.py").unlink()  # the library refuses a data set with a script
    with mirror_listening(Hub(models={"owner/name": copy}, datasets={"owner/rows": own_rows})) as hub:
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("HF_")}
        environment = {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "STUDIO_CACHE": str(tmp_path / "cache")}
        settings = ["sources.0.id=owner/rows", "sources.0.revision=main", "split.test=4", "split.validation=2"]
        command = [sys.executable, "-c", _BUILD, str(tmp_path / "workspace"), *(f"--set={setting}" for setting in settings)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        base = json.loads(done.stdout.strip().splitlines()[-1])
        assert base == {"revision": COMMIT, "sha256": resolve_base(str(copy)).sha256}
        (record,) = (tmp_path / "workspace").glob("datasets/mirrored/*/dataset.json")
        (source,) = json.loads(record.read_text())["sources"]
        assert source["rows"] == 40 and source["revision"] == COMMIT
        assert any("/owner/name/resolve/" in call for call in hub.calls) and any("/owner/rows" in call for call in hub.calls)


@pytest.fixture
def own_rows(tmp_path: Path) -> Path:
    """A data set of 40 rows, with a script that must never run."""
    from tests.data.made_rows import sentence

    folder = tmp_path / "rows"
    folder.mkdir()
    lines = [json.dumps({"question": f"What of {n}?", "answer": sentence(n)}) for n in range(40)]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "rows.py").write_text("raise SystemExit('ran')")
    (folder / "configuration.json").write_text('{"task": "chat"}')
    return folder


def test_a_data_set_is_built_from_modelscope_and_found_again_offline(
    hub: ModelScope, own_rows: Path, tmp_path: Path, studio, monkeypatch: pytest.MonkeyPatch
):
    hub.datasets["owner/rows"] = own_rows
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "workspace"))
    ask = ["data", "build", "chat/hub", "--json", "--set", "sources.0.id=ms:owner/rows", "--set", "sources.0.revision=master"]
    ask += ["--set", "split.test=4", "--set", "split.validation=2"]
    built = studio(*ask)
    assert built.code == 0, built.err
    (source,) = built.json["record"]["sources"]
    assert (
        source["rows"] == 40
        and source["location"] == "ModelScope ms:owner/rows (default, train)"
        and len(source["revision"]) == 40
    )
    assert not [call for call in hub.calls if call.endswith((".py", "configuration.json"))]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    count = len(hub.calls)
    again = studio(*ask)
    assert (
        again.code == 0 and again.json["record"]["fingerprint"] == built.json["record"]["fingerprint"] and len(hub.calls) == count
    )
    refused = studio(*ask, "--set", "sources.0.streaming=true")
    assert refused.code == 2 and "remove 'streaming: true'" in refused.err
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    missing = studio(*ask, "--set", "sources.0.id=ms:owner/none")
    assert missing.code == 2 and missing.err.startswith("error: there is no data set ms:owner/none at revision 'master'")
