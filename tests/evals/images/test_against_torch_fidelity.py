"""Our scores beside torch-fidelity's: the same pictures, the same network, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import Dataset

from studio.core.errors import UserError
from studio.evals.images import inception
from studio.evals.images.frechet import frechet_distance, moments
from studio.evals.images.inception import InceptionV3, find_weights, load_inception, resize_like_tensorflow
from studio.evals.images.inception_score import inception_score
from studio.evals.images.kernel_distance import kernel_distance
from studio.evals.images.network import Inception, Seen, see
from studio.evals.images.precision_recall import Recall, precise

fidelity = pytest.importorskip("torch_fidelity")

COUNT = 20


class Pictures(Dataset):
    """Pictures as torch-fidelity takes them."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(self.arrays[index]).permute(2, 0, 1)


def arrays(seed: int, side: int = 32) -> list[np.ndarray]:
    """Smooth random pictures, different enough to get different scores."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (COUNT, 5, 5, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in coarse]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One randomly initialised network in the two files that the two programs read."""
    folder = tmp_path_factory.mktemp("inception")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = InceptionV3()
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.data.uniform_(0.8, 1.4)
            norm.bias.data.normal_(0, 0.1)
        # One look at pictures gives batch norm the statistics that a trained network has; without them all pictures end up alike.
        with torch.no_grad():
            network.train()(torch.from_numpy(np.stack(arrays(2)[:8])).permute(0, 3, 1, 2))
        network.fc.weight.data.mul_(8)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    torch.save(state, folder / "theirs.pth")
    save_file(state, folder / "ours.safetensors")
    return folder / "theirs.pth", folder / "ours.safetensors"


@pytest.fixture(scope="module")
def theirs(weights: tuple[Path, Path]) -> dict[str, float]:
    return fidelity.calculate_metrics(
        input1=Pictures(arrays(0)),
        input2=Pictures(arrays(1)),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights[0]),
        isc=True, fid=True, kid=True, prc=True, kid_subset_size=16, kid_subsets=7,
        cuda=False, batch_size=8, save_cpu_ram=True, cache=False, verbose=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(weights: tuple[Path, Path]) -> Iterator[tuple[Seen, Seen]]:
    network = Inception(weights[1])
    yield tuple(see(network, map(Image.fromarray, arrays(seed)), batch_size=8) for seed in (0, 1))  # type: ignore[misc]


@pytest.mark.soak
def test_the_inception_score_is_theirs_within_1e_4(theirs: dict[str, float], seen: tuple[Seen, Seen]) -> None:
    mean, spread = inception_score(seen[0].logits)
    assert mean > 1.02, "a score of 1 would say nothing about the network"
    assert mean == pytest.approx(theirs["inception_score_mean"], abs=1e-4)
    assert spread == pytest.approx(theirs["inception_score_std"], abs=1e-4)


@pytest.mark.soak
def test_fid_kid_precision_and_recall_are_theirs(theirs: dict[str, float], seen: tuple[Seen, Seen]) -> None:
    made, reference = seen[0].features, seen[1].features
    assert frechet_distance(moments(made), moments(reference)) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    mean, spread = kernel_distance(made, reference, subsets=7, subset_size=16)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)
    assert float(precise(made, reference).mean()) == pytest.approx(theirs["precision"])
    assert float(Recall(made, reference).at(np.ones((1, COUNT)))[0]) == pytest.approx(theirs["recall"])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 48), (299, 299), (400, 310), (1, 7)])
def test_the_resize_is_theirs_bit_by_bit(height: int, width: int) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as resize

    pictures = torch.rand(2, 3, height, width) * 255
    assert torch.equal(resize_like_tensorflow(pictures, 299), resize(pictures, size=(299, 299), align_corners=False))


def test_pictures_of_several_sizes_give_what_each_gives_alone(weights: tuple[Path, Path]) -> None:
    network = Inception(weights[1])
    mixed = [Image.fromarray(arrays(0, side)[0]) for side in (32, 32, 40, 32)]
    together = see(network, mixed, batch_size=3)
    alone = np.concatenate([see(network, [picture]).features for picture in mixed])
    np.testing.assert_allclose(together.features, alone, atol=1e-4)


def test_only_the_reference_hash_opens_a_pickle_and_gives_the_plain_name(
    weights: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="a pickle from elsewhere is not opened"):
        load_inception(weights[0])
    network = Inception(weights[1])
    assert not network.reference and network.name == f"Inception-v3 {network.sha256[:8]}"
    monkeypatch.setattr(inception, "REFERENCE_SHA256", inception.sha256_file(weights[0])[:8])
    reference = Inception(weights[0])
    assert reference.reference and reference.name == "Inception-v3 of 2015-12-05"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not hold the Inception-v3 of the scores"):
        load_inception(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="does not hold the Inception-v3 of the scores"):
        load_inception(tmp_path / "cut.safetensors")


def test_weights_are_looked_for_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("STUDIO_INCEPTION_WEIGHTS", raising=False)
    assert find_weights() is None
    hub = tmp_path / "torch" / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    hub.parent.mkdir(parents=True)
    hub.touch()
    assert find_weights() == hub
    own = tmp_path / "cache" / "inception" / "weights-inception-2015-12-05-6726825d.pth"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_weights() == own
    with pytest.raises(UserError, match=r"--inception-weights names gone\.pth"):
        find_weights("gone.pth")
    monkeypatch.setenv("STUDIO_INCEPTION_WEIGHTS", "away.pth")
    with pytest.raises(UserError, match=r"STUDIO_INCEPTION_WEIGHTS names away\.pth"):
        find_weights()


@pytest.mark.long
def test_the_real_weights_give_their_score_too() -> None:
    path = find_weights()
    if path is None:
        pytest.skip("the reference Inception weights are not on this machine (STUDIO_INCEPTION_WEIGHTS or the cache)")
    network = Inception(path)
    assert network.reference
    mean, _ = inception_score(see(network, map(Image.fromarray, arrays(0))).logits)
    expected = fidelity.calculate_metrics(
        input1=Pictures(arrays(0)), isc=True, cuda=False, save_cpu_ram=True, cache=False, verbose=False,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(path),
    )  # fmt: skip
    assert mean == pytest.approx(expected["inception_score_mean"], abs=1e-4)
