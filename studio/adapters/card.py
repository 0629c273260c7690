"""The model card of a Run, from its records alone: ``run.json``, ``config.yaml``, the Dataset's record and the newest reports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from studio.adapters.chat.loading import saved_settings
from studio.adapters.images.card import (
    LOSSES,
    SETTINGS,
    attribution_of,
    image_front_matter,
    image_limits,
    image_summary,
    image_usage,
)
from studio.core.errors import StudioError, UserError
from studio.core.files import write_text
from studio.core.records import DatasetRecord, GroupScores, ReportRecord, RunRecord, Score, read_record
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.models.starters import STARTERS

logger = logging.getLogger("studio")

_SETTINGS = (
    "epochs", "max_steps", "batch_size", "micro_batch_size", "learning_rate", "schedule", "warmup", "weight_decay",
    "max_grad_norm", "optimizer", "loraplus_ratio", "neftune_alpha", "quantization", "dtype", "max_length", "overlong",
    "train_on", "packing", "seed",
)  # fmt: skip

# Kinds of task that measure bias or fairness.
_BIAS = {"crows_pairs", "stereoset", "winobias", "winogender", "bbq", "counterfactual", "fairness"}


def write_model_card(run_folder: Path) -> None:
    """Write the Run's ``README.md`` in one step; call it again when there is a new report.

    Raises:
        StudioError: ``run.json`` is missing or damaged, or the disk cannot be written.
    """
    record = read_run(run_folder)
    settings = saved_settings(run_folder)
    dataset = _dataset(run_folder, record)
    if record.kind != "chat":
        parts = _image_parts(run_folder, record, settings, dataset)
        write_text(run_folder / "README.md", "\n\n".join(part for part in parts if part) + "\n")
        return
    parts = [
        _front_matter(record, dataset),
        f"# {record.name}\n\n{_summary(record, settings)}",
        _usage(record),
        _data(record, dataset),
        _training(record, settings),
        _mask(record),
        _evaluation(run_folder, record),
        _limits(run_folder, record),
    ]
    write_text(run_folder / "README.md", "\n\n".join(part for part in parts if part) + "\n")


def _image_parts(run_folder: Path, record: RunRecord, settings: dict[str, Any], dataset: DatasetRecord | None) -> list[str]:
    """The sections of an image model's card."""
    suites = [report.suite for report in newest_reports(run_folder)]
    measured = f"Measured with {', '.join(suites)} only" if suites else "Nothing has been measured"
    return [
        image_front_matter(record, dataset),
        f"# {record.name}\n\n{image_summary(record)}",
        image_usage(run_folder, record, settings, dataset),
        "\n\n".join(part for part in (_data(record, dataset), attribution_of(dataset)) if part),
        _training(record, settings),
        _evaluation(run_folder, record),
        image_limits(record, measured),
    ]


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


def _front_matter(record: RunRecord, dataset: DatasetRecord | None) -> str:
    """The YAML head that hubs read. Only Hub ids stand under base_model and datasets."""
    base = _base_hub_id(record)
    corpora = [source.location for source in dataset.sources if source.kind == "hub"] if dataset else []
    head: dict[str, Any] = {
        "library_name": "transformers" if record.method == "full" else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["finetuning-studio", "chat", *(["full-tuning"] if record.method == "full" else record.method.split("-"))],
    }
    if base:
        head |= {"base_model": base, "base_model_relation": "finetune" if record.method == "full" else "adapter"}
    if record.base.get("licence"):
        head["license"] = record.base["licence"]
    if corpora:
        head["datasets"] = corpora
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _base_hub_id(record: RunRecord) -> str | None:
    """The base's Hub id, if it has one."""
    name = str(record.base.get("name"))
    if record.base.get("source") == "hub":
        return name
    return STARTERS[name].hub_id if name in STARTERS else None


def _summary(record: RunRecord, settings: dict[str, Any]) -> str:
    """What was done, in two sentences."""
    made = "every weight trained" if record.method == "full" else f"tuned with {record.method}"
    if record.method != "full" and isinstance(settings.get("lora"), dict):
        made += f" (rank {settings['lora'].get('rank')}, alpha {settings['lora'].get('alpha')})"
    when = f" on {record.finished[:10]}" if record.finished else ""
    base, data = record.base.get("name"), record.dataset.get("name")
    return f"`{base}`, {made} on the dataset `{data}`{when}. Run `{record.id}`, {record.status}."


def _usage(record: RunRecord) -> str:
    """Code that works as pasted in the run's folder, with transformers and PEFT alone."""
    folder = "model" if record.method == "full" else "adapter"
    imports = "from transformers import AutoModelForCausalLM, AutoTokenizer"
    if record.method == "full":
        load = [f'model = AutoModelForCausalLM.from_pretrained("{folder}")']
    else:
        imports = "from peft import PeftModel\n" + imports
        by_hub = record.base.get("source") == "hub"
        place = record.base.get("name") if by_hub else record.base.get("path")
        revision = f', revision="{record.base["revision"]}"' if by_hub and record.base.get("revision") else ""
        load = [
            f'base = AutoModelForCausalLM.from_pretrained("{place}"{revision})',
            f'model = PeftModel.from_pretrained(base, "{folder}")',
        ]
        hub = _base_hub_id(record)
        if hub and not by_hub:
            load.insert(
                0, f"# The weights that were tuned, as they lie on the machine that tuned them; on the Hub the model is {hub}."
            )
    code = [
        imports,
        "",
        *load,
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")  # carries the chat template of the training',
        "",
        'messages = [{"role": "user", "content": "Hello! What can you tell me?"}]',
        'chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)',
        "answer = model.generate(**chat, max_new_tokens=200, do_sample=False)",
        'print(tokenizer.decode(answer[0, chat["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    return "## Use\n\nIn this folder:\n\n```python\n" + "\n".join(code) + "\n```"


def _data(record: RunRecord, dataset: DatasetRecord | None) -> str:
    """What it was trained on, with licences."""
    lines = ["## Data", "", f"Dataset `{record.dataset.get('name')}`, fingerprint `{record.dataset.get('fingerprint')}`."]
    if dataset is None:
        return "\n".join([*lines, "", "Its record is no longer where the run found it."])
    lines += ["", f"{dataset.rows_read:,} rows read, {dataset.rows_removed:,} removed."]
    lines += ["", *_table(["split", "rows"], [[name, f"{rows:,}"] for name, rows in dataset.splits.items()])]
    rows = [[s.name, s.location, s.revision or "", s.licence or "not stated", f"{s.rows:,}"] for s in dataset.sources]
    return "\n".join([*lines, "", *_table(["source", "location", "revision", "licence", "rows"], rows)])


def _training(record: RunRecord, settings: dict[str, Any]) -> str:
    """Settings, figures, versions and machine."""
    lora = settings.get("lora") if record.method not in {"full", "scratch"} else None
    wanted = _SETTINGS if record.kind == "chat" else SETTINGS
    given = [[name, settings[name]] for name in wanted if settings.get(name) not in (None, [], "")]
    if isinstance(lora, dict):
        given += [[f"lora.{name}", value] for name, value in lora.items() if value not in (None, [], "")]
    base = record.base
    revision = f", revision `{base['revision']}`" if base.get("revision") else ""
    lines = ["## Training"]
    if base.get("sha256"):
        lines += ["", f"Base weights: sha256 `{base['sha256']}`{revision}."]
    if record.template:
        lines += [f"Chat template: `{record.template.get('name')}`, sha256 `{record.template.get('sha256')}`."]
    if given:
        lines += ["", *_table(["setting", "value"], given)]
    figures = [
        [name.replace("_", " "), _figure(value)]
        for name, value in record.result.items()
        if _is_plain(value) and name != "first_step_at"
    ]
    if figures:
        lines += [
            "",
            "Losses are nats per trained token." if record.kind == "chat" else LOSSES,
            "",
            *_table(["result", "value"], figures),
        ]
    facts = record.machine | ({"cores": f"{record.machine['cores']} cores"} if record.machine.get("cores") else {})
    machine = ", ".join(str(facts[key]) for key in ("gpu", "device", "cores", "system") if facts.get(key))
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    lines += ["", f"Machine: {machine}."] if machine else []
    lines += [f"Versions: {versions}."] if versions else []
    return "\n".join(lines)


def _mask(record: RunRecord) -> str:
    """Which tokens carried loss."""
    rows = [[name.replace("_", " "), _figure(value)] for name, value in record.mask_report.items() if _is_plain(value)]
    return "\n".join(["## What was trained on", "", *_table(["mask report", "value"], rows)]) if rows else ""


def _evaluation(run_folder: Path, record: RunRecord) -> str:
    """The newest report of each suite: gate, tables with intervals, groups that fare worst, what was not computed, what it
    does not show.
    """
    parts = ["## Bias, risks and evaluation"]
    parts += [_report(report) for report in newest_reports(run_folder)]
    if len(parts) == 1:
        parts.append(f"Not evaluated yet: `studio eval release --model {record.id}`")
    return "\n\n".join(parts)


def _report(report: ReportRecord) -> str:
    """One suite: heading, gate, table, groups, reasons, limits."""
    data = f", on `{report.dataset['name']}`" if report.dataset.get("name") else ""
    split = f", {report.dataset['split']} split" if report.dataset.get("split") else ""
    parts = [f"### {report.suite}", f"{report.created[:10]}{data}{split}."]
    if report.gate:
        missed, count = report.gate.get("missed") or [], report.gate.get("thresholds")
        parts.append(f"Gate not met: {'; '.join(missed)}." if missed else f"Gate met: all {count} thresholds.")
    parts.append("\n".join(_score_table(report)))
    parts += [line for groups in report.groups if (line := _extremes(groups))]
    reasons = [f"- {task.title or task.name}: not computed. {task.reason}" for task in report.tasks if task.reason]
    limits = [f"- {limit}" for limit in dict.fromkeys(limit for task in report.tasks for limit in task.limits)]
    if reasons:
        parts += ["Not computed:", "\n".join(reasons)]
    if limits:
        parts += ["What these numbers do not show:", "\n".join(limits)]
    return "\n\n".join(parts)


def _score_table(report: ReportRecord) -> list[str]:
    """Values of every model, the difference with its interval, the verdict."""
    labels = list(report.scores)
    by_label = {label: {score.metric: score for score in scores} for label, scores in report.scores.items()}
    differences = {difference.metric: difference for difference in report.differences}
    rows = []
    for metric in dict.fromkeys(score.metric for scores in report.scores.values() for score in scores):
        some = next(scores[metric] for scores in by_label.values() if metric in scores)
        change = differences.get(metric)
        interval = f"{_figure(change.value)} [{_figure(change.low)}, {_figure(change.high)}]" if change else ""
        values = [_figure(by_label[label][metric].value) if metric in by_label[label] else "" for label in labels]
        better = some.better if some.ideal is None else f"near {_figure(some.ideal)}"
        rows.append([metric, some.unit, better, some.n, *values, interval, change.verdict if change else ""])
    return _table(["metric", "unit", "better", "n", *labels, "difference [95% interval]", "verdict"], rows)


def _extremes(groups: GroupScores) -> str:
    """The lowest and the highest group of the tuned model, one line; nothing where there are not two."""
    known = [score for score in groups.scores.get("tuned", []) if score.value is not None]
    if len(known) < 2:
        return ""
    ranked = sorted(known, key=lambda score: score.value or 0.0)

    def told(score: Score) -> str:
        interval = f" [{_figure(score.low)}, {_figure(score.high)}]" if score.low is not None else ""
        return f"{score.metric} {_figure(score.value)}{interval} (n = {score.n}{', ' + score.note if score.note else ''})"

    return f"{groups.title}: lowest {told(ranked[0])}, highest {told(ranked[-1])}."


def _limits(run_folder: Path, record: RunRecord) -> str:
    """What these records do not show."""
    reports = newest_reports(run_folder)
    measured = f"Measured with {', '.join(report.suite for report in reports)} only" if reports else "Nothing has been measured"
    kinds = {task.type for report in reports for task in report.tasks if not task.reason}
    unknown = ["truth of its answers", *([] if kinds & _BIAS else ["bias"]), *([] if "safety" in kinds else ["toxicity"])]
    base = record.base.get("name")
    return (
        "## Limits\n\n"
        f"{measured}; what is not in the tables above is not known: {', '.join(unknown)}, other domains and "
        f"languages. The limits of the base model `{base}` apply. This card was written from the records of the run; who the "
        "model is for, and who must not use it, are for its maker to add."
    )


def _table(columns: list[str], rows: list[list[Any]]) -> list[str]:
    """A Markdown table; bars inside cells are escaped."""

    def line(cells: list[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(columns), "|" + "---|" * len(columns), *(line(row) for row in rows)]


def _is_plain(value: Any) -> bool:
    """True for a value that fits a table cell."""
    return value is not None and not isinstance(value, dict | list)


def _figure(value: Any) -> str:
    """A number with four significant digits, whole and large ones with separators, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and 1e4 <= abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
