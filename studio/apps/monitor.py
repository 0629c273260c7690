"""Monitor: requests, latency, thumbs and drift over time, for each model. It shows figures only, never what anyone wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.apps.frame import page
from studio.apps.recording import open_store
from studio.core.translation import later, t
from studio.core.workspace import Workspace
from studio.feedback.drift import Finding, compare_windows
from studio.feedback.store import FeedbackStore
from studio.feedback.summary import ModelSummary, quantile, summarize

if TYPE_CHECKING:
    import pandas as pd

_ALL = later("all models")
_HOUR, _DAY = 3600.0, 86_400.0
# Name of a period: its length in seconds, and the width of one bar.
_PERIODS = {
    later("last hour"): (_HOUR, 120.0),
    later("last day"): (_DAY, _HOUR),
    later("last week"): (7 * _DAY, 6 * _HOUR),
    later("last 4 weeks"): (28 * _DAY, _DAY),
}
# The newest part of a period is compared with four times as much before it.
_REFERENCE = 4
_DRIFT_NOTE = later(
    "Drift compares the {period} with the {number} periods before it. It raises an alarm only for a difference that is both too "
    "large for chance and large enough to matter."
)
_MODEL_COLUMNS = tuple(
    map(
        later, ("model", "requests", "failed", "cut", "median s", "95% s", "up", "down", "corrections", "votes won : lost : tied")
    )
)
_DRIFT_COLUMNS = tuple(map(later, ("verdict", "model", "signal", "before", "now", "measure")))
# Signals and verdicts of :mod:`studio.feedback.drift`.
_DRIFT_WORDS = tuple(
    map(
        later,
        (
            "changed",
            "no change shown",
            "too few to tell",
            "length of answers, characters",
            "language of answers",
            "refusals",
            "thumbs down of all thumbs",
            "seconds to the last token",
        ),
    )
)

Update = Any
Row = dict[str, Any]


_LEGENDS = {"model": later("model"), "thumb": later("thumb")}


def _over_time(kind: Any, column: str, title: str, *, name: str | None = None, color: str = "model", **more: Any) -> Any:
    """A plot of a column over time, one colour per model unless told otherwise; ``name`` is its id on the page."""
    titles = {"title": title, "x_title": " ", "y_title": " ", "color_title": t(_LEGENDS[color])}
    return kind(x="time", y=column, color=color, height=260, elem_id=name or column, **titles, **more)


def build(workspace: Workspace) -> gr.Blocks:
    """The page of the app; it shows the whole workspace."""
    return _Page(open_store(workspace)).build()


class _Page:
    """The handlers of the page."""

    def __init__(self, store: FeedbackStore) -> None:
        self._store = store

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        with page(
            t("Monitor"), t("What the models are asked, how fast they answer, and what people think of it."), wide=True
        ) as blocks:
            with gr.Row():
                model = gr.Dropdown([(t(_ALL), _ALL)], value=_ALL, label=t("Model"), interactive=True, elem_id="model")
                period = gr.Radio(
                    [(t(name), name) for name in _PERIODS],
                    value="last week",
                    label=t("Period"),
                    interactive=True,
                    elem_id="period",
                )
            tiles = gr.HTML(elem_id="tiles")
            with gr.Row():
                requests = _over_time(gr.BarPlot, "requests", t("Requests"))
                latency = _over_time(gr.LinePlot, "seconds", t("Seconds to the last token, 95th percentile"), name="latency")
            with gr.Row():
                colours = {t("up"): "#0d9488", t("down"): "#dc2626"}
                thumbs = _over_time(gr.BarPlot, "thumbs", t("Thumbs"), color="thumb", color_map=colours)
                lengths = _over_time(gr.LinePlot, "characters", t("Length of answers, median characters"), name="lengths")
            table = gr.Dataframe(datatype="str", interactive=False, label=t("Models"), elem_id="models")
            drift = gr.Dataframe(datatype="str", interactive=False, label=t("Drift"), wrap=True, elem_id="drift")
            note = gr.Markdown(elem_classes="studio-note")
            timer = gr.Timer(15)

            outputs = [model, tiles, requests, latency, thumbs, lengths, table, drift, note]
            for event in (blocks.load, timer.tick, model.input, period.input):
                event(self.show, [model, period], outputs, queue=False, show_progress="hidden")
        return blocks

    def show(self, model: str, period: str) -> tuple[Update, ...]:
        """Everything on the page as it stands now."""
        length, width = _PERIODS.get(period, _PERIODS["last week"])
        now = time.time()
        all_requests, all_ratings = (
            self._store.rows("requests", since=now - (_REFERENCE + 1) * length),
            self._store.current_ratings(),
        )
        names = sorted({row["model"] for row in [*all_requests, *all_ratings]})
        chosen = [model] if model in names else names
        requests = [row for row in all_requests if row["model"] in chosen and row["created"] >= now - length]
        ratings = [row for row in all_ratings if row["model"] in chosen and row["created"] >= now - length]
        answered = [row for row in requests if row["status"] in {"ok", "cut"}]
        thumbs = [{**row, "thumb": t("up") if row["value"] > 0 else t("down")} for row in ratings]
        summaries = [item for item in summarize(self._store, since=now - length) if item.model in chosen]
        bins = _Bins(now, length, width)
        clock = "%H:%M" if length <= _DAY else "%d %b"

        def plot(frame: pd.DataFrame) -> Update:
            return gr.update(value=frame, x_axis_format=clock, y_lim=_limits(frame))

        return (
            gr.update(choices=[(t(_ALL), _ALL), *((name, name) for name in names)], value=model if model in names else _ALL),
            tiles_html(summaries),
            plot(bins.count(requests, "model", "requests", chosen)),
            plot(bins.quantile(answered, "seconds", 0.95)),
            plot(bins.count(thumbs, "thumb", "thumbs", [t("up"), t("down")])),
            plot(bins.quantile(answered, "characters", 0.5)),
            _model_table(summaries),
            _drift_table(all_requests, all_ratings, chosen, length, now),
            t(_DRIFT_NOTE, period=t(period), number=_REFERENCE),
        )


def _limits(frame: pd.DataFrame) -> list[float] | None:
    """Ends of the axis where the page could not choose them: fitted to a single value, it would have no height."""
    values = set(frame.iloc[:, -1])
    return [0.0, 2 * max(values) or 1.0] if len(values) == 1 else None


class _Bins:
    """Equal stretches of time, the newest ending now."""

    def __init__(self, now: float, length: float, width: float) -> None:
        """``length`` and ``width`` in seconds."""
        self._width = width
        self._first = int((now - length) // width)
        self._last = int(now // width)

    def _time(self, number: int) -> pd.Timestamp:
        """Start of a bin, in this machine's time zone as people read it."""
        import pandas as pd

        return pd.Timestamp(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(number * self._width)))

    def count(self, rows: Sequence[Row], column: str, name: str, classes: Sequence[str]) -> pd.DataFrame:
        """Rows per bin and class, empty bins included."""
        import pandas as pd

        counts = {(number, each): 0 for number in range(self._first, self._last + 1) for each in classes}
        for row in rows:
            counts[int(row["created"] // self._width), row[column]] = (
                counts.get((int(row["created"] // self._width), row[column]), 0) + 1
            )
        lines = [(self._time(number), value, count) for (number, value), count in sorted(counts.items())]
        return pd.DataFrame(lines, columns=["time", column, name])

    def quantile(self, rows: Sequence[Row], column: str, share: float) -> pd.DataFrame:
        """A quantile per bin and model; bins without rows are left out."""
        import pandas as pd

        found: dict[tuple[int, str], list[float]] = {}
        for row in rows:
            if row[column] is not None:
                found.setdefault((int(row["created"] // self._width), row["model"]), []).append(row[column])
        lines = [
            (self._time(number), model, quantile(sorted(values), share)) for (number, model), values in sorted(found.items())
        ]
        return pd.DataFrame(lines, columns=["time", "model", column])


def tiles_html(summaries: Sequence[ModelSummary]) -> str:
    """The figures one looks at first."""
    total = sum(item.requests for item in summaries)
    failed, cut = sum(item.failed for item in summaries), sum(item.cut for item in summaries)
    up, down = sum(item.up for item in summaries), sum(item.down for item in summaries)
    slowest = max((item.seconds_95 for item in summaries if item.seconds_95 is not None), default=None)
    figures = [
        (t("requests"), f"{total:,}"),
        (t("failed or refused"), _share(failed, total)),
        (t("cut at the limit"), _share(cut, total)),
        (t("slowest model's 95th percentile"), f"{slowest:.1f} s" if slowest is not None else "–"),
        (t("thumbs up / down"), f"{up:,} / {down:,}"),
        (t("thumbs down of all"), _share(down, up + down)),
    ]
    return (
        '<div class="studio-tiles">'
        + "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in figures)
        + "</div>"
    )


def _share(part: int, whole: int) -> str:
    """A share in percent, a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f}%" if whole else "–"


def _model_table(summaries: Sequence[ModelSummary]) -> Update:
    """One line per model."""
    headers = [t(name) for name in _MODEL_COLUMNS]
    lines = [
        [
            item.model,
            f"{item.requests:,}",
            f"{item.failed:,}",
            f"{item.cut:,}",
            _number(item.seconds_median),
            _number(item.seconds_95),
            f"{item.up:,}",
            f"{item.down:,}",
            f"{item.corrections:,}",
            f"{item.votes_won} : {item.votes_lost} : {item.votes_tied}",
        ]
        for item in summaries
    ]
    return gr.update(headers=headers, value=lines or [[t("Nothing happened in this period."), *[""] * 9]])


def _drift_table(requests: Sequence[Row], ratings: Sequence[Row], models: Sequence[str], length: float, now: float) -> Update:
    """One line per model and signal; what has changed comes first."""
    days = length / _DAY
    found = [
        (model, finding)
        for model in models
        for finding in compare_windows(requests, ratings, model, days=days, reference_days=_REFERENCE * days, now=now)
    ]
    lines = [
        [
            ("⚠ " if finding.alarm else "") + t(finding.verdict),
            model,
            t(finding.signal),
            f"{finding.before} (n {finding.n_before:,})",
            f"{finding.now} (n {finding.n_now:,})",
            _measured(finding) if finding.value is not None else "–",
        ]
        for model, finding in sorted(found, key=lambda pair: not pair[1].alarm)
    ]
    headers = [t(name) for name in _DRIFT_COLUMNS]
    return gr.update(headers=headers, value=lines or [[t("Nothing was asked yet."), *[""] * 5]])


def _measured(finding: Finding) -> str:
    """The measure of a change, and from where on it is one."""
    text = "{measure} {value} (limit {limit:g})"
    return t(text, measure=finding.measure, value=_number(finding.value), limit=finding.limit)


def _number(value: float | None) -> str:
    """A figure with three digits, a dash for none."""
    return "–" if value is None else f"{value:.3g}"
