"""Every family that trains can be planned; what cannot is refused in a sentence."""

from __future__ import annotations

import pytest

from studio.core.errors import UserError
from studio.schema.adapter import ChatAdapter
from studio.train.chat.plan import plan
from tests.families import FAMILIES, build_family
from tests.soak import taking_turns

SMALL = {"kind": "chat", "max_length": 64, "batch_size": 2, "lora": {"rank": 4}}
OFTEN = {"llama", "gpt2", "qwen3_moe", "mamba2", "gemma3_mm"}
FULL_ONLY = ("mamba", "mamba2")  # PEFT has no adapters for their fused kernels


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return lambda family: root / family if (root / family).is_dir() else build_family(root / family, family)


@pytest.mark.parametrize("family", taking_turns((name for name in FAMILIES if name != "bert"), OFTEN))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_full_tuning_and_adapters_are_planned(folder_of, family, dtype):
    folder = folder_of(family)
    for method in ("full",) if family in FULL_ONLY else ("full", "lora"):
        planned = plan(ChatAdapter(**SMALL, model=str(folder), method=method, dtype=dtype))
        assert planned.peak > 0 and planned.trained_parameters > 0


def test_an_encoder_is_refused_by_the_plan(folder_of):
    with pytest.raises(UserError, match="looks at later tokens"):
        plan(ChatAdapter(**SMALL, model=str(folder_of("bert"))))


@pytest.mark.parametrize("family", ["bloom", "mamba", "mpt", "rwkv"])
def test_rows_are_not_packed_where_nobody_tells_them_apart(folder_of, family):
    settings = {**SMALL, "lora": {"dropout": 0}, "packing": True}
    with pytest.raises(UserError, match=f"rows cannot be packed for {folder_of(family)} .{family}.: it is not told where a row"):
        plan(ChatAdapter(**settings, model=str(folder_of(family))))
