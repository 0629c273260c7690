"""``studio predict``: what a trained run says about the rows of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output

if TYPE_CHECKING:
    import pandas as pd

    from studio.train.kinds import Answers, RunKind


def predict(
    run: Annotated[
        str, typer.Argument(help="A run: its name (the newest), its id, its folder, or 'last'; or a folder of studio export.")
    ],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="csv, xlsx, parquet or json with the columns of the training; a picture or a folder of them; '-' reads csv "
            "from a pipe.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="One text instead of a file.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The probability of every label, not of the given one alone.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="What the run's kind can be asked, key=value (horizon=6).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write csv into this file; it must not exist. Without it to stdout.")
    ] = None,
) -> None:
    """Labels, numbers, groups or forecasts of a trained run for the rows of a file, as csv."""
    _check_out(out)
    folder, kind = _asked(run)
    said: list[str] = []

    def say(remark: str) -> None:
        said.append(remark)
        output.note(remark)

    options = _options(settings or [], text, probabilities)
    answers = kind.predict(folder, source, options=options, say=say)
    for remark in answers.notes:
        if remark not in said:
            output.note(remark)
    _write(answers, out)


def _asked(reference: str) -> tuple[Path, RunKind]:
    """The folder of a run or of an export, and the kind of run that it is or was written of."""
    from studio.core.workspace import read_run
    from studio.models.exported import is_export, read_export
    from studio.train.kinds import kind_named, run_kind

    folder = Path(reference).expanduser()
    if is_export(folder):
        record = read_export(folder, whole=False)
        return folder, kind_named(record.kind, f"the export {folder}")
    folder = output.open_workspace().find_run(reference)
    return folder, run_kind(read_run(folder))


def _options(settings: list[str], text: str | None, probabilities: bool) -> dict[str, str]:
    """What was asked, by name."""
    from studio.core.errors import UserError

    options: dict[str, str] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip():
            raise UserError(f"--set {setting}: write it as key=value.")
        options[name.strip()] = value.strip()
    if text is not None:
        options["text"] = text
    return options | ({"probabilities": "true"} if probabilities else {})


def _check_out(out: Path | None) -> None:
    """Refuse to write over something, or in another form than the name says."""
    from studio.core.errors import UserError

    if out is None:
        return
    if out.suffix.lower() != ".csv":
        raise UserError(f"--out {out}: csv is written. Give a name that ends with .csv.")
    if out.exists():
        raise UserError(f"--out {out} exists, and nothing is written over. Give another name, or remove it.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}. Make it first.")


def _write(answers: Answers, out: Path | None) -> None:
    """The rows with their answers: csv to a file or to stdout, or one JSON document."""
    import pandas as pd

    from studio.core.files import write_text

    table = answers.table if answers.rows is None else pd.concat([answers.rows, answers.table], axis=1)
    if out is not None:
        write_text(out, _csv(table))
        output.note(f"{len(table):,} rows written to {out}")
    if output.json_wanted():
        rows = [] if out is not None else _records(table)
        output.emit_json({"rows": len(table), "file": out, "notes": answers.notes, "answers": rows})
    elif out is None:
        sys.stdout.write(_csv(table))


def _csv(table: pd.DataFrame) -> str:
    """Comma-separated, with every digit of the numbers."""
    text: str = table.to_csv(index=False)
    return text


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON has them."""
    import json

    rows: list[dict[str, object]] = json.loads(table.to_json(orient="records", date_format="iso", double_precision=15))
    return rows
