"""Noise processes against their formulas, the loss weights against the paper, and sampling steps that lead back."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from studio.models.images.noise import DiscreteProcess, FlowProcess

ALPHAS = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
PROCESSES = {
    "epsilon": DiscreteProcess(ALPHAS, "epsilon"),
    "v": DiscreteProcess(ALPHAS, "v"),
    "flow": FlowProcess(),
}
TIMES = {"epsilon": torch.tensor([3, 400, 900]), "v": torch.tensor([3, 400, 900]), "flow": torch.tensor([0.1, 0.5, 0.9])}


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_target_implies_the_clean_picture(name, pictures):
    clean, noise = pictures
    process, times = PROCESSES[name], TIMES[name]
    noisy = process.mix(clean, noise, times)
    assert torch.allclose(process.clean(noisy, process.target(clean, noise, times), times), clean, atol=1e-4)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_perfect_network_is_sampled_back_to_the_picture(name, pictures):
    clean, noise = pictures
    process = PROCESSES[name]
    levels = process.levels(7)
    z = process.mix(clean, noise, levels[0].expand(3))
    for time, following in pairwise(levels):
        z = process.step(z, process.target(clean, noise, time.expand(3)), time.expand(3), following.expand(3))
    assert torch.allclose(z, clean, atol=1e-3)


def test_min_snr_weights_are_those_of_the_paper():
    # arXiv 2303.09556: epsilon min(SNR, 5) / SNR; v min(SNR, 5) / (SNR + 1); for a flow the error of x is the flow's times t^2.
    times = TIMES["epsilon"]
    snr = ALPHAS[times] / (1 - ALPHAS[times])
    assert torch.allclose(PROCESSES["epsilon"].min_snr_weights(times, 5.0), snr.clamp(max=5) / snr)
    assert torch.allclose(PROCESSES["v"].min_snr_weights(times, 5.0), snr.clamp(max=5) / (snr + 1))
    t = TIMES["flow"]
    snr = ((1 - t) / t) ** 2
    assert torch.allclose(PROCESSES["flow"].min_snr_weights(t, 5.0), snr.clamp(max=5) * t**2)
    assert snr[0] > 5 > snr[1], "the cap must be at work in this test"


def test_drawn_times_follow_their_quantiles():
    process = FlowProcess(mean=0.8, std=0.8, shift=3.0)
    drawn = process.draw(20_000, torch.Generator().manual_seed(0))
    for fraction in (0.1, 0.5, 0.9):
        assert abs(float((drawn < process.quantiles([fraction])).float().mean()) - fraction) < 0.01
    assert FlowProcess(shift=3.0).levels(4).tolist() == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])


def test_discrete_levels_start_at_pure_noise():
    assert PROCESSES["epsilon"].levels(4).tolist() == [999, 749, 499, 249, -1]
    with pytest.raises(ValueError, match="1001 sampling steps"):
        PROCESSES["epsilon"].levels(1001)
