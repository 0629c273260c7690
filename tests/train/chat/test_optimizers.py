"""Every optimizer by name: what it remembers is what was planned, a resume is exact, and wrong company is refused."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from studio.core.errors import MissingExtraError
from studio.schema.adapter import ChatAdapter
from studio.schema.optimizers import OF_THE_STUDIO, PROJECTING
from studio.train.chat.optimizers.low_rank import LowRankAdamW
from studio.train.chat.optimizers.muon import MuonWithAdamW
from studio.train.chat.optimizers.table import special, state_bytes
from studio.train.chat.plan_model import build_skeleton
from studio.train.chat.run import train_run
from tests.train.chat.test_run import losses

PACKAGED = {"prodigy", "schedule_free_adamw", "stable_adamw"}
NAMES = ChatAdapter.model_fields["optimizer"].annotation.__args__
HERE = importlib.util.find_spec("pytorch_optimizer") is not None

needs_package = pytest.mark.skipif(not HERE, reason="the extra 'optimizers' is not installed")
OFTEN = {"muon", "galore_adamw", "schedule_free_adamw", "adamw_8bit"} & set(NAMES)


def marks_of(name: str, *, turns: bool) -> list[pytest.MarkDecorator]:
    """Those of an optimizer's name; ``turns`` lets most of them take turns."""
    found = [needs_package] if name in PACKAGED else []
    return [*found, pytest.mark.soak] if turns and name not in OFTEN else found


every_name = pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name, turns=False)) for name in NAMES])
names_in_turn = pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name, turns=True)) for name in NAMES])


def settings_of(name: str) -> dict:
    """A preset's settings with which an optimizer learns something on the tiny base."""
    found = {"optimizer": name, "method": "full", "learning_rate": 1e-3, "lora.rank": 16, "lora.alpha": 32, "lora.dropout": 0.0}
    if name in PROJECTING:
        found |= {"projection.every": 4} | ({"projection.rank": 8} if name != "apollo_mini" else {})
    if name == "prodigy":
        found["learning_rate"] = 1.0
    if name == "schedule_free_adamw":
        found["schedule"] = "constant_with_warmup"
    return found


def remembered(checkpoint) -> int:
    """Bytes of the optimizer state in a checkpoint, each storage once; tables of bitsandbytes and single numbers left out."""
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    flat = [{**kept, **kept.get("__bnb_optimizer_quant_state__", {})} for kept in state.values()]
    tensors = {
        value.untyped_storage().data_ptr(): value
        for kept in flat
        for key, value in kept.items()
        if torch.is_tensor(value) and value.numel() > 1 and not key.startswith("qmap") and key != "y"
    }
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def weights(folder):
    return load_file(next(folder.glob("*/*model.safetensors")))


@names_in_turn
def test_state_is_as_planned_and_a_resume_is_exact(trainer, tiny_base, name):
    settings = settings_of(name) | {"epochs": 2, "eval_every": 4, "keep_checkpoints": 10}
    folder, _record = trainer.train(**settings)
    validation = losses(folder, "eval_loss")
    assert validation[12] < validation[4], "it learns"
    adapter = ChatAdapter.model_validate({"kind": "chat", "model": str(tiny_base), **nested(settings)})
    skeleton = build_skeleton(adapter, tiny_base, dtype=torch.float32)
    assert remembered(folder / "checkpoints" / "checkpoint-4") == state_bytes(adapter, skeleton.model)
    again = trainer.open(**settings)
    for part in ("run.json", "metrics.jsonl", "chat_template.jinja"):
        shutil.copy(folder / part, again / part)
    shutil.copytree(folder / "checkpoints" / "checkpoint-4", again / "checkpoints" / "checkpoint-4")
    train_run(again, resume=True, say=lambda text: None)
    assert losses(again) == losses(folder)
    one, two = weights(folder), weights(again)
    assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())


def nested(settings: dict) -> dict:
    """``{"lora.rank": 4}`` as a preset has it."""
    found: dict = {}
    for key, value in settings.items():
        first, _, rest = key.partition(".")
        if rest:
            found.setdefault(first, {})[rest] = value
        else:
            found[first] = value
    return found


@needs_package
def test_schedule_free_validates_and_saves_its_average_and_trains_on_as_if_nobody_had_looked(trainer):
    settings = settings_of("schedule_free_adamw") | {"keep_checkpoints": 10, "early_stopping": None}
    often, _ = trainer.train(**settings | {"eval_every": 3})
    seldom, _ = trainer.train(**settings | {"eval_every": 12})
    assert losses(often) == losses(seldom), "looking at the average changes nothing"
    checkpoint = often / "checkpoints" / "checkpoint-12"
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"]
    saved = load_file(checkpoint / "model.safetensors")
    assert all("y" in kept for kept in state.values())
    y, z = (torch.cat([kept[key].reshape(-1).sort().values for kept in state.values()]) for key in ("y", "z"))
    assert not torch.equal(y, z) and sum(value.numel() for value in saved.values()) == y.numel()
    # The average lies where y = 0.1 z + 0.9 x says.
    shapes = {tuple(kept["y"].shape): kept for kept in state.values()}
    kept = shapes[(384, 64)]
    average = next(value for value in saved.values() if value.shape == (384, 64))
    torch.testing.assert_close(kept["y"], 0.9 * average + 0.1 * kept["z"], rtol=1e-5, atol=1e-6)


def test_muon_is_pytorchs_on_hidden_matrices_and_adamw_on_the_rest(tiny_base):
    adapter = ChatAdapter(kind="chat", model=str(tiny_base), method="full", optimizer="muon")
    model = build_skeleton(adapter, tiny_base, dtype=torch.float32).model
    taken = special(adapter, model)
    assert len(taken) == 14 and all("_proj" in name for name in taken), "seven matrices of each of two layers"
    torch.manual_seed(0)
    start, vector = torch.randn(6, 4), torch.randn(5)
    gradients = [(torch.randn(6, 4), torch.randn(5)) for _ in range(3)]

    def stepped(make):
        pair = [torch.nn.Parameter(start.clone()), torch.nn.Parameter(vector.clone())]
        optimizers = make(*pair)
        for matrix, line in gradients:
            pair[0].grad, pair[1].grad = matrix.clone(), line.clone()
            for optimizer in optimizers:
                optimizer.step()
        return pair

    both = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}
    mine = stepped(
        lambda w, v: [MuonWithAdamW([{"params": [w], "weight_decay": 0.1}], [{"params": [v], "weight_decay": 0.0}], **both)]
    )
    plain = stepped(
        lambda w, v: [
            torch.optim.Muon([w], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([v], lr=0.01, weight_decay=0.0),
        ]
    )
    assert all(torch.equal(one, two) for one, two in zip(mine, plain, strict=True))


@needs_package
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_galore_steps_as_another_implementation_does(shape):
    from pytorch_optimizer import GaLore

    torch.manual_seed(0)
    start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(5)]
    one, two = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    mine = low_rank([one], "galore", rank=3, every=100, scale=0.25)
    group = {"params": [two], "rank": 3, "update_proj_gap": 100, "scale": 0.25, "projection_type": "std"}
    theirs = GaLore([group], lr=0.01, eps=1e-8, foreach=False)
    for gradient in gradients:
        one.grad, two.grad = gradient.clone(), gradient.clone()
        mine.step(), theirs.step()
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_apollo_scales_the_whole_gradient_and_limits_its_growth():
    """By the formula of the paper (algorithm 1), with the projection that belongs to the seed."""
    torch.manual_seed(0)
    start, gradients = torch.randn(9, 6), [torch.randn(9, 6), 50 * torch.randn(9, 6)]
    weight = torch.nn.Parameter(start.clone())
    optimizer = low_rank([weight], "apollo", rank=4, every=100, scale=1.0)
    moved = []
    for gradient in gradients:
        if "norm" in optimizer.state[weight]:
            optimizer.state[weight]["norm"] /= 2  # as if the step before had been half as long
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        optimizer.step()
        moved.append((before - weight.detach()) / 0.01)
    for update, gradient in zip(moved, gradients, strict=True):  # each row is a multiple of the gradient's, unlike GaLore's
        assert torch.nn.functional.cosine_similarity(update, gradient, dim=1) == pytest.approx(1.0, abs=1e-4)
    assert moved[1].norm() / moved[0].norm() == pytest.approx(1.01 / 2, rel=1e-3), "the norm-growth limiter"
    small = optimizer.state[weight]
    assert small["exp_avg"].shape == (9, 4) and "projection" not in small


def low_rank(params, kind, **given):
    groups = [{"params": params, "projected": True, "weight_decay": 0.0}]
    return LowRankAdamW(groups, kind=kind, lr=0.01, betas=(0.9, 0.999), eps=1e-8, **given)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "galore_adamw"}, "which adapters have already"),
        ({"optimizer": "apollo_mini", "method": "full", "projection": {"rank": 4}}, "whose rank is 1"),
        ({"projection": {"rank": 4}}, "'projection' has no meaning with 'optimizer: adamw_torch_fused'"),
        ({"optimizer": "schedule_free_adamw"}, "'schedule: cosine' lowers it"),
        ({"optimizer": "prodigy"}, "Set it to 1"),
        ({"optimizer": "muon", "loraplus_ratio": 4}, "'optimizer: muon' does not take"),
    ],
)
def test_what_cannot_work_together_is_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ValidationError, match=sentence):
        ChatAdapter.model_validate({"kind": "chat", **settings})


@pytest.mark.skipif(HERE, reason="the extra 'optimizers' is installed")
def test_a_missing_package_is_told_before_anything_is_loaded(trainer):
    with pytest.raises(MissingExtraError, match=r"optimizer: prodigy needs .*finetuning-studio\[optimizers\]"):
        trainer.open(**settings_of("prodigy"))


def test_a_sharded_model_is_refused(tiny_base):
    from studio.core.errors import UserError
    from studio.train.chat.optimizers.table import own_optimizer

    for name in OF_THE_STUDIO:
        adapter = ChatAdapter.model_validate({"kind": "chat", "model": str(tiny_base), **nested(settings_of(name))})
        with pytest.raises(UserError, match="this accelerate configuration shards them"):
            own_optimizer(adapter)(torch.nn.Linear(2, 2), [], sharded=True)
    assert own_optimizer(ChatAdapter(kind="chat")) is None
