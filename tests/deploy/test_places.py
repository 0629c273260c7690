"""A folder for each place: what is in it, what its README says first, and what is refused in one sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from studio.core.errors import StudioError
from studio.deploy.dashboard import METRICS, names_in
from studio.deploy.places import PLACES, places
from studio.serve.keys import KeyReader
from studio.serve.ledger import Ledger
from tests.conftest import Result
from tests.deploy.conftest import Ready

Deploy = Callable[..., Path]
Studio = Callable[..., Result]


def record_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "deploy.json").read_text()))


def load(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_names_every_place_and_imports_nothing_heavy():
    code = "import sys; from studio.deploy.places import places; places(); print(*({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert list(places()) == PLACES.in_order() and all(place.what and place.kinds for place in places().values())


def test_compose_runs_the_server_that_studio_serve_starts(ready: Ready, deployed: Deploy):
    folder = deployed("compose", "--set", "build=cpu", "--set", "vllm.max-num-seqs=7", "--set", "max_model_len=256")
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert list(services) == ["server", "chat", "prometheus", "grafana"]
    command = services["server"]["command"]
    assert command[:3] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    for flag, value in {
        "--model": "/model",
        "--served-model-name": "doors",
        "--max-num-seqs": "7",
        "--max-model-len": "256",
    }.items():
        assert command[command.index(flag) + 1] == value
    assert command[command.index("--middleware") + 1] == "studio.serve.guard.Guard"
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and ":" in service["image"], name
        assert not service["image"].endswith(":latest") and "healthcheck" in service
        assert service["user"].startswith("${STUDIO_UID") and {"memory", "cpus", "pids"} <= set(
            service["deploy"]["resources"]["limits"]
        )
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    mounts = {volume["target"]: volume for volume in services["server"]["volumes"]}
    assert mounts["/model"]["read_only"] and mounts["/studio/server"]["read_only"] and mounts["/studio/keys"]["read_only"]
    guard = json.loads((folder / "server" / "guard.json").read_text())
    assert guard["open"] is True and guard["fixed_keys"] == [] and guard["keys"] == "/studio/keys/keys.json"
    assert str(ready.workspace.root) not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert (folder / "server" / "guard" / "studio" / "serve" / "guard.py").is_file()
    assert record_of(folder)["facts"]["command"] == command


def test_the_readme_begins_with_what_was_checked_and_what_was_not_run(deployed: Deploy):
    page = (deployed("compose", "--set", "build=cpu") / "README.md").read_text()
    headings = re.findall(r"^##? (.+)$", page, re.MULTILINE)
    assert headings[1] == "What was checked, and what was not run"
    assert "| no key in a file | the studio's list of forms | passed |" in page
    assert page.index("**Not run, not validated:**") < page.index("## Begin")


def test_prepare_makes_keys_that_the_guard_takes_and_keeps_them(deployed: Deploy):
    folder = deployed("compose", "--set", "build=cpu")
    program = folder.parent / "bin" / "studio"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m studio.cli.main "$@"\n')
    program.chmod(0o755)
    variables = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(2):
        subprocess.run([folder / "prepare.sh"], env=variables, check=True, capture_output=True)
        made = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert set(made) == {"chat_key", "prometheus_key", "grafana_password"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder / "secrets").iterdir())
    keys = KeyReader(folder / "workspace" / "server" / "keys.json", [])
    roles = {name: keys.find(made[name].strip()) for name in ("chat_key", "prometheus_key")}
    assert {name: key.role for name, key in roles.items() if key} == {"chat_key": "client", "prometheus_key": "operator"}
    assert len(json.loads((folder / "workspace" / "server" / "keys.json").read_text())["keys"]) == 2, "a second run makes no more"
    assert f"STUDIO_UID={os.getuid()}" in (folder / ".env").read_text()
    ignored = (folder / ".gitignore").read_text().split()
    assert {"secrets/", "workspace/", "data/", ".env"} <= set(ignored)


def test_the_guards_figures_are_those_of_the_table(tmp_path: Path):
    told = {
        line.split()[2]
        for line in Ledger(tmp_path / "no.sqlite", "none", dict).metrics().splitlines()
        if line.startswith("# TYPE")
    }
    assert {name for name in METRICS if name.startswith("studio_")} == told


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("sum by (le) (rate(a_bucket[5m]))", {"a_bucket"}),
        ('up{job="studio"} == 0', {"up"}),
        ('sum(rate(x{o="e"}[5m])) > 0.05 * sum(rate(y[$__rate_interval]))', {"x", "y"}),
        ("histogram_quantile(0.9, vllm:z_bucket) and on (pod) w", {"vllm:z_bucket", "w"}),
    ],
)
def test_names_of_figures_are_found_in_promql(expression: str, names: set[str]):
    assert names_in(expression) - {"pod"} == names


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Manifests by kind and name."""
    found = {}
    for path in sorted((folder / "manifests").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            found[f"{document['kind']}/{document['metadata']['name']}"] = document
    return found


def test_kubernetes_has_what_was_asked_for(deployed: Deploy):
    folder = deployed("kubernetes", "--set", "build=cuda", "--set", "record=none", "--set", "vllm.tensor-parallel-size=2")
    made = documents(folder)
    pod = made["Deployment/doors"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["command"] == record_of(folder)["facts"]["command"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/healthz"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2" and container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert {mount["mountPath"]: mount.get("readOnly") for mount in container["volumeMounts"]}["/model"] is True
    [metric] = made["HorizontalPodAutoscaler/doors"]["spec"]["metrics"]
    assert (
        metric["pods"]["metric"]["name"] == "vllm_num_requests_waiting"
        and made["HorizontalPodAutoscaler/doors"]["spec"]["maxReplicas"] == 4
    )
    assert made["NetworkPolicy/doors"]["spec"]["egress"] == [] and made["CronJob/doors-watch"]["spec"]["suspend"] is True
    assert not any(kind.startswith("Secret") for kind in made), "a Secret is made by a command, never by a file"
    # The volume is the guard's tree again.
    held, items = (
        made["ConfigMap/doors-server"]["data"],
        {item["path"]: item["key"] for item in pod["volumes"][1]["configMap"]["items"]},
    )
    assert held[items["guard/studio/serve/guard.py"]].startswith('"""The guard')
    assert json.loads(held[items["guard.json"]])["models"] == "/studio/server/models.json"
    assert sum(len(text.encode()) for text in held.values()) < 2**20, "what a ConfigMap holds"
    [kserve] = yaml.safe_load_all((folder / "unproven" / "inferenceservice.yaml").read_text())
    assert kserve["spec"]["predictor"]["containers"][0]["command"] == container["command"]
    assert "NOT VALIDATED" in (folder / "unproven" / "inferenceservice.yaml").read_text().splitlines()[0]


def test_one_writer_of_requests_means_one_replica(deployed: Deploy):
    made = documents(deployed("kubernetes", "--set", "build=cpu", "--set", "record=figures"))
    assert made["HorizontalPodAutoscaler/doors"]["spec"]["maxReplicas"] == 1
    assert made["Deployment/doors"]["spec"]["strategy"] == {"type": "Recreate"}
    job = made["CronJob/doors-watch"]["spec"]
    [container] = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert job["suspend"] is False and container["command"] == ["studio", "watch", "/studio/project/project.yaml", "--once"]
    assert "nvidia.com/gpu" not in json.dumps(made["Deployment/doors"])


def test_ray_gets_the_engines_flags_and_is_told_that_there_is_no_guard(deployed: Deploy):
    folder = deployed(
        "ray", "--set", "vllm.max-num-seqs=7", "--set", "vllm.enable-prefix-caching=false", "--set", "max_model_len=128"
    )
    [application] = yaml.safe_load((folder / "serve.yaml").read_text())["applications"]
    [model] = application["args"]["llm_configs"]
    engine = model["engine_kwargs"]
    assert engine == {"dtype": engine["dtype"], "max_model_len": 128, "max_num_seqs": 7, "enable_prefix_caching": False}
    assert model["model_loading_config"] == {"model_id": "doors", "model_source": "/model"}
    assert "no keys, no limits" in (folder / "README.md").read_text()


def test_skypilot_asks_for_cards_that_hold_it(deployed: Deploy):
    task = yaml.safe_load((deployed("skypilot", "--set", "build=cuda") / "sky.yaml").read_text())
    assert task["resources"]["any_of"][0] == {"accelerators": "T4:1"} and "ports" not in task["resources"]
    assert task["run"].splitlines()[1].startswith("exec python3 -m vllm.entrypoints.openai.api_server --model /model")


def test_a_space_answers_as_transformers_does(ready: Ready, deployed: Deploy, monkeypatch: pytest.MonkeyPatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = deployed("space", "--set", "limits.max_tokens=12")
    page = (folder / "README.md").read_text()
    front = yaml.safe_load(page.split("---\n")[1])
    assert page.startswith("---\n") and front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["title"] == "doors"
    assert all("==" in line for line in (folder / "requirements.txt").read_text().splitlines())
    written = "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    assert str(ready.run.parents[2]) not in written, "what becomes public names no folder of this machine"
    assert "## Begin\n\n    studio export doors/" in page
    with pytest.raises(SystemExit, match=r"^error: .*model holds no model\. Put the merged model there"):
        load(folder / "app.py", "space_app")
    monkeypatch.setenv("STUDIO_MODEL", str(ready.run / "merged"))
    app = load(folder / "app.py", "space_app")
    app.model.generation_config.suppress_tokens = [app.tokenizer.eos_token_id]  # the tiny model would end at once
    turns = [{"role": "user", "content": "How wide must door 3 be?"}]
    said = list(app.answer(turns[0]["content"], []))[-1]
    tokenizer = AutoTokenizer.from_pretrained(ready.run / "merged")
    model = AutoModelForCausalLM.from_pretrained(ready.run / "merged")
    model.generation_config.suppress_tokens = [tokenizer.eos_token_id]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        whole = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert said and said == tokenizer.decode(whole, skip_special_tokens=True)
    long = [{"role": role, "content": "word " * 60} for role in ("user", "assistant") * 8]
    assert app.encode([*long, turns[0]])["input_ids"].shape[1] <= app.CONTEXT, "the oldest turns are left out"


def test_ollama_points_at_the_export_and_keeps_its_template(ready: Ready, deployed: Deploy):
    made = ready.exported("gguf", "doors-q8_0.gguf")
    lines = (deployed("ollama") / "Modelfile").read_text().splitlines()
    assert (
        lines[0] == f"FROM {made / 'doors-q8_0.gguf'}" and lines[1].startswith("TEMPLATE") and 'PARAMETER stop "<|end|>"' in lines
    )
    assert len([line for line in lines if line.startswith("FROM")]) == 1


@pytest.mark.parametrize(("place", "flag"), [("jetson", "-DGGML_CUDA=ON"), ("pi", "-DGGML_NATIVE=ON")])
def test_boards_build_one_version_for_themselves(ready: Ready, deployed: Deploy, place: str, flag: str):
    ready.exported("gguf", "doors-q8_0.gguf")
    folder = deployed(place)
    build, serve = (folder / "build.sh").read_text(), (folder / "serve.sh").read_text()
    assert flag in build and re.search(r"--branch b\d+ ", build) and os.access(folder / "build.sh", os.X_OK)
    assert "--api-key-file keys.txt" in serve and "--host 127.0.0.1" in serve and "--jinja" in serve
    assert "| 1 unit |" in (folder / "README.md").read_text()


def test_lambda_has_an_image_for_llama_and_no_key(ready: Ready, deployed: Deploy):
    ready.exported("gguf", "doors-q8_0.gguf")
    folder = deployed("lambda")
    docker = (folder / "Dockerfile").read_text()
    assert re.search(r"^FROM ghcr.io/ggml-org/llama.cpp:server-b\d+$", docker, re.MULTILINE) and "USER 1000:1000" in docker
    template = yaml.safe_load((folder / "template.yaml").read_text())
    assert template["Resources"]["Model"]["Properties"]["FunctionUrlConfig"]["AuthType"] == "AWS_IAM"


def test_every_command_line_of_the_studio_is_parsed(deployed: Deploy):
    folder = deployed("systemd")
    page = (folder / "README.md").read_text()
    assert re.search(r"\| \d+ command lines of the studio \| the studio's own parser \| passed \|", page)
    unit = (folder / "doors-serve.service").read_text()
    assert '"--merged"' in unit and "NoNewPrivileges=yes" in unit and "MemoryMax=" in unit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["doors", "--to", "komposé"], r"cannot deploy to 'komposé'\. Did you mean 'compose'\? Allowed: compose, kubernetes"),
        (
            ["doors", "--to", "android"],
            r"--to android holds runs of kind 'classifier', 'regressor', and doors/.* is of kind 'chat'\. Allowed",
        ),
        (
            ["doors", "--to", "ollama"],
            r"ollama takes doors/.* as gguf, and it was not exported so yet\. Write it: studio export doors/",
        ),
        (["a b=doors", "--to", "compose"], r"'a b' cannot be the name of a model"),
        (["../x=doors", "--to", "space"], r"'\.\./x' cannot be the name of a model"),
        (["doors"], r"which run, and where to\?"),
        (["doors", "--to", "kubernetes", "--run"], r"--run starts nothing for --to kubernetes"),
        (
            ["doors", "--to", "compose", "--set", "vllm.api-key=abc"],
            r"the flag 'api-key' is the studio's own: use studio serve keys add",
        ),
        (["doors", "--to", "compose", "--set", "host=0.0.0.0"], r"host 0\.0\.0\.0 would offer the pages without TLS"),
        (["doors", "--to", "space", "--set", "portt=1"], r"unknown field 'portt'"),
        (["--check", "."], r"holds no deploy\.json: it was not written by studio deploy"),
        (["doors", "--to", "space", "--check", "."], r"--check FOLDER checks a folder that is there"),
    ],
)
def test_what_cannot_be_is_one_sentence(ready: Ready, studio: Studio, arguments: list[str], said: str):
    done = studio("deploy", *arguments)
    assert done.code == 2 and re.search(said, done.err), done.err
    assert "Traceback" not in done.err and done.err.count("error:") == 1
    assert not Path("deploy").exists(), "nothing is left"


@pytest.mark.parametrize(
    "secret",
    [
        "hf_" + "a1B2" * 9,
        "sk-proj-" + "x" * 30,
        "AKIA" + "ABCD1234" * 2,
        "studio-0123abcd-" + "Z" * 43,
        "https://ada:secret@host/x",
    ],
)
def test_a_secret_in_the_settings_is_refused_and_never_shown(ready: Ready, studio: Studio, secret: str):
    done = studio("deploy", "doors", "--to", "compose", "--set", f"vllm.seed-note={secret}")
    assert done.code == 2 and secret not in done.err and "--set vllm.seed-note holds what looks like" in done.err, done.err
    assert not Path("deploy").exists()


def test_nothing_is_overwritten(ready: Ready, studio: Studio):
    Path("here").mkdir()
    done = studio("deploy", "doors", "--to", "space", "--out", "here")
    assert done.code == 2 and "here exists already and is not overwritten" in done.err and list(Path("here").iterdir()) == []
    done = studio("deploy", "doors", "--to", "space", "--out", "x" * 300)
    assert done.code == 2 and "--out has a name of 300 letters" in done.err


def test_runs_that_are_not_whole(ready: Ready, studio: Studio):
    record = json.loads((ready.run / "run.json").read_text())
    (ready.run / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    done = studio("deploy", "doors", "--to", "compose")
    assert done.code == 2 and re.search(
        r"is not finished \(status: interrupted\)\. Finish it: studio train --resume doors/", done.err
    )
    (ready.run / "run.json").write_text(json.dumps(record))
    (ready.run / "merged").rename(ready.run / "elsewhere")
    done = studio("deploy", "doors", "--to", "space")
    assert done.code == 2 and re.search(
        r"takes the whole model, and doors/.* has no merged/ yet\. Write it: studio export doors/", done.err
    )


def test_a_base_that_is_gone_is_told(ready: Ready, studio: Studio):
    record = json.loads((ready.run / "run.json").read_text())
    record["base"] |= {"path": "/nowhere/base", "name": "/nowhere/base"}
    (ready.run / "run.json").write_text(json.dumps(record))
    done = studio("deploy", "doors", "--to", "compose")
    assert done.code in {1, 2} and "/nowhere/base" in done.err and "Traceback" not in done.err and not Path("deploy").exists()


@pytest.mark.parametrize("name", ["yes", "1.5", "null", "A.b_C", "0x1F"])
def test_names_with_a_meaning_in_yaml(ready: Ready, deployed: Deploy, name: str):
    folder = deployed("kubernetes", run=f"{name}=doors")
    [container] = next(value for key, value in documents(folder).items() if key.startswith("Deployment/"))["spec"]["template"][
        "spec"
    ]["containers"]
    assert container["command"][container["command"].index("--served-model-name") + 1] == name
    assert all(isinstance(document["metadata"]["name"], str) for document in documents(folder).values())


def test_a_full_disk_leaves_nothing(ready: Ready, studio: Studio, small_disk: Path):
    done = studio("deploy", "doors", "--to", "compose", "--out", small_disk / "out")
    assert done.code == 1 and "the disk is full" in done.err and list(small_disk.iterdir()) == []


def test_json_has_the_checks(ready: Ready, studio: Studio):
    done = studio("deploy", "doors", "--to", "space", "--json")
    assert done.code == 0 and {check["state"] for check in done.json["checks"]} <= {"passed", "not checked"}
    assert done.json["limits"] and Path(done.json["folder"], "README.md").is_file()


def test_an_export_that_was_moved_is_told(ready: Ready, deployed: Deploy):
    made = ready.exported("gguf", "doors.gguf")
    made.rename(ready.run / "other")
    with pytest.raises(
        StudioError, match=r"pi takes the gguf export of doors/.*, which is not at .* any more\. Write it: studio export"
    ):
        deployed("pi")


def as_predictor(ready: Ready) -> None:
    """The same run, called a classifier: what a place makes of it comes from its export."""
    record = json.loads((ready.run / "run.json").read_text())
    (ready.run / "run.json").write_text(json.dumps(record | {"kind": "classifier"}))


def test_vllm_is_not_for_predictors_and_what_is_is_named(ready: Ready, studio: Studio):
    as_predictor(ready)
    done = studio("deploy", "doors", "--to", "compose")
    assert done.code == 2 and re.search(r"--to compose holds runs of kind 'chat', and doors/.* is of kind 'classifier'", done.err)
    assert "Allowed for it: lambda, android." in done.err


def test_android_loads_the_file_with_its_inputs(ready: Ready, deployed: Deploy):
    as_predictor(ready)
    ready.exported(
        "tflite",
        "model.tflite",
        inputs={"input_ids": {"dtype": "int64", "shape": [1, 40]}},
        outputs={"p": {"labels": ["yes", "$no"]}},
    )
    folder = deployed("android")
    kotlin = (folder / "StudioModel.kt").read_text()
    assert 'CompiledModel.create(context.assets, "doors.tflite"' in kotlin and "fun run(input0: IntArray): FloatArray" in kotlin
    assert "input0.size == 1 * 40" in kotlin and 'listOf("yes", "\\$no")' in kotlin
    assert kotlin.count("{") == kotlin.count("}") and "litert:litert:" in (folder / "README.md").read_text()
    page = (folder / "README.md").read_text()
    assert page.index("not compiled") < page.index("## Begin")


def test_android_takes_executorch_too(ready: Ready, deployed: Deploy):
    as_predictor(ready)
    ready.exported("executorch", "model.pte", inputs={"x": {"dtype": "float32", "shape": [1, 3, 96, 96]}})
    kotlin = (deployed("android") / "StudioModel.kt").read_text()
    assert "Tensor.fromBlob(input0, longArrayOf(1, 3, 96, 96))" in kotlin and "Module.load(file.absolutePath)" in kotlin
    assert "CompiledModel" not in kotlin and "LABELS" not in kotlin


def test_lambda_asks_the_exports_own_program(ready: Ready, deployed: Deploy, monkeypatch: pytest.MonkeyPatch):
    as_predictor(ready)
    made = ready.exported("onnx", "model.onnx")
    folder = deployed("lambda")
    assert (
        "onnxruntime==" in (folder / "requirements.txt").read_text()
        and "tokenizers" not in (folder / "requirements.txt").read_text()
    )
    (made / "predict.py").write_text(
        "class Model:\n    def __init__(self, folder): pass\n    def predict(self, items): return [len(i) for i in items]\n"
    )
    (folder / "model").symlink_to(made)
    monkeypatch.setattr(sys, "path", list(sys.path))
    handler = load(folder / "handler.py", "lambda_handler")
    reply = handler.handle({"body": json.dumps({"items": ["ab", "c"]})})
    assert reply["statusCode"] == 200 and json.loads(reply["body"]) == {"answers": [2, 1]}
    for wrong in ({"body": "{"}, {"body": "[]"}, {}, {"items": []}, {"items": "x"}, {"items": ["a"] * 257}, {"items": [3]}):
        assert handler.handle(wrong)["statusCode"] == 400, wrong


def test_a_workspace_with_blanks_and_percents_in_its_path(ready: Ready, deployed: Deploy, monkeypatch: pytest.MonkeyPatch):
    odd = ready.workspace.root.parent / "my 100% own 'space'"
    ready.workspace.root.rename(odd)
    monkeypatch.setenv("STUDIO_WORKSPACE", str(odd))
    folder = deployed("systemd")
    unit = (folder / "doors-serve.service").read_text()
    written = str(odd).replace("%", "%%")
    assert f'ReadWritePaths="{written}"' in unit and f'"{written}"' in re.findall("^ExecStart=.*$", unit, re.MULTILINE)[0]
    page = (folder / "README.md").read_text()
    assert "systemd-analyze verify | passed" in page or "systemd is not on this machine" in page


def test_paths_longer_than_windows_opens_are_said(ready: Ready, studio: Studio, tmp_path: Path):
    done = studio("deploy", "doors", "--to", "space", "--out", tmp_path / ("long" * 40) / ("name" * 20))
    assert done.code == 0 and re.search(r"its longest path has \d{3} letters, more than the 259 that Windows opens", done.err)
