"""Presets of forecasts: one way to continue time series. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from studio.schema.loading import Settings
from studio.schema.preset import Preset

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Order = Annotated[list[Annotated[int, Field(ge=0, le=12)]], Field(min_length=3, max_length=3)]
Auto = Literal["auto"]


class OneByOne(Settings):
    """What methods share that learn each series by itself."""

    transform: Literal["none", "log", "auto"] = "none"
    """Forecast the logarithm and turn it back: for series above 0 that swing more the higher they are. ``auto`` does so for each
    series whose values are all above 0. The forecast is then the median, not the mean."""


class Naive(OneByOne):
    """The last value, for ever. What every other method has to beat."""

    type: Literal["naive"]
    """What is fitted."""


class SeasonalNaive(OneByOne):
    """The value of one season ago. What every other method has to beat where there is a season."""

    type: Literal["seasonal-naive"]
    """What is fitted."""


class Arima(OneByOne):
    """Seasonal ARIMA by maximum likelihood (Box and Jenkins 1976; statsmodels' SARIMAX), with known covariates as regressors."""

    type: Literal["arima"]
    """What is fitted."""
    order: Auto | Order = "auto"
    """p, d, q: ``[0, 1, 1]``. ``auto`` chooses by the corrected Akaike criterion, step by step from four beginnings (Hyndman and
    Khandakar 2008, https://doi.org/10.18637/jss.v027.i03)."""
    seasonal_order: Auto | Order = "auto"
    """P, D, Q of the season: ``[0, 1, 1]``; ``[0, 0, 0]`` is none."""
    constant: Auto | bool = "auto"
    """Whether there is a mean, or a drift of what was differenced once."""
    most: Positive = 5
    """With ``auto``: p + q + P + Q at most."""
    longest_season: Positive = 60
    """A season of more stamps is left out, because the time of a fit grows with its cube."""


class Ets(OneByOne):
    """Exponential smoothing as a state-space model (Hyndman et al. 2008; statsmodels' ETSModel)."""

    type: Literal["ets"]
    """What is fitted."""
    error: Literal["auto", "add", "mul"] = "auto"
    """How errors come in. ``auto`` anywhere here chooses among what is left open by the corrected Akaike criterion."""
    trend: Literal["auto", "none", "add", "damped"] = "auto"
    """No trend, a line, or a line that flattens."""
    seasonal: Literal["auto", "none", "add", "mul"] = "auto"
    """No season, one of constant size, or one that grows with the level."""
    longest_season: Positive = 24
    """A season of more stamps is left out, because each of its places is a number to be fitted."""
    paths: Positive = 2000
    """Simulated futures, from which intervals are read where there is no formula for them."""


class Theta(OneByOne):
    """The theta method (Assimakopoulos and Nikolopoulos 2000; statsmodels' ThetaModel): smoothing with half of the trend."""

    type: Literal["theta"]
    """What is fitted."""
    theta: Annotated[float, Field(ge=1)] = 2.0
    """Weight of the curve that is smoothed; 2 is the method that won the M3 competition."""
    deseasonalize: Literal["auto", "add", "mul", "none"] = "auto"
    """How the season is taken out before: ``auto`` tests whether there is one, and divides by it where all values are above 0."""


class Prophet(OneByOne):
    """Prophet (Taylor and Letham 2018, https://doi.org/10.1080/00031305.2017.1380080): trend with bends, seasons of the calendar,
    known covariates. Needs the extra ``prophet``.
    """

    type: Literal["prophet"]
    """What is fitted."""
    seasonality: Literal["additive", "multiplicative"] = "multiplicative"
    """Whether seasons add to the trend or multiply it."""
    changepoint_scale: Above0 = 0.05
    """How readily the trend bends."""
    seasonality_scale: Above0 = 10.0
    """How large seasons may become."""
    paths: Positive = 1000
    """Simulated futures, from which intervals are read."""


class Network(Settings):
    """What networks share: one for all series, each scaled by its own past; quantiles of all stamps of the horizon at once."""

    context: Positive | None = None
    """Stamps that are looked at before a forecast; None takes two seasons or twice the horizon, whichever is more."""
    steps: Positive = 400
    """Steps at most."""
    batch_size: Positive = 64
    """Windows per step, drawn from all series."""
    learning_rate: Above0 = 2e-3
    """Size of the first steps (AdamW)."""
    decay: Literal["none", "linear", "cosine"] = "cosine"
    """How the learning rate falls to 0 over the steps."""
    warmup: Share = 0.05
    """Share of the steps in which it rises from 0."""
    l2: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay (decoupled L2 of AdamW)."""
    dropout: Share = 0.1
    """Share of activations that are set to 0 while training."""
    clip: Above0 = 1.0
    """Largest norm of the gradient."""
    eval_every: Positive = 20
    """Steps between two looks at the validation windows."""
    patience: Positive | None = 6
    """Early stopping: looks without a gain before it stops; the best weights are kept. None takes all steps."""
    save_every: Positive = 100
    """Steps between two checkpoints."""
    keep_checkpoints: Positive = 2
    """Checkpoints that are kept besides the best one."""


class LstmForecast(Network):
    """A long short-term memory network over the context (Hochreiter and Schmidhuber 1997)."""

    type: Literal["lstm"]
    """What is fitted."""
    width: Positive = 64
    """Numbers per layer."""
    depth: Positive = 1
    """Layers."""


class TransformerForecast(Network):
    """A transformer over patches of the context (PatchTST, https://arxiv.org/abs/2211.14730)."""

    type: Literal["transformer"]
    """What is fitted."""
    patch: Positive | None = None
    """Stamps in a patch; None takes a quarter of the season or of the context, at least 2."""
    width: Positive = 64
    """Numbers per patch."""
    depth: Positive = 2
    """Layers."""
    heads: Positive = 4
    """Heads of attention; they divide ``width``."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerForecast:
        """Each head takes the same share of the numbers."""
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}. Take {self.heads * 16}, for example.")
        return self


Estimator = Annotated[
    Naive | SeasonalNaive | Arima | Ets | Theta | Prophet | LstmForecast | TransformerForecast, Field(discriminator="type")
]


class Intervals(Settings):
    """Intervals around each forecast."""

    levels: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=1)] = [80, 95]
    """Shares of the future, in percent, that they are meant to hold."""
    method: Literal["model", "conformal"] = "model"
    """As wide as the method says, or widened (or narrowed) by how far the values of the back-test lay outside, as a share of
    the method's own width (split conformal, https://arxiv.org/abs/1604.04173). The future has to resemble the back-test for it
    to hold."""

    @field_validator("levels")
    @classmethod
    def _in_order(cls, levels: list[int]) -> list[int]:
        """Each level once, the narrowest first."""
        return sorted(set(levels))


class Backtest(Settings):
    """A rehearsal before the final fit: forecasts of the last windows before the test split, each from what was known before."""

    windows: Count = 3
    """Windows of one horizon; 0 makes none. Their coverage is written down and told."""
    refit: bool = False
    """Learn anew before each window; False learns once, before the first one, and only moves on."""


class ForecastPreset(Preset):
    """Forecasts of time series."""

    kind: Literal["forecast"]
    """What is trained."""
    data: str | None = None
    """Default Dataset."""
    estimator: Estimator
    """What is fitted."""
    horizon: Positive | None = None
    """Stamps that are forecast at once; None takes the Dataset's."""
    season_length: Positive | None = None
    """Stamps in a season, 1 is none; None takes the Dataset's."""
    intervals: Intervals = Intervals()
    """Intervals around each forecast."""
    backtest: Backtest = Backtest()
    """The rehearsal that says how often the intervals held."""
    seed: Count = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _conformal_needs_a_backtest(self) -> ForecastPreset:
        """There is nothing to widen intervals by without one."""
        if self.intervals.method == "conformal" and not self.backtest.windows:
            raise ValueError("conformal intervals are made from the back-test, and backtest.windows is 0. Take 3 or more.")
        return self
