"""What vLLM's classes do with adapters: told from base and preset together, and read again from an installed vLLM."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from studio.adapters.chat.layers import Covered
from studio.adapters.chat.vllm import serving_notes, stock_vllm_verdict
from studio.adapters.chat.vllm_models import READS_STACKED_EXPERTS, UNKNOWN, WITHOUT_ADAPTERS
from studio.core.workspace import cache_folder
from tests.adapters.chat.test_vllm import preset

ATTENTION, EXPERTS = Covered("attention", 10, 10), Covered("experts", 90, 90)


@pytest.mark.parametrize(
    ("architecture", "covered", "said"),
    [
        ("GPT2LMHeadModel", [ATTENTION], "vLLM's GPT2LMHeadModel takes no adapters"),
        ("RwkvForCausalLM", [ATTENTION], "vLLM has no class RwkvForCausalLM"),
        ("Qwen3MoeForCausalLM", [ATTENTION, EXPERTS], "asks for one adapter per expert, and PEFT stacks them"),
        ("Gemma3ForConditionalGeneration", [Covered("vision", 9, 9)], "ignores adapters in the vision tower"),
    ],
)
def test_what_the_class_of_the_base_refuses_is_told(architecture, covered, said):
    (reason,) = stock_vllm_verdict(preset(), architecture, covered)
    assert said in reason
    notes = serving_notes(preset(), [reason])
    assert notes == [] if "no class" in said else "Not as an adapter" in notes[0]


def test_what_the_class_of_the_base_takes_is_not_refused():
    assert stock_vllm_verdict(preset(), "LlamaForCausalLM", [ATTENTION]) == []
    assert stock_vllm_verdict(preset(), "Qwen3MoeForCausalLM", [ATTENTION, Covered("experts", 90, 0)]) == []
    assert stock_vllm_verdict(preset(), "GptOssForCausalLM", [ATTENTION, EXPERTS]) == []
    assert stock_vllm_verdict(preset(method="full"), "GPT2LMHeadModel", [ATTENTION]) == [], "a plain model is no adapter"
    assert stock_vllm_verdict(preset(method="full"), "RwkvForCausalLM"), "but a class that is not there serves nothing"


def test_a_layer_that_the_class_of_the_base_splits_is_refused_by_name():
    (reason,) = stock_vllm_verdict(preset(), "Glm4ForCausalLM", [ATTENTION], {"q_proj", "gate_up_proj"})
    assert "Glm4ForCausalLM refuses adapters on gate_up_proj: name the other layers" in reason
    assert stock_vllm_verdict(preset(), "Glm4ForCausalLM", [ATTENTION], {"q_proj"}) == []
    assert stock_vllm_verdict(preset(), "Phi3ForCausalLM", [ATTENTION], {"gate_up_proj"}) == []


def models_of_vllm() -> Path:
    found = sorted((cache_folder() / "vllm").glob("*/lib/python3*/site-packages/vllm/model_executor/models"))
    return found[-1] if found else pytest.skip("vLLM is not installed; studio serve --install")


def test_the_table_is_that_of_the_installed_vllm():
    """By its source, without importing it: registered names, bases of their classes, and the word for stacked experts."""
    models = models_of_vllm()
    bases, words = {}, {}
    for file in models.glob("*.py"):
        if file.name == "config.py":  # checks of configurations, under the names of the models
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).split("[")[0].rpartition(".")[2] for base in node.bases]
                said = [ast.unparse(line) for line in node.body if isinstance(line, ast.AnnAssign)]
                words[node.name] = any(line.startswith("is_3d_moe_weight") and line.endswith("= True") for line in said)

    def derived(name: str, seen: tuple[str, ...] = ()) -> set[str]:
        return {name}.union(*(derived(base, (*seen, name)) for base in bases.get(name, []) if base not in seen))

    registry = dict(re.findall(r'"(\w+)":\s*\(\s*"[\w.]+",\s*"(\w+)"', (models / "registry.py").read_text(encoding="utf-8")))
    assert not UNKNOWN & registry.keys()
    assert {name for name in WITHOUT_ADAPTERS if "SupportsLoRA" in derived(registry[name])} == set()
    for name in ("LlamaForCausalLM", "Qwen3MoeForCausalLM", "GptOssForCausalLM", "Gemma3ForConditionalGeneration"):
        assert "SupportsLoRA" in derived(registry[name]), name
    assert all(any(words.get(each) for each in derived(registry[name])) for name in READS_STACKED_EXPERTS)
    assert not any(words.get(each) for each in derived(registry["Qwen3MoeForCausalLM"]))
