"""A network for all series as a forecaster: opened from safetensors, asked in batches.

Legend: b windows, h stamps ahead, q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from studio.core.errors import StudioError
from studio.models.forecast.forecaster import Forecaster, ForecasterInfo
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.layers import Shape, build_network
from studio.models.forecast.panel import Floats, Panel
from studio.models.forecast.windows import Batch, Inputs, cut, prepare

WEIGHTS = "network.safetensors"
_AT_ONCE = 512


class NetworkForecaster(Forecaster):
    """One network for all series; it forecasts series that it never saw too."""

    def __init__(self, info: ForecasterInfo, histories: Panel, network: nn.Module, inputs: Inputs) -> None:
        super().__init__(info, histories)
        self.network, self.inputs = network, inputs

    @property
    def longest(self) -> int:
        """The horizon it was trained on."""
        return self.inputs.horizon

    def raw(self, panel: Panel, horizon: int) -> list[Forecast]:
        """See :meth:`studio.models.forecast.forecaster.Forecaster.raw`."""
        ready = [prepare(one, self.inputs, panel.calendar) for one in panel.series]
        said: list[Floats] = []
        for first in range(0, len(ready), _AT_ONCE):
            some = ready[first : first + _AT_ONCE]
            batch = cut(some, [one.length for one in some], self.inputs)
            found = ask(self.network, batch).numpy()  # [b, h, q]
            said += list(np.sort(found * batch.spread[:, None, None] + batch.middle[:, None, None], axis=2))
        shares = quantiles_of(self.info.levels)
        return [_forecast(numbers[:horizon], shares, self.info.levels) for numbers in said]

    def save_weights(self, folder: Path) -> None:
        """Write the weights beside ``forecaster.json``."""
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}, folder / WEIGHTS
        )

    @staticmethod
    def open(info: ForecasterInfo, histories: Panel, folder: Path) -> NetworkForecaster:
        """Open a saved network.

        Raises:
            StudioError: the weights are damaged, or do not fit.
        """
        network = build_network(Shape(**info.network["shape"]))
        try:
            network.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, RuntimeError, ValueError) as error:
            raise StudioError(f"{folder / WEIGHTS} is damaged ({str(error).splitlines()[0]}). Train the run again.") from error
        return NetworkForecaster(info, histories, network.eval(), inputs_of(info))


@torch.no_grad()
def ask(network: nn.Module, batch: Batch) -> Tensor:
    """Quantiles of a batch, scaled, [b, h, q], on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    past, future = (torch.tensor(part, dtype=torch.float32, device=device) for part in (batch.past, batch.future))
    found: Tensor = network(past, future)
    return found.double().cpu()


def quantiles_of(levels: Sequence[int]) -> list[float]:
    """Shares of the future below each bound, and the median, in order."""
    return sorted({*((100 - level) / 200 for level in levels), 0.5, *((100 + level) / 200 for level in levels)})


def _forecast(numbers: Floats, shares: Sequence[float], levels: Sequence[int]) -> Forecast:
    """Sorted quantiles [h, q] as a forecast."""
    place = {share: number for number, share in enumerate(shares)}
    return Forecast(
        numbers[:, place[0.5]],
        {level: numbers[:, place[(100 - level) / 200]] for level in levels},
        {level: numbers[:, place[(100 + level) / 200]] for level in levels},
    )


def context_of(estimator: dict[str, Any], season: int, horizon: int) -> int:
    """Stamps that are looked at: as set, else two seasons or twice the horizon."""
    return int(estimator["context"] or max(2 * season if season > 1 else 0, 2 * horizon))


def shape_of(estimator: dict[str, Any], season: int, levels: Sequence[int], inputs: Inputs) -> Shape:
    """The form of the network that a preset asks for."""
    quarter = max(2, (season if season > 1 else inputs.context) // 4)
    return Shape(
        kind=str(estimator["type"]),
        width=estimator["width"],
        depth=estimator["depth"],
        dropout=estimator["dropout"],
        context=inputs.context,
        horizon=inputs.horizon,
        quantiles=len(quantiles_of(levels)),
        past_inputs=inputs.per_stamp,
        future_inputs=inputs.per_future_stamp,
        patch=min(estimator.get("patch") or quarter, inputs.context),
        heads=estimator.get("heads", 1),
    )


def as_info(shape: Shape, inputs: Inputs) -> dict[str, Any]:
    """Both as ``forecaster.json`` keeps them."""
    covariates = {"means": list(inputs.means), "spreads": list(inputs.spreads)}
    return {"shape": asdict(shape), "inputs": {**asdict(inputs), **covariates}}


def inputs_of(info: ForecasterInfo) -> Inputs:
    """The scales that ``forecaster.json`` keeps."""
    given: dict[str, Any] = dict(info.network["inputs"])
    return Inputs(**{**given, "means": tuple(given["means"]), "spreads": tuple(given["spreads"])})


def count_weights(
    estimator: dict[str, Any], season: int, horizon: int, levels: Sequence[int], covariates: tuple[int, int]
) -> tuple[int, int]:
    """Numbers that train, and numbers that one window keeps in a pass, about; nothing is allocated.

    Args:
        covariates: how many are known ahead, and how many up to the present.
    """
    known, past = covariates
    none = (0.0,) * (known + past)
    inputs = Inputs(context_of(estimator, season, horizon), horizon, known, past, "", none, none)
    shape = shape_of(estimator, season, levels, inputs)
    with torch.device("meta"):
        network = build_network(shape)
    kept = shape.context * (shape.past_inputs + 12 * shape.width * shape.depth) + shape.horizon * shape.quantiles
    return sum(weights.numel() for weights in network.parameters()), kept
