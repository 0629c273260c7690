"""What the plan says that vLLM reads of an adapter is what the installed vLLM says itself, layer by layer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from studio.adapters.chat.vllm_models import READS_STACKED_EXPERTS, REFUSED_LAYERS, UNKNOWN, WITHOUT_ADAPTERS
from studio.models.vllm_environment import find_environment
from tests.families import FAMILIES, build_family

ROOT = Path(__file__).parents[2]


@pytest.mark.serve
@pytest.mark.long
def test_the_table_is_what_the_installed_vllm_does_with_each_layer(tmp_path):
    folders = [build_family(tmp_path / family, family) for family in FAMILIES if family != "bert"]
    command = [find_environment().python, ROOT / ".ci" / "vllm_layers.py", *folders]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout[done.stdout.index('{\n "arch') :])["architectures"]
    assert len(found) > 20 and not UNKNOWN & found.keys()
    for name, said in found.items():
        assert said["adapters"] == (name not in WITHOUT_ADAPTERS), name
        assert said["stacked_experts"] == (name in READS_STACKED_EXPERTS), name
        if said["adapters"]:
            # A router carries an adapter only where a person names it.
            refused = {layer.rpartition(".")[2] for layer in said["refused"] if "router" not in layer}
            assert refused == REFUSED_LAYERS.get(name, frozenset()), name
            assert said["ignored"] == [], name
