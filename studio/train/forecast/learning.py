"""The training of one network for all series, top to bottom. All that is random in a step comes from the seed and its number, so
that a resume needs no random state.

Legend: b windows, h stamps ahead, q quantiles.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.progress import Progress
from studio.models.device import pick_device
from studio.models.forecast.forecasts import Window, roll
from studio.models.forecast.layers import build_network, quantile_loss
from studio.models.forecast.network import NetworkForecaster, as_info, context_of, quantiles_of, shape_of
from studio.models.forecast.windows import Batch, Inputs, Prepared, cut, prepare
from studio.train.checkpoints import resume_point, step_of
from studio.train.curve import loss_curve
from studio.train.finite import refuse_blown_up
from studio.train.forecast.job import Job
from studio.train.forecast.standing import Standing, load_checkpoint, load_weights, save_checkpoint
from studio.train.recording import MetricsFile

_SMOOTHED = 20
# A window needs so much of a past; the rest of its context may be empty.
_LEAST_PAST = 4


def train_network(job: Job) -> tuple[NetworkForecaster, list[Window], dict[str, Any]] | None:
    """Train, keep the weights of the smallest validation loss; gives back the forecaster, its windows of validation, and figures.

    Returns:
        None where a signal ended it; a checkpoint was saved.
    """
    session = open_session(job)
    began = time.monotonic()
    steps = session.settings["steps"]
    with Progress(f"train {job.info.type}", steps, "steps") as progress:
        progress.start_at(session.standing.step)
        while session.standing.step < steps and not session.done:
            session.step()
            progress.advance(loss=session.recent)
    if session.interrupted:
        job.stop.stopped = True
        return None
    load_weights(job.run_folder / "checkpoints" / f"checkpoint-{session.standing.best_step}", session.network)
    forecaster = NetworkForecaster(session.info, job.panel, session.network.cpu().eval(), session.inputs)
    windows = roll(forecaster.forecast, job.panel, job.horizon, session.windows)
    with loss_curve(
        job.run_folder / "metrics.jsonl", job.run_folder / "loss.png", ylabel="quantile loss", window_share=20, linewidth=0.8
    ) as (axes, lines):
        looks = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
        axes.plot(*zip(*looks, strict=True), "o-", color="#cb181d", markersize=3, label="validation windows")
    return forecaster, windows, _figures(session, time.monotonic() - began)


@dataclass
class Session:
    """A training under way.

    ready: series as arrays. places: series and origin of every training window, [n, 2]. held: the validation windows.
    """

    job: Job
    info: Any
    settings: dict[str, Any]
    inputs: Inputs
    network: nn.Module
    optimizer: torch.optim.Optimizer
    ready: list[Prepared]
    places: np.ndarray
    held: Batch
    windows: int
    metrics: MetricsFile
    standing: Standing = field(default_factory=Standing)
    losses: list[float] = field(default_factory=list)
    interrupted: bool = False
    done: bool = False

    @property
    def recent(self) -> float:
        """Mean loss of the last steps."""
        some = self.losses[-_SMOOTHED:]
        return sum(some) / len(some) if some else math.nan

    @property
    def shares(self) -> Tensor:
        """Shares of the quantiles, [q]."""
        device = next(self.network.parameters()).device
        return torch.tensor(quantiles_of(self.info.levels), dtype=torch.float32, device=device)

    def step(self) -> None:
        """One step, and what is due after it."""
        began, number, settings = time.perf_counter(), self.standing.step, self.settings
        draws = np.random.default_rng([self.info.seed, number])
        chosen = self.places[draws.integers(0, len(self.places), settings["batch_size"])]
        batch = cut([self.ready[place] for place in chosen[:, 0]], chosen[:, 1].tolist(), self.inputs)
        rate = learning_rate(settings, number)
        self.optimizer.param_groups[0]["lr"] = rate
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(draws.integers(2**31)))
            loss = self.loss_of(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), settings["clip"]))
        refuse_blown_up(number + 1, settings["learning_rate"], loss=loss.item(), gradient_norm=norm)
        self.optimizer.step()
        self.standing.step = number + 1
        self.losses.append(loss.item())
        self.standing.first_loss = self.standing.first_loss if number else self.losses[-1]
        line = {"step": number + 1, "loss": self.losses[-1], "grad_norm": norm, "learning_rate": rate}
        self.metrics.append(line | {"seconds": round(time.perf_counter() - began, 4)})
        self._after()

    def loss_of(self, batch: Batch) -> Tensor:
        """Mean quantile loss of a batch, scaled by each window's past."""
        device = next(self.network.parameters()).device
        parts = (batch.past, batch.future, batch.truth, batch.seen)
        past, future, truth, seen = (torch.tensor(part, dtype=torch.float32, device=device) for part in parts)
        return quantile_loss(self.network(past, future), truth, seen, self.shares)

    def _after(self) -> None:
        """Look at validation, save, stop; as it is due."""
        number, settings = self.standing.step, self.settings
        last = number == settings["steps"]
        improved = self._look() if last or number % settings["eval_every"] == 0 else False
        self.done = settings["patience"] is not None and self.standing.worse >= settings["patience"]
        self.interrupted = self.job.stop.received is not None and not last and not self.done
        if improved or last or self.done or self.interrupted or number % settings["save_every"] == 0:
            folder = self.job.run_folder / "checkpoints"
            save_checkpoint(folder, self.network, self.optimizer, self.standing, settings["keep_checkpoints"])
        self.done = self.done or self.interrupted

    def _look(self) -> bool:
        """The loss of the validation windows; True when it is the smallest so far."""
        self.network.eval()
        with torch.no_grad():
            loss = float(self.loss_of(self.held))
        refuse_blown_up(self.standing.step, self.settings["learning_rate"], validation_loss=loss)
        self.metrics.append({"step": self.standing.step, "eval_loss": loss})
        if self.standing.best_loss is not None and loss >= self.standing.best_loss:
            self.standing.worse += 1
            return False
        self.standing.best_loss, self.standing.best_step, self.standing.worse = loss, self.standing.step, 0
        return True


def open_session(job: Job) -> Session:
    """Everything in place for the first step, or for the one after the newest checkpoint.

    Raises:
        UserError: the series are too short for a single window of training.
    """
    settings, horizon = dict(job.info.estimator), job.horizon
    windows = max(1, job.held_out // horizon)
    asked = job.preset.backtest.windows
    if asked not in (0, windows) or job.preset.backtest.refit:
        job.say(
            f"back-test: a network is trained once, so it is rehearsed on the {windows} window{'s' if windows > 1 else ''} of "
            "validation, which also decided when to stop: what they say is a little too good"
        )
    ends = [len(one) - windows * horizon for one in job.panel.series]
    context = context_of(settings, job.info.season_length, horizon)
    inputs = Inputs.learnt(job.panel, ends, context, horizon)
    shape = shape_of(settings, job.info.season_length, job.info.levels, inputs)
    ready = [prepare(one, inputs, job.panel.calendar) for one in job.panel.series]
    places = _places(ends, horizon)
    if not len(places):
        raise UserError(
            f"the longest series has {max(ends)} stamps before its validation windows, and a window of training needs "
            f"{_LEAST_PAST + horizon}. Take a shorter horizon, or longer series."
        )
    origins = [end + number * horizon for end in ends for number in range(windows)]
    held = cut([one for one in ready for _ in range(windows)], origins, inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.info.seed)
        network = build_network(shape).to(pick_device())
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["learning_rate"], weight_decay=settings["l2"])
    info = replace(job.info, network=as_info(shape, inputs))
    checkpoint = resume_point(job.run_folder, job.say) if job.resume else None
    standing = load_checkpoint(checkpoint, network, optimizer) if checkpoint else Standing()
    metrics = MetricsFile(job.run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint else 0)
    return Session(job, info, settings, inputs, network, optimizer, ready, places, held, windows, metrics, standing)


def _places(ends: Sequence[int], horizon: int) -> np.ndarray:
    """Series and origin of every window whose horizon lies before the end, [n, 2]."""
    found = [(number, origin) for number, end in enumerate(ends) for origin in range(_LEAST_PAST, end - horizon + 1)]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def learning_rate(settings: dict[str, Any], number: int) -> float:
    """Size of a step: it rises, then falls as the preset says."""
    steps, peak = int(settings["steps"]), float(settings["learning_rate"])
    rising = max(1, round(float(settings["warmup"]) * steps))
    if number < rising:
        return peak * (number + 1) / rising
    gone = (number - rising) / max(1, steps - rising)
    falling = {"none": 1.0, "linear": 1 - gone, "cosine": 0.5 * (1 + math.cos(math.pi * gone))}
    return peak * falling[str(settings["decay"])]


def _figures(session: Session, seconds: float) -> dict[str, Any]:
    """What the record says of the steps."""
    standing = session.standing
    return {
        "steps": standing.step,
        "best_step": standing.best_step,
        "first_loss": standing.first_loss,
        "final_loss": None if math.isnan(session.recent) else session.recent,
        "validation_loss": standing.best_loss,
        "windows": len(session.places),
        "context": session.inputs.context,
        "steps_per_second": round(len(session.losses) / max(seconds, 1e-9), 2),
        "trained_parameters": sum(weights.numel() for weights in session.network.parameters()),
    }
