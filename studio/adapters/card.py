"""The model card of a Run, from its records alone: ``run.json``, ``config.yaml``, the Dataset's record and the newest reports.

``ModelCard`` says what can be said of any run. The room of a kind overrides the parts that it can say better and has a line in
``CARDS``; a kind without one gets the plain card.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.files import write_text
from studio.core.markdown import markdown_table
from studio.core.records import DatasetRecord, GroupScores, ReportRecord, RunRecord, Score, read_record
from studio.core.registry import Registry
from studio.core.telling import size_text
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.models.exported import read_exports
from studio.models.starters import ALL_STARTERS, HubSource

logger = logging.getLogger("studio")

_RESOLVE = "from studio.models.bases import resolve_base"

CARDS = Registry(
    "kind of run",
    {
        "chat": "studio.adapters.chat.card:ChatCard",
        "diffusion": "studio.adapters.images.card:ImageCard",
        "vae": "studio.adapters.images.card:ImageCard",
        "gan": "studio.adapters.images.card:ImageCard",
        "classifier": "studio.adapters.predictors.card:PredictorCard",
        "regressor": "studio.adapters.predictors.card:PredictorCard",
        "forecast": "studio.adapters.forecast.card:ForecastCard",
        "embedding": "studio.adapters.embed.card:RetrievalCard",
        "reranker": "studio.adapters.embed.card:RetrievalCard",
    },
)
"""Kind of run to what writes its card; a kind that is not here gets a plain ``ModelCard``."""


def write_model_card(run_folder: Path) -> None:
    """Write the Run's ``README.md`` in one step; call it again when there is a new report.

    Raises:
        StudioError: ``run.json`` is missing or damaged, or the disk cannot be written.
    """
    record = read_run(run_folder)
    card: type[ModelCard] = CARDS.get(record.kind) if record.kind in CARDS else ModelCard
    write_text(run_folder / "README.md", card(run_folder, record).text())


class ModelCard:
    """The card of one run. Every part is Markdown and may be empty; :meth:`text` puts them together."""

    shown_settings: tuple[str, ...] | None = None
    """Settings of the preset that are shown, in this order; None shows all that fit into a cell."""
    loss_unit = ""
    """A sentence on what the losses are."""

    def __init__(self, run_folder: Path, record: RunRecord) -> None:
        """Read what the run and its Dataset wrote down."""
        self.run_folder, self.record = run_folder, record
        self.settings = saved_settings(run_folder)
        self.dataset = _dataset(run_folder, record)

    def text(self) -> str:
        """The whole card."""
        parts = [
            f"---\n{yaml.safe_dump(self.head(), sort_keys=False, allow_unicode=True)}---",
            f"# {self.record.name}\n\n{self.summary()}",
            self.usage(),
            self.data(),
            self.training(),
            self.evaluation(),
            self.exports(),
            self.limits(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def head(self) -> dict[str, Any]:
        """The YAML head that hubs read. Only Hub ids stand under ``base_model``."""
        head: dict[str, Any] = {"tags": ["finetuning-studio", self.record.kind, *self.method_tags()]}
        if base := self.base_hub_id():
            head |= {"base_model": base, "base_model_relation": "finetune" if self.record.method == "full" else "adapter"}
        if licence := self.licence():
            head["license"] = licence
        return head

    def method_tags(self) -> list[str]:
        """Tags that say how it was trained."""
        return self.record.method.split("-")

    def base_hub_id(self) -> str | None:
        """The base's Hub id, if it has one."""
        return str(self.record.base.get("name")) if self.record.base.get("source") == "hub" else None

    def base_code(self) -> tuple[list[str], str]:
        """How pasted code finds the base's weights: lines before the call that opens them, and what it is called with.

        By its name on the Hub where the weights are those, else through the studio, which fetches and checks them; the path of a
        folder only where nothing else is known, and then that is said.
        """
        base = self.record.base
        name, revision = str(base.get("name")), base.get("revision")
        if base.get("source") == "starter" and name in ALL_STARTERS:
            hub = next((source for source in ALL_STARTERS[name].sources if isinstance(source, HubSource)), None)
            if hub is not None and hub.revision == revision:
                return [], f'"{hub.hub_id}", revision="{hub.revision}"'
            told = f"# The studio fetches the weights that were tuned ({revision})"
            other = f"; on the Hub {ALL_STARTERS[name].hub_id} is near, not equal." if hub is not None else "."
            return [told + other, _RESOLVE], f'resolve_base("{name}", use=None).folder'
        if base.get("source") == "hub":
            return [], f'"{name}"' + (f', revision="{revision}"' if revision else "")
        if base.get("source") == "modelscope":
            return ["# From ModelScope, by the studio.", _RESOLVE], f'resolve_base("{name}", "{revision}", use=None).folder'
        known = f", sha256 {str(base['sha256'])[:12]}" if base.get("sha256") else ""
        return [f"# A folder of the machine that tuned it{known}: write where yours is."], f'"{base.get("path")}"'

    def licence(self) -> str | None:
        """The licence, where one is known: that of the base."""
        return self.record.base.get("licence") or None

    @property
    def from_scratch(self) -> bool:
        """True for a run that had no base."""
        return self.record.base.get("source") in {"scratch", None}

    def summary(self) -> str:
        """What was done, in two sentences."""
        when = f" on {self.record.finished[:10]}" if self.record.finished else ""
        data = self.record.dataset.get("name")
        return f"{self.made()} on the dataset `{data}`{when}. Run `{self.record.id}`, {self.record.status}."

    def made(self) -> str:
        """What came out of what: the beginning of the summary."""
        if self.from_scratch:
            return f"A model of kind {self.record.kind}, trained from scratch"
        made = "every weight trained" if self.record.method == "full" else f"tuned with {self.record.method}"
        return f"`{self.record.base.get('name')}`, {made}"

    def usage(self) -> str:
        """Code that works as pasted in the run's folder; nothing where none is known."""
        return ""

    def exports(self) -> str:
        """What was written of it in other forms, with the figures of each proof."""
        rows = [
            [f"{line.form}{f' ({line.quant})' if line.quant else ''}", Path(line.path).name, size_text(line.bytes), line.runtime,
             "; ".join(f"{name}: {words}" for name, words in line.proof.items())]
            for line in read_exports(self.run_folder)
        ]  # fmt: skip
        columns = ["form", "file or folder", "size", "read back by", "proof"]
        return "\n".join(["## Exports", "", *markdown_table(columns, rows)]) if rows else ""

    def data(self) -> str:
        """What it was trained on, with licences."""
        known, dataset = self.record.dataset, self.dataset
        lines = ["## Data", "", f"Dataset `{known.get('name')}`, fingerprint `{known.get('fingerprint')}`."]
        if dataset is None:
            return "\n".join([*lines, "", "Its record is no longer where the run found it."])
        lines += ["", f"{dataset.rows_read:,} rows read, {dataset.rows_removed:,} removed."]
        lines += ["", *markdown_table(["split", "rows"], [[name, f"{rows:,}"] for name, rows in dataset.splits.items()])]
        rows = [[s.name, s.location, s.revision or "", s.licence or "not stated", f"{s.rows:,}"] for s in dataset.sources]
        return "\n".join([*lines, "", *markdown_table(["source", "location", "revision", "licence", "rows"], rows)])

    def training(self) -> str:
        """Settings, figures, versions and machine."""
        record = self.record
        lines = ["## Training", *self.origin()]
        if given := self.given_settings():
            lines += ["", *markdown_table(["setting", "value"], given)]
        if figures := figure_rows({name: value for name, value in record.result.items() if name != "first_step_at"}):
            lines += ["", self.loss_unit] if self.loss_unit else []
            lines += ["", *markdown_table(["result", "value"], figures)]
        facts = record.machine | ({"cores": f"{record.machine['cores']} cores"} if record.machine.get("cores") else {})
        machine = ", ".join(str(facts[key]) for key in ("gpu", "device", "cores", "system") if facts.get(key))
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        lines += ["", f"Machine: {machine}."] if machine else []
        lines += [f"Versions: {versions}."] if versions else []
        return "\n".join(lines)

    def origin(self) -> list[str]:
        """Lines on the weights it started from, known by their hash."""
        base = self.record.base
        revision = f", revision `{base['revision']}`" if base.get("revision") else ""
        return ["", f"Base weights: sha256 `{base['sha256']}`{revision}."] if base.get("sha256") else []

    def given_settings(self) -> list[list[Any]]:
        """Name and value of the settings that are shown; those of a LoRA where one was trained."""
        wanted = self.shown_settings or tuple(name for name, value in self.settings.items() if is_plain(value))
        given = [[name, self.settings[name]] for name in wanted if self.settings.get(name) not in (None, [], "")]
        block = str(self.settings.get("method") or "lora")
        of_adapter = self.settings.get(block) if self.record.method not in {"full", "scratch"} else None
        if isinstance(of_adapter, dict):
            given += [[f"{block}.{name}", value] for name, value in of_adapter.items() if value not in (None, [], "")]
        return given

    def evaluation(self) -> str:
        """The newest report of each suite: gate, tables with intervals, groups that fare worst, what was not computed, what it
        does not show.
        """
        parts = ["## Bias, risks and evaluation"]
        parts += [_report(report) for report in newest_reports(self.run_folder)]
        if len(parts) == 1:
            parts.append(f"Not evaluated yet: `studio eval release --model {self.record.id}`")
        return "\n\n".join(parts)

    def limits(self) -> str:
        """What these records do not show."""
        reports = newest_reports(self.run_folder)
        measured = (
            f"Measured with {', '.join(report.suite for report in reports)} only" if reports else "Nothing has been measured"
        )
        of_base = "" if self.from_scratch else f" The limits of the base model `{self.record.base.get('name')}` apply."
        unknown = f": {named}" if (named := self.unknown(reports)) else ""
        return (
            f"## Limits\n\n{self.cautions()}{measured}; what is not in the tables above is not known{unknown}.{of_base} "
            "This card was written from the records of the run; who the model is for, and who must not use it, are for its maker "
            "to add."
        )

    def cautions(self) -> str:
        """Sentences on what the records warn of, each with a space behind it."""
        return ""

    def unknown(self, reports: list[ReportRecord]) -> str:  # noqa: ARG002 - what is known depends on them in some kinds
        """What is not known of such a model unless it stands in a report: a list in words, or nothing."""
        return ""


def newest_reports(run_folder: Path) -> list[ReportRecord]:
    """The newest whole Report of each suite, by suite name; a damaged one is passed over with a line."""
    found: dict[str, ReportRecord] = {}
    for path in sorted((run_folder / "evals").glob("[!.]*/[!.]*/scores.json")):
        try:
            found[path.parent.parent.name] = read_record(path, ReportRecord)
        except StudioError as error:
            logger.warning("%s", error)
    return [found[name] for name in sorted(found)]


def _dataset(run_folder: Path, record: RunRecord) -> DatasetRecord | None:
    """The Dataset's record, when it can still be found and is still the same."""
    try:
        path = run_dataset(record, Workspace.around(run_folder))
    except UserError:
        return None
    try:
        dataset = read_dataset(path)
    except StudioError as error:
        logger.warning("%s", error)
        return None
    return dataset if dataset.fingerprint == record.dataset.get("fingerprint") else None


def _report(report: ReportRecord) -> str:
    """One suite: heading, gate, table, groups, reasons, limits."""
    data = f", on `{report.dataset['name']}`" if report.dataset.get("name") else ""
    split = f", {report.dataset['split']} split" if report.dataset.get("split") else ""
    parts = [f"### {report.suite}", f"{report.created[:10]}{data}{split}."]
    if report.gate:
        parts.append(_gate(report.gate))
    parts.append("\n".join(_score_table(report)))
    parts += [line for groups in report.groups if (line := _extremes(groups))]
    reasons = [f"- {task.title or task.name}: not computed. {task.reason}" for task in report.tasks if task.reason]
    limits = [f"- {limit}" for limit in dict.fromkeys(limit for task in report.tasks for limit in task.limits)]
    if reasons:
        parts += ["Not computed:", "\n".join(reasons)]
    if limits:
        parts += ["What these numbers do not show:", "\n".join(limits)]
    return "\n\n".join(parts)


def _gate(gate: dict[str, Any]) -> str:
    """How the gate stood: what is missed, and what too few examples do not show."""
    found = [
        f"{words}: {'; '.join(gate[key])}."
        for key, words in (("missed", "Gate not met"), ("not_shown", "Not shown on so few examples"))
        if gate.get(key)
    ]
    count = gate.get("thresholds")
    return " ".join(found) or f"Gate met: {'the only threshold' if count == 1 else f'all {count} thresholds'}."


def _score_table(report: ReportRecord) -> list[str]:
    """Values of every model, the difference with its interval, the verdict."""
    labels = list(report.scores)
    by_label = {label: {score.metric: score for score in scores} for label, scores in report.scores.items()}
    differences = {difference.metric: difference for difference in report.differences}
    rows = []
    for metric in dict.fromkeys(score.metric for scores in report.scores.values() for score in scores):
        some = next(scores[metric] for scores in by_label.values() if metric in scores)
        change = differences.get(metric)
        interval = f"{figure_text(change.value)} [{figure_text(change.low)}, {figure_text(change.high)}]" if change else ""
        values = [figure_text(by_label[label][metric].value) if metric in by_label[label] else "" for label in labels]
        better = some.better if some.ideal is None else f"near {figure_text(some.ideal)}"
        rows.append([metric, some.unit, better, some.n, *values, interval, change.verdict if change else ""])
    return markdown_table(["metric", "unit", "better", "n", *labels, "difference [95% interval]", "verdict"], rows)


def _extremes(groups: GroupScores) -> str:
    """The lowest and the highest group of the tuned model, one line; nothing where there are not two."""
    known = [score for score in groups.scores.get("tuned", []) if score.value is not None]
    if len(known) < 2:
        return ""
    ranked = sorted(known, key=lambda score: score.value or 0.0)

    def told(score: Score) -> str:
        interval = f" [{figure_text(score.low)}, {figure_text(score.high)}]" if score.low is not None else ""
        return f"{score.metric} {figure_text(score.value)}{interval} (n = {score.n}{', ' + score.note if score.note else ''})"

    return f"{groups.title}: lowest {told(ranked[0])}, highest {told(ranked[-1])}."


def figure_rows(values: dict[str, Any]) -> list[list[str]]:
    """Name and figure of every value that fits a table cell."""
    return [[name.replace("_", " "), figure_text(value)] for name, value in values.items() if is_plain(value)]


def is_plain(value: Any) -> bool:
    """True for a value that fits a table cell."""
    return value is not None and not isinstance(value, dict | list)


def figure_text(value: Any) -> str:
    """A number with four significant digits, whole and large ones with separators, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and 1e4 <= abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
