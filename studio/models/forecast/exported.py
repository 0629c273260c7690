"""A forecaster in a form that another program reads, opened as any other: asked by studio predict and measured by studio eval.

Legend: b windows, l stamps looked at, h stamps ahead, q quantiles, f and g numbers per stamp.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.models.exported import read_export
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.forecaster import ForecasterInfo
from studio.models.forecast.network import NetworkForecaster, inputs_of
from studio.models.forecast.opening import info_of
from studio.models.forecast.panel import Panel
from studio.models.runtimes.sessions import Session, open_session

INFO = "info"
"""Under this name the record's ``extra`` has what ``forecaster.json`` says."""


class SessionNetwork(nn.Module):
    """A session in the place of the network."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.nothing = nn.Parameter(torch.zeros(1))  # its device is that of the windows

    def forward(self, past: Tensor, future: Tensor) -> Tensor:
        """[b, l, f], [b, h, g] to [b, h, q]."""
        return torch.from_numpy(self.session({"past": past.numpy(), "future": future.numpy()})["quantiles"])


def described(info: ForecasterInfo) -> dict[str, Any]:
    """What an export's record keeps of a forecaster; the back-test is the run's."""
    return asdict(info) | {"backtest": {}}


def open_exported(folder: Path) -> NetworkForecaster:
    """The forecaster of a folder that ``studio export`` wrote. It knows no series: those of the training are not in it.

    Raises:
        UserError: it is no export of a forecaster, a file is another one, or its runtime is not installed.
    """
    record = read_export(folder)
    told = record.extra.get(INFO)
    if not isinstance(told, dict):
        why = "was written before exports could be asked" if "forecaster" in record.extra else "forecasts nothing"
        raise UserError(
            f"{folder} is an export of a run of kind {record.kind!r} to {record.form} which {why}. "
            f"Export anew: studio export {record.run.get('id', 'RUN')} --to {record.form}"
        )
    info = info_of(told)
    calendar = Calendar(info.frequency, info.season_length)
    empty = Panel(calendar, [], tuple(info.columns.get("known", ())), tuple(info.columns.get("past", ())), info.unit)
    return NetworkForecaster(info, empty, SessionNetwork(open_session(folder, record)), inputs_of(info))
