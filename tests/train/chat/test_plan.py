"""The plan: what is predicted, how it moves with the settings, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from studio.core.errors import GateNotMetError, UserError
from studio.schema.adapter import ChatAdapter
from studio.train.chat.plan import batch_shapes, check_fits, largest_micro_batch, plan

RUNTIME = 700_000_000


@pytest.fixture(autouse=True)
def known_baseline(monkeypatch):
    """The runtime is measured once per machine by training in another process (a minute here); its own test does that."""
    monkeypatch.setattr("studio.train.chat.plan.baseline_bytes", lambda device, trainer: RUNTIME)


def preset(tiny_base, **values):
    lora = values.pop("lora", {})
    return ChatAdapter(kind="chat", model=str(tiny_base), lora={"rank": 8, **lora}, **{"max_length": 128, **values})


def test_parts_add_up_to_the_peak_and_hold_known_sizes(tiny_base):
    planned = plan(preset(tiny_base))
    assert sum(planned.parts.values()) == planned.peak
    assert planned.parts["runtime"] == RUNTIME
    # r * (in + out) of every linear layer: q, k, v, o, gate, up, down of two layers of width 64, 32 for k and v, 128 inside.
    expected = 2 * 8 * ((64 + 64) * 2 + (64 + 32) * 2 + (64 + 128) * 3)
    assert planned.trained_parameters == expected
    assert planned.parts["adapter"] == expected * 4
    assert planned.parts["optimizer"] == expected * 8


def test_more_rows_longer_rows_and_higher_rank_take_more(tiny_base):
    peaks = [plan(preset(tiny_base, **values)).peak for values in ({}, {"batch_size": 16}, {"batch_size": 16, "max_length": 256})]
    assert peaks == sorted(set(peaks))
    assert plan(preset(tiny_base, lora={"rank": 32})).parts["adapter"] == 4 * plan(preset(tiny_base)).parts["adapter"]


def test_a_smaller_micro_batch_takes_less_and_keeps_gradients_between_passes(tiny_base):
    whole, split = plan(preset(tiny_base)), plan(preset(tiny_base, micro_batch_size=2))
    assert split.peak < whole.peak
    assert (split.micro_batch, split.accumulation) == (2, 4)
    assert split.parts["gradients"] == split.parts["adapter"]


def test_checkpointing_lowers_activations(tiny_base):
    plain, recomputing = plan(preset(tiny_base)), plan(preset(tiny_base, gradient_checkpointing=True))
    assert recomputing.sizes["activations"] < plain.sizes["activations"] / 3
    assert recomputing.peak < plain.peak


def test_quantisation_lowers_weights_to_what_bitsandbytes_keeps(tiny_base):
    plain, nf4, int8 = (
        plan(preset(tiny_base, dtype="float32", quantization=kind)).parts["weights"] for kind in ("none", "nf4", "int8")
    )
    linear = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 64 * 128 * 3)
    assert plain - nf4 == linear * 4 - (linear // 2 + linear // 64 + _outer_constants() + 14 * 273 * 4)
    assert nf4 < int8 < plain


def _outer_constants():
    """Four bytes per 256 blocks of 64, rounded up in each layer."""
    layers = [64 * 64] * 2 + [64 * 32] * 2 + [64 * 128] * 3
    return 2 * sum(-(-(numbers // 64) // 256) * 4 for numbers in layers)


def test_full_tuning_trains_every_weight(tiny_base):
    planned = plan(preset(tiny_base, method="full"))
    assert planned.parts["adapter"] == 0
    assert planned.sizes["gradients"] == planned.trained_parameters * 4
    assert planned.parts["optimizer"] == 2 * planned.sizes["gradients"]
    assert planned.vllm == []


def test_dora_and_packing_can_be_planned(tiny_base):
    dora = plan(preset(tiny_base, lora={"dora": True}, quantization="nf4"))
    assert any("dora" in reason.lower() for reason in dora.vllm)
    assert dora.peak > plan(preset(tiny_base, quantization="nf4")).peak
    packed = plan(preset(tiny_base, packing=True), lengths=[50] * 20, supervised=[20] * 20)
    assert packed.longest.packed and packed.longest.length <= 8 * 128


def test_a_card_that_is_not_here_can_be_planned_for(tiny_base):
    planned = plan(preset(tiny_base), device="cuda")
    assert planned.dtype == "bfloat16"
    assert planned.parts["weights"] < plan(preset(tiny_base, dtype="float32")).parts["weights"]


def test_real_lengths_decide_the_largest_pass_and_the_steps(tiny_base):
    lengths = [10] * 30 + [100, 90]
    shapes = batch_shapes(preset(tiny_base), 4, 2, lengths=lengths, supervised=[5] * 32)
    assert sum(shape.rows for shape in shapes) == 32
    planned = plan(preset(tiny_base, micro_batch_size=4), lengths=lengths, supervised=[5] * 32)
    assert planned.longest.length == 100
    assert (planned.steps, planned.steps_per_epoch, planned.tokens_per_epoch) == (4, 4, 490)


def test_too_little_memory_is_refused_with_the_biggest_part_and_a_remedy(tiny_base):
    planned = plan(preset(tiny_base, batch_size=64), memory=RUNTIME + 10_000_000)
    assert not planned.fits
    with pytest.raises(GateNotMetError, match=r"needs .* GB and the cpu has .*biggest part is .*micro_batch_size") as caught:
        check_fits(planned)
    assert caught.value.exit_code == 3


def test_several_processes_share_one_machine_but_not_one_card(tiny_base):
    both = plan(preset(tiny_base), processes=2, memory=RUNTIME)
    assert both.needed == 2 * (both.peak - both.parts["file"])
    with pytest.raises(GateNotMetError, match=r"GB \(2 processes of .* GB\) and the cpu has"):
        check_fits(both)
    card = plan(preset(tiny_base), processes=2, device="cuda")
    assert card.needed == card.peak


def test_a_mapped_file_is_in_the_peak_but_not_in_the_verdict(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    small, large = preset(folder), plan(preset(folder))
    (folder / "model.safetensors").write_bytes(bytes(500_000_000))  # only its size is looked at
    planned = plan(small, memory=RUNTIME + 450_000_000)
    assert planned.parts["file"] > 500_000_000 > large.parts["file"]
    assert planned.peak > planned.memory > planned.needed == large.needed
    check_fits(planned)
    with pytest.raises(GateNotMetError, match=r"^(?!.*processes of)(?!.*part is file)"):
        check_fits(plan(small, memory=RUNTIME))


def test_too_little_disk_is_refused(tiny_base):
    planned = plan(preset(tiny_base), free_disk=1_000_000)
    with pytest.raises(GateNotMetError, match="keep_checkpoints"):
        check_fits(planned)
    check_fits(replace(planned, free_disk=planned.disk["total"]))


def test_the_sweep_finds_the_largest_micro_batch_that_fits(tiny_base):
    adapter = preset(tiny_base, batch_size=32)
    peaks = {size: plan(adapter.model_copy(update={"micro_batch_size": size})).peak for size in (1, 2, 4, 8, 16, 32)}
    assert largest_micro_batch(adapter, peaks[8])[0] == 8
    assert largest_micro_batch(adapter, peaks[32])[0] == 32
    assert largest_micro_batch(adapter, peaks[1] - 1)[0] is None


def test_a_model_that_is_not_one_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.json"):
        plan(ChatAdapter(kind="chat", model=str(tmp_path)))


def test_a_config_that_asks_for_code_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoConfig": "evil.Config"}}')
    with pytest.raises(UserError, match="own Python code"):
        plan(ChatAdapter(kind="chat", model=str(tmp_path)))
