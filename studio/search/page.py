"""``report.html`` of a search: one page that opens without a network, the verdict first, the evidence under it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from studio.core.files import write_text
from studio.core.records import Difference
from studio.core.telling import cell_text, duration_text
from studio.evals.charts import difference_picture
from studio.evals.numbers import figure, number
from studio.evals.page_templates import page_template
from studio.search.charts import Dot, setting_chart, share_bars, trials_chart
from studio.search.journal import Trial
from studio.search.pruning import FEWEST, WARM_UP
from studio.search.record import SearchRecord
from studio.search.suggest import FIRST_DRAWN
from studio.search.told import (
    OWN,
    WORDS,
    best_sentence,
    confirmation_sentence,
    importance_sentence,
    luck_sentence,
    settings_text,
    short_names,
    tried_sentence,
)

HERE = Path(__file__).parent


def write_page(place: Path, record: SearchRecord, trials: Sequence[Trial]) -> None:
    """Write the page into the search's folder."""
    write_text(place / "report.html", render_page(place, record, trials))


def render_page(place: Path, record: SearchRecord, trials: Sequence[Trial]) -> str:
    """The whole page as HTML with inline style and plots; names and texts of others are escaped."""
    assert record.metric is not None
    best = next(trial for trial in trials if trial.number == record.best)
    found = record.result["confirmation"]
    dots = [_dot(trial, record) for trial in trials]
    return _template().render(
        record=record,
        style=Markup((HERE / "pages.css").read_text(encoding="utf-8")),
        tried=tried_sentence(record),
        best=best_sentence(record, trials, best),
        luck=luck_sentence(record),
        confirmation=confirmation_sentence(record),
        tone=_tone(found),
        picture=_picture(record),
        report=Path(os.path.relpath(Path(found["report"]) / "report.html", place)).as_posix() if "report" in found else None,
        suite_reason=found.get("suite_reason"),
        chart=trials_chart(dots, str(record.better), best_sentence(record, trials, best)),
        has_errors=any(trial.errors for trial in trials),
        crosses=any(dot.value is None for dot in dots),
        settings=_settings(record, trials),
        bars=_bars(record),
        keys=short_names(list(record.space)),
        titles=list(record.space),
        others=_others(record, trials),
        lines=[_line(record, trial, trials) for trial in _ordered(record, trials)],
        how=how(record, trials),
    )


def _tone(found: dict[str, Any]) -> str:
    """Colour of the summary."""
    return {"better": "good", "worse": "bad"}.get(found.get("difference", {}).get("verdict", ""), "even")


def _picture(record: SearchRecord) -> Markup | None:
    """The difference on the test rows, drawn."""
    found = record.result["confirmation"].get("difference")
    return difference_picture(Difference(**found), str(record.better)) or None if found else None


def _dot(trial: Trial, record: SearchRecord, key: str | None = None) -> Dot:
    """A trial on a chart: by its number, or by one of its settings."""
    metric = str(record.metric)
    value = trial.measures.get(metric) if trial.state == "finished" else None
    kind = "best" if trial.number == record.best else "own" if trial.number == 0 else "trial"
    said = f"{_name(trial)}: {metric} {number(value)}, {settings_text(trial.settings)}"
    told = said if value is not None else f"{_name(trial)}: {WORDS[trial.state]}, {settings_text(trial.settings)}"
    return Dot(trial.number if key is None else trial.settings.get(key), value, trial.errors.get(metric), kind, told)


def _name(trial: Trial) -> str:
    """How a trial is named."""
    return OWN if trial.number == 0 else f"trial {trial.number}"


def _settings(record: SearchRecord, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A chart for each setting, the most important first."""
    order = {key: place for place, key in enumerate(record.result["importance"])}
    items = sorted(record.whole_space.dimensions, key=lambda item: order.get(item.key, len(order)))
    drawn = [
        (item, setting_chart([_dot(trial, record, item.key) for trial in trials], item, f"{record.metric} against {item.key}"))
        for item in items
    ]
    return [{"key": item.key, "text": item.text, "chart": chart} for item, chart in drawn if chart]


def _bars(record: SearchRecord) -> Markup | None:
    """Importance of settings, drawn."""
    shares = list(record.result["importance"].items())
    return share_bars(shares, importance_sentence(record)) if shares else None


def _ordered(record: SearchRecord, trials: Sequence[Trial]) -> list[Trial]:
    """Finished trials, the best first; then the others by number."""
    sign = -1 if record.better == "higher" else 1
    metric = str(record.metric)
    return sorted(
        trials,
        key=lambda trial: (
            trial.state != "finished",
            sign * trial.measures[metric] if trial.state == "finished" else 0.0,
            trial.number,
        ),
    )


def _others(record: SearchRecord, trials: Sequence[Trial]) -> list[str]:
    """Further figures that trials have."""
    return [name for name in trials[0].measures if name != record.metric]


def _line(record: SearchRecord, trial: Trial, trials: Sequence[Trial]) -> dict[str, Any]:
    """One trial in the table."""
    units = trials[0].units
    error = trial.errors.get(str(record.metric))
    names = (str(record.metric), *_others(record, trials))
    values = {name: figure(trial.measures.get(name), units.get(name, "")) for name in names}
    return {
        "name": _name(trial),
        "best": trial.number == record.best,
        "settings": [cell_text(trial.settings.get(key)) for key in record.space],
        "value": values.pop(str(record.metric)),
        "error": figure(error, units.get(str(record.metric), "")) if error is not None and trial.state == "finished" else None,
        "others": list(values.values()),
        "time": duration_text(trial.seconds),
        "end": "" if trial.state == "finished" else f"{WORDS[trial.state]}: {trial.reason}",
    }


def how(record: SearchRecord, trials: Sequence[Trial]) -> list[str]:
    """How the search was done, and what its numbers rest on, in sentences."""
    ways = {
        "random": "Settings are drawn at random, each with a generator of its own that the seed and the trial's number decide.",
        "grid": "Every combination of the values is tried once.",
        "tpe": f"{FIRST_DRAWN} trials are drawn at random; after that a tree-structured Parzen estimator draws where it went "
        "well so far (Bergstra et al. 2011, https://papers.nips.cc/paper/4443). Each trial has a generator of its own, which the "
        "seed and its number decide.",
    }
    said = [ways[record.by], f"Seed {record.seed}; the same seed tries the same settings{_unless(record)}."]
    if record.prune and any(trial.curve for trial in trials):
        said.append(
            f"After {FEWEST} finished trials a training is stopped, once the first {WARM_UP:.0%} of it is over, whose best "
            "validation loss is worse than the median of the others' at the same place (Golovin et al. 2017, "
            "https://doi.org/10.1145/3097983.3098043)."
        )
    if record.result["luck"] is not None:
        said.append(_of_luck(record.result["luck"]))
    if record.result["importance"]:
        said.append(
            "What mattered: functional analysis of variance (Hutter et al. 2014, "
            "https://proceedings.mlr.press/v32/hutter14.html), as Optuna has it."
        )
    said.append(
        f"The choice was made on the validation rows; {OWN} and the best trial were then measured once on the test rows. One "
        "comparison is made there, so it is not corrected. The test rows stay good for that as long as nothing is chosen by them."
    )
    return said


def _of_luck(found: dict[str, Any]) -> str:
    """Where the figures of luck come from."""
    return (
        "Luck: of k independent trials that are equally good, the best is expected to look better by s E(k), where s = "
        f"{found['noise']:.3g} is the chance error of one trial beside another on these rows (the median standard error of the "
        f"paired differences over √2) and E({found['count']}) = {found['largest']:.3f} the expected largest of k standard normal "
        "numbers, k ∫ x φ(x) Φ(x)^(k−1) dx (David and Nagaraja 2003, https://doi.org/10.1002/0471722162). Trials resemble each "
        "other, so the same is also found by drawing the rows anew 2,000 times (White's reality check, 2000, "
        "https://doi.org/10.1111/1468-0262.00152), from which p comes."
    )


def _unless(record: SearchRecord) -> str:
    """When the same seed may try others."""
    if record.minutes is not None:
        return ", but how many of them depends on the machine's speed"
    return f" with --processes {record.lag}" if record.by == "tpe" and record.lag > 1 else ""


@cache
def _template() -> Template:
    """The page's template."""
    return page_template("search.html.j2", folder=HERE)
