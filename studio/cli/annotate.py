"""``studio annotate``: rows out to people's tools, what they said back into a new Dataset, and how far they agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.core.errors import UserError, nearest

if TYPE_CHECKING:
    from studio.data.annotations.base import Annotation
    from studio.evals.agreement import Coefficient

app = typer.Typer(help="Rows of a Dataset out to Label Studio or a csv, and what people said of them back.")

_FORMS = {"label-studio": ".json", "csv": ".csv"}
_DATASET = "A Dataset: its name (the newest build), its fingerprint, or its folder."


@app.command("export")
def export(
    dataset: Annotated[str, typer.Argument(help=_DATASET)],
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    to: Annotated[str | None, typer.Option("--to", help="label-studio or csv; without it as the file's name ends.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only this split; without it all rows.")] = None,
    suggest: Annotated[
        str | None,
        typer.Option(
            "--suggest", help="Run that predicts, or column, whose labels are suggested; without it the labels that rows have."
        ),
    ] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="Labels to choose from, with commas between them.")] = None,
    pictures_at: Annotated[
        str | None,
        typer.Option("--pictures-at", help="Address before each picture's path; without it pictures travel in the file."),
    ] = None,
) -> None:
    """Write rows as tasks for Label Studio (with the labelling interface beside them), or as a csv to be filled in."""
    from studio.apps.suggesting import least_certain_first, suggestions
    from studio.data.annotations.base import all_items
    from studio.data.annotations.reading import known_annotations
    from studio.data.annotations.writing import Choices, write_csv_file, write_tasks

    form = _form(file, to)
    if form == "csv" and (labels is not None or pictures_at is not None):
        raise UserError(
            "--labels and --pictures-at are for --to label-studio; a csv has no choices and no pictures. Leave them out."
        )
    workspace = output.open_workspace()
    folder = workspace.find_dataset(dataset)
    items = all_items(folder)
    suggested = suggestions(workspace, folder, items, suggest)
    given = known_annotations(workspace.root, folder)
    chosen = [row for row, item in items.items() if split in {None, item.split}]
    if not chosen:
        splits = sorted({item.split for item in items.values()})
        raise UserError(f"--split {split}: there are no rows of it.{nearest(str(split), splits)} Splits: {', '.join(splits)}.")
    rows = [items[row] for row in least_certain_first(chosen, suggested)]
    if form == "csv":
        written = write_csv_file(file, rows, suggested, given)
    else:
        written = write_tasks(file, folder, rows, suggested, given, Choices.read(labels), pictures_at)
    if output.json_wanted():
        output.emit_json(
            {"rows": len(rows), "suggested": sum(row.id in suggested for row in rows), "files": list(map(str, written))}
        )
        return
    output.say(f"{len(rows):,} rows written to {', '.join(map(str, written))}")
    output.say(f"Bring back what was said: studio annotate import FILE --data {dataset}")


def _form(file: Path, to: str | None) -> str:
    """The form that is written.

    Raises:
        UserError: it is unknown, or cannot be told from the file's name; the file exists, or its folder does not.
    """
    form = to or next((name for name, suffix in _FORMS.items() if file.suffix.lower() == suffix), None)
    if form not in _FORMS:
        what = (
            f"--to {to}: unknown.{nearest(to, _FORMS)}"
            if to
            else f"{file}: which form? The name ends with neither .json nor .csv."
        )
        raise UserError(f"{what} Say --to label-studio or --to csv.")
    return form


@app.command("import")
def import_annotations(
    data: Annotated[str, typer.Option("--data", help=f"What was annotated. {_DATASET}")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Label Studio's JSON, COCO's JSON, or the filled-in csv; without it what the annotate app holds.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the new Dataset, instead of NAME-annotated.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who labelled, for files that do not say it.")] = None,
    label_from: Annotated[str | None, typer.Option("--label-from", help="Control of Label Studio that gives the label.")] = None,
    text_from: Annotated[str | None, typer.Option("--text-from", help="Control of Label Studio that gives the text.")] = None,
    keep_suggested: Annotated[
        bool, typer.Option("--suggestions", help="Take what was only suggested too, marked so, where no person said anything.")
    ] = False,
) -> None:
    """Make a new Dataset with what people said of the rows of another, which stays as it is."""
    from studio.core.files import sha256_file
    from studio.data.annotations.derive import Origin, annotate_dataset

    workspace = output.open_workspace()
    folder = workspace.find_dataset(data)
    said, left_out = _said(folder, file, by, label_from, text_from)
    origin = Origin("the annotate app", None, left_out) if file is None else Origin(file.name, sha256_file(file), left_out)
    outcome, merged = annotate_dataset(workspace, folder, said, origin, name=name, suggestions=keep_suggested)
    gone = {**left_out, **merged.left_out}
    if output.json_wanted():
        told = {"rows": len(merged.edits), "disagreed": merged.disagreed, "left_out": gone, "notes": merged.notes}
        output.emit_json({"folder": str(outcome.folder), "cached": outcome.cached, **told, "record": outcome.record})
        return
    for reason, count in gone.items():
        output.warn(f"{count} left out: {reason}")
    for remark in merged.notes:
        output.warn(remark)
    if merged.disagreed:
        output.warn(f"{len(merged.disagreed)} rows stay as they are, for the annotators are level: {_listed(merged.disagreed)}")
    output.say(f"{'found unchanged' if outcome.cached else 'made'}: {outcome.record.name}/{outcome.record.fingerprint}")
    output.pairs(
        [("rows annotated", len(merged.edits)), ("folder", outcome.folder), ("look", f"studio app data {outcome.record.name}")]
    )


def _said(
    folder: Path, file: Path | None, by: str | None, label_from: str | None, text_from: str | None
) -> tuple[list[Annotation], dict[str, int]]:
    """What was said of a Dataset, and what of it could not be used."""
    from studio.data.annotations.base import all_items
    from studio.data.annotations.label_studio import Controls
    from studio.data.annotations.reading import app_annotations, read_annotation_file

    if file is None:
        if by or label_from or text_from:
            raise UserError("--by, --label-from and --text-from are for a file, and none was given. Leave them out.")
        items = all_items(folder)
        return [one for one in app_annotations(output.open_workspace().root, folder) if one.row in items], {}
    found = read_annotation_file(file, all_items(folder), by=by, controls=Controls(label_from, text_from))
    return found.annotations, dict(found.left_out)


@app.command("agreement")
def agreement(
    dataset: Annotated[str, typer.Argument(help=_DATASET)],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Annotations of it in a file; without one what the studio holds.")
    ] = None,
    level: Annotated[
        str, typer.Option("--level", help="How labels differ: nominal, ordinal (numbers in order) or interval (distances count).")
    ] = "nominal",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the resamples behind the intervals.")] = 0,
) -> None:
    """How far annotators agree beyond chance, with 95% intervals, and the rows that need a third opinion."""
    from studio.data.annotations.merging import held_now
    from studio.data.annotations.reading import known_annotations
    from studio.evals.agreement import LEVELS, coefficients, needs_third

    if level not in LEVELS:
        raise UserError(f"--level {level}: unknown.{nearest(level, LEVELS)} Allowed: {', '.join(LEVELS)}.")
    workspace = output.open_workspace()
    folder = workspace.find_dataset(dataset)
    said = known_annotations(workspace.root, folder) if file is None else _said(folder, file, None, None, None)[0]
    people = {
        row: {one.by: one.label for one in ones if one.label is not None and one.status != "suggested"}
        for row, ones in held_now(said).items()
    }
    found = coefficients(people, level=level, seed=seed)  # type: ignore[arg-type]
    third = needs_third(people)
    if output.json_wanted():
        output.emit_json({"coefficients": [_as_json(one) for one in found], "needs_third": third})
        return
    head = ["measure", "annotators", "label", "rows", "same", "value", "95% interval"]
    output.table(head, [_line(one) for one in found], right=["rows", "same", "value"])
    output.say(f"Rows that need a third opinion: {len(third)}{f' ({_listed(third)})' if third else ''}")


_MEASURES = {"cohen": "Cohen's kappa", "fleiss": "Fleiss' kappa", "krippendorff": "Krippendorff's alpha"}


def _line(one: Coefficient) -> list[Any]:
    """A coefficient as a row of the table."""
    measure = _MEASURES[one.name] + (f" ({one.level})" if one.name == "krippendorff" and one.label is None else "")
    bounds = one.interval.bounds
    interval = one.interval.how if bounds is None else f"{bounds[0]:.2f} to {bounds[1]:.2f}"
    same = "-" if one.same is None else f"{100 * one.same:.0f}%"
    return [measure, one.of, one.label or "all", one.rows, same, "-" if one.value is None else f"{one.value:.3f}", interval]


def _as_json(one: Coefficient) -> dict[str, Any]:
    """A coefficient for programs."""
    low, high = one.interval.bounds or (None, None)
    head = {"measure": one.name, "level": one.level, "annotators": one.of, "label": one.label, "rows": one.rows, "same": one.same}
    return {**head, "value": one.value, "low": low, "high": high, "interval": one.interval.how}


def _listed(rows: list[str], most: int = 20) -> str:
    """The first rows by id, and how many more there are."""
    more = f" and {len(rows) - most} more; all with --json" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more
